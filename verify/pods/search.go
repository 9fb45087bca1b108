package pods

import "slices"

// maxWork bounds a search, in words of sets that are compared: some 0.1 s.
const maxWork = 1 << 26

// search finds the minimal sets of selectors that choices can leave, by branch and
// bound.
type search struct {
	choices [][]choice // by axis
	limit   int        // on answers
	work    int
	gaveUp  bool // what was found is not all
}

// answer is a set of selectors that choices leave.
type answer struct {
	left   set
	chosen []int // by axis: index in its choices, undecided for others
}

const undecided = -1

// nothing returns the answer without a choice, of no selector.
func (s *search) nothing() []int {
	chosen := make([]int, len(s.choices))
	for i := range chosen {
		chosen[i] = undecided
	}
	return chosen
}

// openAxis is an axis with choices none of which is as good as another one.
type openAxis struct {
	axis    int
	choices []int
	rids    set // of what is left: by any of the choices
}

// solve returns the minimal sets that choices for the axes of open leave of left,
// each once.
func (s *search) solve(left set, open []int) []answer {
	chosen := s.nothing()
	left, axes := s.settle(left, open, chosen)
	fixed := left
	parts := apart(axes)
	for _, p := range parts {
		fixed = fixed.minus(p.rids)
	}
	found := []answer{{fixed, chosen}}
	for _, p := range parts {
		found = s.product(found, s.branch(left.and(p.rids), p.axes))
	}
	return found
}

// settle chooses for every axis of open of which one choice is as good as all
// others. It returns what that leaves of left, and the axes that are left.
func (s *search) settle(left set, open []int, chosen []int) (set, []openAxis) {
	for {
		var axes []openAxis
		settled := false
		for _, axis := range open {
			best := s.undominated(left, axis)
			if len(best) == 1 {
				chosen[axis] = best[0]
				left, settled = left.minus(s.choices[axis][best[0]].rids), true
				continue
			}
			a := openAxis{axis, best, newSet(64 * len(left))}
			for _, c := range best {
				a.rids.join(s.choices[axis][c].rids.and(left))
			}
			axes = append(axes, a)
		}
		if !settled || len(axes) == 0 {
			return left, axes
		}
		open = open[:0:0]
		for i := range axes {
			open = append(open, axes[i].axis)
		}
	}
}

// undominated returns the choices of an axis but for those that rid of nothing of
// left that another one does not, of equal ones the first.
func (s *search) undominated(left set, axis int) []int {
	choices := s.choices[axis]
	if len(choices) == 1 {
		return []int{0}
	}
	rids := make([]set, len(choices))
	for i := range choices {
		rids[i] = choices[i].rids.and(left)
	}
	var best []int
	for i := range choices {
		dominated := func(j int) bool { return rids[i].within(rids[j]) }
		if slices.ContainsFunc(best, dominated) {
			continue
		}
		best = append(slices.DeleteFunc(best, func(j int) bool { return rids[j].within(rids[i]) }), i)
	}
	s.work += (len(choices)*len(best) + 1) * (len(left) + 1)
	return best
}

// part is axes that selectors join.
type part struct {
	axes []openAxis
	rids set
}

// apart groups axes so that those of different parts rid of different selectors.
func apart(axes []openAxis) []part {
	var parts []part
	for _, a := range axes {
		joined := part{[]openAxis{a}, slices.Clone(a.rids)}
		parts = slices.DeleteFunc(parts, func(p part) bool {
			if !p.rids.meets(a.rids) {
				return false
			}
			joined.axes = append(joined.axes, p.axes...)
			joined.rids.join(p.rids)
			return true
		})
		parts = append(parts, joined)
	}
	return parts
}

// branch is solve for axes that are joined and that settle leaves.
func (s *search) branch(left set, axes []openAxis) []answer {
	at := 0
	others, rids := make([]int, 0, len(axes)), newSet(64*len(left))
	for i := range axes {
		if len(axes[i].choices) < len(axes[at].choices) {
			at = i
		}
	}
	for i := range axes {
		if i != at {
			others = append(others, axes[i].axis)
			rids.join(axes[i].rids)
		}
	}
	var found []answer
	for _, c := range axes[at].choices {
		rest := left.minus(s.choices[axes[at].axis][c].rids)
		if s.includesOne(found, rest.minus(rids)) {
			continue // what stays whatever the others are
		}
		for _, a := range s.solve(rest, others) {
			a.chosen[axes[at].axis] = c
			found = s.keep(found, a)
		}
		if s.tooMuch(len(found)) {
			return nil
		}
	}
	return found
}

// includesOne reports whether left has all of one of the answers.
func (s *search) includesOne(found []answer, left set) bool {
	s.work += len(found) * (len(left) + 1)
	return slices.ContainsFunc(found, func(f answer) bool { return f.left.within(left) })
}

// keep adds a to answers none of which includes another one, so that this holds
// still.
func (s *search) keep(found []answer, a answer) []answer {
	if s.includesOne(found, a.left) {
		return found
	}
	s.work += len(found) * (len(a.left) + 1)
	return append(slices.DeleteFunc(found, func(f answer) bool { return a.left.within(f.left) }), a)
}

// product joins each answer of a with each one of b, which is about other axes.
func (s *search) product(a, b []answer) []answer {
	if s.tooMuch(len(a) * len(b)) {
		return nil
	}
	out := make([]answer, 0, len(a)*len(b))
	for _, x := range a {
		for _, y := range b {
			j := answer{slices.Clone(x.left), slices.Clone(x.chosen)}
			j.left.join(y.left)
			for i, c := range y.chosen {
				if c != undecided {
					j.chosen[i] = c
				}
			}
			out = append(out, j)
		}
	}
	s.work += len(out) * (len(s.choices) + 1)
	return out
}

// tooMuch reports whether the search has to be given up, with n answers so far.
func (s *search) tooMuch(n int) bool {
	s.gaveUp = s.gaveUp || n > s.limit || s.work > maxWork
	return s.gaveUp
}
