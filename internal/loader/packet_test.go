//go:build linux

package loader

import (
	"net/netip"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/trafficpolicy/trafficpolicy/internal/netlab"
)

func TestParseHeader(t *testing.T) {
	v4 := [2]netip.Addr{netip.MustParseAddr("10.0.0.1"), netip.MustParseAddr("10.0.0.2")}
	v6 := [2]netip.Addr{netip.MustParseAddr("fd00::1"), netip.MustParseAddr("fd00::2")}
	pack := func(a [2]netip.Addr, p netlab.Packet) []byte { p.Src, p.Dst = a[0], a[1]; return p.Bytes() }
	hop := netlab.Header{Number: 0, Rest: []byte{0, 0, 0, 0, 0, 0, 0}}
	fragment := func(offset uint16) netlab.Header {
		return netlab.Header{Number: 44, Rest: []byte{0, byte(offset >> 5), byte(offset << 3), 0, 0, 0, 1}}
	}
	for _, c := range []struct {
		name  string
		bytes []byte
		want  header
		proto string
	}{
		{"TCP", pack(v4, netlab.Packet{Proto: 6, SrcPort: 1000, DstPort: 80}), header{src: v4[0], dst: v4[1], proto: 6, ports: true, srcPort: 1000, dstPort: 80}, "TCP"},
		{"options", pack(v4, netlab.Packet{Proto: 17, SrcPort: 1, DstPort: 2, Options: []byte{1, 1, 1, 1}}), header{src: v4[0], dst: v4[1], proto: 17, ports: true, srcPort: 1, dstPort: 2}, "UDP"},
		{"ICMP", pack(v4, netlab.Packet{Proto: 1, Type: 3, Code: 13}), header{src: v4[0], dst: v4[1], proto: 1, icmp: true, typ: 3, code: 13}, "ICMP"},
		{"ICMPv6 in IPv4", pack(v4, netlab.Packet{Proto: 58, Type: 1}), header{src: v4[0], dst: v4[1], proto: 58}, "58"},
		{"ICMPv6", pack(v6, netlab.Packet{Proto: 58, Type: 128}), header{src: v6[0], dst: v6[1], proto: 58, icmp: true, typ: 128}, "ICMP"},
		{"extension", pack(v6, netlab.Packet{Proto: 132, SrcPort: 3, DstPort: 4, Headers: []netlab.Header{hop, hop}}), header{src: v6[0], dst: v6[1], proto: 132, ports: true, srcPort: 3, dstPort: 4}, "SCTP"},
		{"first fragment", pack(v6, netlab.Packet{Proto: 17, SrcPort: 3, DstPort: 4, Headers: []netlab.Header{fragment(0)}}), header{src: v6[0], dst: v6[1], proto: 17, ports: true, srcPort: 3, dstPort: 4}, "UDP"},
		{"later fragment", pack(v6, netlab.Packet{Proto: 17, SrcPort: 3, DstPort: 4, Headers: []netlab.Header{fragment(8)}}), header{src: v6[0], dst: v6[1], proto: 17, fragment: true}, "UDP"},
		{"other", pack(v4, netlab.Packet{Proto: 47}), header{src: v4[0], dst: v4[1], proto: 47}, "47"},
	} {
		got, ok := parseHeader(c.bytes)
		if diff := cmp.Diff(c.want, got, cmp.AllowUnexported(header{}), cmp.Comparer(func(a, b netip.Addr) bool { return a == b })); !ok || diff != "" {
			t.Errorf("%s: %t (-want +got):\n%s", c.name, ok, diff)
		}
		if got.protocol() != c.proto {
			t.Errorf("%s: protocol %s", c.name, got.protocol())
		}
	}
}

func FuzzHeader(f *testing.F) {
	f.Add([]byte{0x45})
	f.Add(make([]byte, 40))
	f.Fuzz(func(t *testing.T, b []byte) {
		if h, ok := parseHeader(b); ok && (!h.src.IsValid() || h.ports && h.icmp || h.fragment && (h.ports || h.icmp)) {
			t.Errorf("%+v", h)
		}
	})
}
