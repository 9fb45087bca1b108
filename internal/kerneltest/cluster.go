//go:build linux

package kerneltest

import (
	"cmp"
	"net/netip"
	"slices"

	"github.com/trafficpolicy/trafficpolicy/internal/netlab"
	"github.com/trafficpolicy/trafficpolicy/model"
)

// NodeSpec describes a node of an inventory with the pods that have a network
// namespace there: those that are not finished, not on the host's network and
// have an address.
func NodeSpec(inv *model.Inventory, node string, mode netlab.Mode) netlab.Spec {
	s := netlab.Spec{Mode: mode}
	for _, n := range inv.Nodes {
		if n.Name == node {
			s.Addrs = n.Addresses
		}
	}
	for _, p := range inv.Pods {
		if p.NodeName == node && p.Subject() && len(p.IPs) > 0 {
			s.Pods = append(s.Pods, netlab.PodSpec{Name: p.Namespace + "." + p.Name, Addrs: p.IPs})
		}
	}
	if mode == netlab.Bridged { // of no cluster, so that it is no pod's network
		s.Bridge = []netip.Prefix{netip.MustParsePrefix("192.0.2.1/32"), netip.MustParsePrefix("2001:db8:ffff::1/128")}
	}
	return s
}

// Addresses returns every address that the inventory and the policies speak
// of, the neighbours of each prefix's ends, and some that nothing speaks of.
func Addresses(inv *model.Inventory, policies []*model.Policy, names map[string][]netip.Addr) []netip.Addr {
	var out []netip.Addr
	for _, s := range []string{"8.8.8.8", "1.1.1.1", "10.8.0.1", "172.16.0.1", "192.168.0.1", "100.64.0.1", "100.100.100.200", "2001:db8::8", "fd00:ffff::1"} {
		out = append(out, netip.MustParseAddr(s))
	}
	around := func(p netip.Prefix) {
		first, last := p.Masked().Addr(), lastAddr(p)
		out = append(out, first, first.Prev(), last, last.Next())
	}
	for _, n := range inv.Nodes {
		out = append(out, n.Addresses...)
	}
	for _, p := range inv.Pods {
		out = append(out, p.IPs...)
	}
	for _, s := range inv.Services {
		out = append(out, s.ClusterIPs...)
	}
	for _, e := range inv.Endpoints {
		for _, sub := range e.Subsets {
			out = append(out, sub.Addrs...)
		}
	}
	for _, as := range names {
		out = append(out, as...)
	}
	for _, p := range policies {
		for _, d := range model.Directions {
			for _, r := range p.Rules(d) {
				for _, peer := range r.Peers {
					if peer.Kind == model.PeerCIDR {
						around(peer.CIDR)
					}
				}
			}
		}
	}
	slices.SortFunc(out, netip.Addr.Compare)
	return slices.DeleteFunc(slices.Compact(out), func(a netip.Addr) bool { return !routable(a) })
}

// reserved4 is what a router does not forward though it is no multicast
// (RFC 1122, 3.2.1.3; RFC 1112, 4).
var reserved4 = []netip.Prefix{netip.MustParsePrefix("0.0.0.0/8"), netip.MustParsePrefix("240.0.0.0/4")}

// routable reports whether a router forwards packets to and from a.
func routable(a netip.Addr) bool {
	return a.IsValid() && a.IsGlobalUnicast() && !slices.ContainsFunc(reserved4, func(p netip.Prefix) bool { return p.Contains(a) })
}

func lastAddr(p netip.Prefix) netip.Addr {
	b := p.Masked().Addr().AsSlice()
	for i := range b {
		for bit := range 8 {
			if i*8+bit >= p.Bits() {
				b[i] |= 0x80 >> bit
			}
		}
	}
	a, _ := netip.AddrFromSlice(b)
	return a
}

// Points returns the points of the L4 axis around what the policies' ports
// say, and some more.
func Points(policies []*model.Policy) []model.L4 {
	out := []model.L4{model.L4Of(model.TCP, 53), model.L4Of(model.UDP, 53), model.L4Of(model.SCTP, 53), model.L4ICMP, model.L4Other}
	for _, p := range policies {
		for _, d := range model.Directions {
			for _, r := range p.Rules(d) {
				for _, port := range r.Ports {
					x := port.L4()
					out = append(out, x.First, x.Last, min(x.Last+1, model.L4Last), x.First-min(1, x.First))
				}
			}
		}
	}
	slices.SortFunc(out, func(a, b model.L4) int { return cmp.Compare(a, b) })
	return slices.Compact(out)
}

// Flows pairs each pod of the stage with each address, both ways.
func (s *Stage) Flows(addrs []netip.Addr, points []model.L4) []Flow {
	var out []Flow
	pods := s.Node.Pods
	if s.Pod != nil {
		pods = []*netlab.Host{s.Pod}
	}
	for _, h := range pods {
		for _, own := range h.Addrs {
			for _, a := range addrs {
				if a.Is6() != own.Is6() || a == own {
					continue
				}
				for _, x := range points {
					out = append(out, Flow{own, a, x.Proto(), x.Port()}, Flow{a, own, x.Proto(), x.Port()})
				}
			}
		}
	}
	return out
}

// Verdict returns what the stage enforces of a judgement: the sides of the
// pods that it governs.
func (s *Stage) Verdict(f Flow, j Judgement) Verdict {
	local := func(a netip.Addr) bool {
		h := s.host(a)
		return h != s.Node.Outside && !s.isNode(a) && (s.Pod == nil || h == s.Pod)
	}
	open := Verdict{Allow: true, Reason: "not on this node"}
	if !local(f.Src) {
		j.Egress = open
	}
	if !local(f.Dst) {
		j.Ingress = open
	}
	return j.Both()
}

// Compare asks simulator and kernel about the flows.
func (s *Stage) Compare(p *Policies, flows []Flow) ([]Mismatch, error) {
	js, err := p.Simulate(flows)
	if err != nil {
		return nil, err
	}
	want := make([]Verdict, len(flows))
	for i, j := range js {
		want[i] = s.Verdict(flows[i], j)
	}
	return s.Check(flows, want)
}
