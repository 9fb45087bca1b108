package synth

import (
	"maps"
	"slices"

	"github.com/trafficpolicy/trafficpolicy/model"
)

// Shrink returns a smallest cluster that still fails: no policy, rule, peer, port
// or condition of a selector, no pod, Service or endpoints can be left out. The
// cluster given is not changed.
func Shrink(c *Cluster, fails func(*Cluster) bool) *Cluster {
	for {
		smaller := c.lessByOne()
		i := slices.IndexFunc(smaller, fails)
		if i < 0 {
			return c
		}
		c = smaller[i]
	}
}

// lessByOne returns every cluster that lacks one thing of c, the largest first.
// The last peer and the last port of a rule stay: without, it matches more.
func (c *Cluster) lessByOne() []*Cluster {
	var out []*Cluster
	for i := range c.Policies {
		out = append(out, c.withPolicies(without(c.Policies, i)))
	}
	out = append(out, c.lessInventory()...)
	for i, p := range c.Policies {
		for _, q := range lessPolicy(p) {
			set := slices.Clone(c.Policies)
			set[i] = q
			out = append(out, c.withPolicies(set))
		}
	}
	return out
}

func (c *Cluster) withPolicies(ps []*model.Policy) *Cluster {
	d := *c
	d.Policies = ps
	return &d
}

func (c *Cluster) lessInventory() []*Cluster {
	var out []*Cluster
	with := func(change func(*model.Inventory)) {
		d, inv := *c, *c.Inventory
		change(&inv)
		d.Inventory = &inv
		out = append(out, &d)
	}
	for i := range c.Inventory.Pods {
		with(func(inv *model.Inventory) { inv.Pods = without(inv.Pods, i) })
	}
	for i := range c.Inventory.Services {
		with(func(inv *model.Inventory) { inv.Services = without(inv.Services, i) })
	}
	for i := range c.Inventory.Endpoints {
		with(func(inv *model.Inventory) { inv.Endpoints = without(inv.Endpoints, i) })
	}
	for _, name := range slices.Sorted(maps.Keys(c.Resolve)) {
		d := *c
		d.Resolve = maps.Clone(c.Resolve)
		delete(d.Resolve, name)
		out = append(out, &d)
	}
	return out
}

func lessPolicy(p *model.Policy) []*model.Policy {
	var out []*model.Policy
	change := func(f func(*model.Policy)) {
		q := *p
		f(&q)
		out = append(out, &q)
	}
	for i := range p.Selector.MatchLabels {
		change(func(q *model.Policy) { q.Selector.MatchLabels = without(p.Selector.MatchLabels, i) })
	}
	for i := range p.Selector.MatchExpressions {
		change(func(q *model.Policy) { q.Selector.MatchExpressions = without(p.Selector.MatchExpressions, i) })
	}
	for _, d := range model.Directions {
		for _, s := range lessSection(p.Section(d)) {
			change(func(q *model.Policy) {
				if d == model.Egress {
					q.Egress = s
				} else {
					q.Ingress = s
				}
			})
		}
	}
	return out
}

func lessSection(s *model.Section) []*model.Section {
	if s == nil {
		return nil
	}
	if len(s.Rules) == 0 {
		return []*model.Section{nil}
	}
	var out []*model.Section
	for i, r := range s.Rules {
		out = append(out, &model.Section{Rules: without(s.Rules, i)})
		with := func(q model.Rule) {
			rules := slices.Clone(s.Rules)
			rules[i] = q
			out = append(out, &model.Section{Rules: rules})
		}
		for j := range r.Peers {
			if q := r; len(r.Peers) > 1 {
				q.Peers = without(r.Peers, j)
				with(q)
			}
		}
		for j := range r.Ports {
			if q := r; len(r.Ports) > 1 {
				q.Ports = without(r.Ports, j)
				with(q)
			}
		}
		if q := r; len(r.Ports) == 1 {
			q.Ports = nil
			with(q)
		}
	}
	return out
}

// without returns s without element i, in new memory; nil for no elements.
func without[T any](s []T, i int) []T {
	if len(s) == 1 {
		return nil
	}
	return slices.Concat(s[:i], s[i+1:])
}
