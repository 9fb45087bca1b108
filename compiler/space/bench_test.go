package space

import (
	"fmt"
	"net/netip"
	"testing"

	"github.com/trafficpolicy/trafficpolicy/internal/synth/scale"
	"github.com/trafficpolicy/trafficpolicy/model"
)

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
	for _, shape := range scale.Shapes {
		for _, n := range []int{1_000, 10_000, 100_000} {
			b.Run(fmt.Sprintf("%s/%d", shape.Name, n), func(b *testing.B) {
				list := scale.List(scale.Policy(shape.Rules(n)))
				b.ReportAllocs()
				run(b, list)
			})
		}
	}
}

// BenchmarkAnalyse measures which rules are dead, with covers and witnesses.
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

// BenchmarkIdle measures which live rules have no effect, given the analysis.
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
