package verify

import (
	"encoding/binary"
	"fmt"
	"math/rand/v2"
	"net/netip"
	"slices"
	"testing"

	"github.com/trafficpolicy/trafficpolicy/compiler"
	"github.com/trafficpolicy/trafficpolicy/model"
)

// benchInputs are inputs of the sizes that lint is built for, the same in every run.
var benchInputs = []struct {
	name     string
	policies func() []*model.Policy
}{
	{"dense/1000", func() []*model.Policy { return onePolicy(denseRules(1000)) }},
	{"dense/10000", func() []*model.Policy { return onePolicy(denseRules(10_000)) }},
	{"dense/100000", func() []*model.Policy { return onePolicy(denseRules(100_000)) }},
	{"sparse/100000", func() []*model.Policy { return onePolicy(sparseRules(100_000)) }},
	{"names/1000", func() []*model.Policy { return onePolicy(nameRules(1000)) }},
	{"names/10000", func() []*model.Policy { return onePolicy(nameRules(10_000)) }},
	{"names-idle/10000", func() []*model.Policy { return onePolicy(idleNameRules(10_000)) }},
	{"policies-apart/10000", func() []*model.Policy { return manyPolicies(10_000, apart, spread) }},
	{"policies-one-priority/10000", func() []*model.Policy { return manyPolicies(10_000, apart, level) }},
	{"policies-joined/10000", func() []*model.Policy { return manyPolicies(10_000, joined, spread) }},
}

func onePolicy(rules []model.Rule) []*model.Policy {
	return []*model.Policy{{Kind: model.TrafficPolicy, Namespace: "a", Name: "p", Priority: 100,
		Selector: model.Selector{MatchLabels: labels("app", "web")}, Egress: &model.Section{Rules: rules}}}
}

func benchCIDR(a uint32, bits int) model.Peer {
	var b [4]byte
	binary.BigEndian.PutUint32(b[:], a)
	return model.Peer{Kind: model.PeerCIDR, CIDR: netip.PrefixFrom(netip.AddrFrom4(b), bits).Masked()}
}

// denseRules has prefixes from hosts to /12 within 10.0.0.0/8, roughly the narrow
// ones first, half of them with ports; one in twenty is behind two halves that
// together take all its packets.
func denseRules(n int) []model.Rule {
	rng := rand.New(rand.NewPCG(1, uint64(n)))
	rule := func(a model.Action, p model.Peer, ports ...model.Port) model.Rule {
		return model.Rule{Action: a, Peers: []model.Peer{p}, Ports: ports}
	}
	var rules []model.Rule
	for len(rules) < n {
		addr, bits := 10<<24|rng.Uint32N(1<<24), 32-rng.IntN(1+20*len(rules)/n)
		if rng.IntN(20) == 0 && bits < 32 {
			base := binary.BigEndian.Uint32(benchCIDR(addr, bits).CIDR.Addr().AsSlice())
			rules = append(rules, rule(model.Allow, benchCIDR(base, bits+1)), rule(model.Deny, benchCIDR(base|1<<(31-bits), bits+1)))
		}
		var ports []model.Port
		if rng.IntN(2) == 0 {
			first := uint16(1 + rng.IntN(2000))
			ports = []model.Port{{Proto: model.TCP, First: first, Last: first + uint16(rng.IntN(50))}}
		}
		rules = append(rules, rule(model.Action(2*rng.IntN(2)), benchCIDR(addr, bits), ports...))
	}
	return rules[:n]
}

// sparseRules has hosts all over the space and a deny of everything at the end.
func sparseRules(n int) []model.Rule {
	rng := rand.New(rand.NewPCG(2, uint64(n)))
	var rules []model.Rule
	for i := range n - 1 {
		port := []uint16{22, 80, 443, 3306, 6379}[i%5]
		rules = append(rules, model.Rule{Action: model.Allow, Peers: []model.Peer{benchCIDR(rng.Uint32(), 32)},
			Ports: []model.Port{{Proto: model.TCP, First: port, Last: port}}})
	}
	return append(rules, model.Rule{Action: model.Deny, Peers: []model.Peer{benchCIDR(0, 0)}})
}

// nameRules has a name of its own in every rule, none of them known.
func nameRules(n int) []model.Rule {
	var rules []model.Rule
	for i := range n {
		rules = append(rules, model.Rule{Action: model.Action(2 * (i % 2)), Peers: []model.Peer{{Kind: model.PeerFQDN, FQDN: fmt.Sprintf("n%d.example", i)}}})
	}
	return rules
}

// idleNameRules has names that are denied on UDP and then allowed on TCP: no denial
// has an effect.
func idleNameRules(n int) []model.Rule {
	rules := nameRules(n)
	for i := range rules {
		r := &rules[i]
		r.Action, r.Ports = model.Deny, []model.Port{{Proto: model.UDP, Last: 65535}}
		if i >= n/2 {
			r.Action, r.Ports = model.Allow, []model.Port{{Proto: model.TCP, Last: 65535}}
		}
	}
	return rules
}

// apart has a thousand label sets no two of which one pod can have.
func apart(i int) model.Labels { return labels("app", fmt.Sprintf("a%d", i%1000)) }

// joined has a thousand label sets of one to three keys, many of which one pod can have.
func joined(i int) model.Labels {
	i %= 1000
	m := map[string]string{"app": fmt.Sprintf("a%d", i%250)}
	if i >= 250 {
		m["env"] = []string{"prod", "test", "dev"}[i/250-1]
	}
	if i%3 == 0 {
		m["tier"] = []string{"web", "db"}[i%2]
	}
	return model.NewLabels(m)
}

func spread(rng *rand.Rand) int { return 1 + rng.IntN(1000) }
func level(*rand.Rand) int      { return 100 }

// manyPolicies has n policies of five rules in one namespace.
func manyPolicies(n int, set func(int) model.Labels, priority func(*rand.Rand) int) []*model.Policy {
	rng := rand.New(rand.NewPCG(3, uint64(n)))
	var out []*model.Policy
	for i := range n {
		p := &model.Policy{Kind: model.TrafficPolicy, Namespace: "a", Name: fmt.Sprintf("p%d", i), Priority: priority(rng),
			Selector: model.Selector{MatchLabels: set(i)}, Egress: &model.Section{}}
		for range 5 {
			r := model.Rule{Action: model.Action(rng.IntN(3)), Peers: []model.Peer{benchCIDR(10<<24|rng.Uint32N(1<<24), 8+rng.IntN(25))}}
			if rng.IntN(2) == 0 {
				port := uint16(1 + rng.IntN(1000))
				r.Ports = []model.Port{{Proto: model.TCP, First: port, Last: port}}
			}
			p.Egress.Rules = append(p.Egress.Rules, r)
		}
		out = append(out, p)
	}
	slices.SortFunc(out, model.ComparePolicies)
	return out
}

// BenchmarkLint measures all checks of order, policies decoded before.
func BenchmarkLint(b *testing.B) {
	for _, input := range benchInputs {
		b.Run(input.name, func(b *testing.B) {
			in := &compiler.Input{Policies: input.policies(), Inventory: &model.Inventory{}}
			for b.Loop() {
				r, err := Lint(b.Context(), in, LintOptions{Only: orderCodes})
				if err != nil {
					b.Fatal(err)
				}
				b.ReportMetric(float64(len(r.Findings)), "findings")
				for i := range r.Unchecked {
					b.Log(&r.Unchecked[i])
				}
			}
		})
	}
}
