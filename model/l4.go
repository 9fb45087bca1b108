package model

import (
	"fmt"
	"slices"
	"strconv"
	"strings"
)

// Proto is what a port entry can name, and one more for everything else.
type Proto uint8

const (
	TCP Proto = iota
	UDP
	SCTP
	ICMP  // ICMP in IPv4, ICMPv6 in IPv6
	Other // every other protocol, no port
)

// String returns the protocol as it stands in YAML, or "other".
func (p Proto) String() string { return [...]string{"TCP", "UDP", "SCTP", "ICMP", "other"}[p] }

// HasPorts reports whether packets of p carry ports that rules can name.
func (p Proto) HasPorts() bool { return p <= SCTP }

// IP protocol numbers (IANA, "Assigned Internet Protocol Numbers").
const (
	IPProtoICMP   = 1
	IPProtoTCP    = 6
	IPProtoUDP    = 17
	IPProtoICMPv6 = 58
	IPProtoSCTP   = 132
)

// ProtoOf returns what the IP protocol number n is to a rule in a packet of the
// given family. ICMP in IPv6 and ICMPv6 in IPv4 are other protocols.
func ProtoOf(n uint8, f Family) Proto {
	switch {
	case n == IPProtoTCP:
		return TCP
	case n == IPProtoUDP:
		return UDP
	case n == IPProtoSCTP:
		return SCTP
	case n == IPProtoICMP && f == IPv4, n == IPProtoICMPv6 && f == IPv6:
		return ICMP
	}
	return Other
}

// L4 is a point on the one axis that holds everything rules can say about the
// transport part of a packet: TCP ports, UDP ports, SCTP ports, ICMP, and one
// point for all other protocols. Port 0 is a port like any other.
type L4 uint32

// The axis. L4TCP, L4UDP and L4SCTP are the points of port 0.
const (
	L4TCP   L4 = 0
	L4UDP   L4 = 1 << 16
	L4SCTP  L4 = 2 << 16
	L4ICMP  L4 = 3 << 16
	L4Other L4 = L4ICMP + 1
	L4Last  L4 = L4Other // inclusive
)

func portBase(p Proto) (L4, bool) { return L4(p) << 16, p.HasPorts() }

// L4Of returns the point of a packet. port is ignored where p has none.
func L4Of(p Proto, port uint16) L4 {
	if base, ok := portBase(p); ok {
		return base + L4(port)
	}
	if p == ICMP {
		return L4ICMP
	}
	return L4Other
}

// Proto returns the protocol of the point.
func (x L4) Proto() Proto {
	switch {
	case x == L4ICMP:
		return ICMP
	case x > L4ICMP:
		return Other
	}
	return Proto(x >> 16)
}

// Port returns the destination port of the point, 0 where its protocol has none.
func (x L4) Port() uint16 {
	if x >= L4ICMP {
		return 0
	}
	return uint16(x)
}

// String returns "TCP 443", "ICMP" or "other".
func (x L4) String() string {
	if p := x.Proto(); !p.HasPorts() {
		return p.String()
	}
	return fmt.Sprintf("%s %d", x.Proto(), x.Port())
}

// L4Range is a stretch of the axis, both ends inclusive.
type L4Range struct{ First, Last L4 }

// AllL4 is the whole axis.
var AllL4 = L4Range{0, L4Last}

// Contains reports whether x lies in r.
func (r L4Range) Contains(x L4) bool { return r.First <= x && x <= r.Last }

// Split cuts r at the borders of protocols, so that each piece has one. A piece
// that is every port of its protocol is returned as such.
func (r L4Range) Split() []Port {
	var ps []Port
	for p := TCP; p <= Other; p++ {
		base := L4Of(p, 0)
		end := base
		if p.HasPorts() {
			end = base + 65535
		}
		if lo, hi := max(r.First, base), min(r.Last, end); lo <= hi {
			ps = append(ps, Port{Proto: p, First: uint16(lo - base), Last: uint16(hi - base)})
		}
	}
	return ps
}

// String returns the range as readers write it, such as "TCP 80-90, UDP".
func (r L4Range) String() string {
	if r == AllL4 {
		return "every protocol and port"
	}
	var parts []string
	for _, p := range r.Split() {
		parts = append(parts, p.String())
	}
	return strings.Join(parts, ", ")
}

// L4Set is a set of points: sorted, disjoint ranges that do not abut. Nil is
// the empty set, not every point.
type L4Set []L4Range

// EveryL4 is the set of all points. It is shared and must not be changed.
var EveryL4 = L4Set{AllL4}

// NewL4Set returns the union of the ranges, which may overlap and abut.
func NewL4Set(rs ...L4Range) L4Set {
	rs = slices.Clone(rs)
	slices.SortFunc(rs, func(a, b L4Range) int { return int(a.First) - int(b.First) })
	var out L4Set
	for _, r := range rs {
		if n := len(out); n > 0 && r.First <= out[n-1].Last+1 {
			out[n-1].Last = max(out[n-1].Last, r.Last)
			continue
		}
		out = append(out, r)
	}
	return out
}

// PortsL4 returns the points that a rule's ports match: every point where the
// rule has no port entry.
func PortsL4(ports []Port) L4Set {
	switch len(ports) {
	case 0:
		return EveryL4
	case 1:
		return L4Set{ports[0].L4()}
	}
	rs := make([]L4Range, len(ports))
	for i, p := range ports {
		rs[i] = p.L4()
	}
	return NewL4Set(rs...)
}

// Contains reports whether x is in the set.
func (s L4Set) Contains(x L4) bool {
	i, ok := slices.BinarySearchFunc(s, x, func(r L4Range, x L4) int { return int(r.First) - int(x) })
	return ok || i > 0 && s[i-1].Last >= x
}

// IsEvery reports whether s holds every point.
func (s L4Set) IsEvery() bool { return len(s) == 1 && s[0] == AllL4 }

// ParseProto reads a protocol as flows and flags name it, without case: a name,
// "icmpv6" for ICMP, "other", or an IP protocol number of family f.
func ParseProto(s string, f Family) (Proto, bool) {
	switch strings.ToLower(s) {
	case "tcp":
		return TCP, true
	case "udp":
		return UDP, true
	case "sctp":
		return SCTP, true
	case "icmp", "icmpv6":
		return ICMP, true
	case "other":
		return Other, true
	}
	n, err := strconv.ParseUint(s, 10, 8)
	return ProtoOf(uint8(n), f), err == nil
}
