//go:build linux

package netlab

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/netip"
	"os"
	"sync"
	"syscall"
	"time"

	"golang.org/x/sys/unix"
)

// Outcome is what came of a probe by the kernel's own sockets.
type Outcome uint8

const (
	Silence     Outcome = iota // nothing came back in time
	Answered                   // the connection was accepted, the request answered
	Refused                    // TCP reset, or ICMP port unreachable
	Prohibited                 // ICMP administratively prohibited
	Dropped                    // by the sender's own netfilter output hook (EPERM)
	Unsent                     // by what is behind the sender's own stack (ENOBUFS)
	Unreachable                // any other error
)

// String returns the outcome in a word.
func (o Outcome) String() string {
	return [...]string{"silence", "answered", "refused", "prohibited", "dropped", "unsent", "unreachable"}[o]
}

// probeTimeout is how long one try of a probe waits; there are two.
const probeTimeout = 150 * time.Millisecond

// Server answers TCP connections and UDP requests on one port of all
// addresses of a namespace: each byte comes back.
type Server struct {
	ns   *Namespace
	wg   sync.WaitGroup
	done []io.Closer
}

// Serve starts a server for the ports. It ends with the lab.
func (n *Namespace) Serve(ports ...uint16) (*Server, error) {
	s := &Server{ns: n}
	n.lab.onClose(s.Close)
	for _, port := range ports {
		var l net.Listener
		var u *net.UDPConn
		err := n.Do(func() (err error) {
			cfg := net.ListenConfig{}
			if l, err = cfg.Listen(context.Background(), "tcp", fmt.Sprintf("[::]:%d", port)); err != nil {
				return err
			}
			u, err = net.ListenUDP("udp", &net.UDPAddr{Port: int(port)})
			return err
		})
		if l != nil {
			s.done = append(s.done, l)
		}
		if err != nil {
			return nil, fmt.Errorf("serve port %d in %s: %w", port, n.Name, err)
		}
		s.done = append(s.done, u)
		s.wg.Add(2)
		go s.accept(l)
		go s.echo(u)
	}
	return s, nil
}

// Close ends the server's listeners and waits for them.
func (s *Server) Close() {
	for _, c := range s.done {
		c.Close()
	}
	s.done = nil
	s.wg.Wait()
}

func (s *Server) accept(l net.Listener) {
	defer s.wg.Done()
	for {
		c, err := l.Accept()
		if err != nil {
			return
		}
		go func() {
			defer c.Close()
			_, _ = io.Copy(c, c)
		}()
	}
}

// echo answers each datagram from the address that it was sent to, which on a
// socket of all addresses takes IP_PKTINFO.
func (s *Server) echo(u *net.UDPConn) {
	defer s.wg.Done()
	raw, err := u.SyscallConn()
	if err != nil {
		return
	}
	_ = raw.Control(func(fd uintptr) {
		_ = unix.SetsockoptInt(int(fd), unix.SOL_IP, unix.IP_PKTINFO, 1)
		_ = unix.SetsockoptInt(int(fd), unix.SOL_IPV6, unix.IPV6_RECVPKTINFO, 1)
	})
	buf, oob := make([]byte, 2048), make([]byte, 256)
	for {
		k, o, _, from, err := u.ReadMsgUDPAddrPort(buf, oob)
		if err != nil {
			if errors.Is(err, net.ErrClosed) {
				return
			}
			continue // an ICMP error about an earlier answer
		}
		_, _, _ = u.WriteMsgUDPAddrPort(buf[:k], replyFrom(oob[:o]), from)
	}
}

// replyFrom turns the control message of a request into that of its answer:
// the same, without the index of the device (ip(7), ipv6(7)).
func replyFrom(oob []byte) []byte {
	msgs, err := unix.ParseSocketControlMessage(oob)
	if err != nil {
		return nil
	}
	for _, m := range msgs {
		switch {
		case m.Header.Level == unix.SOL_IPV6 && m.Header.Type == unix.IPV6_PKTINFO && len(m.Data) >= 20:
			a, _ := netip.AddrFromSlice(m.Data[:16])
			if a.Is4In6() {
				continue
			}
			return unix.PktInfo6(&unix.Inet6Pktinfo{Addr: a.As16()})
		case m.Header.Level == unix.SOL_IP && m.Header.Type == unix.IP_PKTINFO && len(m.Data) >= 12:
			return unix.PktInfo4(&unix.Inet4Pktinfo{Spec_dst: [4]byte(m.Data[8:12])})
		}
	}
	return nil
}

