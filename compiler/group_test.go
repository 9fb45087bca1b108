package compiler

import (
	"fmt"
	"math/rand/v2"
	"os"
	"slices"
	"strconv"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/trafficpolicy/trafficpolicy/model"
)

func TestSelect(t *testing.T) {
	policies := []*model.Policy{
		tp("a/all", 100, ""),
		tp("a/web", 50, "app=web"),
		tp("a/web-front", 50, "app=web,tier=front"),
		tp("b/all", 1, ""),
		tp("base", 100, ""),
		tp("guard", 100, "app=web"),
	}
	with := func(ref string, prio int, labels string, reqs ...model.Requirement) {
		p := tp(ref, prio, labels)
		p.Selector.MatchExpressions = reqs
		policies = append(policies, p)
	}
	with("c/in", 1, "", requirement("env", model.In, "dev", "test"))
	with("c/notin", 2, "", requirement("env", model.NotIn, "dev", "test"))
	with("c/exists", 3, "", requirement("env", model.Exists))
	with("c/absent", 4, "", requirement("env", model.DoesNotExist))
	with("c/both", 5, "app=web", requirement("env", model.In, "dev"), requirement("x", model.DoesNotExist))
	with("c/never", 6, "", requirement("env", model.Exists), requirement("env", model.DoesNotExist))
	with("c/empty-value", 7, "", requirement("env", model.In, ""))

	x := NewPolicyIndex(policies)
	for _, c := range []struct{ namespace, labels, want string }{
		{"a", "", "GlobalTrafficPolicy/base TrafficPolicy/a/all"}, // global first at equal priority
		{"a", "app=web", "TrafficPolicy/a/web GlobalTrafficPolicy/base GlobalTrafficPolicy/guard TrafficPolicy/a/all"},
		{"a", "app=web,tier=front", "TrafficPolicy/a/web TrafficPolicy/a/web-front GlobalTrafficPolicy/base GlobalTrafficPolicy/guard TrafficPolicy/a/all"},
		{"a", "app=web,tier=back", "TrafficPolicy/a/web GlobalTrafficPolicy/base GlobalTrafficPolicy/guard TrafficPolicy/a/all"},
		{"a", "tier=front", "GlobalTrafficPolicy/base TrafficPolicy/a/all"},
		{"b", "app=web", "TrafficPolicy/b/all GlobalTrafficPolicy/base GlobalTrafficPolicy/guard"},
		{"nowhere", "app=web", "GlobalTrafficPolicy/base GlobalTrafficPolicy/guard"},
		{"c", "env=dev", "TrafficPolicy/c/in TrafficPolicy/c/exists GlobalTrafficPolicy/base"},
		{"c", "env=prod", "TrafficPolicy/c/notin TrafficPolicy/c/exists GlobalTrafficPolicy/base"},
		{"c", "", "TrafficPolicy/c/notin TrafficPolicy/c/absent GlobalTrafficPolicy/base"}, // NotIn matches a missing key
		{"c", "env=", "TrafficPolicy/c/notin TrafficPolicy/c/exists TrafficPolicy/c/empty-value GlobalTrafficPolicy/base"},
		{"c", "app=web,env=dev", "TrafficPolicy/c/in TrafficPolicy/c/exists TrafficPolicy/c/both GlobalTrafficPolicy/base GlobalTrafficPolicy/guard"},
		{"c", "app=web,env=dev,x=1", "TrafficPolicy/c/in TrafficPolicy/c/exists GlobalTrafficPolicy/base GlobalTrafficPolicy/guard"},
	} {
		for range 2 { // found, then remembered
			if got := refs(x.Select(c.namespace, labelSet(c.labels))); got != c.want {
				t.Errorf("%s?%s: %s, want %s", c.namespace, c.labels, got, c.want)
			}
		}
	}
}

