package simulate_test

import (
	"math/rand/v2"
	"net/netip"
	"os"
	"slices"
	"strconv"
	"testing"

	"github.com/trafficpolicy/trafficpolicy/compiler"
	"github.com/trafficpolicy/trafficpolicy/internal/synth"
	"github.com/trafficpolicy/trafficpolicy/model"
	"github.com/trafficpolicy/trafficpolicy/verify/oracle"
	"github.com/trafficpolicy/trafficpolicy/verify/simulate"
)

// TestDecideAgreesWithOracle draws policies and packets, and compares two
// readings that share neither selectors nor the order of policies nor what a
// peer and a port match. Without an inventory every name is an unknown set.
func TestDecideAgreesWithOracle(t *testing.T) {
	n := uint64(1000)
	if f, err := strconv.Atoi(os.Getenv("TRAFFICPOLICY_SOAK")); err == nil {
		n *= uint64(f)
	}
	for seed := range n {
		c := synth.Small(seed)
		direction := seed%2 == 0
		s := simulate.New(&compiler.Input{Policies: c.Policies, Inventory: &model.Inventory{}}, compiler.Options{IsolateByDirection: direction})
		in := oracle.Input{Policies: c.Policies, IsolateByDirection: direction}
		rng := rand.New(rand.NewPCG(seed, 3))
		for range 40 {
			pod, packet := randomPacket(rng, c)
			subject := &model.Pod{Namespace: pod.Namespace, PodMeta: model.PodMeta{Labels: pod.Labels, Enrolled: true}}
			got := s.Decide(subject, packet.Direction, packet.Addr, packet.L4, func(a model.Atom) bool { return slices.Contains(packet.In, a) })
			want := oracle.Decide(in, pod, packet)
			if got.Action.Allows() != want.Allow || got.Rule.String() != want.Rule {
				t.Fatalf("seed %d, pod %s, %s: simulate says %s by %q, the oracle %+v\n%s", seed, pod, packet, got.Action, got.Rule, want, c.PolicyYAML())
			}
		}
	}
}

func randomPacket(rng *rand.Rand, c *synth.Cluster) (oracle.Pod, oracle.Packet) {
	labels := map[string]string{}
	for _, k := range []string{"app", "env"} {
		if v := rng.IntN(4); v < 3 {
			labels[k] = []string{"x", "y", "z"}[v]
		}
	}
	pod := oracle.Pod{Namespace: []string{"default", "a", "b", "c"}[rng.IntN(4)], Labels: model.NewLabels(labels)}
	p := oracle.Packet{
		Direction: model.Directions[rng.IntN(2)],
		L4:        model.L4Of(model.Proto(rng.IntN(5)), []uint16{0, 1, 2, 78, 79, 80, 81, 82, 442, 443, 444, 65534, 65535}[rng.IntN(13)]),
	}
	last := byte(rng.IntN(70))
	if rng.IntN(3) > 0 {
		b := synth.Block4.Addr().As4()
		b[3] = last
		p.Addr = netip.AddrFrom4(b)
	} else {
		b := synth.Block6.Addr().As16()
		b[15] = last
		p.Addr = netip.AddrFrom16(b)
	}
	for _, q := range c.Policies {
		for _, r := range q.Rules(p.Direction) {
			for i := range r.Peers {
				if a := model.Atom(r.Peers[i].String()); r.Peers[i].Kind != model.PeerCIDR && rng.IntN(4) == 0 {
					p.In = append(p.In, a)
				}
			}
		}
	}
	return pod, p
}
