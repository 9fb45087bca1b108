package main

import (
	"net/netip"
	"slices"
	"strings"

	"github.com/trafficpolicy/trafficpolicy/model"
)

// prefixList writes a set of addresses, given as the fewest disjoint prefixes,
// sorted, for people: "A but B, yet C" is A without B, but with C, which is in B.
// Of each only the first few are named if they are many.
func prefixList(ps []netip.Prefix) string {
	var parts []string
	for _, f := range model.Families {
		own := slices.DeleteFunc(slices.Clone(ps), func(p netip.Prefix) bool { return model.FamilyOf(p.Addr()) != f })
		if len(own) > 0 {
			parts = append(parts, outlineText(outline(own, f)))
		}
	}
	return strings.Join(parts, "; ")
}

func outlineText(levels [][]netip.Prefix) string {
	var b strings.Builder
	for i, ps := range levels {
		switch {
		case i == 0:
		case i%2 == 1:
			b.WriteString(" but ")
		default:
			b.WriteString(", yet ")
		}
		b.WriteString(firstPrefixes(ps))
	}
	return b.String()
}

func firstPrefixes(ps []netip.Prefix) string {
	var parts []string
	for _, p := range ps[:min(len(ps), shownPrefixes)] {
		parts = append(parts, p.String())
	}
	return moreThan(strings.Join(parts, " "), len(ps)-len(parts))
}

// outline returns the fewest prefixes that tell a set by the longest one that
// holds an address: those of levels 0, 2, ... are in the set, those of 1, 3, ...
// are not, and one of a level lies in one of the level before. It is the
// algorithm of Draves et al., "Constructing Optimal IP Routing Tables" (INFOCOM
// 1999), for two next hops. ps are of family f, disjoint and sorted.
func outline(ps []netip.Prefix, f model.Family) (levels [][]netip.Prefix) {
	var write func(n *outlineNode, in bool, depth int)
	write = func(n *outlineNode, in bool, depth int) {
		if !n.may[b2i(in)] {
			in = !in
			if depth == len(levels) {
				levels = append(levels, nil)
			}
			levels[depth] = append(levels[depth], n.prefix)
			depth++
		}
		for _, kid := range n.kids {
			write(kid, in, depth)
		}
	}
	write(newOutlineNode(f.All(), ps), false, 0)
	return levels
}

// outlineNode is the addresses of a prefix.
type outlineNode struct {
	prefix netip.Prefix
	// may says whether most of it can be left out, and be in, by what is said of a
	// prefix above, with as few prefixes below as the other.
	may  [2]bool
	kids []*outlineNode // its halves, where it is neither all in nor all out
}

func newOutlineNode(p netip.Prefix, ps []netip.Prefix) *outlineNode {
	n := &outlineNode{prefix: p}
	switch {
	case len(ps) == 0:
		n.may[0] = true
		return n
	case ps[0] == p:
		n.may[1] = true
		return n
	}
	low, high := halves(p)
	at, _ := slices.BinarySearchFunc(ps, high.Addr(), func(q netip.Prefix, a netip.Addr) int { return q.Addr().Compare(a) })
	n.kids = []*outlineNode{newOutlineNode(low, ps[:at]), newOutlineNode(high, ps[at:])}
	a, b := n.kids[0].may, n.kids[1].may
	n.may = [2]bool{a[0] && b[0], a[1] && b[1]}
	if n.may == [2]bool{} {
		n.may = [2]bool{a[0] || b[0], a[1] || b[1]}
	}
	return n
}

// halves returns the two prefixes that p, which is longer than one address, is
// made of.
func halves(p netip.Prefix) (low, high netip.Prefix) {
	b := p.Addr().AsSlice()
	b[p.Bits()/8] |= 0x80 >> (p.Bits() % 8)
	a, _ := netip.AddrFromSlice(b)
	return netip.PrefixFrom(p.Addr(), p.Bits()+1), netip.PrefixFrom(a, p.Bits()+1)
}

func b2i(b bool) int {
	if b {
		return 1
	}
	return 0
}
