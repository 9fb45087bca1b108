package verify

import (
	"context"
	"fmt"
	"slices"

	"github.com/trafficpolicy/trafficpolicy/compiler/space"
	"github.com/trafficpolicy/trafficpolicy/model"
)

// overriddenPolicies reports policies whose rules have packets, all of which
// policies before them take (TP203).
func overriddenPolicies(ctx context.Context, a *Analysis) ([]model.Finding, error) {
	var out []model.Finding
	err := a.inEach(ctx, func(o, said *order) {
		for _, p := range a.Policies {
			if o.overridden(p) && !(said != nil && said.overridden(p)) {
				out = append(out, o.overriddenPolicy(p))
			}
		}
	})
	return out, err
}

// overridden reports whether rules of p have packets and none is live.
func (o *order) overridden(p *model.Policy) bool {
	if o.unknown[o.a.numbers()[p]] {
		return false
	}
	own := false
	for _, d := range model.Directions {
		for _, f := range o.of(p, d) {
			if f.live {
				return false
			}
			own = own || f.own
		}
	}
	return own
}

func (o *order) overriddenPolicy(p *model.Policy) model.Finding {
	var takers []*model.Policy
	var first *ruleFate
	var direction model.Direction
	for _, d := range model.Directions {
		for i := range o.of(p, d) {
			f := &o.of(p, d)[i]
			if !f.own {
				continue
			}
			for _, c := range append([]int32{f.rule.Winner}, f.rule.Cover...) {
				// A cover may name rules of p itself, which take nothing either.
				if q := f.at.ref(d, c).Policy; q != p && !slices.Contains(takers, q) {
					takers = append(takers, q)
				}
			}
			if first == nil {
				first, direction = f, d
			}
		}
	}
	out := o.finding(model.OverriddenPolicy, p.Pos, "no rule of %s is ever reached: %s %s all their packets first%s",
		p.Ref(), policyNames(takers), plural(len(takers), "takes", "take"), assuming(&first.rule.Witness))
	out = aboutPolicy(out, p)
	for _, q := range takers[:min(len(takers), space.MaxCover)] {
		out.Related = append(out.Related, relatedPolicy(q, fmt.Sprintf("is evaluated first, with priority %d", q.Priority)))
	}
	out.RelatedOmitted = max(0, len(takers)-space.MaxCover)
	out.Witness = first.at.witness(direction, &first.rule.Witness)
	out.Suggestion = "change its priority, or " + o.remove("delete the policy")
	return out
}

// policyNames names the first few of ps.
func policyNames(ps []*model.Policy) string {
	var l nameList
	for _, p := range ps {
		l.add(policyName{p})
	}
	return l.String()
}

type policyName struct{ *model.Policy }

func (p policyName) String() string { return p.Ref() }
