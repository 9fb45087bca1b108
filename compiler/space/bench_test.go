package space

import (
	"encoding/binary"
	"fmt"
	"math/rand/v2"
	"net/netip"
	"testing"

	"github.com/trafficpolicy/trafficpolicy/model"
)

// benchLists are the shapes that lists of many rules take. Each generator is
// deterministic and returns n rules.
var benchLists = []struct {
	name string
	make func(n int) *model.RuleList
}{
	{"dense", denseList},
	{"sparse", sparseList},
	{"one-prefix", onePrefixList},
	{"ports-first", portsFirstList},
	{"ports-last", portsLastList},
	{"chain", chainList},
}

func cidr4(a uint32, bits int) netip.Prefix {
	var b [4]byte
	binary.BigEndian.PutUint32(b[:], a)
	return netip.PrefixFrom(netip.AddrFrom4(b), bits).Masked()
}

func tcp(first, last uint16) model.L4Range {
	return model.Port{Proto: model.TCP, First: first, Last: last}.L4()
}

// newRule returns a rule; without ports it matches everything at its prefixes.
func newRule(a model.Action, prefixes []netip.Prefix, ports ...model.L4Range) model.ListRule {
	r := model.ListRule{Action: a, L4: model.EveryL4, Peers: []model.ListPeer{{Prefixes: prefixes}}}
	if len(ports) > 0 {
		r.L4 = model.NewL4Set(ports...)
	}
	return r
}

func isolated(rules []model.ListRule) *model.RuleList {
	return &model.RuleList{Isolated: true, Rules: rules}
}

// denseList has prefixes from hosts to /12 within 10.0.0.0/8, roughly the narrow
// ones first, half of them with ports; every twentieth is behind the two halves
// that together take all its packets.
func denseList(n int) *model.RuleList {
	rng := rand.New(rand.NewPCG(7, uint64(n)))
	var rules []model.ListRule
	for len(rules) < n {
		done := 20 * len(rules) / n
		bits := 32 - rng.IntN(1+done)
		p := cidr4(10<<24|rng.Uint32N(1<<24), bits)
		action := []model.Action{model.Deny, model.Allow}[rng.IntN(2)]
		if rng.IntN(20) == 0 && bits < 32 {
			base := binary.BigEndian.Uint32(p.Addr().AsSlice())
			half := uint32(1) << (31 - bits)
			rules = append(rules,
				newRule(model.Allow, []netip.Prefix{cidr4(base, bits+1)}),
				newRule(model.Deny, []netip.Prefix{cidr4(base+half, bits+1)}))
		}
		if rng.IntN(2) == 0 {
			port := uint16(1 + rng.IntN(2000))
			rules = append(rules, newRule(action, []netip.Prefix{p}, tcp(port, port+uint16(rng.IntN(50)))))
			continue
		}
		rules = append(rules, newRule(action, []netip.Prefix{p}))
	}
	return isolated(rules[:n])
}

// sparseList has hosts all over the space, each with one port, and a deny of
// everything at the end.
func sparseList(n int) *model.RuleList {
	rng := rand.New(rand.NewPCG(8, uint64(n)))
	rules := make([]model.ListRule, 0, n)
	for i := range n - 1 {
		port := []uint16{22, 80, 443, 3306, 6379}[i%5]
		rules = append(rules, newRule(model.Allow, []netip.Prefix{cidr4(rng.Uint32(), 32)}, tcp(port, port)))
	}
	return isolated(append(rules, newRule(model.Deny, []netip.Prefix{model.IPv4.All()})))
}

// onePrefixList is one prefix with n port rules that overlap.
func onePrefixList(n int) *model.RuleList {
	rng := rand.New(rand.NewPCG(9, uint64(n)))
	rules := make([]model.ListRule, 0, n)
	for i := range n {
		first := uint16(rng.IntN(65000))
		rules = append(rules, newRule(model.Action(i%3), []netip.Prefix{cidr4(10<<24, 8)}, tcp(first, first+uint16(rng.IntN(40)))))
	}
	return isolated(rules)
}

// portsFirstList has thousands of port rules on 0.0.0.0/0 before single hosts.
func portsFirstList(n int) *model.RuleList {
	return isolated(append(portRules(n/20), hostRules(n-n/20)...))
}

// portsLastList has the same behind them.
func portsLastList(n int) *model.RuleList {
	return isolated(append(hostRules(n-n/20), portRules(n/20)...))
}

func portRules(n int) []model.ListRule {
	var rules []model.ListRule
	for i := range n {
		port := uint16(2 * i)
		rules = append(rules, newRule(model.Action(i%3), []netip.Prefix{model.IPv4.All()}, tcp(port, port)))
	}
	return rules
}

func hostRules(n int) []model.ListRule {
	var rules []model.ListRule
	for i := range n {
		rules = append(rules, newRule(model.Action(i%3), []netip.Prefix{cidr4(10<<24|uint32(i), 32)}))
	}
	return rules
}

// chainList nests /32 within /31 and so on up to /1, over and over.
func chainList(n int) *model.RuleList {
	rng := rand.New(rand.NewPCG(10, uint64(n)))
	var rules []model.ListRule
	for len(rules) < n {
		a := rng.Uint32()
		for bits := 32; bits >= 1; bits-- {
			port := uint16(rng.IntN(65536))
			rules = append(rules, newRule(model.Action(rng.IntN(3)), []netip.Prefix{cidr4(a, bits)}, tcp(0, port)))
		}
	}
	return isolated(rules[:n])
}

func BenchmarkFlatten(b *testing.B) {
	eachBenchList(b, func(b *testing.B, list *model.RuleList) {
		for b.Loop() {
			t, err := Flatten(list, model.IPv4)
			if err != nil {
				b.Skip(err)
			}
			cells := 0
			for _, d := range t.Decisions {
				cells += len(d.Cells)
			}
			b.ReportMetric(float64(len(t.Entries)), "entries")
			b.ReportMetric(float64(cells), "cells")
		}
	})
}

func eachBenchList(b *testing.B, run func(*testing.B, *model.RuleList)) {
	for _, l := range benchLists {
		for _, n := range []int{1_000, 10_000, 100_000} {
			list := l.make(n)
			b.Run(fmt.Sprintf("%s/%d", l.name, n), func(b *testing.B) {
				b.ReportAllocs()
				run(b, list)
			})
		}
	}
}

func BenchmarkAnalyse(b *testing.B) {
	eachBenchList(b, func(b *testing.B, list *model.RuleList) {
		for b.Loop() {
			dead := 0
			for _, r := range Analyse(list, model.IPv4).Rules {
				if !r.Live {
					dead++
				}
			}
			b.ReportMetric(float64(dead), "dead")
		}
	})
}

func BenchmarkIdle(b *testing.B) {
	eachBenchList(b, func(b *testing.B, list *model.RuleList) {
		a := Analyse(list, model.IPv4)
		for b.Loop() {
			idle := 0
			for _, yes := range a.Idle(list, model.IPv4) {
				if yes {
					idle++
				}
			}
			b.ReportMetric(float64(idle), "idle")
		}
	})
}

func pfx(ss ...string) []netip.Prefix {
	var ps []netip.Prefix
	for _, s := range ss {
		ps = append(ps, netip.MustParsePrefix(s))
	}
	return ps
}
