package verify

import (
	"sync"

	"github.com/trafficpolicy/trafficpolicy/compiler"
	"github.com/trafficpolicy/trafficpolicy/model"
)

// Analysis is what checks look at: the input, and what several of them derive
// from it. Everything derived is made when it is first asked for. It is safe for
// concurrent use.
type Analysis struct {
	Input   *compiler.Input
	Options compiler.Options
	// Policies are those of the input, in evaluation order.
	Policies []*model.Policy
	// Inventory is what findings of scope inventory rest on: that of the input in
	// inventory mode, else one that knows nothing.
	Inventory *model.Inventory
	// Families are the address families that are analysed.
	Families []model.Family

	// Index finds the policies that select a pod.
	Index func() *compiler.PolicyIndex
	// Classes groups the pods of Inventory.
	Classes func() *compiler.Classes
	// Resolver resolves names against Inventory.
	Resolver func() *compiler.Resolver
	// Unknown resolves names against nothing: what holds with it holds always.
	Unknown func() *compiler.Resolver

	selected func() map[*model.Policy]*selection
}

// NewAnalysis prepares the analysis of in.
func NewAnalysis(in *compiler.Input, o compiler.Options) *Analysis {
	a := &Analysis{Input: in, Options: o, Policies: in.Policies, Inventory: &model.Inventory{}, Families: in.Families(o)}
	if in.InventoryGiven {
		a.Inventory = in.Inventory
	}
	a.Index = sync.OnceValue(func() *compiler.PolicyIndex { return compiler.NewPolicyIndex(a.Policies) })
	a.Classes = sync.OnceValue(func() *compiler.Classes { return a.Index().Group(a.Inventory.Pods, o) })
	a.Resolver = sync.OnceValue(func() *compiler.Resolver { return compiler.NewResolver(a.Inventory, o) })
	a.Unknown = sync.OnceValue(func() *compiler.Resolver { return compiler.NewResolver(&model.Inventory{}, o) })
	a.selected = sync.OnceValue(a.selections)
	return a
}
