package pods

import (
	"maps"
	"slices"

	"github.com/trafficpolicy/trafficpolicy/model"
)

// Exact returns the pods that p selects and would not select with any of their
// labels taken away. With matchLabels alone that is one pod, with exactly p's
// labels. In has one for each of its values, Exists one for each value that a
// selector mentions and one for another; under NotIn and DoesNotExist the key is
// absent. Of pods with the same policies the first is kept. The error is a
// *TooManyError.
func (s *Space) Exact(p *model.Policy) ([]Pod, error) {
	conds, ok := merge([]*model.Policy{p})
	if !ok {
		return nil, nil
	}
	sc := s.scopes[p.Namespace]
	var axes []axis
	n := 1
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
		if n *= len(a.options); n > MaxPods {
			return nil, tooMany([]*model.Policy{p}, axes)
		}
	}
	return dropRepeated(s.assignments(p.Namespace, axes, n)), nil
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

// dropRepeated drops pods with the same policies as an earlier one.
func dropRepeated(ps []Pod) []Pod {
	type ends struct {
		n           int
		first, last *model.Policy
	}
	seen := map[ends][]Pod{}
	return slices.DeleteFunc(ps, func(p Pod) bool {
		var key ends
		if key.n = len(p.Policies); key.n > 0 {
			key.first, key.last = p.Policies[0], p.Policies[key.n-1]
		}
		if slices.ContainsFunc(seen[key], func(q Pod) bool { return slices.Equal(q.Policies, p.Policies) }) {
			return true
		}
		seen[key] = append(seen[key], p)
		return false
	})
}
