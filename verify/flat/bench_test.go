package flat

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"math/rand/v2"
	"net/netip"
	"testing"

	"github.com/trafficpolicy/trafficpolicy/compiler"
	"github.com/trafficpolicy/trafficpolicy/model"
	"github.com/trafficpolicy/trafficpolicy/verify/simulate"
)

// district is an input of 100 namespaces with 20 policies of each rules and 50
// pods; five global policies more select every pod, five of its namespace too.
func district(each int) *compiler.Input {
	rng := rand.New(rand.NewPCG(11, uint64(each)))
	in := &compiler.Input{Inventory: &model.Inventory{}, InventoryGiven: true}
	section := func() *model.Section {
		s := &model.Section{}
		for range each {
			a := netip.AddrFrom4([4]byte{10, byte(rng.Uint32()), byte(rng.Uint32()), byte(rng.Uint32())})
			r := model.Rule{Action: model.Action(rng.IntN(3)), Peers: []model.Peer{{CIDR: netip.PrefixFrom(a, 14+rng.IntN(19)).Masked()}}}
			if rng.IntN(2) == 0 {
				first := uint16(1 + rng.IntN(9000))
				r.Ports = []model.Port{{Proto: model.TCP, First: first, Last: first + uint16(rng.IntN(20))}}
			}
			s.Rules = append(s.Rules, r)
		}
		return s
	}
	for i := range 5 {
		in.Policies = append(in.Policies, &model.Policy{Kind: model.GlobalTrafficPolicy, Name: fmt.Sprint("g", i), Priority: 1 + 400*i, Egress: section(), Ingress: section()})
	}
	for n := range 100 {
		ns := fmt.Sprint("team-", n)
		for i := range 20 {
			p := &model.Policy{Kind: model.TrafficPolicy, Namespace: ns, Name: fmt.Sprint("p", i), Priority: 50 + i, Egress: section(), Ingress: section()}
			if i >= 5 {
				p.Selector.MatchLabels = model.NewLabels(map[string]string{"app": fmt.Sprint("a", i-5)})
			}
			in.Policies = append(in.Policies, p)
		}
		for i := range 50 {
			in.Inventory.Pods = append(in.Inventory.Pods, &model.Pod{Namespace: ns, Name: fmt.Sprint("pod-", i), NodeName: "n",
				PodMeta: model.PodMeta{Enrolled: true, Labels: model.NewLabels(map[string]string{"app": fmt.Sprint("a", i%15)})},
				IPs:     []netip.Addr{netip.AddrFrom4([4]byte{10, byte(n), byte(rng.Uint32()), byte(i)})}})
		}
	}
	return in
}

// flowsOf returns n flows from pods to pods, by name and by address, and to the
// world, as CSV.
func flowsOf(in *compiler.Input, n int) []byte {
	rng := rand.New(rand.NewPCG(12, 0))
	pods := in.Inventory.Pods
	var b bytes.Buffer
	b.WriteString("src,dst,proto,port\n")
	for range n {
		src, dst := pods[rng.IntN(len(pods))], pods[rng.IntN(len(pods))]
		to := dst.Ref()
		switch rng.IntN(3) {
		case 0:
			to = dst.IPs[0].String()
		case 1:
			to = netip.AddrFrom4([4]byte{10, byte(rng.Uint32()), byte(rng.Uint32()), byte(rng.Uint32())}).String()
		}
		fmt.Fprintf(&b, "%s,%s,tcp,%d\n", src.Ref(), to, 1+rng.IntN(9000))
	}
	return b.Bytes()
}

// BenchmarkDecide is one direction of one packet, to 65,536 peers in turn, of a pod
// under 1,000 policies of 20 rules, most of which let the packet pass. The table is
// made before.
func BenchmarkDecide(b *testing.B) {
	rng := rand.New(rand.NewPCG(13, 0))
	in := &compiler.Input{Inventory: &model.Inventory{Pods: []*model.Pod{{Namespace: "a", Name: "p", PodMeta: model.PodMeta{Enrolled: true}}}}, InventoryGiven: true}
	for i := range 1000 {
		p := &model.Policy{Kind: model.TrafficPolicy, Namespace: "a", Name: fmt.Sprint("p", i), Priority: 1 + i, Egress: &model.Section{}}
		for range 20 {
			a := netip.AddrFrom4([4]byte{10, byte(rng.Uint32()), byte(rng.Uint32()), byte(rng.Uint32())})
			port := uint16(1 + rng.IntN(9000))
			p.Egress.Rules = append(p.Egress.Rules, model.Rule{Action: model.Action(rng.IntN(3)),
				Peers: []model.Peer{{CIDR: netip.PrefixFrom(a, 14+rng.IntN(19)).Masked()}}, Ports: []model.Port{{Proto: model.TCP, First: port, Last: port + 20}}})
		}
		in.Policies = append(in.Policies, p)
	}
	peers := make([]netip.Addr, 1<<16)
	for i := range peers {
		peers[i] = netip.AddrFrom4([4]byte{10, byte(rng.Uint32()), byte(rng.Uint32()), byte(rng.Uint32())})
	}
	plain := simulate.New(in, compiler.Options{})
	for _, bb := range []struct {
		name string
		s    *simulate.Simulator
	}{{"walk", plain}, {"tables", plain.With(new(Tables).Shortcut)}} {
		b.Run(bb.name, func(b *testing.B) {
			i, ruled := 0, 0
			bb.s.Decide(in.Inventory.Pods[0], model.Egress, peers[0], 1, nil)
			for b.Loop() {
				d := bb.s.Decide(in.Inventory.Pods[0], model.Egress, peers[i%len(peers)], model.L4(1+i%9000), nil)
				if i++; d.Reason == simulate.ByRule {
					ruled++
				}
			}
			b.ReportMetric(100*float64(ruled)/float64(i), "ruled-%")
		})
	}
}

// BenchmarkStream is flows from CSV to JSON, of pods under 11 policies of 10 and of
// 100 rules in each direction. Tables are made before.
func BenchmarkStream(b *testing.B) {
	for _, each := range []int{10, 100} {
		in := district(each)
		plain := simulate.New(in, compiler.Options{})
		for _, bb := range []struct {
			name string
			s    *simulate.Simulator
		}{{"walk", plain}, {"tables", plain.With(new(Tables).Shortcut)}} {
			b.Run(fmt.Sprintf("rules=%d/%s", 11*each, bb.name), func(b *testing.B) {
				const n = 100_000
				flows := flowsOf(in, n)
				run := func() {
					if _, err := bb.s.Stream(context.Background(), bytes.NewReader(flows), io.Discard, nil); err != nil {
						b.Fatal(err)
					}
				}
				run()
				b.ReportAllocs()
				for b.Loop() {
					run()
				}
				b.ReportMetric(float64(b.N*n)/b.Elapsed().Seconds(), "flows/s")
			})
		}
	}
}
