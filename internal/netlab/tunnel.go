//go:build linux

package netlab

import (
	"fmt"
	"os"

	"golang.org/x/sys/unix"
)

// tunnel makes the TUN device eth0 of a host and one on the node's side, and
// carries packets between them until the lab is closed.
func (n *Node) tunnel(host *Namespace, device string) error {
	near, err := n.Namespace.tun(device)
	if err != nil {
		return err
	}
	far, err := host.tun("eth0")
	if err != nil {
		near.Close()
		return err
	}
	n.lab.onClose(func() { near.Close(); far.Close() })
	go carry(near, far)
	go carry(far, near)
	return nil
}

// carry ends when one of the two is closed.
func carry(to, from *os.File) {
	b := make([]byte, 1<<16)
	for {
		k, err := from.Read(b)
		if err != nil {
			return
		}
		_, _ = to.Write(b[:k]) // a device that is down refuses
	}
}

// tun makes a TUN device (Documentation/networking/tuntap.rst) that is there as
// long as the file is open.
func (n *Namespace) tun(name string) (f *os.File, err error) {
	err = n.Do(func() error {
		fd, err := unix.Open("/dev/net/tun", unix.O_RDWR|unix.O_CLOEXEC|unix.O_NONBLOCK, 0)
		if err != nil {
			return err
		}
		req, err := unix.NewIfreq(name)
		if err == nil {
			req.SetUint16(unix.IFF_TUN | unix.IFF_NO_PI)
			err = unix.IoctlIfreq(fd, unix.TUNSETIFF, req)
		}
		if err != nil {
			unix.Close(fd)
			return err
		}
		f = os.NewFile(uintptr(fd), name)
		return nil
	})
	if err != nil {
		return nil, fmt.Errorf("tun device %s: %w", name, err)
	}
	return f, nil
}
