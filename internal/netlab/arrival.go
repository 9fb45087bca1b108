package netlab

import (
	"encoding/binary"
	"fmt"
	"net/netip"

	"github.com/trafficpolicy/trafficpolicy/model"
)

// Arrival is what was seen of an IP packet.
type Arrival struct {
	Src, Dst netip.Addr
	Proto    uint8 // after IPv6 extension headers
	SrcPort  uint16
	DstPort  uint16
	Flags    uint8 // TCP
	Type     uint8 // ICMP
	Code     uint8
	Offset   uint16 // of a fragment, in bytes
	// Cookie is the packet's own, or that of the packet that an ICMP error
	// quotes to its end; 0 without one.
	Cookie uint64
}

// IsError reports whether the arrival is an ICMP error.
func (a *Arrival) IsError() bool {
	return a.Proto == model.IPProtoICMP && (a.Type == 3 || a.Type == 11 || a.Type == 12) ||
		a.Proto == model.IPProtoICMPv6 && a.Type >= 1 && a.Type <= 4
}

// IsProhibited reports whether it is ICMP's "communication administratively
// prohibited" (RFC 1812, 5.2.7.1; RFC 4443, 3.1).
func (a *Arrival) IsProhibited() bool {
	return a.Proto == model.IPProtoICMP && a.Type == 3 && a.Code == 13 ||
		a.Proto == model.IPProtoICMPv6 && a.Type == 1 && a.Code == 1
}

// IsReset reports whether it is a TCP reset.
func (a *Arrival) IsReset() bool { return a.Proto == model.IPProtoTCP && a.Flags&RST != 0 }

// String returns the arrival in one line.
func (a *Arrival) String() string {
	return fmt.Sprintf("%s:%d > %s:%d proto %d flags %#x type %d code %d offset %d cookie %#x",
		a.Src, a.SrcPort, a.Dst, a.DstPort, a.Proto, a.Flags, a.Type, a.Code, a.Offset, a.Cookie)
}

// parse reads a packet from its IP header on; false for what is no IP.
func parse(b []byte) (a Arrival, ok bool) {
	if len(b) < 20 {
		return a, false
	}
	var body []byte
	switch b[0] >> 4 {
	case 4:
		head, total := int(b[0]&15)*4, int(binary.BigEndian.Uint16(b[2:]))
		if total > len(b) || head > total {
			return a, false
		}
		a.Src, _ = netip.AddrFromSlice(b[12:16])
		a.Dst, _ = netip.AddrFromSlice(b[16:20])
		a.Offset = binary.BigEndian.Uint16(b[6:]) & 0x1fff * 8
		a.Proto, body = b[9], b[head:total]
	case 6:
		if len(b) < 40 || len(b) < 40+int(binary.BigEndian.Uint16(b[4:])) {
			return a, false
		}
		a.Src, _ = netip.AddrFromSlice(b[8:24])
		a.Dst, _ = netip.AddrFromSlice(b[24:40])
		a.Proto, body = b[6], b[40:40+int(binary.BigEndian.Uint16(b[4:]))]
		a.Proto, a.Offset, body = skipHeaders(a.Proto, body)
	default:
		return a, false
	}
	a.transport(body)
	return a, true
}

// skipHeaders walks the IPv6 extension headers that netlab builds.
func skipHeaders(next uint8, b []byte) (proto uint8, offset uint16, rest []byte) {
	for len(b) >= 8 && offset == 0 {
		n := int(b[1])*8 + 8
		switch next {
		case IPv6HopByHop, IPv6Routing, IPv6Destination:
		case IPv6Fragment:
			n, offset = 8, binary.BigEndian.Uint16(b[2:])&^7
		default:
			return next, offset, b
		}
		if n > len(b) {
			break
		}
		next, b = b[0], b[n:]
	}
	return next, offset, b
}

func (a *Arrival) transport(b []byte) {
	if n := len(b) - cookieLen; n >= 0 && string(b[n:n+len(magic)]) == magic {
		a.Cookie = binary.BigEndian.Uint64(b[n+len(magic):])
	}
	if a.Offset > 0 || len(b) < 8 {
		return
	}
	switch a.Proto {
	case model.IPProtoICMP, model.IPProtoICMPv6:
		a.Type, a.Code = b[0], b[1]
		return
	case model.IPProtoTCP:
		if len(b) >= 20 {
			a.Flags = b[13]
		}
	case model.IPProtoUDP, model.IPProtoSCTP:
	default:
		return
	}
	a.SrcPort, a.DstPort = binary.BigEndian.Uint16(b), binary.BigEndian.Uint16(b[2:])
}
