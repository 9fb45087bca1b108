package oracle

import (
	"fmt"
	"net/netip"
	"slices"

	"github.com/trafficpolicy/trafficpolicy/model"
)

// Packet is what one direction of one pod judges: the remote address as the pod
// sees it and the point of the L4 axis, with a value for every atom.
type Packet struct {
	Direction model.Direction
	Addr      netip.Addr
	L4        model.L4
	// In lists the atoms that hold Addr, in the order of their names; every
	// other atom does not.
	In []model.Atom
}

// String returns "egress 10.0.0.0 TCP 80 in [fqdn a.example]".
func (p Packet) String() string {
	s := fmt.Sprintf("%s %s %s", p.Direction, p.Addr, p.L4)
	if len(p.In) > 0 {
		s += fmt.Sprintf(" in %q", p.In)
	}
	return s
}

// space lists every point of one direction: each representative address with
// each representative L4 point and each subset of the atoms.
//
// Rules look at an address only through "is it in this prefix", whose answer
// changes, going up through a family, at the prefix's first address and after
// its last one only. So one address of every stretch between two such changes
// stands for all of it. The same holds for the L4 axis and port ranges.
type space struct {
	direction model.Direction
	addrs     []netip.Addr
	l4        []model.L4
	atoms     []model.Atom // sorted
	all       set          // every point
}

// limits keep a mistaken call from taking hours. maxPoints is per direction.
const (
	maxPoints = 1 << 22
	maxPods   = 1 << 20
)

// newSpace returns the space that tells apart whatever the peers and ports do.
func newSpace(d model.Direction, families []model.Family, peers []peer, ports []model.Port) (*space, error) {
	s := &space{direction: d}
	for _, f := range families {
		s.addrs = append(s.addrs, f.All().Addr())
	}
	for _, p := range peers {
		for _, prefix := range p.prefixes {
			if !slices.Contains(families, model.FamilyOf(prefix.Addr())) {
				continue
			}
			s.addrs = append(s.addrs, prefix.Masked().Addr())
			if next := lastAddr(prefix).Next(); next.IsValid() { // not after the family's last
				s.addrs = append(s.addrs, next)
			}
		}
		if p.atom != "" {
			s.atoms = append(s.atoms, p.atom)
		}
	}
	s.l4 = append(s.l4, 0)
	for _, p := range ports {
		r := p.L4()
		s.l4 = append(s.l4, r.First)
		if r.Last < model.L4Last {
			s.l4 = append(s.l4, r.Last+1)
		}
	}
	slices.SortFunc(s.addrs, netip.Addr.Compare)
	s.addrs = slices.Compact(s.addrs)
	slices.Sort(s.l4)
	s.l4 = slices.Compact(s.l4)
	slices.Sort(s.atoms)
	s.atoms = slices.Compact(s.atoms)
	if n := len(s.atoms); n > 16 || s.size() > maxPoints {
		return nil, fmt.Errorf("%s has %d addresses, %d ports and %d atoms, more than can be tried one by one", d, len(s.addrs), len(s.l4), n)
	}
	s.all = s.match(nil, nil)
	return s, nil
}

// lastAddr returns the last address of p.
func lastAddr(p netip.Prefix) netip.Addr {
	b := p.Addr().AsSlice()
	for i := p.Bits(); i < len(b)*8; i++ {
		b[i/8] |= 0x80 >> (i % 8)
	}
	a, _ := netip.AddrFromSlice(b)
	return a
}

func (s *space) size() int { return len(s.addrs) * len(s.l4) << len(s.atoms) }

// index returns the point of addrs[a] and l4[l] where exactly the atoms of mask,
// a bit each, hold the address.
func (s *space) index(a, l, mask int) int { return (a*len(s.l4)+l)<<len(s.atoms) | mask }

// packet returns point i.
func (s *space) packet(i int) Packet {
	mask := i & (1<<len(s.atoms) - 1)
	i >>= len(s.atoms)
	p := Packet{Direction: s.direction, Addr: s.addrs[i/len(s.l4)], L4: s.l4[i%len(s.l4)]}
	for k, atom := range s.atoms {
		if mask>>k&1 == 1 {
			p.In = append(p.In, atom)
		}
	}
	return p
}

// match returns the points that one of the peers and one of the ports match. No
// peers are every address, no ports every point of the axis.
func (s *space) match(peers []peer, ports []model.Port) set {
	out := newSet(s.size())
	for a, addr := range s.addrs {
		for mask := range 1 << len(s.atoms) {
			holds := func(atom model.Atom) bool {
				k, ok := slices.BinarySearch(s.atoms, atom)
				return ok && mask>>k&1 == 1
			}
			if !matchPeers(peers, addr, holds) {
				continue
			}
			for l, x := range s.l4 {
				if matchPorts(ports, x) {
					out.add(s.index(a, l, mask))
				}
			}
		}
	}
	return out
}

// of returns the points of family f.
func (s *space) of(f model.Family) set {
	return s.match([]peer{{prefixes: []netip.Prefix{f.All()}}}, nil)
}

// matchPeers reports whether one of the peers means addr; none means everyone:
// "peers of a rule are ORed. An absent or empty peer list means every peer".
func matchPeers(peers []peer, addr netip.Addr, holds func(model.Atom) bool) bool {
	if len(peers) == 0 {
		return true
	}
	for _, p := range peers {
		if p.atom != "" && holds(p.atom) {
			return true
		}
		for _, prefix := range p.prefixes {
			if prefix.Contains(addr) {
				return true
			}
		}
	}
	return false
}

// matchPorts reports whether one of the entries matches x: "Entries are ORed; an
// absent or empty list means every protocol and port".
func matchPorts(ports []model.Port, x model.L4) bool {
	if len(ports) == 0 {
		return true
	}
	for _, p := range ports {
		if p.Proto != x.Proto() {
			continue
		}
		if !p.Proto.HasPorts() || p.First <= x.Port() && x.Port() <= p.Last {
			return true
		}
	}
	return false
}
