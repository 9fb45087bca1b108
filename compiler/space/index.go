package space

import (
	"net/netip"

	"github.com/trafficpolicy/trafficpolicy/model"
)

// Index is a table in the form that many single packets are asked in: its
// disjoint ranges by their first address, as plain numbers in one sorted array.
// It is safe for concurrent use.
type Index struct {
	// Where a range begins, in the array of the family. A range ends before the
	// next; the first begins at the family's first address.
	ip4       []uint32
	ip6       []address
	ranges    []DecisionID // by range
	decisions []Decision
}

// NewIndex returns the index of a table, whose decisions it shares.
func NewIndex(t *Table) *Index {
	ranges := t.Ranges()
	x := &Index{ranges: make([]DecisionID, len(ranges)), decisions: t.Decisions}
	for i, r := range ranges {
		x.ranges[i] = r.Decision
		first := toAddress(r.First)
		if t.Family == model.IPv4 {
			x.ip4 = push(x.ip4, uint32(first.hi>>32))
		} else {
			x.ip6 = push(x.ip6, first)
		}
	}
	return x
}

// Find returns the rule that matches a packet first whatever unknown addresses
// there are, [NoRule] for none, and before it the rules that match under a
// condition, as in [Cell]. The address must be of the table's family and unmapped.
func (x *Index) Find(a netip.Addr, at model.L4) (rule int32, conditions []Conditional) {
	id := x.ranges[x.rangeOf(toAddress(a))]
	for id != NoDecision {
		d := &x.decisions[id]
		if d.Before != NoDecision {
			if c := cellAt(x.decisions[d.Before].Cells, at); c != nil {
				return c.Rule, c.If
			}
		}
		if c := cellAt(d.Cells, at); c != nil {
			return c.Rule, c.If
		}
		id = d.Else
	}
	return NoRule, nil
}

// rangeOf returns the number of the last range that does not begin after a.
func (x *Index) rangeOf(a address) int {
	lo := 0 // begins at or before a
	if x.ip6 != nil {
		for n := len(x.ip6) - 1; n > 0; {
			half := (n + 1) / 2
			if x.ip6[lo+half].compare(a) <= 0 {
				lo += half
			}
			n -= half
		}
		return lo
	}
	key := uint32(a.hi >> 32)
	for n := len(x.ip4) - 1; n > 0; { // without a branch on what is compared
		half, step := (n+1)/2, 0
		if x.ip4[lo+half] <= key {
			step = half
		}
		lo += step
		n -= half
	}
	return lo
}

// cellAt returns the cell that holds a point, nil where none does.
func cellAt(cells []Cell, at model.L4) *Cell {
	lo, hi := 0, len(cells)
	for lo < hi {
		mid := int(uint(lo+hi) >> 1)
		if cells[mid].Last < at {
			lo = mid + 1
		} else {
			hi = mid
		}
	}
	if lo < len(cells) && cells[lo].First <= at {
		return &cells[lo]
	}
	return nil
}
