package verify

import (
	"net/netip"
	"testing"

	"github.com/trafficpolicy/trafficpolicy/compiler"
	"github.com/trafficpolicy/trafficpolicy/internal/synth/scale"
	"github.com/trafficpolicy/trafficpolicy/model"
)

// BenchmarkProve judges an assertion about every address, which 100,000 rules
// prove, and one that they refute.
func BenchmarkProve(b *testing.B) {
	in := &compiler.Input{Policies: onePolicy(scale.Sparse(100_000)), Inventory: &model.Inventory{}}
	all := []compiler.AssertedPeer{{Peer: model.Peer{Kind: model.PeerCIDR, CIDR: netip.MustParsePrefix("0.0.0.0/0")}}}
	for _, a := range []struct {
		port uint16
		want Outcome
	}{{8080, Proven}, {443, Refuted}} {
		b.Run(string(a.want)+"/100000", func(b *testing.B) {
			assertion := &compiler.Assertion{Name: "a", Namespace: "a", Selector: model.Selector{MatchLabels: labels("app", "web")}, Direction: model.Egress, Peers: all,
				Ports: []model.Port{{Proto: model.TCP, First: a.port, Last: a.port}}}
			b.ReportAllocs()
			for b.Loop() {
				p, err := Prove(b.Context(), in, compiler.Options{}, []*compiler.Assertion{assertion})
				if err != nil || p.Assertions[0].Outcome != a.want {
					b.Fatal(err, p)
				}
			}
		})
	}
}
