package verify

import (
	"context"

	"github.com/trafficpolicy/trafficpolicy/model"
)

// selectsNothing reports policies that select no pod or pod template of the
// inventory (TP403). An inventory without either says nothing about them.
func selectsNothing(_ context.Context, a *Analysis) ([]model.Finding, error) {
	if len(a.Inventory.Pods)+len(a.Inventory.Templates) == 0 {
		return nil, nil
	}
	var out []model.Finding
	for _, p := range a.Policies {
		if a.selected()[p] != nil {
			continue
		}
		where := "the inventory"
		if p.Kind == model.TrafficPolicy {
			where = "namespace " + p.Namespace
		}
		f := inInventory(model.SelectsNothing, p.Pos, "%s selects no pod or pod template of %s", p.Ref(), where)
		out = append(out, aboutPolicy(f, p))
	}
	return out, nil
}
