package compiler

import (
	"slices"
	"sync"

	"k8s.io/apimachinery/pkg/labels"

	"github.com/trafficpolicy/trafficpolicy/model"
)

// PolicyIndex finds the policies that select a pod. A policy is filed under one
// condition that its pods must meet, the rarest it has, so a pod is tried
// against the few policies whose condition it meets. Answers are kept by what
// policies can see of a pod: its namespace and the labels whose keys they
// mention. It is safe for concurrent use.
type PolicyIndex struct {
	global *policyScope
	scopes map[string]*policyScope // by namespace, those that hold a TrafficPolicy
	seen   sync.Map                // string of projection to []*model.Policy
}

// policyScope is the GlobalTrafficPolicies, or the TrafficPolicies of one namespace.
type policyScope struct {
	keys    map[string]bool // mentioned by any selector
	byLabel map[model.Label][]indexedPolicy
	byKey   map[string][]indexedPolicy
	rest    []indexedPolicy // those without a condition that needs a label
}

type indexedPolicy struct {
	policy   *model.Policy
	selector labels.Selector
}

// NewPolicyIndex indexes policies.
func NewPolicyIndex(policies []*model.Policy) *PolicyIndex {
	var global []*model.Policy
	namespaced := map[string][]*model.Policy{}
	for _, p := range policies {
		if p.Kind == model.GlobalTrafficPolicy {
			global = append(global, p)
			continue
		}
		namespaced[p.Namespace] = append(namespaced[p.Namespace], p)
	}
	x := &PolicyIndex{global: newPolicyScope(global), scopes: make(map[string]*policyScope, len(namespaced))}
	for ns, ps := range namespaced {
		x.scopes[ns] = newPolicyScope(ps)
	}
	return x
}

func newPolicyScope(policies []*model.Policy) *policyScope {
	s := &policyScope{
		keys:    map[string]bool{},
		byLabel: map[model.Label][]indexedPolicy{},
		byKey:   map[string][]indexedPolicy{},
	}
	uses := map[model.Label]int{}
	for _, p := range policies {
		for _, l := range p.Selector.MatchLabels {
			s.keys[l.Key] = true
			uses[l]++
		}
		for _, e := range p.Selector.MatchExpressions {
			s.keys[e.Key] = true
		}
	}
	for _, p := range policies {
		s.file(indexedPolicy{p, NewSelector(&p.Selector)}, uses)
	}
	return s
}

// file puts p under the label of matchLabels that the fewest policies ask for;
// without one, under each label that an In allows or under the key of an Exists.
func (s *policyScope) file(p indexedPolicy, uses map[model.Label]int) {
	sel := &p.policy.Selector
	if len(sel.MatchLabels) > 0 {
		l := slices.MinFunc(sel.MatchLabels, func(a, b model.Label) int { return uses[a] - uses[b] })
		s.byLabel[l] = append(s.byLabel[l], p)
		return
	}
	for _, e := range sel.MatchExpressions {
		switch e.Operator {
		case model.In:
			for _, v := range slices.Compact(slices.Sorted(slices.Values(e.Values))) {
				l := model.Label{Key: e.Key, Value: v}
				s.byLabel[l] = append(s.byLabel[l], p)
			}
			return
		case model.Exists:
			s.byKey[e.Key] = append(s.byKey[e.Key], p)
			return
		}
	}
	s.rest = append(s.rest, p)
}

// selecting appends to out the policies of s that select ls. s may be nil.
func (s *policyScope) selecting(out []*model.Policy, ls model.Labels) []*model.Policy {
	if s == nil {
		return out
	}
	try := func(ps []indexedPolicy) {
		for _, p := range ps {
			if p.selector.Matches(ls) {
				out = append(out, p.policy)
			}
		}
	}
	try(s.rest)
	for _, l := range ls {
		try(s.byLabel[l])
		try(s.byKey[l.Key])
	}
	return out
}

func (s *policyScope) mentions(key string) bool { return s != nil && s.keys[key] }

// Select returns the policies that select a pod of the namespace with the labels,
// in evaluation order, whether or not the pod is enrolled. The slice is shared:
// do not change it.
func (x *PolicyIndex) Select(namespace string, ls model.Labels) []*model.Policy {
	scope := x.scopes[namespace]
	seen := x.projection(scope, namespace, ls)
	if ps, ok := x.seen.Load(seen); ok {
		return ps.([]*model.Policy)
	}
	ps := scope.selecting(x.global.selecting(nil, ls), ls)
	slices.SortFunc(ps, model.ComparePolicies)
	kept, _ := x.seen.LoadOrStore(seen, ps)
	return kept.([]*model.Policy)
}

// projection spells out what policies can see of a pod. No part can hold a NUL
// byte, so different pods never read alike. Namespaces without a TrafficPolicy
// of their own share one.
func (x *PolicyIndex) projection(scope *policyScope, namespace string, ls model.Labels) string {
	b := make([]byte, 0, 128)
	if scope != nil {
		b = append(b, namespace...)
	}
	for _, l := range ls {
		if scope.mentions(l.Key) || x.global.mentions(l.Key) {
			b = append(append(b, 0), l.Key...)
			b = append(append(b, 0), l.Value...)
		}
	}
	return string(b)
}
