package pods

import (
	"maps"
	"slices"

	"github.com/trafficpolicy/trafficpolicy/model"
)

// selector is a policy with what it asks of labels.
type selector struct {
	policy *model.Policy
	conds  conditions
}

// selectorIndex finds selectors by labels that they need. A selector is filed under
// one key that it needs, that of the fewest others, so few are tried in vain. Those
// that ask nothing are left out: what they select does not depend on labels.
type selectorIndex struct {
	byLabel map[string]map[string][]*selector // key and value, where only some values will do
	byKey   map[string][]*selector            // key, where any value will do
	rest    []*selector                       // need no label
}

// newSelectorIndex indexes the selectors of policies that some pod can meet.
func newSelectorIndex(all []*selector) *selectorIndex {
	x := &selectorIndex{byLabel: map[string]map[string][]*selector{}, byKey: map[string][]*selector{}}
	uses := map[model.Label]int{}
	for _, s := range all {
		for key, c := range s.conds {
			for v := range c.in {
				uses[model.Label{Key: key, Value: v}]++
			}
		}
	}
	for _, s := range all {
		if len(s.conds) > 0 {
			x.file(s, uses)
		}
	}
	return x
}

func (x *selectorIndex) file(s *selector, uses map[model.Label]int) {
	best, least, exists := "", 0, ""
	for _, key := range slices.Sorted(maps.Keys(s.conds)) {
		c := s.conds[key]
		switch {
		case c.in != nil:
			n := 0
			for v := range c.in {
				n += uses[model.Label{Key: key, Value: v}]
			}
			if best == "" || n < least {
				best, least = key, n
			}
		case c.must:
			exists = key
		}
	}
	switch {
	case best != "":
		if x.byLabel[best] == nil {
			x.byLabel[best] = map[string][]*selector{}
		}
		for v := range s.conds[best].in {
			x.byLabel[best][v] = append(x.byLabel[best][v], s)
		}
	case exists != "":
		x.byKey[exists] = append(x.byKey[exists], s)
	default:
		x.rest = append(x.rest, s)
	}
}

// collector gathers selectors for which wanted holds, each once.
type collector struct {
	wanted func(*selector) bool
	seen   map[*selector]bool
	found  []*selector
}

func collect(wanted func(*selector) bool) *collector {
	return &collector{wanted: wanted, seen: map[*selector]bool{}}
}

func (c *collector) add(ss []*selector) {
	for _, s := range ss {
		if !c.seen[s] {
			c.seen[s] = true
			if c.wanted(s) {
				c.found = append(c.found, s)
			}
		}
	}
}

// sorted returns what was found, in evaluation order.
func (c *collector) sorted() []*selector {
	slices.SortFunc(c.found, func(a, b *selector) int { return model.ComparePolicies(a.policy, b.policy) })
	return c.found
}

// compatible adds to c the selectors that a pod that meets conds may meet.
func (x *selectorIndex) compatible(conds conditions, c *collector) {
	c.add(x.rest)
	for key, ss := range x.byKey {
		if a := conds[key]; a == nil || !a.absent {
			c.add(ss)
		}
	}
	for key, byValue := range x.byLabel {
		if a := conds[key]; a != nil && a.in != nil {
			for v := range a.in {
				c.add(byValue[v])
			}
			continue
		}
		for _, ss := range byValue {
			c.add(ss)
		}
	}
}

// within adds to c the selectors that a pod may meet that has no keys but those of
// axes, and for each one of its options.
func (x *selectorIndex) within(axes []axis, c *collector) {
	c.add(x.rest)
	for i := range axes {
		a := &axes[i]
		byValue := x.byLabel[a.key]
		for _, o := range a.options {
			if o.present {
				c.add(byValue[o.value])
			}
		}
		if slices.ContainsFunc(a.options, func(o option) bool { return o.present }) {
			c.add(x.byKey[a.key])
		}
	}
}
