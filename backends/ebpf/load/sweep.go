//go:build linux

package load

import (
	"os"
	"path/filepath"
	"strings"

	"github.com/cilium/ebpf/link"
)

// A pod's network namespace ends with the pod, and takes the interfaces with it, but
// not what is pinned: whoever begins anew in some namespace removes what such
// namespaces have left. That of a node does not end before the machine does.

// sweep removes the folders beside dir of pods' namespaces that are gone. What cannot
// be removed is tried again next time.
func sweep(dir string) {
	root := filepath.Dir(dir)
	entries, err := os.ReadDir(root)
	if err != nil {
		return
	}
	for _, e := range entries {
		other := filepath.Join(root, e.Name())
		if other == dir || !strings.HasPrefix(e.Name(), "netns-") {
			continue
		}
		if matches, err := filepath.Glob(filepath.Join(other, "pod-*")); err == nil && len(matches) > 0 && orphaned(other) {
			removePins(other)
		}
	}
}

// orphaned reports whether there are links pinned below a folder and all of them
// have lost their interface.
func orphaned(dir string) bool {
	pins, err := filepath.Glob(filepath.Join(dir, "links", "*"))
	if err != nil || len(pins) == 0 {
		return false
	}
	for _, pin := range pins {
		l, err := link.LoadPinnedLink(pin, nil)
		if err != nil {
			return false
		}
		info, err := l.Info()
		l.Close()
		if err != nil || info.TCX() == nil || info.TCX().Ifindex != 0 {
			return false
		}
	}
	return true
}
