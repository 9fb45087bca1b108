package verify

import (
	"context"
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
