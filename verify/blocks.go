package verify

import (
	"net/netip"

	"go4.org/netipx"

	"github.com/trafficpolicy/trafficpolicy/compiler/space"
	"github.com/trafficpolicy/trafficpolicy/model"
)

// block is packets that differ in one way: every address of ranges with every
// point of l4, where the condition holds. No other block of the same kind and
// condition has these addresses.
type block struct {
	kind   verdictKind
	when   condition
	l4     model.L4Set
	ranges []netipx.IPRange // sorted, disjoint, not abutting
	// before and after are the rules that decide, which may include space.NoRule.
	before, after map[int32]bool
	witness       blockWitness
}

// blockWitness is one packet of a block with the rules that decide it.
type blockWitness struct {
	space.Packet
	a, b int32
	poor bool // the address is one to avoid
}

// prefixes returns the block's addresses as the fewest prefixes, sorted.
func (b *block) prefixes() []netip.Prefix {
	var out []netip.Prefix
	for _, r := range b.ranges {
		out = r.AppendPrefixes(out)
	}
	return out
}

// blocks collects what a comparison emits into as few blocks as tell which L4
// points differ at which addresses. The zero value is ready to use.
type blocks struct {
	order []*block
	byKey map[string]*block
	of    map[*pairBlock]*block
	// avoid, unless nil, reports addresses that are poor witnesses: those that
	// never meet a rule, whatever the policies say.
	avoid func(netip.Addr) bool
}

// add takes over what is different from first to last. Calls are in the order of
// addresses.
func (bs *blocks) add(first, last netip.Addr, pairs []*pairBlock) {
	if bs.of == nil {
		bs.byKey, bs.of = map[string]*block{}, map[*pairBlock]*block{}
	}
	for _, p := range pairs {
		b := bs.of[p]
		if b == nil {
			b = bs.meet(p)
		}
		if n := len(b.ranges); n > 0 && b.ranges[n-1].To().Next() == first {
			b.ranges[n-1] = netipx.IPRangeFrom(b.ranges[n-1].From(), last)
		} else {
			b.ranges = append(b.ranges, netipx.IPRangeFrom(first, last))
		}
		if b.witness.poor || !b.witness.Addr.IsValid() {
			bs.choose(b, p, first, last)
		}
	}
}

// meet returns the block that p belongs to, which now has its rules.
func (bs *blocks) meet(p *pairBlock) *block {
	b := bs.byKey[p.key]
	if b == nil {
		b = &block{kind: p.kind, when: p.when, l4: p.l4, before: map[int32]bool{}, after: map[int32]bool{}}
		bs.byKey[p.key] = b
		bs.order = append(bs.order, b)
	}
	bs.of[p] = b
	for _, r := range p.before {
		b.before[r] = true
	}
	for _, r := range p.after {
		b.after[r] = true
	}
	return b
}

// choose makes the witness of b a packet from first to last, unless all of the
// first few addresses there are poor and b has one.
func (bs *blocks) choose(b *block, p *pairBlock, first, last netip.Addr) {
	const few = 64
	a := first
	for range few {
		poor := bs.avoid != nil && bs.avoid(a)
		if !poor || !b.witness.Addr.IsValid() {
			b.witness = blockWitness{space.Packet{Addr: a, L4: p.l4[0].First, In: p.in}, p.a, p.b, poor}
		}
		if a = a.Next(); !poor || !a.IsValid() || last.Less(a) {
			return
		}
	}
}
