//go:build linux

package load

import (
	"net/netip"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	vishvananda "github.com/vishvananda/netlink"

	"github.com/trafficpolicy/trafficpolicy/backends/ebpf/bpf"
	"github.com/trafficpolicy/trafficpolicy/internal/conntrack"
)

var sameAddr = cmp.Comparer(func(a, b netip.AddrPort) bool { return a == b })

func way(src, dst string, proto uint8) conntrack.Tuple {
	return conntrack.Tuple{Src: ap(src), Dst: ap(dst), Proto: proto}
}

func ap(s string) netip.AddrPort { return netip.MustParseAddrPort(s) }

// A tracked connection is seen as each governed end sees it: who opened it behind no
// translation, the other end behind all.
func TestSeen(t *testing.T) {
	governed := func(a netip.Addr) bool { return a == v4 || a == v6 || a == other }
	for _, c := range []struct {
		name        string
		orig, reply conntrack.Tuple
		replied     bool
		state       uint8
		want        []live
	}{
		{
			"a pod to the world", way("10.0.0.1:1000", "8.8.8.8:443", 6), way("8.8.8.8:443", "10.0.0.1:1000", 6), true, 3,
			[]live{{local: ap("10.0.0.1:1000"), peer: ap("8.8.8.8:443"), proto: 6, opened: true, replied: true, state: 3}},
		},
		{
			"a pod to a Service, masqueraded", way("10.0.0.1:1000", "172.21.0.1:80", 6), way("10.9.0.9:8080", "192.168.0.1:61000", 6), false, 1,
			[]live{{local: ap("10.0.0.1:1000"), peer: ap("172.21.0.1:80"), proto: 6, opened: true, state: 1}},
		},
		{
			"the world by a node port", way("9.9.9.9:500", "192.168.0.1:30080", 17), way("10.0.0.1:8080", "192.168.0.1:61000", 17), true, 0,
			[]live{{local: ap("10.0.0.1:8080"), peer: ap("192.168.0.1:61000"), proto: 17, replied: true, translated: true}},
		},
		{
			"pod to pod", way("10.0.0.1:7", "10.0.0.2:8", 17), way("10.0.0.2:8", "10.0.0.1:7", 17), false, 0,
			[]live{
				{local: ap("10.0.0.1:7"), peer: ap("10.0.0.2:8"), proto: 17, opened: true},
				{local: ap("10.0.0.2:8"), peer: ap("10.0.0.1:7"), proto: 17},
			},
		},
		{
			"IPv6", way("[2001:db8::1]:7", "[fd00::1]:8", 6), way("[fd00::1]:8", "[2001:db8::1]:7", 6), false, 2,
			[]live{{local: ap("[fd00::1]:8"), peer: ap("[2001:db8::1]:7"), proto: 6, state: 2}},
		},
		{
			"echo", way("10.0.0.1:77", "8.8.8.8:0", 1), way("8.8.8.8:77", "10.0.0.1:0", 1), true, 0,
			[]live{{local: ap("10.0.0.1:77"), peer: ap("8.8.8.8:0"), proto: 1, opened: true, replied: true}},
		},
		{"of others", way("10.9.0.1:7", "8.8.8.8:8", 17), way("8.8.8.8:8", "10.9.0.1:7", 17), false, 0, nil},
	} {
		got := seen(&conntrack.Connection{Original: c.orig, Reply: c.reply, Replied: c.replied, State: c.state}, governed)
		if diff := cmp.Diff(c.want, got, cmp.AllowUnexported(live{}), sameAddr); diff != "" {
			t.Errorf("%s (-want +got):\n%s", c.name, diff)
		}
	}
}

// What a port listens for was opened to the pod.
func TestLiveSockets(t *testing.T) {
	socket := func(state uint8, src string, sport uint16, dst string, dport uint16) *vishvananda.Socket {
		return &vishvananda.Socket{State: state, ID: vishvananda.SocketID{
			Source: netip.MustParseAddr(src).AsSlice(), SourcePort: sport, Destination: netip.MustParseAddr(dst).AsSlice(), DestinationPort: dport,
		}}
	}
	got := liveSockets([]*vishvananda.Socket{
		socket(socketListen, "0.0.0.0", 80, "0.0.0.0", 0),
		socket(socketEstablished, "10.0.0.1", 80, "8.8.8.8", 1000),
		socket(socketEstablished, "::ffff:10.0.0.1", 2000, "::ffff:8.8.8.8", 443),
		socket(2, "10.0.0.1", 2001, "8.8.8.8", 443),
		socket(6, "10.0.0.1", 2002, "8.8.8.8", 443),
		socket(socketClose, "10.0.0.1", 2003, "8.8.8.8", 443),
		socket(socketEstablished, "127.0.0.1", 2004, "127.0.0.1", 443),
	}, 6, func(a netip.Addr) bool { return a == v4 })
	want := []live{
		{local: ap("10.0.0.1:80"), peer: ap("8.8.8.8:1000"), proto: 6, replied: true, state: 3},
		{local: ap("10.0.0.1:2000"), peer: ap("8.8.8.8:443"), proto: 6, opened: true, replied: true, state: 3},
		{local: ap("10.0.0.1:2001"), peer: ap("8.8.8.8:443"), proto: 6, opened: true, state: 1},
		{local: ap("10.0.0.1:2002"), peer: ap("8.8.8.8:443"), proto: 6, opened: true, state: 7},
	}
	if diff := cmp.Diff(want, got, cmp.AllowUnexported(live{}), sameAddr); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
}

