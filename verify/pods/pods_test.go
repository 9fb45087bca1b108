package pods

import (
	"errors"
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"

	"github.com/trafficpolicy/trafficpolicy/compiler"
	"github.com/trafficpolicy/trafficpolicy/model"
)

func tp(ns, name string, labels map[string]string, reqs ...model.Requirement) *model.Policy {
	p := &model.Policy{Kind: model.TrafficPolicy, Namespace: ns, Name: name, Priority: 100,
		Selector: model.Selector{MatchLabels: model.NewLabels(labels), MatchExpressions: reqs}}
	if ns == "" {
		p.Kind = model.GlobalTrafficPolicy
	}
	return p
}

func names(ps []*model.Policy) string {
	var out []string
	for _, p := range ps {
		out = append(out, p.Name)
	}
	return strings.Join(out, " ")
}

func TestMinimal(t *testing.T) {
	type m = map[string]string
	p := tp("a", "p", m{"app": "web"})
	for _, c := range []struct {
		name   string
		of     []*model.Policy
		others []*model.Policy
		want   []string // policies of each minimal pod
	}{
		{"its own labels", []*model.Policy{p}, []*model.Policy{tp("a", "q", m{"app": "web", "tier": "x"}), tp("b", "r", nil)}, []string{"p"}},
		{"a global one joins", []*model.Policy{p}, []*model.Policy{tp("", "g", nil)}, []string{"g p"}},
		{"NotIn holds without the key and is lost with it", []*model.Policy{p},
			[]*model.Policy{tp("a", "q", nil, model.Requirement{Key: "env", Operator: model.NotIn, Values: []string{"prod"}})}, []string{"p"}},
		{"two that exclude each other's absence", []*model.Policy{p}, []*model.Policy{
			tp("a", "q", nil, model.Requirement{Key: "env", Operator: model.DoesNotExist}),
			tp("a", "r", nil, model.Requirement{Key: "env", Operator: model.Exists})}, []string{"p q", "p r"}},
		{"In has a pod a value", []*model.Policy{tp("a", "p", nil, model.Requirement{Key: "env", Operator: model.In, Values: []string{"dev", "prod"}})},
			[]*model.Policy{tp("a", "q", m{"env": "dev"}), tp("a", "r", m{"env": "prod"})}, []string{"p q", "p r"}},
		{"a pair", []*model.Policy{p, tp("a", "q", m{"tier": "x"})}, nil, []string{"p q"}},
		{"a pair that excludes itself", []*model.Policy{p, tp("a", "q", m{"app": "db"})}, nil, nil},
		{"a pair of two namespaces", []*model.Policy{p, tp("b", "q", nil)}, nil, nil},
		{"a global policy is looked at where no TrafficPolicy is", []*model.Policy{tp("", "g", nil)}, []*model.Policy{p}, []string{"g"}},
		{"no pod at all", []*model.Policy{tp("a", "p", m{"x": "1"}, model.Requirement{Key: "x", Operator: model.DoesNotExist})}, nil, nil},
	} {
		t.Run(c.name, func(t *testing.T) {
			s := NewSpace(append(slices.Clone(c.of), c.others...))
			got, err := s.Minimal(c.of...)
			if err != nil {
				t.Fatal(err)
			}
			var ns []string
			for _, g := range got {
				ns = append(ns, names(g.Policies))
			}
			if !slices.Equal(ns, c.want) {
				t.Errorf("pods have policies %q, want %q", ns, c.want)
			}
		})
	}
}

func TestTooMany(t *testing.T) {
	p := tp("a", "p", nil)
	all := []*model.Policy{p}
	for i := range 20 {
		all = append(all, tp("a", fmt.Sprint("q", i), nil, model.Requirement{Key: fmt.Sprint("k", i), Operator: model.DoesNotExist}))
	}
	_, err := NewSpace(all).Minimal(p)
	var many *TooManyError
	if !errors.As(err, &many) || len(many.Keys) != 20 {
		t.Errorf("error %v, want a TooManyError that names 20 keys", err)
	}
}

