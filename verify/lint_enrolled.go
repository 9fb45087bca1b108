package verify

import (
	"context"

	"github.com/trafficpolicy/trafficpolicy/model"
)

// notEnrolled reports policies that select pods or templates without the
// annotations that put a pod under policy (TP404): they are not enforced there.
// Pods that no policy can apply to in any case do not count.
func notEnrolled(_ context.Context, a *Analysis) ([]model.Finding, error) {
	if a.Options.AllEnrolled {
		return nil, nil
	}
	var out []model.Finding
	for _, p := range a.Policies {
		s := a.selected()[p]
		if s == nil || s.notEnrolled.n == 0 {
			continue
		}
		n := s.notEnrolled.n
		f := inInventory(model.NotEnrolled, p.Pos, "%d of %d selected pods and pod templates %s not enrolled, so that %s is not enforced there: %s",
			n, s.subjects, plural(n, "is", "are"), p.Ref(), &s.notEnrolled)
		f.Suggestion = `annotate the pod with network.alibabacloud.com/enable-network-policy-agent: "true" and ` +
			`network.alibabacloud.com/network-policy-mode: "traffic-policy"`
		out = append(out, aboutPolicy(f, p))
	}
	return out, nil
}
