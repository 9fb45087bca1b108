package space

import (
	"net/netip"
	"sort"

	"github.com/trafficpolicy/trafficpolicy/model"
)

// Decide returns the decision of address a, which must be of the table's family
// and unmapped.
func (t *Table) Decide(a netip.Addr) DecisionID {
	if t.ranges != nil {
		return t.ranges[sort.Search(len(t.ranges), func(i int) bool { return !t.ranges[i].Last.Less(a) })].Decision
	}
	key := block{toAddress(a), uint8(a.BitLen())}
	for {
		// The last entry not behind key contains a, or lies beside it; then an
		// entry around a is at most as long as what the two have in common.
		i := sort.Search(len(t.Entries), func(i int) bool { return toBlock(t.Entries[i].Prefix).compare(key) > 0 }) - 1
		if e := &t.Entries[i]; e.Prefix.Contains(a) {
			return e.Decision
		}
		key = common(toBlock(t.Entries[i].Prefix), toAddress(a))
	}
}

// common returns the longest block shorter than b around both a and b, of which
// one does not contain the other.
func common(b block, a address) block {
	for b.bits--; !b.contains(a); b.bits-- {
	}
	hi, lo := hostMask(b.bits)
	return block{address{a.hi &^ hi, a.lo &^ lo}, b.bits}
}

// Lookup returns the cell of a packet; its range is trimmed to where it holds.
// Where no rule matches, its Rule is NoRule.
func (t *Table) Lookup(a netip.Addr, x model.L4) Cell { return t.At(t.Decide(a), x) }

// At returns the cell of decision id that holds x, as Lookup does.
func (t *Table) At(id DecisionID, x model.L4) Cell {
	d := t.decision(id)
	return t.at(&d, x)
}

// decision returns decision id, an empty one for NoDecision.
func (t *Table) decision(id DecisionID) Decision {
	if id == NoDecision {
		return Decision{Before: NoDecision, Else: NoDecision}
	}
	return t.Decisions[id]
}

func (t *Table) at(d *Decision, x model.L4) Cell {
	holds := model.AllL4
	for {
		if d.Before != NoDecision {
			if c, ok := find(t.Decisions[d.Before].Cells, x, &holds); ok {
				return c
			}
		}
		if c, ok := find(d.Cells, x, &holds); ok {
			return c
		}
		if d.Else == NoDecision {
			return Cell{L4Range: holds, Rule: NoRule}
		}
		d = &t.Decisions[d.Else]
	}
}

// find returns the cell that holds x, trimmed to holds. Without one it trims
// holds to the gap between cells around x.
func find(cells []Cell, x model.L4, holds *model.L4Range) (Cell, bool) {
	i := sort.Search(len(cells), func(i int) bool { return cells[i].Last >= x })
	if i < len(cells) && cells[i].First <= x {
		c := cells[i]
		c.First, c.Last = max(c.First, holds.First), min(c.Last, holds.Last)
		return c, true
	}
	if i > 0 {
		holds.First = max(holds.First, cells[i-1].Last+1)
	}
	if i < len(cells) {
		holds.Last = min(holds.Last, cells[i].First-1)
	}
	return Cell{}, false
}
