package verify

import (
	"context"

	"github.com/trafficpolicy/trafficpolicy/model"
)

// orders holds the order of each sense.
type orders struct{ always, inventory once[*order] }

// always returns the order for every pod that could exist and every value of
// what is not known.
func (a *Analysis) always(ctx context.Context) (*order, error) {
	return a.orders.always.get(func() (*order, error) {
		return newOrder(ctx, a, model.Always, a.Unknown())
	})
}

// inInventory returns the order for the pods and addresses of the inventory, nil
// without one. Where it holds neither pods nor templates, which pods exist is not
// known.
func (a *Analysis) inInventory(ctx context.Context) (*order, error) {
	if !a.Input.InventoryGiven {
		return nil, nil
	}
	return a.orders.inventory.get(func() (*order, error) {
		if len(a.Inventory.Pods)+len(a.Inventory.Templates) == 0 {
			return newOrder(ctx, a, model.InInventory, a.Resolver())
		}
		return newOrderOf(ctx, a, model.InInventory, a.Resolver(), a.governed())
	})
}

// inEach calls f with the order of each sense, and with the one before it, nil
// for the first: what holds there is not repeated.
func (a *Analysis) inEach(ctx context.Context, f func(o, said *order)) error {
	always, err := a.always(ctx)
	if err != nil {
		return err
	}
	f(always, nil)
	inventory, err := a.inInventory(ctx)
	if err == nil && inventory != nil {
		f(inventory, always)
	}
	return err
}

// eachRule calls f for every rule of the policies that something is known of, in
// evaluation order.
func (o *order) eachRule(f func(r model.RuleRef, fate *ruleFate)) {
	for n, p := range o.a.Policies {
		if o.unknown[n] {
			continue
		}
		for _, d := range model.Directions {
			for i := range o.fates[n][d] {
				f(model.RuleRef{Policy: p, Direction: d, Index: i}, &o.fates[n][d][i])
			}
		}
	}
}

// fate returns what becomes of r; nothing for a nil order and where it is not known.
func (o *order) fate(r model.RuleRef) *ruleFate {
	if o == nil || o.unknown[o.a.numbers()[r.Policy]] {
		return &ruleFate{}
	}
	return &o.of(r.Policy, r.Direction)[r.Index]
}

// dead reports whether the rule has packets and none reaches it.
func (f *ruleFate) isDead() bool { return f.own && !f.live }
