package simulate

import (
	"fmt"
	"math/rand/v2"
	"net/netip"
	"testing"

	"github.com/trafficpolicy/trafficpolicy/compiler"
	"github.com/trafficpolicy/trafficpolicy/internal/synth"
	"github.com/trafficpolicy/trafficpolicy/model"
)

// TestSearch holds that a walk reads every rule that a packet could match: each
// that search leaves out neither holds the address nor might, or has no port
// entry for the point. And that it leaves out most of those.
func TestSearch(t *testing.T) {
	var read, passed, needless int
	for seed := range uint64(600) {
		c := synth.Small(seed)
		if seed%2 == 1 {
			c = synth.Dense(seed)
		}
		inv := &model.Inventory{}
		if seed%3 > 0 {
			inv = c.Inventory
		}
		s := New(&compiler.Input{Policies: c.Policies, Inventory: inv}, compiler.Options{})
		rng := rand.New(rand.NewPCG(seed, 4))
		for _, d := range model.Directions {
			w := s.Walk(c.Policies, d)
			for range 60 {
				a, x := randomAddr(rng), point{proto: model.Proto(rng.IntN(5)), known: true}
				if x.proto.HasPorts() {
					x.known = rng.IntN(4) > 0
					x.port = []uint16{0, 1, 79, 80, 81, 443, 65535}[rng.IntN(7)]
				}
				found := w.search(a, x)
				next := found.next(0)
				for i, r := range w.rules {
					_, certain := r.peer(a)
					match, err := r.ports(x)
					could := (certain || len(r.unknown) > 0) && (match || err != nil)
					switch {
					case i == next:
						next = found.next(i + 1)
						read++
						if !could {
							needless++
						}
					case could:
						t.Fatalf("seed %d, %s %+v: %s is left out\n%s", seed, a, x, r.name, c.PolicyYAML())
					default:
						passed++
					}
				}
				if next != len(w.rules) {
					t.Fatalf("seed %d: the search ends at %d of %d", seed, next, len(w.rules))
				}
			}
		}
	}
	if needless > (read+passed)/4 {
		t.Errorf("of %d rules %d are read, %d of them for nothing", read+passed, read, needless)
	}
}

// randomAddr returns an address in or beside the blocks of package synth, or at
// an end of a family.
func randomAddr(rng *rand.Rand) netip.Addr {
	all := model.Families[rng.IntN(2)].All().Addr()
	switch rng.IntN(12) {
	case 0:
		return all
	case 1:
		ones := all.AsSlice()
		for i := range ones {
			ones[i] = 0xff
		}
		last, _ := netip.AddrFromSlice(ones)
		return last
	}
	if all.Is4() {
		a := synth.Block4.Addr().As4()
		a[3] = byte(rng.IntN(70))
		return netip.AddrFrom4(a)
	}
	a := synth.Block6.Addr().As16()
	a[15] = byte(rng.IntN(70))
	return netip.AddrFrom16(a)
}

// TestNext4 holds the loop that is written out against the one that it stands for.
func TestNext4(t *testing.T) {
	rng := rand.New(rand.NewPCG(1, 4))
	for n := range 40 {
		hulls := make([]hull4, n)
		for i := range hulls {
			hulls[i] = hull4{first: rng.Uint32N(64), span: rng.Uint32N(4)}
			if rng.IntN(8) == 0 {
				hulls[i] = none4
			}
		}
		for a := range uint32(68) {
			for from := range n + 1 {
				want := -1
				for i := from; i < n && want < 0; i++ {
					if hulls[i].first <= a && a <= hulls[i].first+hulls[i].span {
						want = i
					}
				}
				if got := next4(hulls, a, from); got != want {
					t.Fatalf("%v: %d from %d is at %d, want %d", hulls, a, from, got, want)
				}
			}
		}
	}
}

// many is the input of one pod that n policies of each rules select: prefixes of
// the cluster's own network, from hosts to /12, with TCP ports.
func many(n, each int) *compiler.Input {
	rng := rand.New(rand.NewPCG(2, uint64(n)))
	in := &compiler.Input{Inventory: &model.Inventory{}, InventoryGiven: true}
	for i := range n {
		p := &model.Policy{Kind: model.TrafficPolicy, Namespace: "default", Name: fmt.Sprint("p", i), Priority: 1 + i%1000, Egress: &model.Section{}}
		for range each {
			bits := 12 + rng.IntN(21)
			a := netip.AddrFrom4([4]byte{10, byte(rng.Uint32()), byte(rng.Uint32()), byte(rng.Uint32())})
			r := allow(model.Peer{CIDR: netip.PrefixFrom(a, bits).Masked()})
			first := uint16(1 + rng.IntN(60000))
			r.Ports = []model.Port{{Proto: model.TCP, First: first, Last: first + uint16(rng.IntN(20))}}
			if rng.IntN(2) == 0 {
				r.Action = model.Deny
			}
			p.Egress.Rules = append(p.Egress.Rules, r)
		}
		in.Policies = append(in.Policies, p)
	}
	in.Inventory.Pods = []*model.Pod{{Namespace: "default", Name: "pod", PodMeta: model.PodMeta{Enrolled: true}, IPs: []netip.Addr{netip.MustParseAddr("10.0.0.1")}}}
	return in
}

// BenchmarkWalk is one flow of a pod under 1,000 policies of 20 rules that none
// of them matches: to an address that none holds, and to one that some hold.
func BenchmarkWalk(b *testing.B) {
	in := many(1000, 20)
	s := New(in, compiler.Options{})
	for _, bb := range []struct {
		name string
		peer string
	}{{"outside", "192.0.2.1"}, {"inside", "10.77.3.4"}} {
		b.Run(bb.name, func(b *testing.B) {
			peer := netip.MustParseAddr(bb.peer)
			for b.Loop() {
				s.Decide(in.Inventory.Pods[0], model.Egress, peer, model.L4Of(model.UDP, 53), nil)
			}
		})
	}
}
