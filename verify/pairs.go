package verify

import (
	"iter"
	"maps"
	"slices"
	"strings"

	"github.com/trafficpolicy/trafficpolicy/model"
	"github.com/trafficpolicy/trafficpolicy/verify/pods"
)

// groupPair is two groups that may select one pod, or the same group twice.
type groupPair struct{ a, b *group }

// byPriority returns the groups of each priority that occurs, in order, with the
// policies of that priority alone.
func byPriority(groups []*group) [][]*group {
	at := map[int][]*group{}
	for _, g := range groups {
		for ps := g.policies; len(ps) > 0; { // sorted by priority
			priority, n := ps[0].Priority, 1
			for n < len(ps) && ps[n].Priority == priority {
				n++
			}
			at[priority] = append(at[priority], &group{policies: ps[:n], minimal: g.minimal, err: g.err})
			ps = ps[n:]
		}
	}
	var out [][]*group
	for _, priority := range slices.Sorted(maps.Keys(at)) {
		out = append(out, at[priority])
	}
	return out
}

// pairsOf returns the pairs of groups whose matchLabels one pod can meet, each
// once. It looks at the pairs of key sets that occur and joins on the values of
// the keys that both have, so its cost is that of the answer.
func pairsOf(groups []*group) iter.Seq[groupPair] {
	scopes := newLabelScopes(groups)
	global := scopes.of[""]
	return func(yield func(groupPair) bool) {
		for _, x := range scopes.order {
			for i, s := range x.sets {
				others := x.sets[:i+1]
				if x != global {
					others = slices.Concat(others, global.sets)
				}
				for _, u := range others {
					if !s.join(u, yield) {
						return
					}
				}
			}
		}
	}
}

// pairsBetween returns the pairs of a group of as and one of bs whose matchLabels
// one pod can meet, at the same cost. A group that is in both makes a pair with
// itself.
func pairsBetween(as, bs []*group) iter.Seq[groupPair] {
	x, y := newLabelScopes(as), newLabelScopes(bs)
	return func(yield func(groupPair) bool) {
		for _, b := range y.order {
			for _, a := range x.meeting(b) {
				for _, s := range b.sets {
					for _, u := range a.sets {
						if !s.joinOther(u, yield) {
							return
						}
					}
				}
			}
		}
	}
}

// labelScopes holds groups by namespace.
type labelScopes struct {
	of    map[string]*labelIndex // "" is of the global ones, always there
	order []*labelIndex          // global first
}

func newLabelScopes(groups []*group) *labelScopes {
	x := &labelScopes{of: map[string]*labelIndex{}}
	scope := func(ns string) *labelIndex {
		if x.of[ns] == nil {
			x.of[ns] = newLabelIndex(ns)
			x.order = append(x.order, x.of[ns])
		}
		return x.of[ns]
	}
	scope("")
	for _, g := range groups {
		scope(g.policies[0].Namespace).add(g)
	}
	return x
}

// meeting returns the indexes of x whose groups can select the pods of those of y.
func (x *labelScopes) meeting(y *labelIndex) []*labelIndex {
	switch own := x.of[y.namespace]; {
	case y.namespace == "":
		return x.order
	case own == nil:
		return x.order[:1]
	default:
		return []*labelIndex{x.of[""], own}
	}
}

// labelIndex holds the groups of one namespace by the keys of their matchLabels.
type labelIndex struct {
	namespace string
	byKeys    map[string]*keySet
	sets      []*keySet // in the order of their first group
}

// keySet is the groups whose matchLabels have the same keys.
type keySet struct {
	keys   []string
	groups []*group
}

func newLabelIndex(ns string) *labelIndex {
	return &labelIndex{namespace: ns, byKeys: map[string]*keySet{}}
}

func (x *labelIndex) add(g *group) {
	var keys []string
	for _, l := range g.policies[0].Selector.MatchLabels {
		keys = append(keys, l.Key)
	}
	name := strings.Join(keys, "\x00")
	s := x.byKeys[name]
	if s == nil {
		s = &keySet{keys: keys}
		x.byKeys[name] = s
		x.sets = append(x.sets, s)
	}
	s.groups = append(s.groups, g)
}

// join yields the pairs of a group of s and one of u that agree on the keys that
// both have; where s and u are one, each pair once. It reports false where yield
// does.
func (s *keySet) join(u *keySet, yield func(groupPair) bool) bool {
	if s != u {
		return s.joinOther(u, yield)
	}
	byValues := map[string][]*group{}
	for _, g := range s.groups {
		v := valuesOf(g, s.keys)
		byValues[v] = append(byValues[v], g)
		for _, h := range byValues[v] {
			if !yield(groupPair{h, g}) {
				return false
			}
		}
	}
	return true
}

// joinOther is join of two sets that are not one: a is of u, b of s.
func (s *keySet) joinOther(u *keySet, yield func(groupPair) bool) bool {
	var common []string
	for _, k := range s.keys {
		if slices.Contains(u.keys, k) {
			common = append(common, k)
		}
	}
	byValues := map[string][]*group{}
	for _, g := range u.groups {
		v := valuesOf(g, common)
		byValues[v] = append(byValues[v], g)
	}
	for _, g := range s.groups {
		for _, h := range byValues[valuesOf(g, common)] {
			if !yield(groupPair{h, g}) {
				return false
			}
		}
	}
	return true
}

func valuesOf(g *group, keys []string) string {
	var b strings.Builder
	for _, k := range keys {
		b.WriteString(g.policies[0].Selector.MatchLabels.Get(k))
		b.WriteByte(0)
	}
	return b.String()
}

// pods returns the pods that have to be looked at for two policies of the pair,
// none where no pod can meet both selectors.
func (p *groupPair) pods(s *pods.Space) ([]pods.Pod, error) {
	if p.a == p.b {
		return p.a.minimal, p.a.err
	}
	return s.Minimal(p.a.policies[0], p.b.policies[0])
}

// each calls f with each two policies of the pair, the one that is evaluated
// first first. They are of one priority.
func (p *groupPair) each(f func(a, b *model.Policy)) {
	for i, a := range p.a.policies {
		others := p.b.policies
		if p.a == p.b {
			others = others[i+1:]
		}
		for _, b := range others {
			if model.ComparePolicies(a, b) < 0 {
				f(a, b)
			} else {
				f(b, a)
			}
		}
	}
}

// batches returns pairs in slices of n, the last one shorter. A slice is good until
// the next.
func batches(pairs iter.Seq[groupPair], n int) iter.Seq[[]groupPair] {
	return func(yield func([]groupPair) bool) {
		batch := make([]groupPair, 0, n)
		for p := range pairs {
			if batch = append(batch, p); len(batch) == n {
				if !yield(batch) {
					return
				}
				batch = batch[:0]
			}
		}
		if len(batch) > 0 {
			yield(batch)
		}
	}
}
