package compiler

import "github.com/trafficpolicy/trafficpolicy/model"

// Class is the pods that the same policies select.
type Class struct {
	ID       int             // index in Classes.All
	Policies []*model.Policy // in evaluation order, at least one
	Pods     []*model.Pod    // governed: enrolled, subject to policy and selected; in inventory order
}

// Classes is the grouping of all pods of an inventory.
type Classes struct {
	All []*Class
}

// Group puts governed pods into classes by a label index: its cost follows the
// pods' labels, not pods times policies.
func Group(policies []*model.Policy, inv *model.Inventory, o Options) *Classes { return nil }

// Of returns the class of a governed pod, nil for any other.
func (c *Classes) Of(p *model.Pod) *Class { return nil }

// PolicyIndex finds the policies that select a pod. It is safe for concurrent use.
type PolicyIndex struct{}

// NewPolicyIndex indexes policies.
func NewPolicyIndex(policies []*model.Policy) *PolicyIndex { return nil }

// Select returns the policies that select a pod of the namespace with the labels,
// in evaluation order, whether or not the pod is enrolled.
func (x *PolicyIndex) Select(namespace string, labels model.Labels) []*model.Policy { return nil }
