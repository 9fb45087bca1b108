package verify

import (
	"context"
	"slices"

	"github.com/trafficpolicy/trafficpolicy/model"
	"github.com/trafficpolicy/trafficpolicy/verify/pods"
)

// likes is policies of one kind, namespace and priority that select the same pods.
type likes struct {
	group
	between []*group // the others of the kind and priority that one of the pods can have
}

// alikes returns the likes of two and more, in the order of their first policies.
func (a *Analysis) alikes(groups []*group) []*likes {
	type key struct {
		priority int
		pods     string
	}
	var all []*likes
	byKey := map[key]*likes{}
	for _, p := range a.Policies {
		pods, ok := pods.Key(p)
		if !ok {
			continue
		}
		k := key{p.Priority, pods}
		if byKey[k] == nil {
			byKey[k] = &likes{}
			all = append(all, byKey[k])
		}
		byKey[k].policies = append(byKey[k].policies, p)
	}
	all = slices.DeleteFunc(all, func(l *likes) bool { return len(l.policies) < 2 })
	of := map[*model.Policy]*likes{}
	alike := map[int][]*group{} // by priority
	for _, l := range all {
		for _, p := range l.policies {
			of[p] = l
		}
		alike[l.policies[0].Priority] = append(alike[l.policies[0].Priority], &l.group)
	}
	for _, at := range byPriority(groups) {
		for p := range pairsBetween(alike[at[0].policies[0].Priority], at) {
			if l, q := of[p.a.policies[0]], p.b.policies[0]; of[q] != l && l.policies[0].Kind == q.Kind {
				l.between = append(l.between, p.b)
			}
		}
	}
	return all
}

// merger finds out which likes could be one policy. It is safe for concurrent use.
type merger struct{ *conflictFinder }

// runs returns the policies of l that could be one, two and more each: moved to the
// place of the first, none of them passes a policy that decides a packet otherwise.
func (m *merger) runs(ctx context.Context, l *likes) (out [][]*model.Policy) {
	run := l.policies[:1]
	crowds := map[*group][]*crowd{}
	for i, p := range l.policies[1:] {
		if ctx.Err() != nil {
			return nil // nobody looks
		}
		if m.passes(l, crowds, run[0], p) {
			run = run[:len(run)+1]
			continue
		}
		if len(run) > 1 {
			out = append(out, run)
		}
		run = l.policies[i+1 : i+2]
	}
	if len(run) > 1 {
		out = append(out, run)
	}
	return out
}

// passes reports whether p can stand right behind first: no policy between the two
// decides a packet of some pod otherwise.
func (m *merger) passes(l *likes, crowds map[*group][]*crowd, first, p *model.Policy) bool {
	for _, g := range l.between {
		for _, q := range g.policies {
			if model.ComparePolicies(q, first) <= 0 || model.ComparePolicies(q, p) >= 0 {
				continue
			}
			if !opposed(q.Rules(model.Egress), p.Rules(model.Egress)) && !opposed(q.Rules(model.Ingress), p.Rules(model.Ingress)) {
				continue
			}
			if m.conflict(l, crowds, g, q, p) {
				return false
			}
		}
	}
	return true
}

// conflict reports whether q of g, and p, decide some packet differently, or that
// this cannot be found out.
func (m *merger) conflict(l *likes, crowds map[*group][]*crowd, g *group, q, p *model.Policy) bool {
	at, known := crowds[g]
	if !known {
		found, err := m.analysis.space().Minimal(l.policies[0], g.policies[0])
		if err != nil {
			m.analysis.unchecked([]model.Code{model.Mergeable}, err, q, p)
			return true
		}
		for i := range found {
			at = append(at, m.crowd(&found[i]))
		}
		crowds[g] = at
	}
	for _, c := range at {
		x, err := c.conflict(q, p)
		if err != nil {
			m.analysis.unchecked([]model.Code{model.Mergeable}, err, q, p)
		}
		if x != nil || err != nil {
			return true
		}
	}
	return false
}

// merged returns the one policy that decides as ps do, one behind the other. A
// section that any of them declares, it declares.
func merged(ps []*model.Policy) *model.Policy {
	m := *ps[0]
	m.Egress, m.Ingress = mergedSection(ps, model.Egress), mergedSection(ps, model.Ingress)
	return &m
}

func mergedSection(ps []*model.Policy, d model.Direction) *model.Section {
	var m *model.Section
	for _, p := range ps {
		s := p.Section(d)
		if s == nil {
			continue
		}
		if m == nil {
			m = &model.Section{Pos: s.Pos}
		}
		m.Rules = append(m.Rules, s.Rules...)
	}
	return m
}
