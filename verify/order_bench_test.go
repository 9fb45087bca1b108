package verify

import (
	"encoding/binary"
	"fmt"
	"net/netip"
	"testing"

	"github.com/trafficpolicy/trafficpolicy/compiler"
	"github.com/trafficpolicy/trafficpolicy/internal/synth/scale"
	"github.com/trafficpolicy/trafficpolicy/model"
)

// benchInputs are inputs of the sizes that lint is built for, the same in every run.
var benchInputs = []struct {
	name     string
	policies func() []*model.Policy
}{
	{"dense/1000", func() []*model.Policy { return onePolicy(scale.Dense(1000)) }},
	{"dense/10000", func() []*model.Policy { return onePolicy(scale.Dense(10_000)) }},
	{"dense/100000", func() []*model.Policy { return onePolicy(scale.Dense(100_000)) }},
	{"sparse/100000", func() []*model.Policy { return onePolicy(scale.Sparse(100_000)) }},
	{"one-prefix/50000", func() []*model.Policy { return onePolicy(scale.OnePrefix(50_000)) }},
	{"ports-first/100000", func() []*model.Policy { return onePolicy(scale.PortsFirst(100_000)) }},
	{"chain/100000", func() []*model.Policy { return onePolicy(scale.Chain(100_000)) }},
	{"names/1000", func() []*model.Policy { return onePolicy(nameRules(1000)) }},
	{"names/10000", func() []*model.Policy { return onePolicy(nameRules(10_000)) }},
	{"names-idle/10000", func() []*model.Policy { return onePolicy(idleNameRules(10_000)) }},
	{"policies-apart/10000", func() []*model.Policy { return scale.Policies(10_000, scale.Apart, scale.Spread) }},
	{"policies-one-priority/10000", func() []*model.Policy { return scale.Policies(10_000, scale.Apart, scale.Level) }},
	{"policies-joined/10000", func() []*model.Policy { return scale.Policies(10_000, scale.Joined, scale.Spread) }},
}

// benchCIDR is the prefix of that length around address a.
func benchCIDR(a uint32, bits int) model.Peer {
	var b [4]byte
	binary.BigEndian.PutUint32(b[:], a)
	return model.Peer{Kind: model.PeerCIDR, CIDR: netip.PrefixFrom(netip.AddrFrom4(b), bits).Masked()}
}

func onePolicy(rules []model.Rule) []*model.Policy { return []*model.Policy{scale.Policy(rules)} }

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
