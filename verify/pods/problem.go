package pods

import "slices"

// problem is what to choose for each key so that few of some selectors are met. A
// choice rids the pod of the selectors that it does not meet, whatever the others
// are; so the fewest selectors are met by choices that together rid it of the most.
type problem struct {
	axes    []axis
	varying []*selector
	choices [][]choice // by axis
}

// choice is the options of an axis that meet the same selectors.
type choice struct {
	option int // the first one
	rids   set // indices in varying of the selectors that it does not meet
}

func newProblem(axes []axis, varying []*selector) *problem {
	p := &problem{axes, varying, make([][]choice, len(axes))}
	if len(varying) == 0 {
		for i := range axes {
			p.choices[i] = []choice{{}}
		}
		return p
	}
	asking := map[string][]int{} // by key
	for i, s := range varying {
		for key := range s.conds {
			asking[key] = append(asking[key], i)
		}
	}
	for i := range axes {
		p.choices[i] = p.choicesOf(&axes[i], asking[axes[i].key])
	}
	return p
}

// choicesOf returns what the selectors that ask for the key of a tell apart.
func (p *problem) choicesOf(a *axis, asking []int) []choice {
	var out []choice
	seen := map[string]bool{}
	for i, o := range a.options {
		rids := newSet(len(p.varying))
		for _, n := range asking {
			if !p.varying[n].conds[a.key].holds(o) {
				rids.add(n)
			}
		}
		if key := rids.spell(); !seen[key] {
			seen[key] = true
			out = append(out, choice{i, rids})
		}
	}
	return out
}

// minimal returns, for each minimal set of selectors that can be met, the option
// of each axis that it takes. The error is a *TooManyError without policies, also
// where there are more than limit.
func (p *problem) minimal(limit int) ([][]int, error) {
	if len(p.varying) == 0 {
		return [][]int{make([]int, len(p.axes))}, nil
	}
	s := &search{choices: p.choices, limit: limit}
	open := make([]int, len(p.axes))
	for i := range open {
		open[i] = i
	}
	all := fullSet(len(p.varying))
	found := s.solve(all, open)
	if s.gaveUp {
		return nil, &TooManyError{Keys: p.manyKeys(all, open)}
	}
	out := make([][]int, len(found))
	for i, f := range found {
		out[i] = p.options(&f)
	}
	return out, nil
}

// manyKeys returns the keys of which no choice is the best.
func (p *problem) manyKeys(left set, open []int) []string {
	s := &search{choices: p.choices}
	_, undecided := s.settle(left, open, s.nothing())
	var keys []string
	for _, u := range undecided {
		keys = append(keys, p.axes[u.axis].key)
	}
	slices.Sort(keys)
	return keys
}

// options returns the options of an answer, of those that leave the same selectors
// the first ones: that is without the label, if it makes no difference.
func (p *problem) options(f *answer) []int {
	gone := fullSet(len(p.varying)).minus(f.left)
	before := make([]set, len(p.choices)+1) // by axis: gone by the axes before it
	before[0] = newSet(len(p.varying))
	for i, c := range f.chosen {
		before[i+1] = before[i].plus(p.choices[i][c].rids)
	}
	options := make([]int, len(f.chosen))
	after := newSet(len(p.varying)) // gone by the axes behind
	for i := len(f.chosen) - 1; i >= 0; i-- {
		need := gone.minus(before[i]).minus(after)
		c := slices.IndexFunc(p.choices[i], func(c choice) bool { return need.within(c.rids) && c.rids.within(gone) })
		after.join(p.choices[i][c].rids)
		options[i] = p.choices[i][c].option
	}
	return options
}
