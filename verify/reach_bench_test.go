package verify

import (
	"context"
	"fmt"
	"net/netip"
	"testing"

	"github.com/trafficpolicy/trafficpolicy/compiler"
	"github.com/trafficpolicy/trafficpolicy/internal/synth/scale"
	"github.com/trafficpolicy/trafficpolicy/model"
)

// BenchmarkDiff compares a list of 100,000 rules with one that lacks a hundred.
func BenchmarkDiff(b *testing.B) {
	for _, kind := range []struct {
		name  string
		rules func(int) []model.Rule
	}{{"dense", scale.Dense}, {"sparse", scale.Sparse}} {
		b.Run(kind.name+"/100000", func(b *testing.B) {
			rules := kind.rules(100_000)
			less := make([]model.Rule, 0, len(rules))
			for i, r := range rules {
				if i%1000 != 500 {
					less = append(less, r)
				}
			}
			before := &compiler.Input{Policies: onePolicy(rules), Inventory: &model.Inventory{}}
			after := &compiler.Input{Policies: onePolicy(less), Inventory: &model.Inventory{}}
			for b.Loop() {
				d, err := Compare(context.Background(), before, after, compiler.Options{})
				if err != nil || d.Same {
					b.Fatal(err, d)
				}
			}
		})
	}
}

// BenchmarkReach asks about 50,000 pods in groups of 25.
func BenchmarkReach(b *testing.B) {
	for _, groups := range []int{200, 2000} {
		b.Run(fmt.Sprintf("50000pods/%dgroups", groups), func(b *testing.B) {
			in := manyPods(50_000, groups)
			for b.Loop() {
				r, err := FindReach(context.Background(), in, ReachOptions{})
				if err != nil || len(r.Groups) != groups {
					b.Fatal(err, len(r.Groups))
				}
			}
		})
	}
}

// manyPods returns pods of as many applications as there are groups, each with a
// policy that opens it to the next.
func manyPods(n, groups int) *compiler.Input {
	in := &compiler.Input{Inventory: &model.Inventory{}, InventoryGiven: true}
	for i := range groups {
		ns, app := fmt.Sprintf("ns%d", i%50), fmt.Sprintf("app%d", i)
		next := model.WorkloadPeer{Namespace: fmt.Sprintf("ns%d", (i+1)%groups%50), Labels: labels("app", fmt.Sprintf("app%d", (i+1)%groups))}
		last := model.WorkloadPeer{Namespace: fmt.Sprintf("ns%d", (i+groups-1)%groups%50), Labels: labels("app", fmt.Sprintf("app%d", (i+groups-1)%groups))}
		in.Policies = append(in.Policies, &model.Policy{
			Kind: model.TrafficPolicy, Namespace: ns, Name: app, Priority: 100, Selector: model.Selector{MatchLabels: labels("app", app)},
			Egress:  &model.Section{Rules: []model.Rule{{Action: model.Allow, Peers: []model.Peer{{Kind: model.PeerWorkload, Workload: next}, model.Peer{Kind: model.PeerCIDR, CIDR: netip.MustParsePrefix("8.0.0.0/8")}}}}},
			Ingress: &model.Section{Rules: []model.Rule{{Action: model.Allow, Peers: []model.Peer{{Kind: model.PeerWorkload, Workload: last}}, Ports: []model.Port{{Proto: model.TCP, First: 80, Last: 80}}}}},
		})
	}
	for i := range n {
		g := i % groups
		a := uint32(10<<24 + i)
		in.Inventory.Pods = append(in.Inventory.Pods, &model.Pod{
			Namespace: fmt.Sprintf("ns%d", g%50), Name: fmt.Sprintf("pod%d", i), Phase: "Running",
			PodMeta: model.PodMeta{Labels: labels("app", fmt.Sprintf("app%d", g)), Enrolled: true},
			IPs:     []netip.Addr{netip.AddrFrom4([4]byte{byte(a >> 24), byte(a >> 16), byte(a >> 8), byte(a)})},
		})
	}
	return in
}
