package verify

import (
	"slices"
	"strings"

	"github.com/trafficpolicy/trafficpolicy/model"
)

// condition says in which unresolved names a remote address lies: in at least
// one of each set of any, and in none of none. The zero condition holds always.
type condition struct {
	any  [][]model.Atom
	none []model.Atom // sorted
}

// String returns the condition as a reader would say it, "" where it holds
// always: "the address is one of service b/web, and none of fqdn x.example".
func (c *condition) String() string {
	if len(c.any)+len(c.none) == 0 {
		return ""
	}
	var parts []string
	for _, set := range c.any {
		parts = append(parts, "one of "+joinAtoms(set, " or "))
	}
	if len(c.none) > 0 {
		parts = append(parts, "none of "+joinAtoms(c.none, " or "))
	}
	return "the address is " + strings.Join(parts, ", and ")
}

func joinAtoms(atoms []model.Atom, sep string) string {
	s := make([]string, len(atoms))
	for i, a := range atoms {
		s[i] = string(a)
	}
	return strings.Join(s, sep)
}

// example returns atoms that meet the condition when all others do not hold the
// address: at most one of each set of any.
func (c *condition) example() []model.Atom {
	var in []model.Atom
	for i, set := range c.any {
		if slices.ContainsFunc(set, func(a model.Atom) bool { return slices.Contains(in, a) }) {
			continue
		}
		pick := set[0]
		for _, a := range set { // one that meets the next set as well
			if i+1 < len(c.any) && slices.Contains(c.any[i+1], a) {
				pick = a
				break
			}
		}
		in = append(in, pick)
	}
	slices.Sort(in)
	return in
}

// branch is a part of what a cell decides: for addresses in one of the atoms of
// in, and in none of those of the branches before. The last branch has no atoms
// and holds for whatever is left.
type branch struct {
	in    []model.Atom // sorted; nil for the last
	label label
	rules []int32 // of which one decides, in order; may hold space.NoRule
	// names holds the atom of each of rules, in order; the last rule of the last
	// branch has none.
	names []model.Atom
}

// deciding returns the rules of b that decide some address which meets when, the
// condition that [join] gives with b last, and lies in one of others, which are
// nil where any address will do. A rule decides where its own name holds the
// address and no name before it does, in this branch or in those before.
func (b *branch) deciding(when *condition, others []model.Atom) []int32 {
	out := func(a model.Atom) bool { _, out := slices.BinarySearch(when.none, a); return out }
	left := 0 // of others, not yet ruled out
	for _, a := range others {
		if !out(a) {
			left++
		}
	}
	var rules []int32
	for i, r := range b.rules {
		if others != nil && left == 0 {
			break
		}
		if i == len(b.names) {
			rules = append(rules, r)
			break
		}
		if a := b.names[i]; !out(a) {
			rules = append(rules, r)
			if _, too := slices.BinarySearch(others, a); too {
				left--
			}
		}
	}
	return rules
}

// join returns the condition under which the last branches of x and of y both
// hold, false where that cannot be.
func join(x, y []branch) (c condition, ok bool) {
	for _, before := range [][]branch{x[:len(x)-1], y[:len(y)-1]} {
		for i := range before {
			c.none = append(c.none, before[i].in...)
		}
	}
	slices.Sort(c.none)
	c.none = slices.Compact(c.none)
	for _, b := range []*branch{&x[len(x)-1], &y[len(y)-1]} {
		if b.in == nil {
			continue
		}
		set := slices.DeleteFunc(slices.Clone(b.in), func(a model.Atom) bool { _, in := slices.BinarySearch(c.none, a); return in })
		if len(set) == 0 {
			return c, false
		}
		c.any = append(c.any, set)
	}
	if len(c.any) == 2 {
		switch a, b := c.any[0], c.any[1]; {
		case subset(a, b):
			c.any = c.any[:1]
		case subset(b, a):
			c.any = c.any[1:]
		}
	}
	return c, true
}

// subset reports whether every atom of a is in b.
func subset(a, b []model.Atom) bool {
	return !slices.ContainsFunc(a, func(x model.Atom) bool { return !slices.Contains(b, x) })
}