func TestTakeoverEntry(t *testing.T) {
	node := netip.MustParseAddr("192.168.0.1")
	to := &takeover{addrs: map[netip.Addr]uint32{v4: 7}, nodes: []netip.Addr{node}}
	for _, c := range []struct {
		name string
		l    live
		ok   bool
		kind bpf.ConnKind
		port uint16 // of the peer, in the key
		want bpf.Conn
	}{
		{"opened", live{local: ap("10.0.0.1:1"), peer: ap("8.8.8.8:2"), proto: 17, opened: true}, true, 0, 2, bpf.Conn{Ifindex: 7, Direction: bpf.Egress}},
		{"open TCP", live{local: ap("10.0.0.1:1"), peer: ap("8.8.8.8:2"), proto: 6, opened: true, replied: true, state: 3}, true, 0, 2,
			bpf.Conn{Ifindex: 7, Direction: bpf.Egress, Flags: bpf.ConnReplied, TCP: bpf.TCPOpen}},
		{"TCP that begins", live{local: ap("10.0.0.1:1"), peer: ap("8.8.8.8:2"), proto: 6, opened: true, state: 1}, true, 0, 2, bpf.Conn{Ifindex: 7, Direction: bpf.Egress}},
		{"TCP that has ended", live{local: ap("10.0.0.1:1"), peer: ap("8.8.8.8:2"), proto: 6, opened: true, state: 7}, false, 0, 0, bpf.Conn{}},
		{"to the pod", live{local: ap("10.0.0.1:1"), peer: ap("8.8.8.8:2"), proto: 17}, true, 0, 2, bpf.Conn{Ifindex: 7, Direction: bpf.Ingress}},
		{"the node's", live{local: ap("10.0.0.1:1"), peer: ap("192.168.0.1:2"), proto: 17}, true, 0, 2, bpf.Conn{Ifindex: 7, Direction: bpf.Ingress, Flags: bpf.ConnNode}},
		{"another's behind the node's address", live{local: ap("10.0.0.1:1"), peer: ap("192.168.0.1:2"), proto: 17, translated: true}, true, 0, 2, bpf.Conn{Ifindex: 7, Direction: bpf.Ingress}},
		{"the pod asks", live{local: ap("10.0.0.1:77"), peer: ap("8.8.8.8:0"), proto: 1, opened: true}, true, bpf.ConnQuery, 8, bpf.Conn{Ifindex: 7, Direction: bpf.Egress}},
		{"the pod is asked", live{local: ap("10.0.0.1:77"), peer: ap("8.8.8.8:0"), proto: 1}, true, bpf.ConnQueried, 8, bpf.Conn{Ifindex: 7, Direction: bpf.Ingress}},
	} {
		key, got, ok := to.entry(&c.l)
		if ok != c.ok {
			t.Errorf("%s: %t", c.name, ok)
		}
		if !ok {
			continue
		}
		if got.Seen == 0 || key.Kind != c.kind || key.PeerPort.Uint16() != c.port || key.LocalPort.Uint16() != c.l.local.Port() || key.Local.Addr() != v4 {
			t.Errorf("%s: %+v, %+v", c.name, key, got)
		}
		if got.Seen = 0; got != c.want {
			t.Errorf("%s: %+v, want %+v", c.name, got, c.want)
		}
	}
}

func TestOverfull(t *testing.T) {
	if text := overfull(8192, 8192); text != "" {
		t.Errorf("as many as there is room for: %s", text)
	}
	if text := overfull(8193, 8192); !strings.Contains(text, "8193 connections") || !strings.Contains(text, "holds 8192") {
		t.Errorf("one more: %q", text)
	}
}