func TestGroup(t *testing.T) {
	policies := []*model.Policy{tp("a/web", 50, "app=web"), tp("guard", 100, "guarded=yes")}
	pods := []*model.Pod{
		pod("a/free", "app=db", "10.0.0.1"),
		pod("b/g", "guarded=yes", "10.0.0.2"),
		pod("a/w0", "app=web", "10.0.0.3"),
		pod("a/w1", "app=web,other=label", ""), // no address yet: of the class all the same
		pod("a/both", "app=web,guarded=yes", "10.0.0.4"),
		pod("c/g", "guarded=yes", "10.0.0.5"), // the same class as b/g
		pod("a/not", "app=web", "10.0.0.6", notEnrolled),
		pod("a/host", "app=web", "192.168.0.1", hostNetwork),
		pod("a/done", "app=web", "10.0.0.7", finished),
		pod("a/going", "app=web", "10.0.0.8", deleting),
	}
	describe := func(g *Classes) (out []string) {
		for i, c := range g.All {
			if c.ID != i {
				t.Errorf("class %d has the number %d", i, c.ID)
			}
			for _, p := range c.Pods {
				if g.Of(p) != c {
					t.Errorf("Of(%s) is not its class", p.Ref())
				}
			}
			out = append(out, refs(c.Policies)+": "+refs(c.Pods))
		}
		return out
	}
	g := Group(policies, &model.Inventory{Pods: pods}, Options{})
	want := []string{
		"GlobalTrafficPolicy/guard: b/g c/g",
		"TrafficPolicy/a/web: a/w0 a/w1 a/going",
		"TrafficPolicy/a/web GlobalTrafficPolicy/guard: a/both",
	}
	if diff := cmp.Diff(want, describe(g)); diff != "" {
		t.Errorf("classes (-want +got):\n%s", diff)
	}
	if c := g.Of(pods[0]); c != nil {
		t.Errorf("a pod that no policy selects has a class")
	}
	want[1] = "TrafficPolicy/a/web: a/w0 a/w1 a/not a/going"
	g = Group(policies, &model.Inventory{Pods: pods}, Options{AllEnrolled: true})
	if diff := cmp.Diff(want, describe(g)); diff != "" {
		t.Errorf("classes with --enrollment=all (-want +got):\n%s", diff)
	}
}

// soak is how many times longer random tests run than by default.
func soak() int {
	if n, err := strconv.Atoi(os.Getenv("TRAFFICPOLICY_SOAK")); err == nil && n > 0 {
		return n
	}
	return 1
}

// TestSelectRandom compares the index with trying every policy.
func TestSelectRandom(t *testing.T) {
	for seed := range uint64(300 * soak()) {
		rng := rand.New(rand.NewPCG(seed, 0))
		var policies []*model.Policy
		for i := range 1 + rng.IntN(8) {
			ref := fmt.Sprintf("p%d", i)
			if rng.IntN(3) > 0 {
				ref = fmt.Sprintf("n%d/%s", rng.IntN(2), ref)
			}
			p := tp(ref, 1+rng.IntN(3), randomLabels(rng, 2))
			for range rng.IntN(3) {
				p.Selector.MatchExpressions = append(p.Selector.MatchExpressions, randomRequirement(rng))
			}
			policies = append(policies, p)
		}
		x := NewPolicyIndex(policies)
		slices.SortFunc(policies, model.ComparePolicies)
		for range 30 {
			ns, labels := fmt.Sprintf("n%d", rng.IntN(3)), labelSet(randomLabels(rng, 3))
			var want []*model.Policy
			for _, p := range policies {
				if (p.Kind == model.GlobalTrafficPolicy || p.Namespace == ns) && selects(&p.Selector, labels) {
					want = append(want, p)
				}
			}
			if got := x.Select(ns, labels); refs(got) != refs(want) {
				t.Fatalf("seed %d: %s?%s: %s, want %s", seed, ns, labels, refs(got), refs(want))
			}
		}
	}
}

func randomLabels(rng *rand.Rand, most int) string {
	s := ""
	for i, k := range rng.Perm(3)[:rng.IntN(most+1)] {
		if i > 0 {
			s += ","
		}
		s += fmt.Sprintf("k%d=v%d", k, rng.IntN(3))
	}
	return s
}

