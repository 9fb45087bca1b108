package oracle

import (
	"net/netip"
	"os"
	"slices"
	"strconv"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/trafficpolicy/trafficpolicy/internal/synth"
	"github.com/trafficpolicy/trafficpolicy/model"
)

// draws calls f with clusters that are the same in every run, the policies as a
// question of the always sense; f returns what is wrong, "" if nothing is. What
// fails is shrunk.
func draws(t *testing.T, n uint64, f func(in Input, c *synth.Cluster) string) {
	t.Helper()
	if s := os.Getenv("TRAFFICPOLICY_SOAK"); s != "" {
		factor, err := strconv.ParseUint(s, 10, 32)
		if err != nil {
			t.Fatal(err)
		}
		n *= factor
	}
	ask := func(c *synth.Cluster) string {
		in := Input{
			Policies: c.Policies, Peers: Known{Resolve: c.Resolve}, IsolateByDirection: c.Seed%3 == 0,
			Families: families(c.Policies, &Cluster{*c.Inventory, c.Resolve}),
		}
		return f(in, c)
	}
	for seed := range n {
		c := synth.Dense(seed)
		if ask(c) == "" {
			continue
		}
		small := synth.Shrink(c, func(c *synth.Cluster) bool { return ask(c) != "" })
		t.Fatalf("seed %d: %s\n%s---\n%s--resolve %v", seed, ask(small), small.PolicyYAML(), small.InventoryYAML(), small.Resolve)
	}
}

// TestWalkIsDecide compares the sets of points with one walk a packet.
func TestWalkIsDecide(t *testing.T) {
	draws(t, 60, func(in Input, _ *synth.Cluster) string {
		w, err := newWorld(in, in.Policies, scope{})
		if err != nil {
			return err.Error()
		}
		for _, c := range w.classes {
			for _, d := range model.Directions {
				list := w.list(c, d, anyPolicy)
				allows := w.allowed(d, list, w.closed(c, d, anyPolicy))
				for i := range w.spaces[d].size() {
					p := w.spaces[d].packet(i)
					if diff := cmp.Diff(Decide(in, c.pod, p), decision(list, i, allows)); diff != "" {
						return c.pod.String() + " " + p.String() + ":\n" + diff
					}
				}
			}
		}
		return ""
	})
}

// TestPlain compares Analyze with the definitions read once more, with nothing
// but Decide.
func TestPlain(t *testing.T) {
	draws(t, 80, func(in Input, _ *synth.Cluster) string {
		in.Policies = in.Policies[:min(4, len(in.Policies))]
		got, err := Analyze(in)
		if err != nil {
			return err.Error()
		}
		return cmp.Diff(newPlain(t, in).codes(), got.Codes())
	})
}

// TestRepresentatives holds that nothing changes where more packets and more
// pods are looked at than the policies tell apart.
func TestRepresentatives(t *testing.T) {
	more := scope{
		ports:     []model.Port{{Proto: model.TCP, First: 77, Last: 86}, {Proto: model.UDP, First: 53, Last: 54}, {Proto: model.SCTP, First: 9, Last: 9}},
		selectors: []*model.Selector{{MatchLabels: model.NewLabels(map[string]string{"app": "w", "more": "x"})}},
	}
	for _, d := range model.Directions {
		for _, s := range []string{"10.0.0.64/26", "10.64.0.0/10", "9.0.0.0/32", "fd00::1/128", "fe80::/10"} {
			more.peers[d] = append(more.peers[d], model.Peer{CIDR: netip.MustParsePrefix(s)})
		}
		more.peers[d] = append(more.peers[d], model.Peer{Kind: model.PeerFQDN, FQDN: "more.example"})
	}
	draws(t, 150, func(in Input, _ *synth.Cluster) string {
		want, err := Analyze(in)
		if err != nil {
			return err.Error()
		}
		w, err := newWorld(in, in.Policies, more)
		if err != nil {
			return err.Error()
		}
		return cmp.Diff(want.Codes(), w.report().Codes())
	})
}

// TestWitnesses holds that each witness shows what its finding says, in the
// inventory sense as well.
func TestWitnesses(t *testing.T) {
	draws(t, 300, func(in Input, c *synth.Cluster) string {
		inside := InCluster(in, &Cluster{*c.Inventory, c.Resolve})
		for _, in := range []Input{in, inside} {
			report, err := Analyze(in)
			if err != nil {
				return err.Error()
			}
			for _, f := range report.Findings {
				if f.Code == model.PriorityTie {
					continue
				}
				if err := CheckWitness(in, f); err != nil {
					return err.Error()
				}
				if got := Decide(in, f.Witness.Pod, f.Witness.Packet).Rule; f.Code != model.PriorityConflict && (got != f.Witness.Rule || got == "") {
					return f.Subject + ": " + f.Witness.Packet.String() + " is of " + got + ", not " + f.Witness.Rule
				}
			}
		}
		return ""
	})
}

