package oracle

import (
	"fmt"
	"slices"

	"github.com/trafficpolicy/trafficpolicy/model"
)

// Pod is a pod that policies may select: one of the inventory, or one that no
// inventory need hold.
type Pod struct {
	Namespace string
	Name      string // "" for a pod that stands for all with its labels
	Labels    model.Labels
}

// String returns the pod as simulate takes it: NAMESPACE/NAME, or NAMESPACE?k=v,k=v.
func (p Pod) String() string {
	if p.Name != "" {
		return p.Namespace + "/" + p.Name
	}
	return p.Namespace + "?" + p.Labels.String()
}

// selects reports whether policy p selects pod: "A TP selects pods of its own
// namespace, a GTP pods of every namespace, by label selector".
func selects(p *model.Policy, pod Pod) bool {
	if p.Kind == model.TrafficPolicy && p.Namespace != pod.Namespace {
		return false
	}
	return matchSelector(&p.Selector, pod.Labels)
}

// matchSelector reports whether every condition of s holds: "Operators In,
// NotIn, Exists, DoesNotExist as in Kubernetes (NotIn matches a missing key)".
func matchSelector(s *model.Selector, labels model.Labels) bool {
	for _, want := range s.MatchLabels {
		if v, ok := lookup(labels, want.Key); !ok || v != want.Value {
			return false
		}
	}
	for _, r := range s.MatchExpressions {
		v, ok := lookup(labels, r.Key)
		holds := false
		switch r.Operator {
		case model.In:
			holds = ok && slices.Contains(r.Values, v)
		case model.NotIn:
			holds = !ok || !slices.Contains(r.Values, v)
		case model.Exists:
			holds = ok
		case model.DoesNotExist:
			holds = !ok
		}
		if !holds {
			return false
		}
	}
	return true
}

func lookup(labels model.Labels, key string) (string, bool) {
	for _, l := range labels {
		if l.Key == key {
			return l.Value, true
		}
	}
	return "", false
}

// label is one key with every value that makes a difference.
type label struct {
	key    string
	values []string // those that selectors mention, sorted, and another one
}

// vocabulary returns every key that the selectors mention, sorted.
func vocabulary(selectors []*model.Selector) []label {
	values := map[string][]string{}
	for _, s := range selectors {
		for _, l := range s.MatchLabels {
			values[l.Key] = append(values[l.Key], l.Value)
		}
		for _, r := range s.MatchExpressions {
			values[r.Key] = append(values[r.Key], r.Values...)
		}
	}
	var out []label
	for key, vs := range values {
		slices.Sort(vs)
		vs = slices.Compact(vs)
		out = append(out, label{key, append(vs, another(vs))})
	}
	slices.SortFunc(out, func(a, b label) int { return cmpString(a.key, b.key) })
	return out
}

func cmpString(a, b string) int {
	switch {
	case a < b:
		return -1
	case a > b:
		return 1
	}
	return 0
}

// another returns a label value (or a namespace) that is none of taken.
func another(taken []string) string {
	for i := 0; ; i++ {
		if s := fmt.Sprintf("other%d", i); !slices.Contains(taken, s) {
			return s
		}
	}
}

// namespaces returns those that TrafficPolicies live in, sorted, and one that
// no TrafficPolicy lives in, which is not among mentioned either.
func namespaces(policies []*model.Policy, mentioned ...string) (with []string, without string) {
	for _, p := range policies {
		if p.Kind == model.TrafficPolicy {
			with = append(with, p.Namespace)
		}
	}
	slices.Sort(with)
	with = slices.Compact(with)
	return with, another(append(slices.Clone(with), mentioned...))
}

// assignments returns every label assignment over the vocabulary in namespace:
// each key absent or with each of its values. Fewer labels come first among
// those that agree on the keys before.
func assignments(namespace string, vocabulary []label) []Pod {
	sets := []model.Labels{nil}
	for _, l := range vocabulary {
		var next []model.Labels
		for _, s := range sets {
			next = append(next, s)
			for _, v := range l.values {
				next = append(next, append(slices.Clone(s), model.Label{Key: l.key, Value: v}))
			}
		}
		sets = next
	}
	pods := make([]Pod, len(sets))
	for i, s := range sets {
		pods[i] = Pod{Namespace: namespace, Labels: s}
	}
	return pods
}

// countAssignments returns how many assignments the vocabulary has in n
// namespaces, or more than maxPods.
func countAssignments(vocabulary []label, n int) int {
	for _, l := range vocabulary {
		if n *= 1 + len(l.values); n > maxPods {
			break
		}
	}
	return n
}

// minimal reports whether pod, which p selects, has no label more than p's
// selector asks for: p selects it with no label taken away. With matchLabels
// alone that is the pod with exactly P's labels. A selector's conditions speak
// of one key each, so where several labels can go, each of them can go alone.
func minimal(p *model.Policy, pod Pod) bool {
	for i := range pod.Labels {
		less := pod
		less.Labels = slices.Delete(slices.Clone(pod.Labels), i, i+1)
		if selects(p, less) {
			return false
		}
	}
	return true
}
