package compiler

import (
	"encoding/binary"

	"github.com/trafficpolicy/trafficpolicy/model"
)

// Class is the pods that the same policies select. Where one of the policies is
// a TrafficPolicy they are of its namespace; names mean the same to all of them
// in any case, since the decoder has filled in every peer's namespace.
type Class struct {
	ID       int             // index in Classes.All
	Policies []*model.Policy // in evaluation order, at least one
	Pods     []*model.Pod    // governed: enrolled, subject to policy and selected; in inventory order
}

// Classes is the grouping of all pods of an inventory.
type Classes struct {
	All []*Class // in the order of their first pod

	of map[*model.Pod]*Class
}

// Group puts governed pods into classes by a label index: its cost follows the
// pods' labels, not pods times policies. A pod without an address has a class
// like any other: it will need one as soon as it gets its address.
func Group(policies []*model.Policy, inv *model.Inventory, o Options) *Classes {
	return NewPolicyIndex(policies).Group(inv.Pods, o)
}

// Group is [Group] of the given pods by the policies of x.
func (x *PolicyIndex) Group(pods []*model.Pod, o Options) *Classes {
	g := &Classes{of: make(map[*model.Pod]*Class)}
	ids := map[*model.Policy]uint32{}
	byPolicies := map[string]*Class{}
	for _, p := range pods {
		policies := x.Governing(p, o)
		if len(policies) == 0 {
			continue
		}
		key := policyKey(policies, ids)
		c := byPolicies[key]
		if c == nil {
			c = &Class{ID: len(g.All), Policies: policies}
			byPolicies[key] = c
			g.All = append(g.All, c)
		}
		c.Pods = append(c.Pods, p)
		g.of[p] = c
	}
	return g
}

// Governing returns the policies that govern p, in evaluation order: none where
// it is not enrolled, never a subject of policy, or not selected.
func (x *PolicyIndex) Governing(p *model.Pod, o Options) []*model.Policy {
	if !p.Subject() || !p.Enrolled && !o.AllEnrolled {
		return nil
	}
	return x.Select(p.Namespace, p.Labels)
}

// policyKey spells a list of policies as the numbers that ids gives them.
func policyKey(policies []*model.Policy, ids map[*model.Policy]uint32) string {
	b := make([]byte, 0, 4*len(policies))
	for _, p := range policies {
		id, ok := ids[p]
		if !ok {
			id = uint32(len(ids))
			ids[p] = id
		}
		b = binary.BigEndian.AppendUint32(b, id)
	}
	return string(b)
}

// Of returns the class of a governed pod, nil for any other.
func (c *Classes) Of(p *model.Pod) *Class { return c.of[p] }
