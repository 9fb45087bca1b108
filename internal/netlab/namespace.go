//go:build linux

package netlab

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strings"
	"time"

	"github.com/vishvananda/netlink"
	"github.com/vishvananda/netns"
	"golang.org/x/sys/unix"
)

// Namespace is one network namespace of a [Lab].
type Namespace struct {
	Name   string // of its file below /run/netns
	lab    *Lab
	handle netns.NsHandle
	nl     *netlink.Handle
}

func newNamespace(name string) (*Namespace, error) {
	n := &Namespace{Name: name, handle: netns.None()}
	err := onThread(func() (err error) {
		n.handle, err = netns.NewNamed(name)
		return err
	})
	if err == nil {
		n.nl, err = netlink.NewHandleAt(n.handle, unix.NETLINK_ROUTE, unix.NETLINK_NETFILTER)
	}
	if err != nil {
		return nil, errors.Join(err, n.close())
	}
	return n, nil
}

// onThread runs f on a thread of its own, which ends with f, so that f may
// change what belongs to a thread: its namespace, its processors.
func onThread(f func() error) error {
	done := make(chan error, 1)
	go func() {
		runtime.LockOSThread() // never unlocked: the runtime then ends the thread
		done <- f()
	}()
	return <-done
}

// Path returns the namespace's file, as ip-netns(8) and tploader's --netns take it.
func (n *Namespace) Path() string { return filepath.Join(namespaceDir, n.Name) }

// Do runs f with its goroutine's thread inside the namespace. Sockets that f
// opens stay in the namespace; goroutines that f starts do not run in it.
func (n *Namespace) Do(f func() error) error {
	return onThread(func() error {
		if err := netns.Set(n.handle); err != nil {
			return fmt.Errorf("enter namespace %s: %w", n.Name, err)
		}
		return f()
	})
}

// Command returns the output of a program that runs inside the namespace. The
// error holds what it wrote to its standard error.
func (n *Namespace) Command(ctx context.Context, stdin, name string, args ...string) (string, error) {
	var out []byte
	err := n.Do(func() error {
		cmd := exec.CommandContext(ctx, name, args...)
		cmd.Stdin = strings.NewReader(stdin)
		var err error
		out, err = cmd.Output()
		var exit *exec.ExitError
		if errors.As(err, &exit) {
			return fmt.Errorf("%s %s: %w\n%s", name, strings.Join(args, " "), err, exit.Stderr)
		}
		return err
	})
	return string(out), err
}

// NFT loads an nftables script into the namespace.
func (n *Namespace) NFT(script string) error {
	_, err := n.Command(context.Background(), script, "nft", "-f", "-")
	return err
}

// Sysctl sets a value below /proc/sys; key has slashes.
func (n *Namespace) Sysctl(key, value string) error {
	return n.Do(func() error { return os.WriteFile("/proc/sys/"+key, []byte(value), 0) })
}

// sysctls of every namespace: addresses work at once, none is made up by
// routers, asymmetric paths are fine, and errors are not rate limited.
var sysctls = map[string]string{
	"net/ipv6/conf/all/disable_ipv6":     "0",
	"net/ipv6/conf/default/disable_ipv6": "0",
	"net/ipv6/conf/all/accept_dad":       "0",
	"net/ipv6/conf/default/accept_dad":   "0",
	"net/ipv6/conf/default/accept_ra":    "0",
	"net/ipv4/conf/all/rp_filter":        "0",
	"net/ipv4/conf/default/rp_filter":    "0",
	"net/ipv4/icmp_ratelimit":            "0",
	"net/ipv6/icmp/ratelimit":            "0",
	"net/ipv4/ping_group_range":          "0 2147483647",
}

func (n *Namespace) configure() error {
	err := n.Do(func() error {
		for key, value := range sysctls {
			if err := os.WriteFile("/proc/sys/"+key, []byte(value), 0); err != nil {
				return err
			}
		}
		// Per namespace only since Linux 6.13 (net/ipv4/icmp.c, icmp_global).
		_ = os.WriteFile("/proc/sys/net/ipv4/icmp_msgs_per_sec", []byte("1000000"), 0)
		_ = os.WriteFile("/proc/sys/net/ipv4/icmp_msgs_burst", []byte("1000000"), 0)
		return nil
	})
	if err != nil {
		return err
	}
	return n.up("lo")
}

