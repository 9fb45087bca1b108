//go:build linux

package netlab

import (
	"errors"
	"fmt"
	"net"
	"net/netip"
	"time"

	"golang.org/x/sys/unix"

	"github.com/trafficpolicy/trafficpolicy/model"
)

// Receiver keeps what arrives at some sockets. It is not safe for concurrent
// use. Nothing reads in the background: a Receiver looks when it is asked, so
// that what was sent before cannot be overlooked.
type Receiver struct {
	fds  []int
	read func(fd int, b []byte) (Arrival, bool, error)
	seen []Arrival
	buf  []byte
}

// Tap receives every IP packet that arrives at a host's eth0, before the
// host's own netfilter, and sends frames that the host's netfilter does not see.
type Tap struct {
	Receiver
	index int
	raw   bool // packets have no link layer
}

// receiveBuffer is the size of sockets' buffers in bytes.
const receiveBuffer = 8 << 20

func htons(v uint16) uint16 { return v<<8 | v>>8 }

func newTap(n *Namespace, raw bool) (*Tap, error) {
	t, head := &Tap{raw: raw}, 14
	if raw {
		head = 0
	}
	t.read = func(fd int, b []byte) (Arrival, bool, error) {
		k, _, err := unix.Recvfrom(fd, b, 0)
		if err != nil || k < head {
			return Arrival{}, false, err
		}
		a, ok := parse(b[head:k])
		return a, ok, nil
	}
	err := n.Do(func() error {
		link, err := net.InterfaceByName("eth0")
		if err != nil {
			return err
		}
		t.index = link.Index
		fd, err := unix.Socket(unix.AF_PACKET, unix.SOCK_RAW|unix.SOCK_NONBLOCK|unix.SOCK_CLOEXEC, int(htons(unix.ETH_P_ALL)))
		if err != nil {
			return err
		}
		t.fds = []int{fd}
		return errors.Join(
			unix.Bind(fd, &unix.SockaddrLinklayer{Protocol: htons(unix.ETH_P_ALL), Ifindex: link.Index}),
			unix.SetsockoptInt(fd, unix.SOL_PACKET, unix.PACKET_IGNORE_OUTGOING, 1),
			unix.SetsockoptInt(fd, unix.SOL_SOCKET, unix.SO_RCVBUFFORCE, receiveBuffer))
	})
	if err != nil {
		return nil, fmt.Errorf("packet socket: %w", err)
	}
	n.lab.onClose(t.close)
	return t, nil
}

// LocalReceiver receives what the namespace's own stack accepts: packets of the
// protocols that arrive behind its netfilter input hook.
func (n *Namespace) LocalReceiver(protos ...int) (*Receiver, error) {
	r := &Receiver{read: readRaw}
	err := n.Do(func() error {
		for _, family := range []int{unix.AF_INET, unix.AF_INET6} {
			for _, proto := range protos {
				if family == unix.AF_INET6 && proto == model.IPProtoICMP {
					proto = model.IPProtoICMPv6
				}
				fd, err := unix.Socket(family, unix.SOCK_RAW|unix.SOCK_NONBLOCK|unix.SOCK_CLOEXEC, proto)
				if err != nil {
					return fmt.Errorf("raw socket of protocol %d: %w", proto, err)
				}
				r.fds = append(r.fds, fd)
				if err := unix.SetsockoptInt(fd, unix.SOL_SOCKET, unix.SO_RCVBUFFORCE, receiveBuffer); err != nil {
					return err
				}
			}
		}
		return nil
	})
	n.lab.onClose(r.close)
	return r, err
}

// readRaw reads a raw socket, whose IPv6 form hands out no IP header.
func readRaw(fd int, b []byte) (Arrival, bool, error) {
	k, from, err := unix.Recvfrom(fd, b, 0)
	if err != nil {
		return Arrival{}, false, err
	}
	sa, is6 := from.(*unix.SockaddrInet6)
	if !is6 {
		a, ok := parse(b[:k])
		return a, ok, nil
	}
	proto, err := unix.GetsockoptInt(fd, unix.SOL_SOCKET, unix.SO_PROTOCOL)
	a := Arrival{Src: netip.AddrFrom16(sa.Addr), Proto: uint8(proto)}
	a.transport(b[:k])
	return a, true, err
}

func (r *Receiver) close() {
	for _, fd := range r.fds {
		unix.Close(fd)
	}
	r.fds = nil
}

