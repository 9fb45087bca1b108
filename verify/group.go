package verify

import (
	"context"
	"slices"
	"strings"

	"github.com/trafficpolicy/trafficpolicy/model"
	"github.com/trafficpolicy/trafficpolicy/verify/pods"
)

// group is the policies that select the same pods.
type group struct {
	policies []*model.Policy // in evaluation order
	minimal  []pods.Pod
	err      error // a *pods.TooManyError: minimal is not known
}

// groups returns the policies by what they select, in the order of their first
// policy, each with the pods that have to be looked at.
func (a *Analysis) groups(ctx context.Context) ([]*group, error) {
	return a.grouped.get(func() ([]*group, error) {
		var all []*group
		bySelector := map[string]*group{}
		for _, p := range a.Policies {
			key := selectorKey(p)
			g := bySelector[key]
			if g == nil {
				g = &group{}
				bySelector[key] = g
				all = append(all, g)
			}
			g.policies = append(g.policies, p)
		}
		space := a.space()
		err := inParallel(ctx, len(all), func(i int) error {
			all[i].minimal, all[i].err = space.Minimal(all[i].policies[0])
			return nil
		})
		return all, err
	})
}

// Codes of findings that need to know which pods could exist.
var (
	orderedCodes  = []model.Code{model.ShadowedRule, model.RedundantRule, model.UnreachablePeer, model.NoEffect, model.OverriddenPolicy}
	tellCodes     = []model.Code{model.ShadowedRule, model.RedundantRule}
	effectCodes   = []model.Code{model.NoEffect}
	equalCodes    = []model.Code{model.PriorityConflict, model.PriorityTie}
	dnsCodes      = []model.Code{model.NoDNS}
	possibleCodes = []model.Code{model.NoDNS, model.ClosedDirection, model.MetadataReachable, model.PrivateReachable}
)

// before reports whether a policy counts for whether rules of g are reached: those
// before the last policy of g do that have a rule for a direction for which g has one.
func (g *group) before() pods.Counts {
	last := g.policies[len(g.policies)-1]
	speaks := func(d model.Direction) bool {
		return slices.ContainsFunc(g.policies, func(p *model.Policy) bool { return len(p.Rules(d)) > 0 })
	}
	egress, ingress := speaks(model.Egress), speaks(model.Ingress)
	return func(p *model.Policy) bool {
		return model.ComparePolicies(p, last) < 0 && (egress && len(p.Rules(model.Egress)) > 0 || ingress && len(p.Rules(model.Ingress)) > 0)
	}
}

// exact returns the pods that tell who takes the packets of rules of g: see
// [pods.Space.Exact].
func (g *group) exact(s *pods.Space) ([]pods.Pod, error) {
	found, err := s.Exact(g.before(), g.policies[0])
	if err != nil {
		found, err = s.Exact(touching(g.before(), g.policies), g.policies[0])
	}
	return found, err
}

// reaching returns the pods that have to be looked at to know which rules of g are
// reached, and whether they are all that matter to whatever is asked about g.
func (g *group) reaching(s *pods.Space) (reaching []pods.Pod, all bool, err error) {
	if g.err == nil {
		return g.minimal, true, nil
	}
	reaching, err = s.MinimalAmong(touching(g.before(), g.policies), g.policies[0])
	return reaching, false, err
}

// selectorKey spells what p selects. No part can hold a NUL byte.
func selectorKey(p *model.Policy) string {
	var b strings.Builder
	b.WriteString(p.Namespace)
	for _, l := range p.Selector.MatchLabels {
		b.WriteString("\x00\x01" + l.Key + "\x00" + l.Value)
	}
	for _, r := range p.Selector.MatchExpressions {
		b.WriteString("\x00\x02" + r.Key + "\x00" + string(r.Operator) + "\x00" + strings.Join(r.Values, "\x00"))
	}
	return b.String()
}
