// Package pods answers which pods could exist that given policies select, and by
// which other policies they are selected too.
//
// A policy that a pod gains can only take packets from later rules. So whatever
// is dead, or is never decided otherwise, for every pod with a minimal set of
// selecting policies is so for every pod. Labels of matchLabels, In and Exists
// only ever add policies; NotIn and DoesNotExist are lost as a pod gains labels,
// which is why more than one pod may have to be looked at.
//
// The minimal sets are searched for, not found among all label assignments: of a
// key only those values count that rid a pod of policies which no other value does,
// and keys that no policy joins are searched apart. So their number, and not that
// of the keys and values, is what bounds the answer.
package pods

import (
	"cmp"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"

	"github.com/trafficpolicy/trafficpolicy/compiler"
	"github.com/trafficpolicy/trafficpolicy/model"
)

// MaxPods bounds the pods with different policies that can be looked at for one
// policy or pair. It takes fourteen keys that have nothing to do with each
// other, each of which one policy wants and another one does not.
const MaxPods = 1 << 14

// TooManyError says that there are more pods to look at than MaxPods, or that
// they are too hard to find: what would need all of them is not known.
type TooManyError struct {
	Policies []string // refs
	Keys     []string // that make them many, sorted
}

func (e *TooManyError) Error() string {
	reason := fmt.Sprintf("%s (keys %s)", e.Reason(), shorten(e.Keys))
	if len(e.Policies) == 0 {
		return reason
	}
	return strings.Join(e.Policies, " and ") + ": " + reason
}

// Reason is the error without the policies and keys.
func (e *TooManyError) Reason() string {
	return fmt.Sprintf("more label assignments matter than the %d that can be looked at", MaxPods)
}

// shorten names the first few keys.
func shorten(keys []string) string {
	const few = 8
	if len(keys) <= few+1 {
		return strings.Join(keys, ", ")
	}
	return fmt.Sprintf("%s and %d more", strings.Join(keys[:few], ", "), len(keys)-few)
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
	// Limit bounds the pods of one answer; it is MaxPods unless changed before the
	// first question.
	Limit int

	index  *compiler.PolicyIndex
	scopes map[string]*scope
	free   string
}

// scope is what selectors of one namespace, global ones included, can tell apart.
type scope struct {
	own, global *policySet
	values      map[string]map[string]bool // key to the values that selectors mention
}

// policySet is the selectors of the policies of one namespace, or of global ones.
type policySet struct {
	all, negative *selectorIndex // negative: with a NotIn or DoesNotExist
}

// NewSpace returns the pods that could exist under policies.
func NewSpace(policies []*model.Policy) *Space {
	s := &Space{Limit: MaxPods, index: compiler.NewPolicyIndex(policies), scopes: map[string]*scope{}, free: "any"}
	byScope := map[string][]*model.Policy{"": nil}
	for _, p := range policies {
		ns, _ := NamespaceOf(p)
		byScope[ns] = append(byScope[ns], p)
	}
	global := newPolicySet(byScope[""])
	for ns, ps := range byScope {
		sc := &scope{own: newPolicySet(nil), global: global, values: map[string]map[string]bool{}}
		if ns != "" {
			sc.own = newPolicySet(ps)
			sc.mention(ps)
		}
		sc.mention(byScope[""])
		s.scopes[ns] = sc
	}
	for i := 2; s.scopes[s.free] != nil; i++ {
		s.free = "any-" + strconv.Itoa(i)
	}
	return s
}

func newPolicySet(policies []*model.Policy) *policySet {
	var all, negative []*selector
	for _, p := range policies {
		conds, ok := merge(p)
		if !ok {
			continue
		}
		s := &selector{p, conds}
		all = append(all, s)
		if slices.ContainsFunc(p.Selector.MatchExpressions, func(r model.Requirement) bool {
			return r.Operator == model.NotIn || r.Operator == model.DoesNotExist
		}) {
			negative = append(negative, s)
		}
	}
	return &policySet{newSelectorIndex(all), newSelectorIndex(negative)}
}

// FreeNamespace returns a name for the namespace that has no TrafficPolicy.
func (s *Space) FreeNamespace() string { return s.free }

