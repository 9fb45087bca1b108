//go:build linux

package loader

import (
	"encoding/binary"
	"fmt"
	"net/netip"

	"github.com/trafficpolicy/trafficpolicy/model"
)

// Fill fills in what a packet shows, from its IP header on. What is cut off or
// broken is left out.
func (e *Event) Fill(packet []byte) {
	h, ok := parseHeader(packet)
	if !ok {
		return
	}
	e.Src, e.Dst, e.Proto = h.src, h.dst, h.protocol()
	if h.ports {
		e.SrcPort, e.DstPort = &h.srcPort, &h.dstPort
	}
	if h.icmp {
		e.Type, e.Code = &h.typ, &h.code
	}
}

// header is what is known of a packet.
type header struct {
	src, dst netip.Addr
	proto    uint8 // IP protocol, after IPv6 extension headers
	ports    bool  // srcPort and dstPort are there
	srcPort  uint16
	dstPort  uint16
	icmp     bool // typ and code are there
	typ      uint8
	code     uint8
	fragment bool // not the first, so without ports or type
}

// parseHeader reads a packet from its IP header on. What is cut off or broken is
// left out; ok is false where not even addresses can be read.
func parseHeader(b []byte) (h header, ok bool) {
	if len(b) == 0 {
		return h, false
	}
	switch {
	case b[0]>>4 == 4 && len(b) >= 20:
		h.src = netip.AddrFrom4([4]byte(b[12:16]))
		h.dst = netip.AddrFrom4([4]byte(b[16:20]))
		h.proto = b[9]
		h.fragment = binary.BigEndian.Uint16(b[6:])&0x1fff != 0
		h.transport(tail(b, int(b[0]&15)*4), model.IPv4)
		return h, true
	case b[0]>>4 == 6 && len(b) >= 40:
		h.src = netip.AddrFrom16([16]byte(b[8:24]))
		h.dst = netip.AddrFrom16([16]byte(b[24:40]))
		h.proto = b[6]
		h.transport(h.skip(b[40:]), model.IPv6)
		return h, true
	}
	return h, false
}

// IPv6 extension headers (RFC 8200, 4.1; RFC 4302 for authentication).
const (
	extHopByHop    = 0
	extRouting     = 43
	extFragment    = 44
	extAuth        = 51
	extDestination = 60
)

// skip walks extension headers and returns what follows.
func (h *header) skip(b []byte) []byte {
	for len(b) >= 8 {
		size := 0
		switch h.proto {
		case extHopByHop, extRouting, extDestination:
			size = int(b[1])*8 + 8
		case extAuth:
			size = int(b[1])*4 + 8
		case extFragment:
			size = 8
			h.fragment = binary.BigEndian.Uint16(b[2:])&^7 != 0
		default:
			return b
		}
		h.proto = b[0]
		if b = tail(b, size); h.fragment {
			return nil
		}
	}
	return b
}

func tail(b []byte, n int) []byte {
	if n > len(b) {
		return nil
	}
	return b[n:]
}

func (h *header) transport(b []byte, f model.Family) {
	switch p := model.ProtoOf(h.proto, f); {
	case h.fragment:
	case p.HasPorts() && len(b) >= 4:
		h.ports = true
		h.srcPort, h.dstPort = binary.BigEndian.Uint16(b), binary.BigEndian.Uint16(b[2:])
	case p == model.ICMP && len(b) >= 2:
		h.icmp = true
		h.typ, h.code = b[0], b[1]
	}
}

// protocol names the protocol as flows do: TCP, UDP, SCTP, ICMP or its number.
func (h *header) protocol() string {
	f := model.IPv4
	if h.src.Is6() {
		f = model.IPv6
	}
	if p := model.ProtoOf(h.proto, f); p != model.Other {
		return p.String()
	}
	return fmt.Sprint(h.proto)
}
