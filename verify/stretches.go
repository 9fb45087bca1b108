package verify

import (
	"cmp"
	"slices"

	"github.com/trafficpolicy/trafficpolicy/model"
)

// stretches is parts of the axis with a number each: sorted and disjoint.
type stretches []stretch

type stretch struct {
	model.L4Range
	n int
}

// put gives r the number n, whatever it had.
func (s *stretches) put(r model.L4Range, n int) {
	from := s.search(r.First)
	to := from
	var kept [3]stretch
	new := kept[:0]
	for ; to < len(*s) && (*s)[to].First <= r.Last; to++ {
		if old := (*s)[to]; old.First < r.First {
			new = append(new, stretch{model.L4Range{First: old.First, Last: r.First - 1}, old.n})
		}
	}
	new = append(new, stretch{r, n})
	if to > from {
		if old := (*s)[to-1]; old.Last > r.Last {
			new = append(new, stretch{model.L4Range{First: r.Last + 1, Last: old.Last}, old.n})
		}
	}
	*s = slices.Replace(*s, from, to, new...)
}

// search returns the index of the first stretch that does not end before x.
func (s stretches) search(x model.L4) int {
	i, _ := slices.BinarySearchFunc(s, x, func(t stretch, x model.L4) int { return cmp.Compare(t.Last, x) })
	return i
}

// first returns the first point of set that has a number, and that.
func (s stretches) first(set model.L4Set) (x model.L4, n int, ok bool) {
	for _, r := range set {
		if i := s.search(r.First); i < len(s) && s[i].First <= r.Last {
			return max(r.First, s[i].First), s[i].n, true
		}
	}
	return 0, 0, false
}

// undecided is the number of a point that has none.
const undecided = -2

// over returns r in stretches, those without a number as undecided.
func (s stretches) over(r model.L4Range) []stretch {
	var out []stretch
	at := r.First
	for i := s.search(r.First); i < len(s) && s[i].First <= r.Last; i++ {
		if s[i].First > at {
			out = append(out, stretch{model.L4Range{First: at, Last: s[i].First - 1}, undecided})
		}
		out = append(out, stretch{model.L4Range{First: max(at, s[i].First), Last: min(r.Last, s[i].Last)}, s[i].n})
		at = s[i].Last + 1
	}
	if at <= r.Last {
		out = append(out, stretch{model.L4Range{First: at, Last: r.Last}, undecided})
	}
	return out
}

// putAll gives every point of set the number n.
func (s *stretches) putAll(set model.L4Set, n int) {
	for _, r := range set {
		s.put(r, n)
	}
}

// without returns the points of set that have no number.
func (s stretches) without(set model.L4Set) (out model.L4Set) {
	for _, r := range set {
		for _, t := range s.over(r) {
			if t.n == undecided {
				out = append(out, t.L4Range)
			}
		}
	}
	return out
}