// FlushConnections empties the connection table, so that the next packet of
// any tuple opens a connection.
func (n *Namespace) FlushConnections() error {
	return n.nl.ConntrackTableFlush(netlink.ConntrackTable)
}

func (n *Namespace) up(device string) error {
	link, err := n.nl.LinkByName(device)
	if err != nil {
		return fmt.Errorf("device %q: %w", device, err)
	}
	return n.nl.LinkSetUp(link)
}

// AddAddr gives a device an address with the prefix's length.
func (n *Namespace) AddAddr(device string, p netip.Prefix) error {
	link, err := n.nl.LinkByName(device)
	if err != nil {
		return fmt.Errorf("device %q: %w", device, err)
	}
	addr := &netlink.Addr{IPNet: ipNet(p)}
	if p.Addr().Is6() {
		addr.Flags = unix.IFA_F_NODAD
	}
	if err := n.nl.AddrAdd(link, addr); err != nil {
		return fmt.Errorf("address %s on %s: %w", p, device, err)
	}
	return nil
}

// TryAddr gives a device an IPv6 address after duplicate address detection
// (RFC 4862, 5.4) and reports whether another host has it.
func (n *Namespace) TryAddr(device string, p netip.Prefix) (duplicate bool, err error) {
	for key, value := range map[string]string{
		"net/ipv6/conf/" + device + "/accept_dad":       "1",
		"net/ipv6/conf/" + device + "/dad_transmits":    "1",
		"net/ipv6/neigh/" + device + "/retrans_time_ms": "200",
	} {
		if err := n.Sysctl(key, value); err != nil {
			return false, err
		}
	}
	link, err := n.nl.LinkByName(device)
	if err != nil {
		return false, fmt.Errorf("device %q: %w", device, err)
	}
	if err := n.nl.AddrAdd(link, &netlink.Addr{IPNet: ipNet(p)}); err != nil {
		return false, fmt.Errorf("address %s on %s: %w", p, device, err)
	}
	for end := time.Now().Add(5 * time.Second); time.Now().Before(end); time.Sleep(10 * time.Millisecond) {
		addrs, err := n.nl.AddrList(link, netlink.FAMILY_V6)
		if err != nil {
			return false, err
		}
		for _, a := range addrs {
			switch {
			case !a.IP.Equal(p.Addr().AsSlice()):
			case a.Flags&unix.IFA_F_DADFAILED != 0:
				return true, nil
			case a.Flags&unix.IFA_F_TENTATIVE == 0:
				return false, nil
			}
		}
	}
	return false, fmt.Errorf("address %s on %s: detection did not end", p, device)
}

// route adds a route to p through device, by way of via unless that is invalid.
func (n *Namespace) route(p netip.Prefix, device string, via netip.Addr) error {
	link, err := n.nl.LinkByName(device)
	if err != nil {
		return fmt.Errorf("device %q: %w", device, err)
	}
	r := &netlink.Route{LinkIndex: link.Attrs().Index, Dst: ipNet(p)}
	if via.IsValid() {
		r.Gw = via.AsSlice()
		r.Flags = int(netlink.FLAG_ONLINK)
	} else {
		r.Scope = netlink.SCOPE_LINK
	}
	if err := n.nl.RouteReplace(r); err != nil {
		return fmt.Errorf("route %s via %s dev %s: %w", p, via, device, err)
	}
	return nil
}

// neighbour tells the namespace for good which hardware address has a.
func (n *Namespace) neighbour(device string, a netip.Addr, mac net.HardwareAddr) error {
	link, err := n.nl.LinkByName(device)
	if err != nil {
		return fmt.Errorf("device %q: %w", device, err)
	}
	err = n.nl.NeighSet(&netlink.Neigh{LinkIndex: link.Attrs().Index, State: unix.NUD_PERMANENT, IP: a.AsSlice(), HardwareAddr: mac})
	if err != nil {
		return fmt.Errorf("neighbour %s on %s: %w", a, device, err)
	}
	return nil
}

func (n *Namespace) close() error {
	if n.nl != nil {
		n.nl.Close()
	}
	if n.handle.IsOpen() {
		n.handle.Close()
	}
	return deleteNamed(n.Name)
}

func ipNet(p netip.Prefix) *net.IPNet {
	return &net.IPNet{IP: p.Addr().AsSlice(), Mask: net.CIDRMask(p.Bits(), p.Addr().BitLen())}
}
