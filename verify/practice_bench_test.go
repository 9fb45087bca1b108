package verify

import (
	"fmt"
	"math/rand/v2"
	"net/netip"
	"slices"
	"testing"

	"github.com/trafficpolicy/trafficpolicy/compiler"
	"github.com/trafficpolicy/trafficpolicy/internal/synth/scale"
	"github.com/trafficpolicy/trafficpolicy/model"
)

// withBaselines has n policies, each with a name among its rules, and a baseline of
// ten denials for every pod and for each of the thousand label sets' first keys.
func withBaselines(n int, set func(int) model.Labels, priority func(*rand.Rand) int) []*model.Policy {
	out := scale.Policies(n, set, priority)
	for i, p := range out {
		p.Egress.Rules[i%5].Peers = []model.Peer{{Kind: model.PeerFQDN, FQDN: fmt.Sprintf("n%d.example", i%500)}}
	}
	rng := rand.New(rand.NewPCG(4, uint64(n)))
	for i := range 100 {
		g := &model.Policy{Kind: model.GlobalTrafficPolicy, Name: fmt.Sprintf("g%d", i), Priority: 1000, Egress: &model.Section{}}
		if i > 0 {
			g.Selector.MatchLabels = model.Labels{set(i)[0]}
		}
		for range 10 {
			g.Egress.Rules = append(g.Egress.Rules, model.Rule{Action: model.Deny, Peers: []model.Peer{benchCIDR(10<<24|rng.Uint32N(1<<24), 8+rng.IntN(17))}})
		}
		out = append(out, g)
	}
	slices.SortFunc(out, model.ComparePolicies)
	return out
}

// portRules has one name in n rules of a port each, then another of its address in as
// many, and denials of a private range in as many.
func portRules(n int) []model.Rule {
	var rules []model.Rule
	for i, peer := range []model.Peer{{Kind: model.PeerFQDN, FQDN: "n0.example"}, {Kind: model.PeerFQDN, FQDN: "n50.example"}, benchCIDR(10<<24, 8)} {
		for port := range uint16(n) {
			// Every second port of each, so that nothing abuts.
			r := model.Rule{Action: model.Deny, Peers: []model.Peer{peer}, Ports: []model.Port{{Proto: model.TCP, First: 2*port + 1, Last: 2*port + 1}}}
			if i == 0 {
				r.Action = model.Allow
			}
			rules = append(rules, r)
		}
	}
	return rules
}

// longBaseline has a baseline of n denials, and a thousand policies that open everything.
func longBaseline(n int) []*model.Policy {
	g := &model.Policy{Kind: model.GlobalTrafficPolicy, Name: "g", Priority: 1000, Egress: &model.Section{}}
	rng := rand.New(rand.NewPCG(5, uint64(n)))
	for range n {
		g.Egress.Rules = append(g.Egress.Rules, model.Rule{Action: model.Deny, Peers: []model.Peer{benchCIDR(rng.Uint32(), 16+rng.IntN(17))}})
	}
	out := []*model.Policy{g}
	for i := range 1000 {
		out = append(out, &model.Policy{Kind: model.TrafficPolicy, Namespace: "a", Name: fmt.Sprintf("p%d", i), Priority: 500,
			Selector: model.Selector{MatchLabels: scale.Apart(i)},
			Egress:   &model.Section{Rules: []model.Rule{{Action: model.Allow, Peers: []model.Peer{benchCIDR(0, 0)}}}}})
	}
	slices.SortFunc(out, model.ComparePolicies)
	return out
}

// BenchmarkLintPractice measures the checks of good practice, policies decoded before.
func BenchmarkLintPractice(b *testing.B) {
	resolve := map[string][]netip.Addr{}
	for i := range 500 { // ten names an address
		resolve[fmt.Sprintf("n%d.example", i)] = []netip.Addr{netip.AddrFrom4([4]byte{192, 0, 2, byte(i % 50)})}
	}
	codes := []model.Code{model.PriorityBand, model.FQDNOverlap, model.FQDNDeny, model.FQDNFirst, model.Mergeable, model.BaselineOverridden}
	for _, input := range []struct {
		name     string
		policies func() []*model.Policy
	}{
		{"dense/100000", func() []*model.Policy { return onePolicy(scale.Dense(100_000)) }},
		{"names/10000", func() []*model.Policy { return onePolicy(nameRules(10_000)) }},
		{"ports/30000", func() []*model.Policy { return onePolicy(portRules(10_000)) }},
		{"baseline/10000", func() []*model.Policy { return longBaseline(10_000) }},
		{"policies-apart/10000", func() []*model.Policy { return withBaselines(10_000, scale.Apart, scale.Spread) }},
		{"policies-one-priority/10000", func() []*model.Policy { return withBaselines(10_000, scale.Apart, scale.Level) }},
		{"policies-joined/10000", func() []*model.Policy { return withBaselines(10_000, scale.Joined, scale.Spread) }},
		{"policies-joined-one-priority/10000", func() []*model.Policy { return withBaselines(10_000, scale.Joined, scale.Level) }},
	} {
		in := &compiler.Input{Policies: input.policies(), Inventory: &model.Inventory{}}
		for _, code := range append(codes, "all") {
			b.Run(input.name+"/"+string(code), func(b *testing.B) {
				o := LintOptions{Only: []model.Code{code}}
				if code == "all" {
					o.Only = codes
				}
				o.Resolve = resolve
				for b.Loop() {
					r, err := Lint(b.Context(), in, o)
					if err != nil {
						b.Fatal(err)
					}
					b.ReportMetric(float64(len(r.Findings)), "findings")
					for _, u := range r.Unchecked {
						b.Log(u.String())
					}
				}
			})
		}
	}
}
