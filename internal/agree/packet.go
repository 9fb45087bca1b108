package agree

import (
	"fmt"
	"math/rand/v2"
	"net/netip"
	"slices"

	"github.com/trafficpolicy/trafficpolicy/internal/synth"
	"github.com/trafficpolicy/trafficpolicy/model"
)

// Packet is one judgement: the first packet of a connection, at one governed pod,
// in one direction.
type Packet struct {
	Pod       string // NAMESPACE/NAME
	Direction model.Direction
	Local     netip.Addr // the pod's
	Peer      netip.Addr // of the same family
	L4        model.L4   // point of the transport axis
}

func (p Packet) String() string {
	return fmt.Sprintf("%s at %s of %s, peer %s, %s", p.Direction, p.Local, p.Pod, p.Peer, p.L4)
}

// Packets draws n packets around the boundaries of the addresses and ports that
// the case speaks of, and some in between. Those of a pod to itself, which no policy
// judges, are not drawn.
func (s *Set) Packets(r *rand.Rand, n int) []Packet {
	addrs, points := s.boundaries()
	out := make([]Packet, 0, n)
	for len(out) < n {
		pod := s.Program.Pods[r.IntN(len(s.Program.Pods))]
		p := Packet{Pod: pod.Ref, Direction: model.Directions[r.IntN(2)], Local: pod.Addrs[r.IntN(len(pod.Addrs))]}
		from := addrs[model.FamilyOf(p.Local)]
		p.Peer, p.L4 = from[r.IntN(len(from))], points[r.IntN(len(points))]
		if r.IntN(8) == 0 {
			p.L4 = model.L4(r.IntN(int(model.L4Last) + 1))
		}
		if !slices.Contains(pod.Addrs, p.Peer) {
			out = append(out, p)
		}
	}
	return out
}

// boundaries returns the addresses of each family, and the points of the transport
// axis, on both sides of everything that the case speaks of.
func (s *Set) boundaries() (addrs [2][]netip.Addr, points []model.L4) {
	names := map[string][]netip.Addr{}
	for _, n := range s.Program.Names {
		for _, a := range n.Addrs {
			names[n.Name] = append(names[n.Name], a, a.Next(), a.Prev())
		}
	}
	all := synth.Addresses(s.Input.Inventory, s.Input.Policies, names)
	for _, a := range append(all, ends...) {
		if a.IsValid() {
			f := model.FamilyOf(a)
			addrs[f] = append(addrs[f], a)
		}
	}
	return addrs, append(synth.Points(s.Input.Policies), model.L4Last)
}

// ends are the ends of the address spaces, and of what is no unicast in them.
var ends = []netip.Addr{
	netip.MustParseAddr("0.0.0.1"), netip.MustParseAddr("223.255.255.255"), netip.MustParseAddr("224.0.0.1"), netip.MustParseAddr("255.255.255.254"),
	netip.MustParseAddr("::2"), netip.MustParseAddr("fdff:ffff::1"), netip.MustParseAddr("ff0e::1"), netip.MustParseAddr("ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff"),
}
