package verify

import (
	"fmt"
	"math/rand/v2"
	"net/netip"
	"slices"
	"testing"

	"github.com/trafficpolicy/trafficpolicy/compiler"
	"github.com/trafficpolicy/trafficpolicy/model"
)

// withBaselines has n policies, each with a name among its rules, and a baseline of
// ten denials for every pod and for each of the thousand label sets' first keys.
func withBaselines(n int, set func(int) model.Labels, priority func(*rand.Rand) int) []*model.Policy {
	out := manyPolicies(n, set, priority)
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
		{"dense/100000", func() []*model.Policy { return onePolicy(denseRules(100_000)) }},
		{"names/10000", func() []*model.Policy { return onePolicy(nameRules(10_000)) }},
		{"policies-apart/10000", func() []*model.Policy { return withBaselines(10_000, apart, spread) }},
		{"policies-one-priority/10000", func() []*model.Policy { return withBaselines(10_000, apart, level) }},
		{"policies-joined/10000", func() []*model.Policy { return withBaselines(10_000, joined, spread) }},
		{"policies-joined-one-priority/10000", func() []*model.Policy { return withBaselines(10_000, joined, level) }},
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
					for _, w := range r.Warnings {
						b.Log(w)
					}
				}
			})
		}
	}
}
