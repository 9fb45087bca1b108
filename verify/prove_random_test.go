package verify

import (
	"context"
	"fmt"
	"math/rand/v2"
	"net/netip"
	"slices"
	"strings"
	"testing"

	"github.com/trafficpolicy/trafficpolicy/compiler"
	"github.com/trafficpolicy/trafficpolicy/internal/synth"
	"github.com/trafficpolicy/trafficpolicy/model"
	"github.com/trafficpolicy/trafficpolicy/verify/oracle"
)

// TestProveAgainstOracle compares with every packet of every pod.
func TestProveAgainstOracle(t *testing.T) {
	const cases, shards = 1500, 4
	n := uint64(cases * soakFactor(t))
	for shard := range uint64(shards) {
		t.Run(fmt.Sprint(shard), func(t *testing.T) {
			t.Parallel()
			outcomes := map[Outcome]int{}
			for seed := shard; seed < n; seed += shards {
				c := drawDense(seed)
				err := checkProve(c, outcomes)
				if err == nil {
					continue
				}
				small := synth.Shrink(c, func(c *synth.Cluster) bool { return checkProve(c, outcomes) != nil })
				t.Fatalf("seed %d: %v\n%s---\n%s--resolve %v", seed, checkProve(small, outcomes), small.PolicyYAML(), small.InventoryYAML(), small.Resolve)
			}
			for _, o := range []Outcome{Proven, Refuted, Vacuous} {
				if outcomes[o] < 50 {
					t.Errorf("%d assertions are %s, want more", outcomes[o], o)
				}
			}
		})
	}
}

// assertionsOf draws assertions that policies may or may not hold.
func assertionsOf(c *synth.Cluster) []oracle.Assertion {
	rng := rand.New(rand.NewPCG(c.Seed, 0x7072))
	other := synth.Dense(c.Seed + 1<<40)
	var out []oracle.Assertion
	for range 3 {
		from := c.Policies
		if len(from) == 0 || rng.IntN(2) == 0 {
			from = other.Policies
		}
		p := from[rng.IntN(len(from))]
		a := oracle.Assertion{Namespace: p.Namespace, Selector: p.Selector, Direction: model.Directions[rng.IntN(2)], Allow: rng.IntN(3) == 0}
		switch rng.IntN(6) {
		case 0:
			a.Namespace = ""
		case 1:
			a.Selector = other.Policies[0].Selector
		case 2:
			if len(c.Inventory.Pods) > 0 {
				pod := c.Inventory.Pods[rng.IntN(len(c.Inventory.Pods))]
				a.Namespace, a.PodName, a.Selector = pod.Namespace, pod.Name, model.Selector{}
			}
		}
		if rules := p.Rules(a.Direction); len(rules) > 0 {
			r := rules[rng.IntN(len(rules))]
			a.Peers, a.Ports = r.Peers, r.Ports
			if rng.IntN(2) == 0 {
				a.Allow = r.Action.Allows()
			}
		}
		out = append(out, a)
	}
	return out
}

func checkProve(c *synth.Cluster, outcomes map[Outcome]int) error {
	o := compiler.Options{IsolateByDirection: c.Seed%3 == 0, Resolve: c.Resolve}
	in := &compiler.Input{Policies: c.Policies, Inventory: c.Inventory, InventoryGiven: c.Seed/4%2 == 0}
	question := oracle.Input{Policies: c.Policies, Peers: oracle.Known{Resolve: c.Resolve}, IsolateByDirection: o.IsolateByDirection}
	if in.InventoryGiven {
		question = oracle.InCluster(question, &oracle.Cluster{Inventory: *c.Inventory, Resolve: c.Resolve})
	}
	for i, a := range assertionsOf(c) {
		mine := assertionFrom(a)
		got, err := Prove(context.Background(), in, o, []*compiler.Assertion{mine})
		if err != nil {
			return err
		}
		question.Families = assertedFamilies(in, o, []*compiler.Assertion{mine})
		want, err := oracle.Prove(question, a)
		if err != nil {
			return err
		}
		p := got.Assertions[0]
		outcomes[p.Outcome]++
		if p.Outcome != outcomeOf(want) {
			return fmt.Errorf("assertion %d %+v is %s (%s), want %s: %v %v %v", i, a, p.Outcome, p.Why, outcomeOf(want), want.Pod, want.Packet, want.Decision)
		}
		if p.Outcome == Refuted {
			if err := checkRefutation(question, a, p.Witness, c.Inventory); err != nil {
				return err
			}
		}
	}
	return nil
}

// assertionFrom is the inverse of what the oracle reads of an assertion.
func assertionFrom(a oracle.Assertion) *compiler.Assertion {
	out := &compiler.Assertion{Name: "it", Namespace: a.Namespace, Pod: a.PodName, Selector: a.Selector, Direction: a.Direction, Ports: a.Ports, Allow: a.Allow}
	for _, p := range a.Peers {
		out.Peers = append(out.Peers, compiler.AssertedPeer{Peer: p})
	}
	if a.Peers == nil {
		out.Peers = []compiler.AssertedPeer{{Group: compiler.AnyPeer}}
	}
	return out
}

