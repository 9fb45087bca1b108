package ebpf

import (
	"encoding/binary"
	"net/netip"

	"github.com/trafficpolicy/trafficpolicy/model"
)

// addrWords is an address as words of the packet; an IPv4 address is the first.
type addrWords [4]uint32

func wordsOf(a netip.Addr) addrWords {
	if a.Is4() {
		b := a.As4()
		return addrWords{binary.BigEndian.Uint32(b[:])}
	}
	b := a.As16()
	var w addrWords
	for i := range w {
		w[i] = binary.BigEndian.Uint32(b[4*i:])
	}
	return w
}

// stretch is what a range of addresses leads to, both ends inclusive.
type stretch struct {
	first, last addrWords
	ref         Ref
}

// addresses searches addresses of as many words as it has levels, one after
// another from word base.
type addresses struct {
	nodes        searcher
	base, levels int
}

// searcher makes search nodes: a writer in a graph, a recorder in a piece.
type searcher interface {
	search(word int, in []interval) Ref
}

// newAddresses returns the search by addresses of family f, from word base on.
func newAddresses(nodes searcher, base int, f model.Family) *addresses {
	if f == model.IPv4 {
		return &addresses{nodes, base, 1}
	}
	return &addresses{nodes, base, 4}
}

// search returns the node that looks up an address in stretches, which abut and
// cover all addresses that have the words before w in common with them.
func (a *addresses) search(in []stretch, w int) Ref {
	var out []interval
	var part []stretch // of one value of the word
	shut := func(value uint32) {
		if len(part) > 0 {
			out = join(out, value, a.search(part, w+1))
			part = part[:0]
		}
	}
	for _, s := range in {
		from, to := s.first[w], s.last[w]
		if from == to && !(a.begins(&s.first, w) && a.ends(&s.last, w)) {
			part = append(part, s)
			if a.ends(&s.last, w) {
				shut(to)
			}
			continue
		}
		if !a.begins(&s.first, w) { // the end of its first value
			head := s
			head.last = a.fill(s.first, w, lastKey)
			part = append(part, head)
			shut(from)
			from++
		}
		tail := !a.ends(&s.last, w)
		if !tail || from < to {
			last := to
			if tail {
				last--
			}
			out = join(out, last, s.ref)
		}
		if tail { // the beginning of its last value
			rest := s
			rest.first = a.fill(s.last, w, 0)
			part = append(part, rest)
		}
	}
	return a.nodes.search(a.base+w, out)
}

// begins reports whether x is the first address with its words up to w.
func (a *addresses) begins(x *addrWords, w int) bool { return *x == a.fill(*x, w, 0) }

// ends reports whether x is the last address with its words up to w.
func (a *addresses) ends(x *addrWords, w int) bool { return *x == a.fill(*x, w, lastKey) }

// fill returns x with every word behind w replaced.
func (a *addresses) fill(x addrWords, w int, by uint32) addrWords {
	for i := w + 1; i < a.levels; i++ {
		x[i] = by
	}
	return x
}
