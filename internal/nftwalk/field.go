package nftwalk

import (
	"net/netip"
	"strconv"
	"strings"

	"github.com/trafficpolicy/trafficpolicy/backends/nftables/command"
)

// value is what a field of a packet holds: an address, a number or a word. ok is
// false where the packet has no such field, so that no comparison holds.
type value struct {
	addr netip.Addr
	n    int
	word string
	ok   bool
}

func ofAddr(a netip.Addr, ok bool) value { return value{addr: a, ok: ok && a.IsValid()} }
func ofNumber(n int, ok bool) value      { return value{n: n, ok: ok} }
func ofWord(s string) value              { return value{word: s, ok: true} }

func boolWord(is bool, word string) value {
	if is {
		return ofWord(word)
	}
	return ofWord("not " + word)
}

// field returns a field of p. known is false for a name that this package does not
// know, which is no property of the packet.
func (p *Packet) field(name string) (v value, known bool) {
	six := p.Src.Is6()
	for _, f := range []struct {
		ip string
		is bool
	}{{"ip ", !six}, {"ip6 ", six}} {
		rest, conn := strings.CutPrefix(name, "ct ")
		for prefix, a := range map[string]netip.Addr{"original ": p.OrigSrc, "reply ": p.ReplySrc} {
			if r, ok := strings.CutPrefix(rest, prefix+f.ip); ok && conn {
				switch {
				case r == "daddr" && prefix == "original ":
					a = p.OrigDst
				case r != "saddr":
					continue
				}
				return ofAddr(a, f.is && p.tracked()), true
			}
		}
		switch name {
		case f.ip + "saddr":
			return ofAddr(p.Src, f.is), true
		case f.ip + "daddr":
			return ofAddr(p.Dst, f.is), true
		}
	}
	switch name {
	case "meta l4proto":
		return ofWord(p.Proto), true
	case "meta nfproto":
		return ofWord(map[bool]string{false: "ipv4", true: "ipv6"}[six]), true
	case "ct protocol":
		return value{word: p.Conn.Proto, ok: p.tracked()}, true
	case "ct state":
		return ofWord(p.State), true
	case "ct direction":
		return value{word: map[bool]string{false: "original", true: "reply"}[p.Reply], ok: p.tracked()}, true
	case "ct status & snat ==":
		return value{word: map[bool]string{false: "0", true: "snat"}[p.SNAT], ok: p.tracked()}, true
	case "ct original proto-dst":
		return ofNumber(int(p.OrigDstPort), p.tracked()), true
	case "ct reply proto-src":
		return ofNumber(int(p.ReplySrcPort), p.tracked()), true
	case "th dport":
		return ofNumber(int(p.DstPort), !p.Short), true
	case "udp sport":
		return ofNumber(int(p.SrcPort), p.Proto == "udp" && p.ports()), true
	case "udp dport":
		return ofNumber(int(p.DstPort), p.Proto == "udp" && p.ports()), true
	case "tcp flags & rst ==":
		return value{word: map[bool]string{false: "0", true: "rst"}[p.Reset], ok: p.Proto == "tcp" && p.ports()}, true
	case "icmp type":
		return ofNumber(int(p.Type), p.Proto == "icmp" && !p.Short), true
	case "icmpv6 type":
		return ofNumber(int(p.Type), p.Proto == "ipv6-icmp" && !p.Short), true
	case "icmpv6 code":
		return ofNumber(int(p.Code), p.Proto == "ipv6-icmp" && !p.Short), true
	case "ip6 hoplimit":
		return ofNumber(int(p.HopLimit), six), true
	case "rt seg-left":
		return ofNumber(int(p.SegmentsLeft), p.Routing), true
	case "fib saddr type":
		return boolWord(p.SrcLocal, "local"), true
	case "fib daddr type":
		return boolWord(p.DstLocal, "local"), true
	case "fib saddr . iif oif":
		return boolWord(p.Missing, "missing"), true
	case "iifname":
		return ofWord(`"` + p.In), true
	case "oifname":
		return ofWord(`"` + p.Out), true
	}
	return value{}, false
}

// in reports whether v is what a text of a rule or element says: a word, a number,
// an address, or a range or prefix of these.
func (v value) in(text string) bool {
	switch {
	case v.addr.IsValid():
		first, last, ok := command.Addrs(text)
		return ok && first.BitLen() == v.addr.BitLen() && first.Compare(v.addr) <= 0 && v.addr.Compare(last) <= 0
	case v.word != "":
		return v.word == text
	}
	first, last, ok := strings.Cut(text, "-")
	if !ok {
		last = first
	}
	a, err := strconv.Atoi(first)
	b, err2 := strconv.Atoi(last)
	return err == nil && err2 == nil && a <= v.n && v.n <= b
}
