package oracle

import (
	"slices"
	"testing"

	"github.com/trafficpolicy/trafficpolicy/internal/synth"
	"github.com/trafficpolicy/trafficpolicy/model"
)

// TestAlwaysHoldsInAnyInventory holds that what can never happen does not happen
// in any inventory, and that what happens in one is found without it.
func TestAlwaysHoldsInAnyInventory(t *testing.T) {
	checked := map[model.Code]int{}
	draws(t, 400, func(in Input, c *synth.Cluster) string {
		inventory := &Cluster{*c.Inventory, c.Resolve}
		always, err := Analyze(in)
		if err != nil {
			return err.Error()
		}
		w, err := newWorld(InCluster(in, inventory), in.Policies, scope{})
		if err != nil {
			return err.Error()
		}
		inside := w.report().Codes()
		for _, f := range always.Findings {
			got, found := inside[f.Subject]
			switch f.Code {
			case model.ShadowedRule, model.RedundantRule:
				if dead := got == model.ShadowedRule || got == model.RedundantRule; dead != hasPackets(w, f.Subject) {
					return f.Subject + " is dead always"
				}
			case model.NoEffect:
				// A rule that stands behind it always may be dead here, and leave
				// it the section's last cover-all deny.
				if d, x := find(w, f.Subject); w.life(d, x).live && !w.exempt(d, x) && got != model.NoEffect {
					return f.Subject + " never has an effect"
				}
			case model.OverriddenPolicy, model.UnreachablePeer:
				// Neither where nothing of it has packets here; the rule may be
				// dead here.
				if found && got != f.Code {
					return f.Subject + " is " + string(got)
				}
			}
			checked[f.Code]++
		}
		for subject, code := range inside {
			if code == model.PriorityConflict && always.Codes()[subject] != code {
				return subject + " conflict here, but not always"
			}
		}
		return ""
	})
	t.Log(checked)
}

func find(w *world, name string) (model.Direction, *rule) {
	for _, d := range model.Directions {
		for _, x := range w.rules[d] {
			if x.ref.String() == name {
				return d, x
			}
		}
	}
	return 0, nil
}

func hasPackets(w *world, name string) bool {
	_, x := find(w, name)
	return !x.match.empty() && slices.ContainsFunc(w.classes, func(c *class) bool { return c.selected[x.policy] })
}
