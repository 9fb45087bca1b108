package nftables

import (
	"net/netip"
	"slices"
)

// interval is a stretch of addresses, both ends inclusive.
type interval struct{ first, last netip.Addr }

// lastOf returns the last address of p.
func lastOf(p netip.Prefix) netip.Addr {
	b := p.Masked().Addr().AsSlice()
	for i := p.Bits(); i < len(b)*8; i++ {
		b[i/8] |= 0x80 >> (i % 8)
	}
	a, _ := netip.AddrFromSlice(b)
	return a
}

// minus returns the addresses of prefixes without holes, which are sorted, as
// disjoint stretches.
func minus(prefixes []netip.Prefix, holes []netip.Addr) []interval {
	sorted := slices.Clone(prefixes)
	slices.SortFunc(sorted, netip.Prefix.Compare)
	var out []interval
	var end netip.Addr // last address of the prefixes so far
	for _, p := range sorted {
		first, last := p.Masked().Addr(), lastOf(p)
		if end.IsValid() && end.BitLen() == first.BitLen() && !end.Less(first) {
			continue // nested in one before
		}
		end = last
		i, _ := slices.BinarySearchFunc(holes, first, netip.Addr.Compare)
		for ; i < len(holes) && !last.Less(holes[i]); i++ {
			if first.Less(holes[i]) {
				out = append(out, interval{first, holes[i].Prev()})
			}
			if first = holes[i].Next(); !first.IsValid() {
				break
			}
		}
		if first.IsValid() && !last.Less(first) {
			out = append(out, interval{first, last})
		}
	}
	return out
}