// TestMinimalAgainstEveryPod compares with all pods of a small universe: each
// minimal pod is selected as the selectors say, and the policies of every pod
// that p selects include those of a minimal one.
func TestMinimalAgainstEveryPod(t *testing.T) {
	const seed = 7
	rnd := rand.New(rand.NewPCG(seed, seed))
	keys, values := []string{"a", "b", "c"}, []string{"1", "2"}
	for round := range 2000 {
		var all []*model.Policy
		for i := range 1 + rnd.IntN(5) {
			all = append(all, randomPolicy(rnd, fmt.Sprint("p", i), keys, values))
		}
		s := NewSpace(all)
		of := all[:1+rnd.IntN(min(2, len(all)))]
		min, err := s.Minimal(of...)
		if err != nil {
			t.Fatal(err)
		}
		fail := func(format string, args ...any) {
			for _, p := range all {
				t.Logf("%s %q %+v", p.Name, p.Namespace, p.Selector)
			}
			t.Fatalf("seed %d round %d: %s", seed, round, fmt.Sprintf(format, args...))
		}
		for _, m := range min {
			if got, want := names(m.Policies), names(selecting(all, m.Namespace, m.Labels)); got != want {
				fail("pod %v has policies %q, want %q", m.Labels, got, want)
			}
		}
		for _, ns := range []string{"x", "y", ""} {
			everyPod(keys, append(values, "other"), func(ls model.Labels) {
				ps := selecting(all, ns, ls)
				for _, p := range of {
					if !slices.Contains(ps, p) {
						return
					}
				}
				if !slices.ContainsFunc(min, func(m Pod) bool { return subset(m.Policies, ps) }) {
					fail("pod %s?%v has policies %q, which include those of no minimal pod", ns, ls, names(ps))
				}
			})
		}
	}
}

func randomPolicy(rnd *rand.Rand, name string, keys, values []string) *model.Policy {
	p := tp([]string{"", "x", "y"}[rnd.IntN(3)], name, nil)
	for _, k := range keys {
		switch rnd.IntN(8) {
		case 0:
			p.Selector.MatchLabels = append(p.Selector.MatchLabels, model.Label{Key: k, Value: values[rnd.IntN(len(values))]})
		case 1:
			p.Selector.MatchExpressions = append(p.Selector.MatchExpressions, model.Requirement{Key: k, Operator: model.In, Values: values[:1+rnd.IntN(2)]})
		case 2:
			p.Selector.MatchExpressions = append(p.Selector.MatchExpressions, model.Requirement{Key: k, Operator: model.NotIn, Values: values[rnd.IntN(2):]})
		case 3:
			p.Selector.MatchExpressions = append(p.Selector.MatchExpressions, model.Requirement{Key: k, Operator: model.Exists})
		case 4:
			p.Selector.MatchExpressions = append(p.Selector.MatchExpressions, model.Requirement{Key: k, Operator: model.DoesNotExist})
		}
	}
	return p
}

func everyPod(keys, values []string, f func(model.Labels)) {
	n := 1
	for range keys {
		n *= len(values) + 1
	}
	for i := range n {
		var ls model.Labels
		for _, k := range keys {
			if v := i % (len(values) + 1); v > 0 {
				ls = append(ls, model.Label{Key: k, Value: values[v-1]})
			}
			i /= len(values) + 1
		}
		f(ls)
	}
}

// selecting asks every policy, in evaluation order.
func selecting(all []*model.Policy, ns string, ls model.Labels) []*model.Policy {
	var out []*model.Policy
	for _, p := range all {
		if (p.Kind == model.GlobalTrafficPolicy || p.Namespace == ns) && compiler.NewSelector(&p.Selector).Matches(ls) {
			out = append(out, p)
		}
	}
	slices.SortFunc(out, model.ComparePolicies)
	return out
}

func subset(a, b []*model.Policy) bool {
	return !slices.ContainsFunc(a, func(p *model.Policy) bool { return !slices.Contains(b, p) })
}