func outcomeOf(p oracle.Proof) Outcome {
	switch {
	case p.Proven:
		return Proven
	case p.Vacuous:
		return Vacuous
	}
	return Refuted
}

// checkRefutation holds that the witness is of a pod and a packet that the
// assertion speaks of, and decided as it says.
func checkRefutation(in oracle.Input, a oracle.Assertion, w *ProofWitness, inv *model.Inventory) error {
	pod := podOf(w.Src, inv)
	addr := w.Dst
	if a.Direction == model.Ingress {
		pod, addr = podOf(w.Dst, inv), w.Src
	}
	if a.Namespace != "" && a.Namespace != pod.Namespace || !compiler.NewSelector(&a.Selector).Matches(pod.Labels) {
		return fmt.Errorf("witness %+v is of a pod that %+v does not speak of", w, a)
	}
	p := oracle.Packet{Direction: a.Direction, Addr: netip.MustParseAddr(addr), In: w.In}
	proto, _ := model.ParseProto(w.Proto, model.FamilyOf(p.Addr))
	p.L4 = model.L4Of(proto, w.Port)
	for _, x := range inv.Pods {
		if x.Ref() == pod.String() && (x.HostNetwork || !x.Enrolled) { // open, whatever the policies
			why := NotEnrolled
			if x.HostNetwork {
				why = HostNetwork
			}
			if a.Allow || w.By != why {
				return fmt.Errorf("witness %+v of %+v is of a pod that is open", w, a)
			}
			return nil
		}
	}
	if got := oracle.Decide(in, pod, p); got.Allow == a.Allow || nameOf(got) != w.By || (w.Verdict == "allow") != got.Allow {
		return fmt.Errorf("witness %+v of %+v is decided %+v", w, a, got)
	}
	// The assertion as the only policy must match it.
	rule := model.Rule{Action: model.Allow, Peers: a.Peers, Ports: a.Ports}
	section := &model.Section{Rules: []model.Rule{rule}}
	only := in
	only.Policies = []*model.Policy{{Kind: model.GlobalTrafficPolicy, Name: "only", Egress: section, Ingress: section}}
	if !oracle.Decide(only, pod, p).Allow {
		return fmt.Errorf("witness %+v is no packet of %+v", w, a)
	}
	return nil
}

// TestProveCases and TestDiffCases hold the hand-made cases.
func TestProveCases(t *testing.T) {
	for _, test := range oracle.ProveCases {
		t.Run(test.Name, func(t *testing.T) {
			in := readCase(t, test.Policies, test.Cluster)
			got, err := Prove(context.Background(), in, compiler.Options{}, []*compiler.Assertion{assertionFrom(test.Assertion)})
			if err != nil {
				t.Fatal(err)
			}
			want := Outcome(test.Want)
			if strings.Contains(test.Want, ": ") {
				want = Refuted
			}
			p := got.Assertions[0]
			if p.Outcome != want || p.Failed != (want != Proven) {
				t.Errorf("%s (%s), want %s", p.Outcome, p.Why, test.Want)
			}
			w := p.Witness
			if w == nil {
				return
			}
			by := w.By
			if slices.Contains([]string{NotSelected, NotEnrolled, HostNetwork}, by) {
				by = "" // the oracle knows rules alone
			}
			if !strings.HasSuffix(test.Want, w.Verdict+" by "+by) {
				t.Errorf("witness %+v, want %s", w, test.Want)
			}
		})
	}
}

func TestDiffCases(t *testing.T) {
	for _, test := range oracle.DiffCases {
		t.Run(test.Name, func(t *testing.T) {
			got, err := Compare(context.Background(), readCase(t, test.Old, test.Cluster), readCase(t, test.New, test.Cluster), compiler.Options{})
			if err != nil {
				t.Fatal(err)
			}
			if got.Same != (len(test.Want) == 0) {
				t.Errorf("same is %v, want %q", got.Same, test.Want)
			}
			var witnesses []string
			for _, c := range got.Classes {
				for _, ch := range c.Changes {
					witnesses = append(witnesses, ch.Witness.Src+" "+ch.Witness.Dst)
				}
			}
			if !got.Same && len(witnesses) > len(test.Want) {
				t.Errorf("changes %q, want no more than %q", witnesses, test.Want)
			}
		})
	}
}

func readCase(t *testing.T, text, cluster string) *compiler.Input {
	t.Helper()
	in := &compiler.Input{Policies: slices.SortedFunc(slices.Values(policies(t, text)), model.ComparePolicies), Inventory: &model.Inventory{}, InventoryGiven: cluster != ""}
	c, err := oracle.ParseCluster(cluster)
	if err != nil {
		t.Fatal(err)
	}
	in.Inventory = &c.Inventory
	return in
}
