//go:build linux

package load

import (
	"encoding/binary"
	"net/netip"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/mdlayher/netlink"
	vishvananda "github.com/vishvananda/netlink"

	"github.com/trafficpolicy/trafficpolicy/backends/ebpf/bpf"
)

var sameAddr = cmp.Comparer(func(a, b netip.AddrPort) bool { return a == b })

// tracked is a message of the kernel's table.
func tracked(t *testing.T, orig, reply tuple, status uint32, state uint8) []byte {
	t.Helper()
	e := netlink.NewAttributeEncoder()
	e.ByteOrder = binary.BigEndian
	for typ, x := range map[uint16]tuple{ctTupleOrig: orig, ctTupleReply: reply} {
		e.Nested(typ, func(e *netlink.AttributeEncoder) error {
			e.Nested(tupleIP, func(e *netlink.AttributeEncoder) error {
				src, dst := uint16(ipSrc4), uint16(ipDst4)
				if x.src.Addr().Is6() {
					src, dst = ipSrc6, ipDst6
				}
				e.Bytes(src, x.src.Addr().AsSlice())
				e.Bytes(dst, x.dst.Addr().AsSlice())
				return nil
			})
			e.Nested(tupleProto, func(e *netlink.AttributeEncoder) error {
				e.ByteOrder = binary.BigEndian
				e.Uint8(protoNumber, x.proto)
				if x.proto == 1 {
					e.Uint16(protoICMPID, x.src.Port())
				} else {
					e.Uint16(protoSrcPort, x.src.Port())
					e.Uint16(protoDstPort, x.dst.Port())
				}
				return nil
			})
			return nil
		})
	}
	e.Uint32(ctStatus, status)
	if state != 0 {
		e.Nested(ctProtoInfo, func(e *netlink.AttributeEncoder) error {
			e.Nested(infoTCP, func(e *netlink.AttributeEncoder) error { e.Uint8(infoTCPState, state); return nil })
			return nil
		})
	}
	b, err := e.Encode()
	if err != nil {
		t.Fatal(err)
	}
	return b
}

func ap(s string) netip.AddrPort { return netip.MustParseAddrPort(s) }

// A tracked connection is seen as each governed end sees it: who opened it behind no
// translation, the other end behind all.
func TestParseTracked(t *testing.T) {
	governed := func(a netip.Addr) bool { return a == v4 || a == v6 || a == other }
	for _, c := range []struct {
		name        string
		orig, reply tuple
		status      uint32
		state       uint8
		want        []live
	}{
		{
			"a pod to the world", tuple{ap("10.0.0.1:1000"), ap("8.8.8.8:443"), 6}, tuple{ap("8.8.8.8:443"), ap("10.0.0.1:1000"), 6}, statusSeenReply, 3,
			[]live{{local: ap("10.0.0.1:1000"), peer: ap("8.8.8.8:443"), proto: 6, opened: true, replied: true, state: 3}},
		},
		{
			"a pod to a Service, masqueraded", tuple{ap("10.0.0.1:1000"), ap("172.21.0.1:80"), 6}, tuple{ap("10.9.0.9:8080"), ap("192.168.0.1:61000"), 6}, 0, 1,
			[]live{{local: ap("10.0.0.1:1000"), peer: ap("172.21.0.1:80"), proto: 6, opened: true, state: 1}},
		},
		{
			"the world by a node port", tuple{ap("9.9.9.9:500"), ap("192.168.0.1:30080"), 17}, tuple{ap("10.0.0.1:8080"), ap("192.168.0.1:61000"), 17}, statusSeenReply, 0,
			[]live{{local: ap("10.0.0.1:8080"), peer: ap("192.168.0.1:61000"), proto: 17, replied: true, translated: true}},
		},
		{
			"pod to pod", tuple{ap("10.0.0.1:7"), ap("10.0.0.2:8"), 17}, tuple{ap("10.0.0.2:8"), ap("10.0.0.1:7"), 17}, 0, 0,
			[]live{
				{local: ap("10.0.0.1:7"), peer: ap("10.0.0.2:8"), proto: 17, opened: true},
				{local: ap("10.0.0.2:8"), peer: ap("10.0.0.1:7"), proto: 17},
			},
		},
		{
			"IPv6", tuple{ap("[2001:db8::1]:7"), ap("[fd00::1]:8"), 6}, tuple{ap("[fd00::1]:8"), ap("[2001:db8::1]:7"), 6}, 0, 2,
			[]live{{local: ap("[fd00::1]:8"), peer: ap("[2001:db8::1]:7"), proto: 6, state: 2}},
		},
		{
			"echo", tuple{ap("10.0.0.1:77"), ap("8.8.8.8:0"), 1}, tuple{ap("8.8.8.8:77"), ap("10.0.0.1:0"), 1}, statusSeenReply, 0,
			[]live{{local: ap("10.0.0.1:77"), peer: ap("8.8.8.8:0"), proto: 1, opened: true, replied: true}},
		},
		{"of others", tuple{ap("10.9.0.1:7"), ap("8.8.8.8:8"), 17}, tuple{ap("8.8.8.8:8"), ap("10.9.0.1:7"), 17}, 0, 0, nil},
	} {
		got, err := parseTracked(tracked(t, c.orig, c.reply, c.status, c.state), governed)
		if err != nil {
			t.Errorf("%s: %v", c.name, err)
		}
		if diff := cmp.Diff(c.want, got, cmp.AllowUnexported(live{}), sameAddr); diff != "" {
			t.Errorf("%s (-want +got):\n%s", c.name, diff)
		}
	}
}

func FuzzTracked(f *testing.F) {
	f.Add([]byte{8, 0, 1, 0, 0, 8, 0, 0})
	f.Fuzz(func(t *testing.T, b []byte) {
		all, _ := parseTracked(b, func(netip.Addr) bool { return true })
		for i := range all {
			(&takeover{}).entry(&all[i])
		}
	})
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
