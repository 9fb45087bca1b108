//go:build linux

package kerneltest

import (
	"fmt"
	"strings"
	"testing"

	"github.com/trafficpolicy/trafficpolicy/internal/netlab"
	"github.com/trafficpolicy/trafficpolicy/internal/synth"
	"github.com/trafficpolicy/trafficpolicy/model"
)

// TestOpen shows that nothing but a policy stops the packets of the other
// tests: on a node without one all of them arrive.
func TestOpen(t *testing.T) {
	Require(t)
	for seed := range uint64(8) {
		inv := synth.Small(seed).Inventory
		mode := netlab.Mode(seed % 2)
		spec := NodeSpec(inv, inv.Nodes[0].Name, mode)
		for _, pod := range append([]netlab.PodSpec{{}}, spec.Pods[:min(1, len(spec.Pods))]...) {
			t.Run(fmt.Sprintf("seed %d %s %s", seed, mode, pod.Name), func(t *testing.T) {
				f := newFixture(t, Backend{}, spec, inv.Nodes[0].Name, strings.Replace(pod.Name, ".", "/", 1))
				// Connections are tracked, as with a policy.
				f.must(f.Space.NFT("table inet t { chain c { type filter hook prerouting priority -150; ct state new accept; }; }"))
				points := []model.L4{model.L4Of(model.TCP, 80), model.L4Of(model.UDP, 53), model.L4Of(model.SCTP, 80), model.L4ICMP, model.L4Other}
				flows := f.Flows(Addresses(inv, nil, nil), points)
				want := make([]Verdict, len(flows))
				for i := range want {
					want[i].Allow = true
				}
				bad, err := f.Check(flows, want)
				f.must(err)
				report(t, bad)
			})
		}
	}
}