// Dial opens a TCP connection from the namespace; src may be the zero address.
func (n *Namespace) Dial(src netip.Addr, dst netip.AddrPort, timeout time.Duration) (net.Conn, error) {
	var c net.Conn
	err := n.Do(func() (err error) {
		d := net.Dialer{Timeout: timeout}
		if src.IsValid() {
			d.LocalAddr = net.TCPAddrFromAddrPort(netip.AddrPortFrom(src, 0))
		}
		c, err = d.Dial("tcp", dst.String())
		return err
	})
	return c, err
}

// TCP connects from the namespace to dst.
func (n *Namespace) TCP(src netip.Addr, dst netip.AddrPort) (Outcome, error) {
	return twice(func() (Outcome, error) {
		c, err := n.Dial(src, dst, probeTimeout)
		if err == nil {
			c.Close()
		}
		return outcome(err)
	})
}

// UDP sends a request from the namespace to dst and waits for its answer.
func (n *Namespace) UDP(src netip.Addr, dst netip.AddrPort) (Outcome, error) {
	return n.request(func() (net.Conn, error) {
		d := net.Dialer{}
		if src.IsValid() {
			d.LocalAddr = net.UDPAddrFromAddrPort(netip.AddrPortFrom(src, 0))
		}
		return d.Dial("udp", dst.String())
	}, []byte("request"))
}

// Ping sends an echo request from the namespace to dst and waits for the reply.
func (n *Namespace) Ping(src netip.Addr, dst netip.Addr) (Outcome, error) {
	request := []byte{8, 0, 0, 0, 0, 0, 0, 1, 'p'}
	if dst.Is6() {
		request[0] = 128
	}
	return n.request(func() (net.Conn, error) { return pingSocket(src, dst) }, request)
}

// pingSocket is a connected socket for echo requests (icmp(7)).
func pingSocket(src, dst netip.Addr) (net.Conn, error) {
	family, proto := unix.AF_INET, unix.IPPROTO_ICMP
	addr := func(a netip.Addr) unix.Sockaddr { return &unix.SockaddrInet4{Addr: a.As4()} }
	if dst.Is6() {
		family, proto = unix.AF_INET6, unix.IPPROTO_ICMPV6
		addr = func(a netip.Addr) unix.Sockaddr { return &unix.SockaddrInet6{Addr: a.As16()} }
	}
	fd, err := unix.Socket(family, unix.SOCK_DGRAM|unix.SOCK_CLOEXEC|unix.SOCK_NONBLOCK, proto)
	if err != nil {
		return nil, fmt.Errorf("ping socket: %w", err)
	}
	f := os.NewFile(uintptr(fd), "ping")
	defer f.Close() // FileConn duplicates it
	if src.IsValid() {
		if err := unix.Bind(fd, addr(src)); err != nil {
			return nil, fmt.Errorf("bind to %s: %w", src, err)
		}
	}
	if err := unix.Connect(fd, addr(dst)); err != nil {
		return nil, os.NewSyscallError("connect", err)
	}
	return net.FileConn(f)
}

func (n *Namespace) request(open func() (net.Conn, error), request []byte) (Outcome, error) {
	return twice(func() (Outcome, error) {
		var c net.Conn
		err := n.Do(func() (err error) { c, err = open(); return err })
		if err != nil {
			return outcome(err)
		}
		defer c.Close()
		if err := c.SetDeadline(time.Now().Add(probeTimeout)); err != nil {
			return Unreachable, err
		}
		if _, err := c.Write(request); err != nil {
			return outcome(err)
		}
		_, err = c.Read(make([]byte, 64))
		return outcome(err)
	})
}

// twice tries again after silence, which a busy machine can cause too.
func twice(try func() (Outcome, error)) (Outcome, error) {
	o, err := try()
	if o == Silence && err == nil {
		return try()
	}
	return o, err
}

// outcome reads a socket's error. Those that say nothing about the network
// are returned.
func outcome(err error) (Outcome, error) {
	var timeout net.Error
	switch {
	case err == nil:
		return Answered, nil
	case errors.Is(err, syscall.ECONNREFUSED), errors.Is(err, syscall.ECONNRESET):
		return Refused, nil
	// net/ipv4/icmp.c icmp_err_convert, net/ipv6/icmp.c icmpv6_err_convert
	case errors.Is(err, syscall.EHOSTUNREACH), errors.Is(err, syscall.EACCES):
		return Prohibited, nil
	case errors.Is(err, syscall.EPERM):
		return Dropped, nil
	case errors.Is(err, syscall.ENOBUFS):
		return Unsent, nil
	case errors.Is(err, syscall.ENETUNREACH), errors.Is(err, syscall.EPROTO):
		return Unreachable, nil
	case errors.As(err, &timeout) && timeout.Timeout():
		return Silence, nil
	}
	return Unreachable, err
}