func randomRequirement(rng *rand.Rand) model.Requirement {
	key := fmt.Sprintf("k%d", rng.IntN(3))
	op := []model.Operator{model.In, model.NotIn, model.Exists, model.DoesNotExist}[rng.IntN(4)]
	r := model.Requirement{Key: key, Operator: op}
	if op == model.In || op == model.NotIn {
		for v := range 3 {
			if rng.IntN(2) == 0 || v == 2 && len(r.Values) == 0 {
				r.Values = append(r.Values, fmt.Sprintf("v%d", v))
			}
		}
	}
	return r
}

// selects is a second reading of label selectors, from the API documentation.
func selects(s *model.Selector, ls model.Labels) bool {
	if !ls.Contains(s.MatchLabels) {
		return false
	}
	for _, r := range s.MatchExpressions {
		v, has := ls.Lookup(r.Key)
		in := has && slices.Contains(r.Values, v)
		if r.Operator == model.In && !in || r.Operator == model.NotIn && in ||
			r.Operator == model.Exists && !has || r.Operator == model.DoesNotExist && has {
			return false
		}
	}
	return true
}

// bigCluster is 50,000 pods of 2,000 applications in 100 namespaces, under 2,000
// policies. Each pod has labels of its own, as pod-template-hash and the like are.
func bigCluster() ([]*model.Policy, *model.Inventory) {
	rng := rand.New(rand.NewPCG(1, 2))
	inv := &model.Inventory{}
	var policies []*model.Policy
	for i := range 1990 {
		policies = append(policies, tp(fmt.Sprintf("n%d/p%d", i%100, i), 1+rng.IntN(1000), fmt.Sprintf("app=a%d", i%2000/100),
			rule(model.Allow, fmt.Sprintf("workload n%d?app=a%d", rng.IntN(100), rng.IntN(20)), fmt.Sprintf("service n%d/s%d", i%100, i%20)),
			rule(model.Deny, "cidr 0.0.0.0/0")))
	}
	for i := range 10 {
		p := tp(fmt.Sprintf("g%d", i), 1+rng.IntN(1000), "", rule(model.Deny, "cidr 100.100.100.200/32"))
		p.Selector.MatchExpressions = []model.Requirement{requirement("tier", model.NotIn, fmt.Sprintf("t%d", i))}
		policies = append(policies, p)
	}
	slices.SortFunc(policies, model.ComparePolicies)
	for i := range 50_000 {
		labels := fmt.Sprintf("app=a%d,tier=t%d,hash=%d,name=p%d", rng.IntN(20), rng.IntN(20), rng.IntN(5000), i)
		ip := fmt.Sprintf("10.%d.%d.%d", i>>16, i>>8&255, i&255)
		inv.Pods = append(inv.Pods, pod(fmt.Sprintf("n%d/p%d", rng.IntN(100), i), labels, ip, on(fmt.Sprintf("node%d", i/100))))
	}
	for i := range 2000 {
		inv.Services = append(inv.Services, service(fmt.Sprintf("n%d/s%d", i%100, i/100), fmt.Sprintf("172.16.%d.%d", i>>8, i&255), fmt.Sprintf("app=a%d", i/100)))
	}
	return policies, inv
}

func BenchmarkGroup(b *testing.B) {
	policies, inv := bigCluster()
	for b.Loop() {
		if g := Group(policies, inv, Options{}); len(g.All) == 0 {
			b.Fatal("no classes")
		}
	}
}

func BenchmarkResolve(b *testing.B) {
	policies, inv := bigCluster()
	for b.Loop() {
		r := NewResolver(inv, Options{})
		for _, p := range policies {
			r.RuleList([]*model.Policy{p}, model.Egress, ForAnalysis)
		}
	}
}

func BenchmarkCompileNode(b *testing.B) {
	policies, inv := bigCluster()
	c := NewCompiler(&Input{Policies: policies, Inventory: inv, InventoryGiven: true}, CompileOptions{AllowUnresolved: true})
	for b.Loop() {
		if _, err := c.Compile(b.Context(), Target{Node: "node7"}); err != nil {
			b.Fatal(err)
		}
	}
}
