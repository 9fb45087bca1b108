package verify

import (
	"context"
	"fmt"
	"net/netip"
	"slices"

	"github.com/trafficpolicy/trafficpolicy/compiler/space"
	"github.com/trafficpolicy/trafficpolicy/model"
)

// closedDirections reports policies for whose pods some pod has no policy that
// declares one direction, which the default deny then closes (TP302), each policy
// and direction once.
//
// It does not need an inventory: a pod with more policies has more that are
// declared, so what is closed at one of its pods is so at a minimal pod.
func closedDirections(ctx context.Context, a *Analysis) ([]model.Finding, error) {
	if a.Options.IsolateByDirection {
		return nil, nil
	}
	senses, err := a.senses(ctx)
	if err != nil {
		return nil, err
	}
	subjects := senses[0].subjects // those that could exist
	var out []model.Finding
	said := map[*model.Policy]*[2]bool{}
	for i := range subjects {
		s := &subjects[i]
		for _, d := range model.Directions {
			if slices.ContainsFunc(s.policies, func(p *model.Policy) bool { return p.Section(d) != nil }) {
				continue
			}
			for _, p := range s.policies {
				if said[p] == nil {
					said[p] = &[2]bool{}
				}
				if !said[p][d] {
					said[p][d] = true
					out = append(out, closedDirection(p, d, s))
				}
			}
		}
	}
	return out, nil
}

// anyPacket is one that no rule is about, where none is.
var anyPacket = space.Packet{Addr: netip.MustParseAddr("192.0.2.1"), L4: nicePoint}

func closedDirection(p *model.Policy, d model.Direction, s *subject) model.Finding {
	f := model.NewFinding(model.ClosedDirection, p.Pos, fmt.Sprintf(
		"%s closes %s of pods such as %s: no policy that selects them speaks of %s, so that the default deny holds", p.Ref(), d, s.name(), d))
	f = aboutPolicy(f, p)
	f.Witness = s.witness(d, &anyPacket)
	f.Suggestion = fmt.Sprintf("write the %s rules that the pods need, or %s: {} where closed is what is meant", d, d)
	return f
}
