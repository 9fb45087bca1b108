// Package flat joins the two readings that are otherwise kept apart: it gives the
// flattened rule lists of package space to the simulator as its shortcuts.
//
// What it guarantees is that of [space.Flatten] and [space.Index]: a packet is
// told the rule that the first match of the list tells it, at a cost that does
// not depend on the number of rules.
package flat

import (
	"net/netip"
	"sync"
	"sync/atomic"

	"github.com/trafficpolicy/trafficpolicy/compiler"
	"github.com/trafficpolicy/trafficpolicy/compiler/space"
	"github.com/trafficpolicy/trafficpolicy/model"
	"github.com/trafficpolicy/trafficpolicy/verify/simulate"
)

// Tables makes the tables of one simulator and keeps count of them. The zero value
// is ready to use, by many at once.
type Tables struct {
	tooLarge atomic.Int64
	flatten  func(*model.RuleList, model.Family) (*space.Table, error) // space.Flatten but in tests
}

// Shortcut is the [simulate.Shortcuts] of t.
func (t *Tables) Shortcut(r *compiler.Resolver, policies []*model.Policy, d model.Direction) simulate.Shortcut {
	return &rules{tables: t, resolver: r, policies: policies, direction: d}
}

// TooLarge returns how many tables could not be made because the decisions of
// their rules are too many to write down. Walks take their place.
func (t *Tables) TooLarge() int { return int(t.tooLarge.Load()) }

// rules is the rules of some policies for one direction, flattened: each address
// family when the first packet of it comes.
type rules struct {
	tables    *Tables
	resolver  *compiler.Resolver
	policies  []*model.Policy
	direction model.Direction
	families  [len(model.Families)]flattened
}

type flattened struct {
	once  sync.Once
	index *space.Index // nil where there is no table
}

// Find is that of [simulate.Shortcut]. It reports false where there is no table.
func (r *rules) Find(a netip.Addr, x model.L4) (rule int32, conditions []model.Conditional, ok bool) {
	f := model.FamilyOf(a)
	at := &r.families[f]
	at.once.Do(func() { at.index = r.flatten(f) })
	if at.index == nil {
		return space.NoRule, nil, false
	}
	rule, conditions = at.index.Find(a, x)
	return rule, conditions, true
}

func (r *rules) flatten(f model.Family) *space.Index {
	list := r.resolver.RuleList(r.policies, r.direction, compiler.ForAnalysis)
	for i := range list.Rules {
		list.Rules[i].Peers = separate(list.Rules[i].Peers)
	}
	flatten := r.tables.flatten
	if flatten == nil {
		flatten = space.Flatten
	}
	table, err := flatten(list, f)
	if err != nil { // a *space.LimitError
		r.tables.tooLarge.Add(1)
		return nil
	}
	return space.NewIndex(table)
}

// separate makes two peers of one whose addresses are known in part: to a table
// an atom stands for all that a peer means, to a walk for the rest.
func separate(peers []model.ListPeer) []model.ListPeer {
	for i := range peers {
		if p := &peers[i]; p.Atom != "" && len(p.Prefixes) > 0 {
			peers = append(peers, model.ListPeer{Index: p.Index, Prefixes: p.Prefixes})
			peers[i].Prefixes = nil
		}
	}
	return peers
}
