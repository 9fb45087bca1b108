package verify

import (
	"context"
	"fmt"
	"maps"
	"slices"

	"github.com/trafficpolicy/trafficpolicy/compiler"
	"github.com/trafficpolicy/trafficpolicy/model"
)

// broadSelectors reports TrafficPolicies that select every pod of their namespace,
// or by one label alone (TP502). A GlobalTrafficPolicy is meant to be broad.
func broadSelectors(_ context.Context, a *Analysis) ([]model.Finding, error) {
	var out []model.Finding
	for _, p := range a.Policies {
		if p.Kind != model.TrafficPolicy {
			continue
		}
		var what string
		switch keys := selectorKeys(&p.Selector); {
		case len(keys) == 0:
			what = "every pod of namespace " + p.Namespace
		case len(keys) == 1 && len(p.Selector.MatchLabels)+len(p.Selector.MatchExpressions) > 1: // asked twice
			what = "pods by one label alone, " + slices.Collect(maps.Keys(keys))[0]
		case len(keys) == 1:
			what = fmt.Sprintf("pods by one label alone, %s", compiler.NewSelector(&p.Selector))
		default:
			continue
		}
		f := aboutPolicy(model.NewFinding(model.BroadSelector, p.Pos, fmt.Sprintf("%s selects %s", p.Ref(), what)), p)
		f.Field = "spec.selector"
		f.Suggestion = "select by several labels, such as app, environment and team"
		out = append(out, f)
	}
	return out, nil
}

// selectorKeys returns the labels that s asks about, whether of matchLabels or of
// matchExpressions, each once.
func selectorKeys(s *model.Selector) map[string]bool {
	keys := map[string]bool{}
	for _, l := range s.MatchLabels {
		keys[l.Key] = true
	}
	for _, r := range s.MatchExpressions {
		keys[r.Key] = true
	}
	return keys
}
