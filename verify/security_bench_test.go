package verify

import (
	"fmt"
	"math/rand/v2"
	"slices"
	"testing"

	"github.com/trafficpolicy/trafficpolicy/compiler"
	"github.com/trafficpolicy/trafficpolicy/internal/synth/scale"
	"github.com/trafficpolicy/trafficpolicy/model"
)

// openPolicies are those of [scale.Policies] with public access, half of them with
// kube-dns before it; every tenth denies the shared range instead. So each check of
// security has much to say and pairs of policies to look at.
func openPolicies(n int, set func(int) model.Labels) []*model.Policy {
	ps := scale.Policies(n, set, scale.Spread)
	rng := rand.New(rand.NewPCG(4, uint64(n)))
	for i, p := range ps {
		rules := p.Egress.Rules
		switch dns := (model.Rule{Action: model.Allow, Peers: []model.Peer{kubeDNS}}); {
		case i%10 == 0:
			rules = append(rules, model.Rule{Action: model.Deny, Peers: []model.Peer{benchCIDR(100<<24|64<<16, 10)}})
		case rng.IntN(2) == 0:
			rules = append(rules, dns, model.Rule{Action: model.Allow, Peers: []model.Peer{benchCIDR(0, 0)}})
		default:
			rules = append(rules, model.Rule{Action: model.Allow, Peers: []model.Peer{benchCIDR(0, 0)}})
		}
		p.Egress.Rules = rules
	}
	return ps
}

// openRules ends a list with what its pods may reach in public.
func openRules(rules []model.Rule) []model.Rule {
	return append(rules, model.Rule{Action: model.Allow, Peers: []model.Peer{benchCIDR(0, 0)}})
}

// crowdedRules has a rule of its own for each port of everything.
func crowdedRules(n int) []model.Rule {
	var rules []model.Rule
	for i := range n {
		rules = append(rules, model.Rule{Action: model.Action(2 * (i % 2)), Peers: []model.Peer{benchCIDR(0, 0)},
			Ports: []model.Port{{Proto: model.TCP, First: uint16(i), Last: uint16(i)}}})
	}
	return rules
}

// BenchmarkLintSecurity measures the checks of what pods reach, policies decoded
// before.
func BenchmarkLintSecurity(b *testing.B) {
	for _, input := range []struct {
		name     string
		policies func() []*model.Policy
	}{
		{"dense/10000", func() []*model.Policy { return onePolicy(openRules(scale.Dense(10_000))) }},
		{"dense/100000", func() []*model.Policy { return onePolicy(openRules(scale.Dense(100_000))) }},
		{"ports/50000", func() []*model.Policy { return onePolicy(openRules(crowdedRules(50_000))) }},
		{"policies-apart/10000", func() []*model.Policy { return openPolicies(10_000, scale.Apart) }},
		{"policies-joined/10000", func() []*model.Policy { return openPolicies(10_000, scale.Joined) }},
	} {
		for _, code := range append(securityCodes, model.BroadSelector) {
			b.Run(fmt.Sprintf("%s/%s", input.name, code), func(b *testing.B) {
				in := &compiler.Input{Policies: input.policies(), Inventory: &model.Inventory{}}
				benchLint(b, in, code)
			})
		}
	}
}

// BenchmarkLintSecurityPods has 50,000 pods under 2,000 policies.
func BenchmarkLintSecurityPods(b *testing.B) {
	inv := dnsCluster()
	for i := range 50_000 {
		a := benchCIDR(10<<24|1<<22+uint32(i), 32).CIDR.Addr()
		p := web(fmt.Sprintf("p%d", i))
		p.IPs, p.Labels, p.Bypass = addr(a.String()), scale.Joined(i), []string{"capability NET_ADMIN"}
		inv.Pods = append(inv.Pods, p)
	}
	in := &compiler.Input{Policies: openPolicies(2000, scale.Joined), Inventory: inv, InventoryGiven: true}
	for _, code := range append(slices.Clone(securityCodes), model.CanBypass) {
		b.Run(string(code), func(b *testing.B) { benchLint(b, in, code) })
	}
}

func benchLint(b *testing.B, in *compiler.Input, code model.Code) {
	for b.Loop() {
		r, err := Lint(b.Context(), in, LintOptions{Only: []model.Code{code}})
		if err != nil {
			b.Fatal(err)
		}
		b.ReportMetric(float64(len(r.Findings)), "findings")
	}
}
