package nftables

import (
	"fmt"
	"testing"

	"github.com/trafficpolicy/trafficpolicy/backends/bundle"
	"github.com/trafficpolicy/trafficpolicy/backends/nftables/ruleset"
	"github.com/trafficpolicy/trafficpolicy/compiler"
	"github.com/trafficpolicy/trafficpolicy/internal/synth/scale"
	"github.com/trafficpolicy/trafficpolicy/model"
)

// scaled is a program of one pod with n rules of a shape.
func scaled(shape scale.Shape, n int) *compiler.Program {
	p := scale.Policy(shape.Rules(n))
	list := scale.List(p)
	return &compiler.Program{
		Target: compiler.Target{Node: "n"}, NodeName: "n",
		Pods: []compiler.ProgramPod{{Ref: "a/a", Addrs: addrs("10.0.0.1")}},
		Classes: []compiler.ProgramClass{{
			Policies: []*model.Policy{p}, Egress: list,
			Ingress: &model.RuleList{Direction: model.Ingress, Isolated: true},
		}},
	}
}

// BenchmarkDecode is what verify does with the rules of one pod: read the
// commands, decode them, and compare with the rule lists.
func BenchmarkDecode(b *testing.B) {
	for _, n := range []int{1000, 100_000} {
		for _, shape := range scale.Shapes {
			p := scaled(shape, n)
			a, err := Emit(p)
			if err != nil {
				b.Logf("%s of %d: %v", shape.Name, n, err)
				continue
			}
			b.Run(fmt.Sprintf("%s/%d", shape.Name, n), func(b *testing.B) { benchDecode(b, p, a) })
		}
	}
}

func benchDecode(b *testing.B, p *compiler.Program, a *bundle.Bundle) {
	size := 0
	for _, f := range a.Files {
		size += len(f.Data)
	}
	b.ReportMetric(float64(size)/1e6, "MB")
	b.Run("read", func(b *testing.B) {
		for b.Loop() {
			texts, _, err := cutFiles(a.Files)
			if err != nil {
				b.Fatal(err)
			}
			if _, err := ruleset.Read(texts...); err != nil {
				b.Fatal(err)
			}
		}
	})
	texts, pods, err := cutFiles(a.Files)
	if err != nil {
		b.Fatal(err)
	}
	t, err := ruleset.Read(texts...)
	if err != nil {
		b.Fatal(err)
	}
	b.Run("decode and compare", func(b *testing.B) {
		b.ReportAllocs()
		for b.Loop() {
			r, err := t.Decode(KeyOf(&a.Manifest, "tp_"+pods.Tag+"_", pods.Pods))
			if err == nil {
				err = differ(p, r)
			}
			if err != nil {
				b.Fatal(err)
			}
		}
	})
}
