package pods

import (
	"maps"
	"slices"
	"strconv"

	"github.com/trafficpolicy/trafficpolicy/model"
)

// condition is what selectors together ask of one key.
type condition struct {
	must   bool            // the key must be there
	absent bool            // it must not
	in     map[string]bool // allowed values; nil is any
	notIn  map[string]bool
}

func (c *condition) allows(v string) bool { return (c.in == nil || c.in[v]) && !c.notIn[v] }

// holds reports whether o meets c.
func (c *condition) holds(o option) bool {
	if !o.present {
		return !c.must
	}
	return !c.absent && c.allows(o.value)
}

// negative reports whether c holds without the key and may be lost with it.
func (c *condition) negative() bool { return c.absent || len(c.notIn) > 0 }

// conditions is what selectors together ask, by key.
type conditions map[string]*condition

// merge joins the selectors of ps. It reports false when no pod can meet all of
// them.
func merge(ps ...*model.Policy) (conditions, bool) {
	conds := conditions{}
	of := func(key string) *condition {
		if conds[key] == nil {
			conds[key] = &condition{notIn: map[string]bool{}}
		}
		return conds[key]
	}
	for _, p := range ps {
		for _, l := range p.Selector.MatchLabels {
			of(l.Key).require([]string{l.Value})
		}
		for _, r := range p.Selector.MatchExpressions {
			switch c := of(r.Key); r.Operator {
			case model.In:
				c.require(r.Values)
			case model.NotIn:
				for _, v := range r.Values {
					c.notIn[v] = true
				}
			case model.Exists:
				c.must = true
			case model.DoesNotExist:
				c.absent = true
			}
		}
	}
	for _, c := range conds {
		if c.must && c.absent {
			return nil, false
		}
		if c.in != nil && !slices.ContainsFunc(slices.Collect(maps.Keys(c.in)), c.allows) {
			return nil, false
		}
	}
	return conds, true
}

// require narrows the allowed values to those in values.
func (c *condition) require(values []string) {
	c.must = true
	in := map[string]bool{}
	for _, v := range values {
		if c.in == nil || c.in[v] {
			in[v] = true
		}
	}
	c.in = in
}

// option is one thing that a pod can have for a key.
type option struct {
	present bool
	value   string
}

// axis is a key with the options that selectors tell apart, the one that gains
// no policy first.
type axis struct {
	key     string
	options []option
}

// axes returns, sorted by key, what pods that meet conds can differ in, where
// negative are the selectors with a NotIn or DoesNotExist that count and that such
// a pod may meet. Keys that only positive conditions mention are left out: a pod
// without them is selected by fewer policies.
func (sc *scope) axes(conds conditions, negative []*selector) []axis {
	notIn := map[string]map[string]bool{}
	for _, s := range negative {
		for key, c := range s.conds {
			if !c.negative() {
				continue
			}
			if notIn[key] == nil {
				notIn[key] = map[string]bool{}
			}
			for v := range c.notIn {
				notIn[key][v] = true
			}
		}
	}
	keys := slices.Collect(maps.Keys(conds))
	for k := range notIn {
		if conds[k] == nil {
			keys = append(keys, k)
		}
	}
	slices.Sort(keys)
	var out []axis
	for _, k := range keys {
		c := conds[k]
		if c == nil {
			c = &condition{}
		}
		out = append(out, axis{k, sc.options(k, c, notIn[k])})
	}
	return out
}

// options returns what a pod can have for key under c. notIn are the values that
// compatible policies exclude, nil where none has a negative condition on key.
func (sc *scope) options(key string, c *condition, notIn map[string]bool) []option {
	if c.absent {
		return []option{{}}
	}
	var out []option
	if c.in != nil {
		unmentioned := false
		for _, v := range slices.Sorted(maps.Keys(c.in)) {
			if !c.allows(v) {
				continue
			}
			// The policy's own mention is in sc.values too, so this only ever
			// keeps values apart that could be one.
			if !sc.values[key][v] {
				if unmentioned {
					continue
				}
				unmentioned = true
			}
			out = append(out, option{true, v})
		}
		return out
	}
	if !c.must {
		out = append(out, option{})
		if notIn == nil {
			return out
		}
	}
	out = append(out, option{true, sc.fresh(key)})
	for _, v := range slices.Sorted(maps.Keys(notIn)) {
		if c.allows(v) {
			out = append(out, option{true, v})
		}
	}
	return out
}

// fresh returns a value for key that no selector mentions.
func (sc *scope) fresh(key string) string {
	for i := 1; ; i++ {
		v := "any"
		if i > 1 {
			v += strconv.Itoa(i)
		}
		if !sc.values[key][v] {
			return v
		}
	}
}

// compatible reports whether some pod that meets conds could meet own too.
func (own conditions) compatible(conds conditions) bool {
	for k, a := range own {
		if b := conds[k]; b != nil && !a.compatible(b) {
			return false
		}
	}
	return true
}

// compatible reports whether something that a pod can have for the key meets both,
// which each can be met.
func (a *condition) compatible(b *condition) bool {
	if a.must && b.absent || a.absent && b.must {
		return false
	}
	in, other := a, b
	if in.in == nil {
		in, other = b, a
	}
	if in.in == nil {
		return true
	}
	for v := range in.in {
		if in.allows(v) && other.allows(v) {
			return true
		}
	}
	return false
}
