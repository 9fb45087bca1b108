package verify

import (
	"sync"

	"github.com/trafficpolicy/trafficpolicy/compiler"
	"github.com/trafficpolicy/trafficpolicy/model"
	"github.com/trafficpolicy/trafficpolicy/verify/pods"
)

// Analysis is what checks look at: the input, and what several of them derive
// from it. What its methods return is made when it is first asked for, and
// shared. It is safe for concurrent use.
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

	index             func() *compiler.PolicyIndex
	classes           func() *compiler.Classes
	resolver, unknown func() *compiler.Resolver
	selected          func() map[*model.Policy]*selection
	numbers           func() map[*model.Policy]int // in evaluation order, from 0
	space             func() *pods.Space
	orders            orders
	effects           bool // orders look for effects too
	grouped           once[[]*group]
	sensed            once[[]*sense]
	gaps              gaps
	maxPods           int // of space, where it is not its own
}

// NewAnalysis prepares the analysis of in.
func NewAnalysis(in *compiler.Input, o compiler.Options) *Analysis {
	a := &Analysis{Input: in, Options: o, Policies: in.Policies, Inventory: &model.Inventory{}, Families: in.Families(o)}
	if in.InventoryGiven {
		a.Inventory = in.Inventory
	}
	a.index = sync.OnceValue(func() *compiler.PolicyIndex { return compiler.NewPolicyIndex(a.Policies) })
	a.classes = sync.OnceValue(func() *compiler.Classes { return a.Index().Group(a.Inventory.Pods, o) })
	a.resolver = sync.OnceValue(func() *compiler.Resolver { return compiler.NewResolver(a.Inventory, o) })
	a.unknown = sync.OnceValue(func() *compiler.Resolver { return compiler.NewResolver(&model.Inventory{}, o) })
	a.selected = sync.OnceValue(a.selections)
	a.numbers = sync.OnceValue(func() map[*model.Policy]int {
		m := make(map[*model.Policy]int, len(a.Policies))
		for i, p := range a.Policies {
			m[p] = i
		}
		return m
	})
	a.space = sync.OnceValue(func() *pods.Space {
		s := pods.NewSpace(a.Policies)
		if a.maxPods > 0 {
			s.Limit = a.maxPods
		}
		return s
	})
	return a
}

// Index finds the policies that select a pod.
func (a *Analysis) Index() *compiler.PolicyIndex { return a.index() }

// Classes groups the pods of Inventory.
func (a *Analysis) Classes() *compiler.Classes { return a.classes() }

// Resolver resolves names against Inventory: what holds with it holds in the
// inventory.
func (a *Analysis) Resolver() *compiler.Resolver { return a.resolver() }

// Unknown resolves names against no inventory, so that what they mean is an
// atom: what holds with it holds always.
func (a *Analysis) Unknown() *compiler.Resolver { return a.unknown() }
