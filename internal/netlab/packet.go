package netlab

import (
	"encoding/binary"
	"fmt"
	"hash/crc32"
	"net/netip"

	"github.com/trafficpolicy/trafficpolicy/model"
)

// Packet describes an IP packet to be built. The zero value of a field is what
// a packet usually has; Bytes fills in lengths and checksums.
type Packet struct {
	Src, Dst netip.Addr // of one family
	Proto    uint8      // IP protocol number
	SrcPort  uint16     // TCP, UDP, SCTP
	DstPort  uint16
	Flags    uint8 // TCP; 0 is SYN
	Seq, Ack uint32
	Type     uint8 // ICMP
	Code     uint8
	ID, Echo uint16 // ICMP: bytes 4 to 5 and 6 to 7
	TTL      uint8  // 0 is 64
	IPID     uint16 // of the fragments of a packet
	// Cookie identifies the packet where it arrives; it follows Payload as the last
	// bytes of the packet, also of each of its fragments.
	Cookie  uint64
	Payload []byte
	// Options are IPv4 options, in whole words.
	Options []byte
	// Headers are IPv6 extension headers, first to last.
	Headers []Header
}

// Header is an IPv6 extension header: its number and what follows its first
// byte, which names the next header.
type Header struct {
	Number uint8
	Rest   []byte
}

// TCP flags.
const (
	FIN = 1 << iota
	SYN
	RST
	PSH
	ACK
)

// magic comes before a cookie.
const magic = "tplab#"

// cookieLen is the length of magic and cookie.
const cookieLen = len(magic) + 8

func appendCookie(b []byte, c uint64) []byte {
	return binary.BigEndian.AppendUint64(append(b, magic...), c)
}

// Bytes returns the packet from its IP header on.
func (p *Packet) Bytes() []byte {
	body := p.transport()
	if p.Src.Is4() {
		return p.ipv4(body, 0)
	}
	return p.ipv6(p.Headers, body)
}

// Fragments returns the packet in two fragments, the second with offset at,
// a multiple of 8 that leaves the transport header in the first. IPv6
// extension headers stay in the part that is not cut (RFC 8200, 4.5). Both
// carry the cookie as their last bytes.
func (p *Packet) Fragments(at int) [2][]byte {
	q := *p
	pad := at - q.transportLen() - cookieLen - len(q.Payload)
	q.Payload = append(append([]byte(nil), q.Payload...), make([]byte, max(pad, 0))...)
	body := q.transport() // header, payload, cookie: at bytes long
	body = appendCookie(append(body, "second half"...), p.Cookie)
	q.checksum(body)
	first, second := body[:at], body[at:]
	if p.Src.Is4() {
		return [2][]byte{q.ipv4(first, 0x2000), q.ipv4(second, uint16(at/8))}
	}
	frag := func(off uint16) []Header {
		rest := []byte{0, byte(off >> 8), byte(off), 0, 0, byte(q.IPID >> 8), byte(q.IPID)}
		return append(append([]Header(nil), q.Headers...), Header{IPv6Fragment, rest})
	}
	return [2][]byte{q.ipv6(frag(1), first), q.ipv6(frag(uint16(at)), second)}
}

// Numbers of IPv6 extension headers (RFC 8200, 4.1).
const (
	IPv6HopByHop    = 0
	IPv6Routing     = 43
	IPv6Fragment    = 44
	IPv6NoNext      = 59
	IPv6Destination = 60
)

func (p *Packet) ipv4(body []byte, frag uint16) []byte {
	n := 20 + len(p.Options)
	b := make([]byte, n, n+len(body))
	b[0] = 0x40 | byte(n/4)
	binary.BigEndian.PutUint16(b[2:], uint16(n+len(body)))
	binary.BigEndian.PutUint16(b[4:], p.IPID)
	binary.BigEndian.PutUint16(b[6:], frag)
	b[8], b[9] = p.ttl(), p.Proto
	copy(b[12:], p.Src.AsSlice())
	copy(b[16:], p.Dst.AsSlice())
	copy(b[20:], p.Options)
	binary.BigEndian.PutUint16(b[10:], ^sum(0, b))
	return append(b, body...)
}

func (p *Packet) ipv6(headers []Header, body []byte) []byte {
	b := make([]byte, 40)
	b[0], b[7] = 0x60, p.ttl()
	copy(b[8:], p.Src.AsSlice())
	copy(b[24:], p.Dst.AsSlice())
	next := &b[6]
	for _, h := range headers {
		*next = h.Number
		b = append(append(b, 0), h.Rest...)
		next = &b[len(b)-len(h.Rest)-1]
	}
	*next = p.Proto
	b = append(b, body...)
	binary.BigEndian.PutUint16(b[4:], uint16(len(b)-40))
	return b
}

func (p *Packet) ttl() uint8 {
	if p.TTL == 0 {
		return 64
	}
	return p.TTL
}

