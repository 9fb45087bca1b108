package verify

import (
	"context"
	"fmt"
	"strings"

	"github.com/trafficpolicy/trafficpolicy/model"
)

// priorityBands reports policies whose priority lies outside the bands that the
// guide recommends for what they do (TP601).
func priorityBands(_ context.Context, a *Analysis) ([]model.Finding, error) {
	var out []model.Finding
	for _, p := range a.Policies {
		if u := purposeOf(p); len(u.bands) > 0 && !u.fits(p.Priority) {
			out = append(out, outOfBand(p, &u))
		}
	}
	return out, nil
}

func outOfBand(p *model.Policy, u *purpose) model.Finding {
	var names []string
	for _, b := range u.bands {
		names = append(names, b.String())
	}
	bands := strings.Join(names, " or ")
	f := model.NewFinding(model.PriorityBand, p.Pos, fmt.Sprintf("%s %s: the guide recommends priority %s for that, not %d", p.Ref(), u.what, bands, p.Priority))
	f.Suggestion = "give it priority " + bands
	if u.bands[0] == baselineBand {
		f.Suggestion += ", or accept it with # trafficpolicy:ignore TP601 REASON where no TrafficPolicy may reopen what it denies"
	}
	f = aboutPolicy(f, p)
	f.Field = "spec.priority"
	return f
}

// String returns "50 to 499", or "1000".
func (b band) String() string {
	if b.first == b.last {
		return fmt.Sprint(b.first)
	}
	return fmt.Sprintf("%d to %d", b.first, b.last)
}
