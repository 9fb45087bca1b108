//go:build linux

package netlab

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"strconv"
	"sync"
	"sync/atomic"

	"github.com/vishvananda/netns"
	"golang.org/x/sys/unix"
)

// namespaceDir is where ip-netns(8) keeps named namespaces.
const namespaceDir = "/run/netns"

// labs numbers the labs of this process.
var labs atomic.Uint32

// Lab is a set of namespaces that are deleted together.
type Lab struct {
	prefix string

	mu      sync.Mutex // guards what follows: Close may come from a signal handler
	spaces  []*Namespace
	closers []func()
	closed  bool
	macs    uint32
}

// New returns an empty lab.
func New() *Lab {
	return &Lab{prefix: fmt.Sprintf("tp-%d-%d-", os.Getpid(), labs.Add(1))}
}

// Namespace makes a namespace whose loopback is up. host is its last name,
// unique in the lab.
func (l *Lab) Namespace(host string) (*Namespace, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.closed {
		return nil, fmt.Errorf("namespace %q: the lab is closed", host)
	}
	n, err := newNamespace(l.prefix + host)
	if err != nil {
		return nil, fmt.Errorf("namespace %q: %w", host, err)
	}
	n.lab = l
	l.spaces = append(l.spaces, n)
	return n, n.configure()
}

// onClose has f called when the lab is closed, before namespaces are deleted.
func (l *Lab) onClose(f func()) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.closers = append(l.closers, f)
}

// Close deletes every namespace of the lab. It may be called more than once
// and from another goroutine than the one that builds the lab.
func (l *Lab) Close() error {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.closed = true
	for i := len(l.closers) - 1; i >= 0; i-- {
		l.closers[i]()
	}
	var errs []error
	for _, n := range l.spaces {
		errs = append(errs, n.close())
	}
	l.spaces, l.closers = nil, nil
	return errors.Join(errs...)
}

// named matches the file of a namespace and captures the process that made it.
var named = regexp.MustCompile(`^tp-([0-9]+)-[0-9]+-`)

// Sweep deletes the namespaces of labs whose process is gone.
func Sweep() error {
	files, err := os.ReadDir(namespaceDir)
	if errors.Is(err, os.ErrNotExist) {
		return nil
	}
	var errs []error
	for _, f := range files {
		m := named.FindStringSubmatch(f.Name())
		if m == nil {
			continue
		}
		pid, err := strconv.Atoi(m[1])
		if err != nil || !errors.Is(unix.Kill(pid, 0), unix.ESRCH) {
			continue
		}
		errs = append(errs, deleteNamed(f.Name()))
	}
	return errors.Join(append(errs, err)...)
}

// deleteNamed deletes a namespace's file, which may be no mount if its maker
// was killed between the two.
func deleteNamed(name string) error {
	if err := netns.DeleteNamed(name); err == nil {
		return nil
	}
	err := os.Remove(filepath.Join(namespaceDir, name))
	if err != nil && !errors.Is(err, os.ErrNotExist) {
		return fmt.Errorf("delete namespace %q: %w", name, err)
	}
	return nil
}