func (p *Packet) transportLen() int {
	switch p.Proto {
	case model.IPProtoTCP:
		return 20
	case model.IPProtoUDP, model.IPProtoICMP, model.IPProtoICMPv6:
		return 8
	case model.IPProtoSCTP:
		return 12 + sctpInitLen
	}
	return otherLen
}

// otherLen is the length of the header that packets of other protocols get: a
// checksum, as ICMP and ICMPv6 have it, and two zeros. Without a right one the
// kernel rejects the packet without telling the sender (nf_reject_verify_csum
// in include/net/netfilter/nf_reject.h).
const otherLen = 4

// sctpInitLen is the length of an INIT chunk without parameters (RFC 9260, 3.3.2).
const sctpInitLen = 20

func (p *Packet) transport() []byte {
	b := make([]byte, p.transportLen(), 96)
	switch p.Proto {
	case model.IPProtoTCP, model.IPProtoUDP, model.IPProtoSCTP:
		binary.BigEndian.PutUint16(b, p.SrcPort)
		binary.BigEndian.PutUint16(b[2:], p.DstPort)
	}
	switch p.Proto {
	case model.IPProtoTCP:
		binary.BigEndian.PutUint32(b[4:], p.Seq)
		binary.BigEndian.PutUint32(b[8:], p.Ack)
		b[12], b[13] = 5<<4, p.Flags
		if p.Flags == 0 {
			b[13] = SYN
		}
		binary.BigEndian.PutUint16(b[14:], 65535)
	case model.IPProtoICMP, model.IPProtoICMPv6:
		b[0], b[1], b[2], b[3] = p.Type, p.Code, 0, 0
		binary.BigEndian.PutUint16(b[4:], p.ID)
		binary.BigEndian.PutUint16(b[6:], p.Echo)
	case model.IPProtoSCTP: // verification tag 0 and an INIT: a first packet
		b[12] = 1
		// The cookie is a parameter of a type that receivers skip (RFC 9260, 3.2.1).
		param := 4 + len(p.Payload) + cookieLen
		binary.BigEndian.PutUint16(b[14:], uint16(sctpInitLen+param))
		binary.BigEndian.PutUint32(b[16:], 1)     // initiate tag
		binary.BigEndian.PutUint32(b[20:], 65536) // receiver window
		binary.BigEndian.PutUint16(b[24:], 1)     // streams out
		binary.BigEndian.PutUint16(b[26:], 1)     // and in
		b = append(b, 0x80, 0xff, byte(param>>8), byte(param))
	}
	b = appendCookie(append(b, p.Payload...), p.Cookie)
	if p.Proto == model.IPProtoUDP {
		binary.BigEndian.PutUint16(b[4:], uint16(len(b)))
	}
	p.checksum(b)
	return b
}

// checksum fills in the checksum of a whole transport packet, and UDP's length.
func (p *Packet) checksum(b []byte) {
	put := func(at int, pseudo bool) {
		b[at], b[at+1] = 0, 0
		var s uint32
		if pseudo {
			s = uint32(sum(sum32(p.Src.AsSlice())+sum32(p.Dst.AsSlice())+uint32(p.Proto)+uint32(len(b)), nil))
		}
		c := ^sum(s, b)
		if c == 0 && p.Proto == model.IPProtoUDP {
			c = 0xffff
		}
		binary.BigEndian.PutUint16(b[at:], c)
	}
	switch p.Proto {
	case model.IPProtoTCP:
		put(16, true)
	case model.IPProtoUDP:
		binary.BigEndian.PutUint16(b[4:], uint16(len(b)))
		put(6, true)
	case model.IPProtoICMP:
		put(2, false)
	case model.IPProtoICMPv6:
		put(2, true)
	case model.IPProtoSCTP:
		clear(b[8:12])
		binary.LittleEndian.PutUint32(b[8:], crc32.Checksum(b, crc32.MakeTable(crc32.Castagnoli)))
	default:
		put(0, p.Src.Is6())
	}
}

// sum32 adds 16-bit words; an odd last byte counts as the high one.
func sum32(b []byte) uint32 {
	var s uint32
	for i := 0; i+1 < len(b); i += 2 {
		s += uint32(b[i])<<8 | uint32(b[i+1])
	}
	if len(b)%2 == 1 {
		s += uint32(b[len(b)-1]) << 8
	}
	return s
}

// sum returns the Internet checksum of s and b, not yet inverted (RFC 1071).
func sum(s uint32, b []byte) uint16 {
	for s += sum32(b); s > 0xffff; {
		s = s>>16 + s&0xffff
	}
	return uint16(s)
}

// String returns the packet in a few words.
func (p *Packet) String() string {
	return fmt.Sprintf("%s:%d > %s:%d proto %d", p.Src, p.SrcPort, p.Dst, p.DstPort, p.Proto)
}

// Checksum returns the Internet checksum of b (RFC 1071).
func Checksum(b []byte) uint16 { return ^sum(0, b) }
