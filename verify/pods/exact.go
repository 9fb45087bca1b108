package pods

import (
	"maps"
	"slices"

	"github.com/trafficpolicy/trafficpolicy/model"
)

// maxPartial is how many pods [Space.Exact] returns where there are too many.
const maxPartial = 1 << 8

// Exact returns the pods that p selects and would not select with any of their
// labels taken away. With matchLabels alone that is one pod, with exactly p's
// labels. In has one for each of its values, Exists one for each value that a
// selector mentions and one for another; under NotIn and DoesNotExist the key is
// absent. Of pods with the same policies, of those that count, the first is kept.
// The error is a *TooManyError; the pods are some of them then.
func (s *Space) Exact(counts Counts, p *model.Policy) ([]Pod, error) {
	conds, ok := merge(p)
	if !ok {
		return nil, nil
	}
	sc := s.scopes[p.Namespace]
	var axes []axis
	for _, key := range slices.Sorted(maps.Keys(conds)) {
		c := conds[key]
		if !c.must {
			continue
		}
		a := axis{key: key}
		for _, v := range sc.allowed(key, c) {
			a.options = append(a.options, option{true, v})
		}
		axes = append(axes, a)
	}
	choices := newProblem(axes, sc.varying(axes, counts)).choices
	n := 1
	var err error
	for _, cs := range choices {
		if n *= len(cs); n > s.Limit {
			n, err = min(n, maxPartial), tooMany([]*model.Policy{p}, &TooManyError{Keys: keysOfMany(axes, choices)})
			break
		}
	}
	return dropRepeated(s.assignments(p.Namespace, axes, choices, n), counts), err
}

// keysOfMany returns the keys that there is a choice of.
func keysOfMany(axes []axis, choices [][]choice) []string {
	var keys []string
	for i, cs := range choices {
		if len(cs) > 1 {
			keys = append(keys, axes[i].key)
		}
	}
	return keys
}

// allowed returns the values that c lets a key have, those that no selector
// mentions as one.
func (sc *scope) allowed(key string, c *condition) []string {
	of := c.in
	if of == nil {
		of = maps.Clone(sc.values[key])
		of[sc.fresh(key)] = true
	}
	return slices.DeleteFunc(slices.Sorted(maps.Keys(of)), func(v string) bool { return !c.allows(v) })
}

// assignments returns the pods of the first n combinations of choices, that of the
// first axis changing fastest.
func (s *Space) assignments(ns string, axes []axis, choices [][]choice, n int) []Pod {
	found := make([]Pod, 0, n)
	at, options := make([]int, len(axes)), make([]int, len(axes))
	for range n {
		for i := range at {
			options[i] = choices[i][at[i]].option
		}
		found = append(found, s.pod(ns, axes, options))
		for i := range at { // next combination
			if at[i]++; at[i] < len(choices[i]) {
				break
			}
			at[i] = 0
		}
	}
	return found
}

// dropRepeated drops pods with the same policies, of those that count, as an
// earlier one.
func dropRepeated(ps []Pod, counts Counts) []Pod {
	type ends struct {
		n           int
		first, last *model.Policy
	}
	seen := map[ends][][]*model.Policy{}
	return slices.DeleteFunc(ps, func(p Pod) bool {
		counting := slices.DeleteFunc(slices.Clone(p.Policies), func(q *model.Policy) bool { return !counts.of(q) })
		var key ends
		if key.n = len(counting); key.n > 0 {
			key.first, key.last = counting[0], counting[key.n-1]
		}
		if slices.ContainsFunc(seen[key], func(qs []*model.Policy) bool { return slices.Equal(qs, counting) }) {
			return true
		}
		seen[key] = append(seen[key], counting)
		return false
	})
}
