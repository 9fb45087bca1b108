package verify

import (
	"context"
	"fmt"
	"slices"
	"strings"

	"github.com/trafficpolicy/trafficpolicy/compiler/space"
	"github.com/trafficpolicy/trafficpolicy/model"
)

// mergeablePolicies reports policies of one kind, namespace, priority and selector
// that could be one, with that one (TP605).
func mergeablePolicies(ctx context.Context, a *Analysis) ([]model.Finding, error) {
	groups, err := a.groups(ctx)
	if err != nil {
		return nil, err
	}
	all := a.alikes(groups)
	m := &merger{newConflictFinder(a)}
	found := make([][]model.Finding, len(all))
	err = inParallel(ctx, len(all), func(i int) error {
		for _, ps := range m.runs(ctx, all[i]) {
			found[i] = append(found[i], mergeable(ps))
		}
		return nil
	})
	return slices.Concat(found...), err
}

func mergeable(ps []*model.Policy) model.Finding {
	first, where := ps[0], "the cluster"
	if first.Kind == model.TrafficPolicy {
		where = "namespace " + first.Namespace
	}
	f := model.NewFinding(model.Mergeable, first.Pos, fmt.Sprintf("%d policies of %s select the same pods with priority %d and could be one: %s",
		len(ps), where, first.Priority, policyNames(ps)))
	f = aboutPolicy(f, first)
	for _, p := range ps[1:min(len(ps), space.MaxCover+1)] {
		f.Related = append(f.Related, relatedPolicy(p, "selects the same pods with the same priority"))
	}
	f.RelatedOmitted = max(0, len(ps)-1-space.MaxCover)
	f.Suggestion = "# decides the same, in place of all of them\n" + strings.TrimSuffix(policyYAML(merged(ps)), "\n")
	return f
}
