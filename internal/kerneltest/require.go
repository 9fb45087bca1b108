//go:build linux

package kerneltest

import (
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"testing"

	"github.com/cilium/ebpf/link"

	"github.com/trafficpolicy/trafficpolicy/internal/netlab"
)

// ready deletes what earlier runs left and tries whether a namespace can be made.
var ready = sync.OnceValue(func() error {
	lab := netlab.New()
	_, err := lab.Namespace("try")
	sweepPins()
	return errors.Join(err, lab.Close(), netlab.Sweep())
})

// sweepPins removes what killed tests have left pinned: of namespaces that are gone,
// no link has an interface any more.
func sweepPins() {
	dirs, _ := filepath.Glob("/sys/fs/bpf/trafficpolicy/netns-*")
	for _, dir := range dirs {
		pins, _ := filepath.Glob(filepath.Join(dir, "links", "*"))
		dead := 0
		for _, pin := range pins {
			l, err := link.LoadPinnedLink(pin, nil)
			if err != nil {
				break
			}
			if info, err := l.Info(); err == nil && info.TCX() != nil && info.TCX().Ifindex == 0 {
				dead++
			}
			l.Close()
		}
		if len(pins) > 0 && dead == len(pins) {
			os.RemoveAll(dir)
		}
	}
}

// Require skips the test where the kernel cannot be asked, or fails it if
// TRAFFICPOLICY_REQUIRE_KERNEL=1.
func Require(t testing.TB) {
	t.Helper()
	if os.Geteuid() != 0 {
		netlab.Lacking(t, "needs root: it makes network namespaces")
	}
	if _, err := exec.LookPath("nft"); err != nil {
		netlab.Lacking(t, "needs the nft command (package nftables): "+err.Error())
	}
	if err := ready(); err != nil {
		netlab.Lacking(t, "needs network namespaces: "+err.Error())
	}
}

// NewNamespace makes an empty namespace that is deleted with the test.
func NewNamespace(t testing.TB, name string) *netlab.Namespace {
	t.Helper()
	Require(t)
	lab := netlab.New()
	t.Cleanup(func() {
		if err := lab.Close(); err != nil {
			t.Error(err)
		}
	})
	n, err := lab.Namespace(name)
	if err != nil {
		t.Fatal(err)
	}
	return n
}

// NewNode makes a node that is deleted with the test.
func NewNode(t testing.TB, s netlab.Spec) *netlab.Node {
	t.Helper()
	lab := netlab.New()
	t.Cleanup(func() {
		if err := lab.Close(); err != nil {
			t.Errorf("close the lab: %v", err)
		}
	})
	n, err := lab.Node(s)
	if err != nil {
		t.Fatalf("make a %s node: %v", s.Mode, err)
	}
	return n
}

// soak returns how many times as long random tests run, from TRAFFICPOLICY_SOAK.
func soak() int {
	n, err := strconv.Atoi(os.Getenv("TRAFFICPOLICY_SOAK"))
	if err != nil || n < 1 {
		return 1
	}
	return n
}

// softnetDrops returns how many packets the machine's processors have dropped
// because their backlog was full (the second column of /proc/net/softnet_stat).
func softnetDrops(t testing.TB) (n uint64) {
	t.Helper()
	text, err := os.ReadFile("/proc/net/softnet_stat")
	if err != nil {
		t.Fatal(err)
	}
	for line := range strings.Lines(string(text)) {
		if fields := strings.Fields(line); len(fields) > 1 {
			v, _ := strconv.ParseUint(fields[1], 16, 64)
			n += v
		}
	}
	return n
}
