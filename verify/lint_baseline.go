package verify

import (
	"context"
	"fmt"
	"slices"

	"github.com/trafficpolicy/trafficpolicy/compiler"
	"github.com/trafficpolicy/trafficpolicy/compiler/space"
	"github.com/trafficpolicy/trafficpolicy/model"
)

// overriddenDenial is a denial of a GlobalTrafficPolicy with what overrides it.
type overriddenDenial struct {
	best override
	at   *subject                        // where best is
	by   map[*model.Policy]model.RuleRef // a rule of each TrafficPolicy, of at most [space.MaxCover]
}

// overriddenDenials are the denials by rule.
type overriddenDenials map[model.RuleRef]*overriddenDenial

// overriddenBaselines reports denials of GlobalTrafficPolicies that do not hold for
// some packet, because an allow of a TrafficPolicy comes first (TP606).
func overriddenBaselines(ctx context.Context, a *Analysis) ([]model.Finding, error) {
	groups, err := a.groups(ctx)
	if err != nil {
		return nil, err
	}
	always, err := a.overriddenAtAny(ctx, groups, a.Unknown())
	if err != nil {
		return nil, err
	}
	out := always.findings(a, model.Always, nil)
	if !a.Input.InventoryGiven {
		return out, nil
	}
	var here overriddenDenials
	if len(a.Inventory.Pods)+len(a.Inventory.Templates) == 0 {
		here, err = a.overriddenAtAny(ctx, groups, a.Resolver())
	} else {
		m, found := a.denialMeetings(a.Resolver())
		here, err = found, m.at(ctx, a.governed())
	}
	if err != nil {
		return nil, err
	}
	return append(out, here.findings(a, model.InInventory, always)...), nil
}

// denialMeetings returns what fills in found from the pods that it judges. Of a
// denial that enough TrafficPolicies override no more is looked for.
func (a *Analysis) denialMeetings(r *compiler.Resolver) (m *meetings[[]override], found overriddenDenials) {
	found = overriddenDenials{}
	finder := newOverrideFinder(a, r)
	take := func(s *subject, os []override) {
		for i := range os {
			if found.add(s, &os[i]) {
				finder.settle(os[i].deny)
			}
		}
	}
	return &meetings[[]override]{a: a, code: model.BaselineOverridden, judge: finder.find, take: take}, found
}

// add takes over o, found at s. It reports whether that is enough of its denial.
func (ds overriddenDenials) add(s *subject, o *override) (enough bool) {
	d := ds[o.deny]
	switch {
	case d == nil:
		d = &overriddenDenial{best: *o, at: s, by: map[*model.Policy]model.RuleRef{}}
		ds[o.deny] = d
	case len(d.by) == space.MaxCover:
		return true
	case o.compare(&d.best) < 0:
		d.best, d.at = *o, s
	}
	if _, seen := d.by[o.allow.Policy]; !seen {
		d.by[o.allow.Policy] = o.allow
	}
	return len(d.by) == space.MaxCover
}

// overriddenAtAny returns the denials overridden at a pod that could exist, names
// resolved by r. A pod with more policies than a denial's and an allow rule's own
// has no more of it, so each two groups are looked at by themselves.
func (a *Analysis) overriddenAtAny(ctx context.Context, groups []*group, r *compiler.Resolver) (overriddenDenials, error) {
	m, found := a.denialMeetings(r)
	allow := groupsWith(groups, model.TrafficPolicy, allowing)
	deny := groupsWith(groups, model.GlobalTrafficPolicy, denies)
	pairs := func(yield func(groupPair) bool) {
		for p := range pairsBetween(allow, deny) {
			if p.mayOverride() && !yield(p) {
				return
			}
		}
	}
	return found, m.all(ctx, pairs)
}

// groupsWith returns the groups of the kind with a policy that has such a rule.
func groupsWith(groups []*group, kind model.PolicyKind, is func(model.Rule) bool) (out []*group) {
	has := func(p *model.Policy) bool {
		return slices.ContainsFunc(p.Rules(model.Egress), is) || slices.ContainsFunc(p.Rules(model.Ingress), is)
	}
	for _, g := range groups {
		if g.policies[0].Kind == kind && slices.ContainsFunc(g.policies, has) {
			out = append(out, g)
		}
	}
	return out
}

// mayOverride reports whether the first TrafficPolicy of p.a comes before the last
// GlobalTrafficPolicy of p.b.
func (p *groupPair) mayOverride() bool {
	return model.ComparePolicies(p.a.policies[0], p.b.policies[len(p.b.policies)-1]) < 0
}

// findings reports the denials, in evaluation order, that are not in said.
func (ds overriddenDenials) findings(a *Analysis, scope model.Scope, said overriddenDenials) (out []model.Finding) {
	for _, p := range a.Policies {
		for _, d := range model.Directions {
			for i := range p.Rules(d) {
				ref := model.RuleRef{Policy: p, Direction: d, Index: i}
				if found := ds[ref]; found != nil && said[ref] == nil {
					f := found.finding()
					f.Scope = scope
					out = append(out, f)
				}
			}
		}
	}
	return out
}

func (d *overriddenDenial) finding() model.Finding {
	o := &d.best
	first := o.allow.Policy.Priority
	f := model.NewFinding(model.BaselineOverridden, o.deny.Rule().Pos, fmt.Sprintf(
		"the %s of %s does not hold for %s: %s, of priority %d, %s it first%s", o.deny.Rule().Action, matches(o.deny.Rule()),
		packetName(&o.packet), o.allow, first, does(o.allow.Rule().Action), assuming(&o.packet)))
	f = aboutRule(f, o.deny)
	d.by[o.allow.Policy] = o.allow
	by := []model.RuleRef{o.allow} // the one of the packet before all others
	for _, r := range d.by {
		first = min(first, r.Policy.Priority)
		if r != o.allow {
			by = append(by, r)
		}
	}
	slices.SortFunc(by[1:], func(a, b model.RuleRef) int { return model.ComparePolicies(a.Policy, b.Policy) })
	for _, r := range by {
		f.Related = append(f.Related, relatedRule(r, decidesFirst(r)))
	}
	f.Witness = d.at.witness(o.deny.Direction, &o.packet)
	f.Suggestion = "accept it with # trafficpolicy:ignore TP606 REASON where TrafficPolicies may make exceptions"
	if first > model.MinPriority {
		f.Suggestion = fmt.Sprintf("move it to a GlobalTrafficPolicy with a priority below %d, or %s", first, f.Suggestion)
	}
	return f
}
