package verify

import (
	"context"
	"fmt"
	"strings"

	"github.com/trafficpolicy/trafficpolicy/model"
)

// canBypass reports policies that select pods or templates whose processes could
// undo enforcement in their own network namespace, or leave it (TP503). Whether a
// container runs as root does not matter: what was added can be taken up by any
// setuid file. Whether the pod is enrolled does not either: it is TP404 if it is
// not, and this as soon as it is.
func canBypass(_ context.Context, a *Analysis) ([]model.Finding, error) {
	var out []model.Finding
	for _, p := range a.Policies {
		s := a.selected()[p]
		if s == nil || s.bypass.n == 0 {
			continue
		}
		n := s.bypass.n
		f := inInventory(model.CanBypass, p.Pos, "%d of %d selected pods and pod templates could undo or go round %s: %s",
			n, s.subjects, p.Ref(), &s.bypass)
		f.Suggestion = "run " + plural(n, "the pod", "these pods") + " unprivileged and without the capabilities, or do not count on the policy there"
		out = append(out, aboutPolicy(f, p))
	}
	return out, nil
}

// bypassing is a workload with why it can bypass policies.
type bypassing struct{ *workload }

func (b bypassing) String() string {
	return fmt.Sprintf("%s (%s)", b.workload, strings.Join(b.meta.Bypass, ", "))
}
