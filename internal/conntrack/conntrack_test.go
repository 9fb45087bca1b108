//go:build linux

package conntrack

import (
	"encoding/binary"
	"net/netip"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/mdlayher/netlink"
)

// tracked is a message of the kernel's table.
func tracked(t *testing.T, orig, reply Tuple, status uint32, state uint8) []byte {
	t.Helper()
	e := netlink.NewAttributeEncoder()
	e.ByteOrder = binary.BigEndian
	for typ, x := range map[uint16]Tuple{ctTupleOrig: orig, ctTupleReply: reply} {
		e.Nested(typ, func(e *netlink.AttributeEncoder) error {
			e.Nested(tupleIP, func(e *netlink.AttributeEncoder) error {
				src, dst := uint16(ipSrc4), uint16(ipDst4)
				if x.Src.Addr().Is6() {
					src, dst = ipSrc6, ipDst6
				}
				e.Bytes(src, x.Src.Addr().AsSlice())
				e.Bytes(dst, x.Dst.Addr().AsSlice())
				return nil
			})
			e.Nested(tupleProto, func(e *netlink.AttributeEncoder) error {
				e.ByteOrder = binary.BigEndian
				e.Uint8(protoNumber, x.Proto)
				if x.Proto == 1 {
					e.Uint16(protoICMPID, x.Src.Port())
				} else {
					e.Uint16(protoSrcPort, x.Src.Port())
					e.Uint16(protoDstPort, x.Dst.Port())
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

func TestParse(t *testing.T) {
	for _, c := range []struct {
		name        string
		orig, reply Tuple
		status      uint32
		state       uint8
		want        Connection
	}{
		{
			"TCP, translated", Tuple{ap("10.0.0.1:1000"), ap("172.21.0.1:80"), 6}, Tuple{ap("10.9.0.9:8080"), ap("192.168.0.1:61000"), 6}, 0, 1,
			Connection{Original: Tuple{ap("10.0.0.1:1000"), ap("172.21.0.1:80"), 6}, Reply: Tuple{ap("10.9.0.9:8080"), ap("192.168.0.1:61000"), 6}, State: 1},
		},
		{
			"UDP, answered", Tuple{ap("[fd00::1]:7"), ap("[2001:db8::1]:53"), 17}, Tuple{ap("[2001:db8::1]:53"), ap("[fd00::1]:7"), 17}, statusSeenReply, 0,
			Connection{Original: Tuple{ap("[fd00::1]:7"), ap("[2001:db8::1]:53"), 17}, Reply: Tuple{ap("[2001:db8::1]:53"), ap("[fd00::1]:7"), 17}, Replied: true},
		},
		{
			"echo", Tuple{ap("10.0.0.1:77"), ap("8.8.8.8:0"), 1}, Tuple{ap("8.8.8.8:77"), ap("10.0.0.1:0"), 1}, statusSeenReply, 0,
			Connection{Original: Tuple{ap("10.0.0.1:77"), ap("8.8.8.8:0"), 1}, Reply: Tuple{ap("8.8.8.8:77"), ap("10.0.0.1:0"), 1}, Replied: true},
		},
	} {
		got, err := parse(tracked(t, c.orig, c.reply, c.status, c.state))
		if err != nil {
			t.Errorf("%s: %v", c.name, err)
			continue
		}
		if diff := cmp.Diff(c.want, *got, cmp.Comparer(func(a, b netip.AddrPort) bool { return a == b })); diff != "" {
			t.Errorf("%s (-want +got):\n%s", c.name, diff)
		}
	}
}

func FuzzParse(f *testing.F) {
	f.Add([]byte{8, 0, 1, 0, 0, 8, 0, 0})
	f.Fuzz(func(t *testing.T, b []byte) {
		if c, err := parse(b); (c == nil) != (err != nil) && err == nil {
			t.Error("neither a connection nor an error")
		}
	})
}
