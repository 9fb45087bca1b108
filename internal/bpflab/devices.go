//go:build linux

package bpflab

import (
	"fmt"
	"runtime"

	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"
)

// Device is an interface of a [Lab].
type Device struct {
	Index uint32
	MAC   [6]byte
}

// Loopback is where programs are run when no device is named.
var Loopback = Device{Index: 1}

// Lab is a network namespace with devices that nothing is sent by: programs are
// run in it, and told the devices' indices.
type Lab struct {
	Devices []Device
	calls   chan func()
}

// NewLab makes a namespace with n devices, which lasts until Close.
func NewLab(n int) (*Lab, error) {
	l := &Lab{calls: make(chan func())}
	ready := make(chan error)
	go func() {
		runtime.LockOSThread() // never unlocked: the namespace ends with the thread
		ready <- l.build(n)
		for f := range l.calls {
			f()
		}
	}()
	if err := <-ready; err != nil {
		close(l.calls)
		return nil, fmt.Errorf("make a network namespace: %w", err)
	}
	return l, nil
}

// Close deletes the namespace.
func (l *Lab) Close() { close(l.calls) }

func (l *Lab) build(n int) error {
	if err := unix.Unshare(unix.CLONE_NEWNET); err != nil {
		return err
	}
	for i := range n {
		attrs := netlink.NewLinkAttrs()
		attrs.Name = fmt.Sprintf("tp-%d", i)
		if err := netlink.LinkAdd(&netlink.Veth{LinkAttrs: attrs, PeerName: attrs.Name + "-peer"}); err != nil {
			return err
		}
		link, err := netlink.LinkByName(attrs.Name)
		if err != nil {
			return err
		}
		d := Device{Index: uint32(link.Attrs().Index)}
		copy(d.MAC[:], link.Attrs().HardwareAddr)
		l.Devices = append(l.Devices, d)
	}
	return nil
}

// Do runs f inside the namespace.
func (l *Lab) Do(f func()) {
	done := make(chan struct{})
	l.calls <- func() { defer close(done); f() }
	<-done
}
