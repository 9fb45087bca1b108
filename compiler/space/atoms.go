package space

import (
	"cmp"
	"slices"

	"github.com/trafficpolicy/trafficpolicy/model"
)

// conditions holds, for each point of the L4 axis, the rules that match there
// where the address is in their atom. Atoms are unknown sets, so these rules are
// in play at every address.
type conditions struct {
	*axis
	at [][]Conditional // by slot: ascending rules, each atom at its first
}

// newConditions returns nil where the list has no atoms, and a *LimitError where
// the lists would not fit.
func newConditions(list *model.RuleList) (*conditions, error) {
	type member struct {
		Conditional
		span
	}
	var sets []model.L4Set
	for i := range list.Rules {
		if list.Isolated && hasAtom(&list.Rules[i]) {
			sets = append(sets, list.Rules[i].L4)
		}
	}
	if sets == nil {
		return nil, nil
	}
	c := &conditions{axis: newAxis(sets)}
	var members []member
	for i := range list.Rules {
		for _, p := range list.Rules[i].Peers {
			if p.Atom == "" {
				continue
			}
			for _, r := range list.Rules[i].L4 {
				members = append(members, member{Conditional{Atom: p.Atom, Rule: int32(i)}, c.span(r)})
			}
		}
	}
	slices.SortStableFunc(members, func(a, b member) int { return cmp.Compare(a.lo, b.lo) })

	c.at = make([][]Conditional, c.slots())
	var open []member
	seen := make(map[model.Atom]int32)
	total := 0
	for slot := int32(0); slot < c.slots(); slot++ {
		open = slices.DeleteFunc(open, func(m member) bool { return m.hi <= slot })
		for len(members) > 0 && members[0].lo == slot {
			open = append(open, members[0])
			members = members[1:]
		}
		slices.SortStableFunc(open, func(a, b member) int { return cmp.Compare(a.Rule, b.Rule) })
		if total += len(open); total > maxConditionals {
			return nil, &LimitError{What: "rules with unknown addresses, counted at each boundary of their ports", Max: maxConditionals}
		}
		for _, m := range open {
			if seen[m.Atom] != slot+1 {
				seen[m.Atom] = slot + 1
				c.at[slot] = append(c.at[slot], m.Conditional)
			}
		}
	}
	return c, nil
}

func hasAtom(r *model.ListRule) bool {
	return slices.ContainsFunc(r.Peers, func(p model.ListPeer) bool { return p.Atom != "" })
}

// split appends to out the cells of rule on r: one for each list of earlier
// rules under conditions. The default gets no cell where there is none.
func (c *conditions) split(out []Cell, r model.L4Range, rule int32) []Cell {
	if c == nil {
		return appendCell(out, Cell{L4Range: r, Rule: rule})
	}
	for slot := c.axis.at(r.First); slot < c.slots(); slot++ {
		stretch := c.points(span{slot, slot + 1})
		if stretch.First > r.Last {
			break
		}
		cell := Cell{
			L4Range: model.L4Range{First: max(stretch.First, r.First), Last: min(stretch.Last, r.Last)},
			Rule:    rule,
			If:      before(c.at[slot], rule),
		}
		out = appendCell(out, cell)
	}
	return out
}

// before returns the part of list that stands before rule, nil for none.
func before(list []Conditional, rule int32) []Conditional {
	n := len(list)
	if rule != NoRule {
		n, _ = slices.BinarySearchFunc(list, rule, func(c Conditional, r int32) int { return cmp.Compare(c.Rule, r) })
	}
	if n == 0 {
		return nil
	}
	return list[:n:n]
}

// appendCell appends c, merged with the cell before it where they abut and agree.
// A cell that says what the absence of a cell says is left out.
func appendCell(out []Cell, c Cell) []Cell {
	if c.Rule == NoRule && c.If == nil {
		return out
	}
	if n := len(out); n > 0 && out[n-1].Last+1 == c.First && sameOutcome(&out[n-1], &c) {
		out[n-1].Last = c.Last
		return out
	}
	return append(out, c)
}

// sameOutcome reports whether two cells say the same of their points.
func sameOutcome(a, b *Cell) bool {
	return a.Rule == b.Rule && sameConditionals(a.If, b.If)
}

func sameConditionals(a, b []Conditional) bool {
	if len(a) != len(b) {
		return false
	}
	return len(a) == 0 || &a[0] == &b[0] || slices.Equal(a, b)
}