// mention notes the values that selectors of policies speak of.
func (sc *scope) mention(policies []*model.Policy) {
	mention := func(key string, values ...string) {
		if sc.values[key] == nil {
			sc.values[key] = map[string]bool{}
		}
		for _, v := range values {
			sc.values[key][v] = true
		}
	}
	for _, p := range policies {
		for _, l := range p.Selector.MatchLabels {
			mention(l.Key, l.Value)
		}
		for _, r := range p.Selector.MatchExpressions {
			mention(r.Key, r.Values...)
		}
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

// Counts reports whether a policy counts; nil says that all do.
type Counts func(*model.Policy) bool

func (c Counts) of(p *model.Policy) bool { return c == nil || c(p) }

// Minimal returns pods that all of ps select, such that the policies of every
// other pod that ps select include those of one of them. There is none where no
// pod can have labels that ps all select. Pods with fewer policies come first.
// The error is a *TooManyError.
func (s *Space) Minimal(ps ...*model.Policy) ([]Pod, error) { return s.MinimalAmong(nil, ps...) }

// MinimalAmong is Minimal for questions to which some policies alone count: the
// policies of every other pod that ps select include those of one of the pods, of
// the policies that count. Where none does, that is one pod. The pods have all the
// policies that select them.
func (s *Space) MinimalAmong(counts Counts, ps ...*model.Policy) ([]Pod, error) {
	ns, ok := NamespaceOf(ps...)
	if !ok {
		return nil, nil
	}
	conds, ok := merge(ps...)
	if !ok {
		return nil, nil
	}
	sc := s.scopes[ns]
	axes := sc.axes(conds, sc.negative(conds, counts))
	found, err := newProblem(axes, sc.varying(axes, counts)).minimal(s.Limit)
	if err != nil {
		return nil, tooMany(ps, err)
	}
	type answer struct {
		pod     Pod
		options []int
	}
	answers := make([]answer, len(found))
	for i, options := range found {
		answers[i] = answer{s.pod(ns, axes, options), options}
	}
	// The first axis changes fastest, and no label comes before one.
	slices.SortFunc(answers, func(a, b answer) int {
		return cmp.Or(len(a.pod.Policies)-len(b.pod.Policies), compareBackwards(a.options, b.options))
	})
	pods := make([]Pod, len(answers))
	for i := range answers {
		pods[i] = answers[i].pod
	}
	return pods, nil
}

// negative returns the selectors with a NotIn or DoesNotExist that count and that
// a pod that meets conds may meet.
func (sc *scope) negative(conds conditions, counts Counts) []*selector {
	c := collect(func(s *selector) bool { return counts.of(s.policy) && s.conds.compatible(conds) })
	sc.own.negative.compatible(conds, c)
	sc.global.negative.compatible(conds, c)
	return c.sorted()
}

// varying returns the selectors that count and that some pods with options of axes
// meet, and some do not.
func (sc *scope) varying(axes []axis, counts Counts) []*selector {
	if !slices.ContainsFunc(axes, func(a axis) bool { return len(a.options) > 1 }) {
		return nil
	}
	at := make(map[string]*axis, len(axes))
	for i := range axes {
		at[axes[i].key] = &axes[i]
	}
	c := collect(func(s *selector) bool { return counts.of(s.policy) && s.varies(at) })
	sc.own.all.within(axes, c)
	sc.global.all.within(axes, c)
	return c.sorted()
}

// varies reports whether some of the pods meet s and some do not that have for
// each key one of the options of its axis, and no other keys.
func (s *selector) varies(axes map[string]*axis) bool {
	varies := false
	for key, c := range s.conds {
		a := axes[key]
		if a == nil {
			if c.must {
				return false
			}
			continue
		}
		met := 0
		for _, o := range a.options {
			if c.holds(o) {
				met++
			}
		}
		if met == 0 {
			return false
		}
		varies = varies || met < len(a.options)
	}
	return varies
}

// pod returns the pod with the given option of each axis.
func (s *Space) pod(ns string, axes []axis, options []int) Pod {
	labels := make(model.Labels, 0, len(axes))
	for i, a := range axes {
		if o := a.options[options[i]]; o.present {
			labels = append(labels, model.Label{Key: a.key, Value: o.value})
		}
	}
	return Pod{ns, labels, s.index.Select(ns, labels)}
}

// compareBackwards compares from the last number to the first.
func compareBackwards(a, b []int) int {
	for i := len(a) - 1; i >= 0; i-- {
		if c := a[i] - b[i]; c != 0 {
			return c
		}
	}
	return 0
}

// tooMany returns err with the policies that were asked about.
func tooMany(ps []*model.Policy, err error) error {
	var e *TooManyError
	if errors.As(err, &e) {
		for _, p := range ps {
			e.Policies = append(e.Policies, p.Ref())
		}
	}
	return err
}
