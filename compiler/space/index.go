package space

import (
	"net/netip"

	"github.com/trafficpolicy/trafficpolicy/model"
)

// Index is a table in the form that many single packets are asked in: its
// disjoint ranges by their first address, as plain numbers in one sorted array,
// and its cells in others. It is safe for concurrent use.
type Index struct {
	// Where a range begins, in the array of the family. A range ends before the
	// next; the first begins at the family's first address.
	ip4    []uint32
	ip6    []address
	near   nearby       // where in ip4 to look
	ranges []DecisionID // by range
	steps  []step       // by decision

	// Of all cells, those of a decision together: where they are, which is what a
	// search reads, and what they say, which is read of one.
	stretches  []stretch
	answers    []answer
	conditions [][]Conditional // those of answers; the first is nil
}

// step is a decision without its cells, which are those from first up to end, exclusive.
type step struct {
	before, rest DecisionID
	first, end   uint32
}

// stretch is where a cell begins and ends, both inclusive.
type stretch struct{ first, last model.L4 }

// answer is the Rule of a cell, and its If as an index in Index.conditions.
type answer struct{ rule, conditions int32 }

// NewIndex returns the index of a table. It shares no more with it than conditions.
func NewIndex(t *Table) *Index {
	ranges := t.Ranges()
	x := &Index{ranges: make([]DecisionID, len(ranges)), steps: make([]step, len(t.Decisions)), conditions: make([][]Conditional, 1)}
	for i, r := range ranges {
		x.ranges[i] = r.Decision
		first := toAddress(r.First)
		if t.Family == model.IPv4 {
			x.ip4 = push(x.ip4, uint32(first.hi>>32))
		} else {
			x.ip6 = push(x.ip6, first)
		}
	}
	x.near = newNearby(x.ip4)
	for i := range t.Decisions {
		x.steps[i] = x.step(&t.Decisions[i])
	}
	return x
}

// step takes over the cells of a decision.
func (x *Index) step(d *Decision) step {
	first := uint32(len(x.stretches))
	for i := range d.Cells {
		c, conditions := &d.Cells[i], 0
		if len(c.If) > 0 {
			conditions = len(x.conditions)
			x.conditions = push(x.conditions, c.If)
		}
		x.stretches = push(x.stretches, stretch{c.First, c.Last})
		x.answers = push(x.answers, answer{c.Rule, int32(conditions)})
	}
	return step{d.Before, d.Else, first, uint32(len(x.stretches))}
}

// Find returns the rule that matches a packet first whatever unknown addresses
// there are, [NoRule] for none, and before it the rules that match under a
// condition, as in [Cell]. The address must be of the table's family and unmapped.
func (x *Index) Find(a netip.Addr, at model.L4) (rule int32, conditions []Conditional) {
	id := x.ranges[x.rangeOf(toAddress(a))]
	for id != NoDecision {
		d := &x.steps[id]
		if d.before != NoDecision {
			if c := x.cellAt(d.before, at); c != nil {
				return c.rule, x.conditions[c.conditions]
			}
		}
		if c := x.cellAt(id, at); c != nil {
			return c.rule, x.conditions[c.conditions]
		}
		id = d.rest
	}
	return NoRule, nil
}

// cellAt returns what the cell of a decision that holds a point says, nil where none does.
func (x *Index) cellAt(id DecisionID, at model.L4) *answer {
	d := &x.steps[id]
	cells, lo := x.stretches[d.first:d.end], 0 // none before lo ends at or behind the point
	if len(cells) == 0 {
		return nil
	}
	for n := len(cells); n > 1; { // without a branch on what is compared
		half, step := n/2, 0
		if cells[lo+half-1].last < at {
			step = half
		}
		lo += step
		n -= half
	}
	if c := cells[lo]; at < c.first || c.last < at {
		return nil
	}
	return &x.answers[int(d.first)+lo]
}

// nearby leads into a sorted array of numbers: for each of many stretches of equal
// length, a power of two, it has the last element that is not behind its begin. A
// search in a million elements of any list then compares a few that lie together,
// unless most of them crowd into few stretches.
type nearby struct {
	base  uint32 // where the first stretch begins
	shift uint8  // of a number, less base, to that of its stretch
	at    []uint32
}

// newNearby returns one for the array, which begins with a zero; it has no more
// stretches than the array has elements.
func newNearby(sorted []uint32) nearby {
	if len(sorted) < 2 {
		return nearby{}
	}
	n := nearby{base: sorted[1]}
	span := sorted[len(sorted)-1] - n.base
	for int(span>>n.shift)+2 > max(2, len(sorted)) {
		n.shift++
	}
	n.at = make([]uint32, span>>n.shift+2)
	i := 0
	for s := range n.at {
		from := uint64(n.base) + uint64(s)<<n.shift
		for i+1 < len(sorted) && uint64(sorted[i+1]) <= from {
			i++
		}
		n.at[s] = uint32(i)
	}
	return n
}

// bounds returns between which elements the last lies that is not behind key, both
// inclusive; end is of the whole array, exclusive.
func (n *nearby) bounds(key uint32, end int) (lo, hi int) {
	if len(n.at) == 0 {
		return 0, end - 1
	}
	if key < n.base {
		return 0, 0
	}
	if s := int((key - n.base) >> n.shift); s+1 < len(n.at) {
		return int(n.at[s]), int(n.at[s+1])
	}
	return end - 1, end - 1 // behind them all
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
	lo, hi := x.near.bounds(key, len(x.ip4))
	for n := hi - lo; n > 0; { // without a branch on what is compared
		half, step := (n+1)/2, 0
		if x.ip4[lo+half] <= key {
			step = half
		}
		lo += step
		n -= half
	}
	return lo
}