// Arrivals returns everything that has arrived since the last Forget.
func (r *Receiver) Arrivals() []Arrival {
	if r.buf == nil {
		r.buf = make([]byte, 1<<16)
	}
	for _, fd := range r.fds {
		for {
			a, ok, err := r.read(fd, r.buf)
			if err != nil {
				break // nothing more; what a socket reports of errors is no arrival
			}
			if ok {
				r.seen = append(r.seen, a)
			}
		}
	}
	return r.seen
}

// Forget drops what has arrived.
func (r *Receiver) Forget() {
	r.Arrivals()
	r.seen = nil
}

// Find returns the first arrival that match accepts.
func (r *Receiver) Find(match func(*Arrival) bool) (Arrival, bool) {
	for i := range r.Arrivals() {
		if match(&r.seen[i]) {
			return r.seen[i], true
		}
	}
	return Arrival{}, false
}

// Wait is Find, and waits for it.
func (r *Receiver) Wait(timeout time.Duration, match func(*Arrival) bool) (Arrival, bool) {
	fds := make([]unix.PollFd, len(r.fds))
	for i, fd := range r.fds {
		fds[i] = unix.PollFd{Fd: int32(fd), Events: unix.POLLIN}
	}
	for end := time.Now().Add(timeout); ; {
		a, ok := r.Find(match)
		left := time.Until(end)
		if ok || left <= 0 {
			return a, ok
		}
		_, _ = unix.Poll(fds, int(left.Milliseconds())+1)
	}
}

// WithCookie matches the packet of the cookie itself, and no error about it.
func WithCookie(c uint64) func(*Arrival) bool {
	return func(a *Arrival) bool { return a.Cookie == c && !a.IsError() }
}

// Tap returns the receiver of the host's eth0.
func (h *Host) Tap() *Tap { return h.tap }

// SendFrame sends a packet as it is from eth0: what a pod with CAP_NET_RAW
// can do. The host's own netfilter does not see it.
func (h *Host) SendFrame(packet []byte) error {
	var dst netip.Addr
	if len(packet) >= 40 && packet[0]>>4 == 6 {
		dst, _ = netip.AddrFromSlice(packet[24:40])
	} else if len(packet) >= 20 {
		dst, _ = netip.AddrFromSlice(packet[16:20])
	}
	return h.SendFrameTo(dst, packet)
}

// SendFrameTo sends what need not be a packet as one for dst.
func (h *Host) SendFrameTo(dst netip.Addr, packet []byte) error {
	etype := uint16(unix.ETH_P_IP)
	if dst.Is6() {
		etype = unix.ETH_P_IPV6
	}
	frame := packet
	if !h.raw {
		frame = append(append([]byte(nil), h.NextHop(dst)...), h.MAC...)
		frame = append(frame, byte(etype>>8), byte(etype))
		frame = append(frame, packet...)
	}
	err := unix.Sendto(h.tap.fds[0], frame, 0, &unix.SockaddrLinklayer{Ifindex: h.tap.index, Protocol: htons(etype), Halen: 6})
	if err != nil {
		return fmt.Errorf("send a frame from %s: %w", h.Name, err)
	}
	return nil
}

// RawSender sends packets through the namespace's own stack, its netfilter
// output hook and its routes.
type RawSender struct{ v4, v6 int }

// NewRawSender opens a sender.
func (n *Namespace) NewRawSender() (*RawSender, error) {
	s := &RawSender{-1, -1}
	err := n.Do(func() (err error) {
		s.v4, err = unix.Socket(unix.AF_INET, unix.SOCK_RAW|unix.SOCK_CLOEXEC, unix.IPPROTO_RAW)
		if err != nil {
			return err
		}
		s.v6, err = unix.Socket(unix.AF_INET6, unix.SOCK_RAW|unix.SOCK_CLOEXEC, unix.IPPROTO_RAW)
		return err
	})
	n.lab.onClose(func() { unix.Close(s.v4); unix.Close(s.v6) })
	return s, err
}

// Send sends a packet with its IP header.
func (s *RawSender) Send(packet []byte) error {
	if packet[0]>>4 == 6 {
		return unix.Sendto(s.v6, packet, 0, &unix.SockaddrInet6{Addr: [16]byte(packet[24:40])})
	}
	return unix.Sendto(s.v4, packet, 0, &unix.SockaddrInet4{Addr: [4]byte(packet[16:20])})
}
