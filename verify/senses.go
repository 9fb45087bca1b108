package verify

import (
	"context"
	"slices"

	"github.com/trafficpolicy/trafficpolicy/compiler"
	"github.com/trafficpolicy/trafficpolicy/model"
)

// sense is one reading of which pods there are and what names mean.
type sense struct {
	a        *Analysis
	scope    model.Scope
	resolver *compiler.Resolver
	// subjects stand for all pods, each set of policies once. Of those that could
	// exist it is the pods with a minimal set of policies, those with fewer
	// policies first: what a rule reaches at any pod, it reaches at one of them.
	subjects []subject
	// possible reports that the subjects are pods that could exist, not those of
	// an inventory.
	possible bool
}

// senses returns what is to be judged: every pod that could exist and no name
// known, then, in inventory mode, what the inventory holds. Where that has neither
// pods nor templates, which pods exist is not known.
func (a *Analysis) senses(ctx context.Context) ([]*sense, error) {
	return a.sensed.get(func() ([]*sense, error) { return a.newSenses(ctx) })
}

func (a *Analysis) newSenses(ctx context.Context) ([]*sense, error) {
	possible, err := a.possible(ctx)
	if err != nil {
		return nil, err
	}
	out := []*sense{{a, model.Always, a.Unknown(), possible, true}}
	if !a.Input.InventoryGiven {
		return out, nil
	}
	s := &sense{a, model.InInventory, a.Resolver(), possible, true}
	if len(a.Inventory.Pods)+len(a.Inventory.Templates) > 0 {
		s.subjects, s.possible = a.governed(), false
	}
	return append(out, s), nil
}

// possible returns the pods that could exist that have to be looked at for each
// policy alone.
func (a *Analysis) possible(ctx context.Context) ([]subject, error) {
	groups, err := a.groups(ctx)
	if err != nil {
		return nil, err
	}
	var out []subject
	known, key := map[string]bool{}, a.policyKeys()
	for _, g := range groups {
		if g.err != nil {
			a.unchecked(possibleCodes, g.err, g.policies...)
			continue
		}
		for i := range g.minimal {
			if k := key(g.minimal[i].Policies); !known[k] {
				known[k] = true
				out = append(out, a.hypothetical(&g.minimal[i]))
			}
		}
	}
	slices.SortStableFunc(out, func(x, y subject) int { return len(x.policies) - len(y.policies) })
	return out, nil
}

// finding returns a finding of the sense.
func (s *sense) finding(c model.Code, pos model.Pos, message string) model.Finding {
	f := model.NewFinding(c, pos, message)
	f.Scope = s.scope
	return f
}
