package pods

import (
	"errors"
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"

	"k8s.io/apimachinery/pkg/labels"

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

func expression(key string, op model.Operator, values ...string) model.Requirement {
	return model.Requirement{Key: key, Operator: op, Values: values}
}

// TestManyKeys has more label assignments than anyone could try.
func TestManyKeys(t *testing.T) {
	const n = 200
	p := tp("a", "p", nil)
	for _, c := range []struct {
		name string
		of   func(i int) []*model.Policy
		want int // pods
	}{
		{"NotIn", func(i int) []*model.Policy {
			return []*model.Policy{tp("a", "q", nil, expression(fmt.Sprint("k", i), model.NotIn, "1", "2", "3"))}
		}, 1},
		{"DoesNotExist", func(i int) []*model.Policy {
			return []*model.Policy{tp("a", "q", nil, expression(fmt.Sprint("k", i), model.DoesNotExist))}
		}, 1},
		{"one policy is lost by any of the keys", func(i int) []*model.Policy {
			return []*model.Policy{tp("a", "q", nil, expression(fmt.Sprint("k", i), model.NotIn, "1"), expression("all", model.DoesNotExist))}
		}, 1},
		{"each is lost by a key of its own, or joined by it to the next", func(i int) []*model.Policy {
			return []*model.Policy{tp("a", "q", map[string]string{fmt.Sprint("k", i): "1"}, expression(fmt.Sprint("k", i+1), model.DoesNotExist))}
		}, 1},
		{"in a ring", func(i int) []*model.Policy {
			return []*model.Policy{tp("a", "q", map[string]string{fmt.Sprint("k", i): "1"}, expression(fmt.Sprint("k", (i+1)%n), model.DoesNotExist))}
		}, 1},
		{"thirteen keys one way or the other", func(i int) []*model.Policy {
			k := fmt.Sprint("k", i%13)
			return []*model.Policy{tp("a", "q", nil, expression(k, model.DoesNotExist)), tp("a", "r", nil, expression(k, model.Exists))}
		}, 1 << 13},
	} {
		t.Run(c.name, func(t *testing.T) {
			all := []*model.Policy{p}
			for i := range n {
				all = append(all, c.of(i)...)
			}
			got, err := NewSpace(all).Minimal(p)
			if err != nil || len(got) != c.want {
				t.Errorf("%d pods, error %v, want %d", len(got), err, c.want)
			}
		})
	}
}

// eitherWay returns, for each of n keys, one policy that wants it and one that does
// not: no pod has fewer than n of them.
func eitherWay(n int) []*model.Policy {
	var out []*model.Policy
	for i := range n {
		k := fmt.Sprintf("k%02d", i)
		out = append(out, tp("a", fmt.Sprint("q", i), nil, expression(k, model.DoesNotExist)), tp("a", fmt.Sprint("r", i), nil, expression(k, model.Exists)))
	}
	return out
}

func TestTooMany(t *testing.T) {
	p := tp("a", "p", nil)
	for _, n := range []int{14, 15, 60} {
		got, err := NewSpace(append(eitherWay(n), p)).Minimal(p)
		var many *TooManyError
		switch {
		case n <= 14:
			if err != nil || len(got) != MaxPods {
				t.Errorf("%d keys: %d pods, error %v, want all", n, len(got), err)
			}
		case !errors.As(err, &many) || len(many.Keys) != n || len(many.Policies) != 1:
			t.Errorf("%d keys: error %v, want a TooManyError that names them and one policy", n, err)
		}
	}
	const want = "TrafficPolicy/a/p: more label assignments matter than the 16384 that can be looked at (keys k00, k01, k02, k03, k04, k05, k06, k07 and 12 more)"
	if _, err := NewSpace(append(eitherWay(20), p)).Minimal(p); err == nil || err.Error() != want {
		t.Errorf("error %v, want %s", err, want)
	}
}

// TestHardToFind has no more than a few minimal pods, which are hard to find: it
// must end all the same, with all of them or an error.
func TestHardToFind(t *testing.T) {
	const seed, n = 3, 60
	rnd := rand.New(rand.NewPCG(seed, seed))
	p := tp("a", "p", nil)
	all := []*model.Policy{p}
	for i := range 4 * n {
		q := tp("a", fmt.Sprint("q", i), nil)
		for _, k := range rnd.Perm(n)[:3] {
			op := model.DoesNotExist
			if rnd.IntN(2) == 0 {
				op = model.Exists
			}
			q.Selector.MatchExpressions = append(q.Selector.MatchExpressions, expression(fmt.Sprint("k", k), op))
		}
		all = append(all, q)
	}
	_, err := NewSpace(all).Minimal(p)
	var many *TooManyError
	if err != nil && !errors.As(err, &many) {
		t.Errorf("error %v", err)
	}
}

func TestMinimalAmong(t *testing.T) {
	p := tp("a", "p", nil)
	all := append(eitherWay(40), p)
	s := NewSpace(all)
	if got, err := s.MinimalAmong(func(*model.Policy) bool { return false }, p); err != nil || len(got) != 1 {
		t.Errorf("none counts: %d pods, error %v, want one", len(got), err)
	}
	got, err := s.MinimalAmong(func(q *model.Policy) bool { return q.Name == "q7" || q.Name == "r7" || q.Name == "q8" }, p)
	var labels []string
	for _, g := range got {
		labels = append(labels, g.Labels.String())
		if len(g.Policies) != 41 {
			t.Errorf("%v has %d policies, want those that do not count as well", g.Labels, len(g.Policies))
		}
	}
	if want := []string{"k08=any", "k07=any,k08=any"}; err != nil || !slices.Equal(labels, want) {
		t.Errorf("pods %q, error %v, want %q", labels, err, want)
	}
}

func TestExactTooMany(t *testing.T) {
	p := tp("a", "p", nil)
	var others []*model.Policy
	for i := range 15 {
		k := fmt.Sprintf("k%02d", i)
		p.Selector.MatchExpressions = append(p.Selector.MatchExpressions, expression(k, model.In, "1", "2", "3"))
		others = append(others, tp("a", fmt.Sprint("q", i), map[string]string{k: "2"}))
	}
	s := NewSpace(append(others, p))
	got, err := s.Exact(nil, p)
	var many *TooManyError
	if !errors.As(err, &many) || len(many.Keys) != 15 || len(got) != maxPartial {
		t.Errorf("%d pods, error %v, want some and a TooManyError that names 15 keys", len(got), err)
	}
	got, err = s.Exact(func(q *model.Policy) bool { return q == others[0] || q == others[14] }, p)
	if err != nil || len(got) != 4 {
		t.Errorf("two count: %d pods, error %v, want 4", len(got), err)
	}
}

// universe is random policies with every pod that they tell apart.
type universe struct {
	policies []*model.Policy
	counts   Counts
	keys     []string
	pods     map[string][]Pod // by namespace
}

func newUniverse(rnd *rand.Rand) *universe {
	u := &universe{keys: []string{"a", "b", "c", "d", "e"}[:2+rnd.IntN(4)], pods: map[string][]Pod{}}
	values := []string{"1", "2"}
	for i := range 1 + rnd.IntN(9) {
		p := randomPolicy(rnd, fmt.Sprint("p", i), u.keys, values)
		p.Priority = rnd.IntN(3)
		u.policies = append(u.policies, p)
	}
	slices.SortFunc(u.policies, model.ComparePolicies)
	if rnd.IntN(2) == 0 {
		u.counts = func(p *model.Policy) bool { return p.Priority < 2 }
	}
	selectors := make([]labels.Selector, len(u.policies))
	for i, p := range u.policies {
		selectors[i] = compiler.NewSelector(&p.Selector)
	}
	for _, ns := range []string{"x", "y", ""} {
		everyPod(u.keys, append(values, "other"), func(ls model.Labels) {
			pod := Pod{Namespace: ns, Labels: ls}
			for i, p := range u.policies {
				if (p.Kind == model.GlobalTrafficPolicy || p.Namespace == ns) && selectors[i].Matches(ls) {
					pod.Policies = append(pod.Policies, p)
				}
			}
			u.pods[ns] = append(u.pods[ns], pod)
		})
	}
	return u
}

// counting returns the names of the policies of p that count.
func (u *universe) counting(p *Pod) string {
	var ps []*model.Policy
	for _, q := range p.Policies {
		if u.counts.of(q) {
			ps = append(ps, q)
		}
	}
	return names(ps)
}

func (u *universe) log(t *testing.T) {
	for _, p := range u.policies {
		t.Logf("%s %q priority %d %+v", p.Name, p.Namespace, p.Priority, p.Selector)
	}
}

// TestMinimalAgainstEveryPod compares with all pods of a small universe: each
// minimal pod is selected as the selectors say, and the sets of policies are those
// of pods of which no other one has fewer.
func TestMinimalAgainstEveryPod(t *testing.T) {
	const seed = 7
	rnd := rand.New(rand.NewPCG(seed, seed))
	for round := range 1000 {
		u := newUniverse(rnd)
		s := NewSpace(u.policies)
		of := u.policies[:1+rnd.IntN(min(2, len(u.policies)))]
		got, err := s.MinimalAmong(u.counts, of...)
		if err != nil {
			t.Fatal(err)
		}
		var sets []string
		for i, m := range got {
			sets = append(sets, u.counting(&got[i]))
			if want := selecting(u.policies, m.Namespace, m.Labels); !slices.Equal(m.Policies, want) {
				u.log(t)
				t.Fatalf("seed %d round %d: pod %v has policies %q, want %q", seed, round, m.Labels, names(m.Policies), names(want))
			}
		}
		slices.Sort(sets)
		if want := u.minimal(of); !slices.Equal(sets, want) {
			u.log(t)
			t.Fatalf("seed %d round %d: of %q sets %q, want %q", seed, round, names(of), sets, want)
		}
	}
}

// minimal returns the policies that count of pods that of select and that have
// fewer of them than any other one, sorted.
func (u *universe) minimal(of []*model.Policy) []string {
	ns, ok := NamespaceOf(of...)
	if !ok {
		return nil
	}
	sets := map[string][]*model.Policy{}
	for _, p := range u.pods[ns] {
		if subset(of, p.Policies) {
			sets[u.counting(&p)] = slices.DeleteFunc(slices.Clone(p.Policies), func(q *model.Policy) bool { return !u.counts.of(q) })
		}
	}
	var out []string
	for name, ps := range sets {
		minimal := true
		for other, qs := range sets {
			minimal = minimal && (other == name || !subset(qs, ps))
		}
		if minimal {
			out = append(out, name)
		}
	}
	slices.Sort(out)
	return out
}

// TestExactAgainstEveryPod compares with all pods of a small universe that a policy
// selects, and does not with a label taken away.
func TestExactAgainstEveryPod(t *testing.T) {
	const seed = 11
	rnd := rand.New(rand.NewPCG(seed, seed))
	for round := range 500 {
		u := newUniverse(rnd)
		p := u.policies[rnd.IntN(len(u.policies))]
		got, err := NewSpace(u.policies).Exact(u.counts, p)
		if err != nil {
			t.Fatal(err)
		}
		var sets, want []string
		for i := range got {
			sets = append(sets, u.counting(&got[i]))
		}
		for _, pod := range u.pods[p.Namespace] {
			exact := slices.Contains(pod.Policies, p)
			for i := range pod.Labels {
				less := slices.Delete(slices.Clone(pod.Labels), i, i+1)
				exact = exact && !compiler.NewSelector(&p.Selector).Matches(less)
			}
			if exact {
				want = append(want, u.counting(&pod))
			}
		}
		slices.Sort(sets)
		slices.Sort(want)
		if want = slices.Compact(want); !slices.Equal(sets, want) {
			u.log(t)
			t.Fatalf("seed %d round %d: of %s sets %q, want %q", seed, round, p.Name, sets, want)
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