// TestDiffIsDecide compares Diff with Decide on each packet.
func TestDiffIsDecide(t *testing.T) {
	draws(t, 60, func(in Input, _ *synth.Cluster) string {
		in.Policies = in.Policies[:min(4, len(in.Policies))]
		w, err := newWorld(in, in.Policies, scope{}) // tells apart all that the two sets do
		if err != nil {
			return err.Error()
		}
		before, after := in, in
		if n := len(in.Policies); n > 1 {
			before.Policies, after.Policies = in.Policies[:n-1], in.Policies[1:]
		} else {
			before.Policies = nil
		}
		var want []Difference
		for _, c := range w.classes {
			for _, d := range model.Directions {
				for i := range w.spaces[d].size() {
					p := w.spaces[d].packet(i)
					if x, y := Decide(before, c.pod, p), Decide(after, c.pod, p); x.Allow != y.Allow {
						want = append(want, Difference{c.pod, p, x, y})
					}
				}
			}
		}
		got, err := Diff(before.Policies, after)
		if err != nil {
			return err.Error()
		}
		return cmp.Diff(want, got, cmp.Comparer(func(a, b netip.Addr) bool { return a == b }))
	})
}

// TestProveIsDiff holds that a rule's packets are proven to be decided as the
// rule says exactly where putting it first of all changes no verdict.
func TestProveIsDiff(t *testing.T) {
	draws(t, 80, func(in Input, _ *synth.Cluster) string {
		for _, p := range in.Policies {
			for _, ref := range refs(p) {
				r := ref.Rule()
				a := Assertion{Namespace: p.Namespace, Selector: p.Selector, Direction: ref.Direction,
					Peers: r.Peers, Ports: r.Ports, Allow: r.Action == model.Allow}
				proof, err := Prove(in, a)
				if err != nil {
					return err.Error()
				}
				first := &model.Policy{Kind: p.Kind, Namespace: p.Namespace, Name: "first", Selector: p.Selector}
				section := &model.Section{Rules: []model.Rule{*r}}
				if first.Egress = section; ref.Direction == model.Ingress {
					first.Egress, first.Ingress = nil, section
				}
				with := in
				with.Policies = append(slices.Clone(in.Policies), first)
				differences, err := Diff(in.Policies, with)
				if err != nil {
					return err.Error()
				}
				if proof.Proven && len(differences) > 0 || !proof.Proven && !proof.Vacuous && len(differences) == 0 {
					return ref.String() + " is proven, vacuous: " + strconv.FormatBool(proof.Proven) + ", " + strconv.FormatBool(proof.Vacuous)
				}
				if !proof.Proven && !proof.Vacuous {
					if got := Decide(in, proof.Pod, proof.Packet); got != proof.Decision || got.Allow == a.Allow {
						return ref.String() + " is refuted by " + proof.Packet.String()
					}
				}
			}
		}
		return ""
	})
}

// refs returns the rules of p.
func refs(p *model.Policy) []model.RuleRef {
	var out []model.RuleRef
	for _, d := range model.Directions {
		for i := range p.Rules(d) {
			out = append(out, model.RuleRef{Policy: p, Direction: d, Index: i})
		}
	}
	return out
}

// TestDenseFindsAll holds that what is drawn has every code, so that a comparison
// over it says something about each.
func TestDenseFindsAll(t *testing.T) {
	count := map[model.Code]int{}
	for seed := range uint64(300) {
		report, err := Analyze(Input{Policies: synth.Dense(seed).Policies})
		if err != nil {
			t.Fatal(err)
		}
		for _, f := range report.Findings {
			count[f.Code]++
		}
	}
	for _, c := range []model.Code{model.ShadowedRule, model.RedundantRule, model.UnreachablePeer, model.NoEffect,
		model.PriorityConflict, model.PriorityTie, model.OverriddenPolicy} {
		if count[c] < 20 {
			t.Errorf("%s found %d times in 300 sets, want 20 at least", c, count[c])
		}
	}
	t.Log(count)
}

func BenchmarkAnalyze(b *testing.B) {
	for seed := uint64(0); b.Loop(); seed++ {
		if _, err := Analyze(Input{Policies: synth.Dense(seed).Policies}); err != nil {
			b.Fatal(err)
		}
	}
}
