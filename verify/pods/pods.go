// Package pods answers which pods could exist that given policies select, and by
// which other policies they are selected too.
//
// A policy that a pod gains can only take packets from later rules. So whatever
// is dead, or is never decided otherwise, for every pod with a minimal set of
// selecting policies is so for every pod. Labels of matchLabels, In and Exists
// only ever add policies; NotIn and DoesNotExist are lost as a pod gains labels,
// which is why more than one pod may have to be looked at.
package pods

import (
	"fmt"
	"slices"
	"strconv"
	"strings"

	"github.com/trafficpolicy/trafficpolicy/compiler"
	"github.com/trafficpolicy/trafficpolicy/model"
)

// MaxPods bounds the label assignments tried for one policy or pair. It takes
// half a dozen keys under NotIn or DoesNotExist, with several values each, that
// the same pod can carry.
const MaxPods = 1 << 14

// TooManyError says that a policy has more relevant label assignments than
// MaxPods: what would need all of them is not known.
type TooManyError struct {
	Policies []string // refs
	Keys     []string // that make them many
}

func (e *TooManyError) Error() string {
	return fmt.Sprintf("%s: more than %d label assignments matter (keys %s)",
		strings.Join(e.Policies, " and "), MaxPods, strings.Join(e.Keys, ", "))
}

// Pod is a pod that could exist.
type Pod struct {
	// Namespace is "" for a namespace that has no TrafficPolicy.
	Namespace string
	Labels    model.Labels
	Policies  []*model.Policy // that select it, in evaluation order
}

// String returns the pod as simulate takes it: NAMESPACE?k=v,k=v. The namespace
// without a TrafficPolicy is given the name that [Space.FreeNamespace] returns.
func (p *Pod) String() string { return p.Namespace + "?" + p.Labels.String() }

// Space is all pods that could exist under a set of policies. It is safe for
// concurrent use.
type Space struct {
	index  *compiler.PolicyIndex
	scopes map[string]*scope
	free   string
}

// scope is what selectors of one namespace, global ones included, can tell apart.
type scope struct {
	negative []*model.Policy            // with a NotIn or DoesNotExist
	values   map[string]map[string]bool // key to the values that selectors mention
}

// NewSpace returns the pods that could exist under policies.
func NewSpace(policies []*model.Policy) *Space {
	s := &Space{index: compiler.NewPolicyIndex(policies), scopes: map[string]*scope{"": newScope()}, free: "any"}
	var global []*model.Policy
	for _, p := range policies {
		if p.Kind == model.GlobalTrafficPolicy {
			global = append(global, p)
		} else if s.scopes[p.Namespace] == nil {
			s.scopes[p.Namespace] = newScope()
		}
	}
	for _, p := range policies {
		if p.Kind == model.TrafficPolicy {
			s.scopes[p.Namespace].add(p)
		}
	}
	for _, sc := range s.scopes {
		for _, p := range global {
			sc.add(p)
		}
	}
	for i := 2; s.scopes[s.free] != nil; i++ {
		s.free = "any-" + strconv.Itoa(i)
	}
	return s
}

// FreeNamespace returns a name for the namespace that has no TrafficPolicy.
func (s *Space) FreeNamespace() string { return s.free }

func newScope() *scope { return &scope{values: map[string]map[string]bool{}} }

func (sc *scope) add(p *model.Policy) {
	mention := func(key string, values ...string) {
		if sc.values[key] == nil {
			sc.values[key] = map[string]bool{}
		}
		for _, v := range values {
			sc.values[key][v] = true
		}
	}
	negative := false
	for _, l := range p.Selector.MatchLabels {
		mention(l.Key, l.Value)
	}
	for _, r := range p.Selector.MatchExpressions {
		mention(r.Key, r.Values...)
		negative = negative || r.Operator == model.NotIn || r.Operator == model.DoesNotExist
	}
	if negative {
		sc.negative = append(sc.negative, p)
	}
}

// NamespaceOf returns where pods that all of ps select live: the namespace of
// the TrafficPolicies among them, or "" where there is none. It reports false
// when two namespaces exclude each other.
func NamespaceOf(ps ...*model.Policy) (string, bool) {
	ns := ""
	for _, p := range ps {
		if p.Kind != model.TrafficPolicy {
			continue
		}
		if ns != "" && ns != p.Namespace {
			return "", false
		}
		ns = p.Namespace
	}
	return ns, true
}

// Minimal returns pods that all of ps select, such that the policies of every
// other pod that ps select include those of one of them. There is none where no
// pod can have labels that ps all select. Pods with fewer policies come first.
// The error is a *TooManyError.
func (s *Space) Minimal(ps ...*model.Policy) ([]Pod, error) {
	ns, ok := NamespaceOf(ps...)
	if !ok {
		return nil, nil
	}
	conds, ok := merge(ps)
	if !ok {
		return nil, nil
	}
	sc := s.scopes[ns]
	axes := sc.axes(conds)
	n := 1
	for _, a := range axes {
		if n *= len(a.options); n > MaxPods {
			return nil, tooMany(ps, axes)
		}
	}
	return keepMinimal(s.assignments(ns, axes, n)), nil
}

// assignments returns the pods of all n combinations of the options of axes, the
// first axis changing fastest.
func (s *Space) assignments(ns string, axes []axis, n int) []Pod {
	found := make([]Pod, 0, n)
	at := make([]int, len(axes))
	for range n {
		labels := make(model.Labels, 0, len(axes))
		for i, a := range axes {
			if o := a.options[at[i]]; o.present {
				labels = append(labels, model.Label{Key: a.key, Value: o.value})
			}
		}
		found = append(found, Pod{ns, labels, s.index.Select(ns, labels)})
		for i := range at { // next combination
			if at[i]++; at[i] < len(axes[i].options) {
				break
			}
			at[i] = 0
		}
	}
	return found
}

func tooMany(ps []*model.Policy, axes []axis) error {
	e := &TooManyError{}
	for _, p := range ps {
		e.Policies = append(e.Policies, p.Ref())
	}
	for _, a := range axes {
		if len(a.options) > 1 {
			e.Keys = append(e.Keys, a.key)
		}
	}
	return e
}

// keepMinimal drops pods whose policies include all of another's, and all but
// the first of those with the same policies.
func keepMinimal(ps []Pod) []Pod {
	slices.SortStableFunc(ps, func(a, b Pod) int { return len(a.Policies) - len(b.Policies) })
	var out []Pod
	for _, p := range ps {
		has := make(map[*model.Policy]bool, len(p.Policies))
		for _, q := range p.Policies {
			has[q] = true
		}
		covered := slices.ContainsFunc(out, func(o Pod) bool {
			return !slices.ContainsFunc(o.Policies, func(q *model.Policy) bool { return !has[q] })
		})
		if !covered {
			out = append(out, p)
		}
	}
	return out
}
