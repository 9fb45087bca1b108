//go:build linux

package kerneltest

import (
	"net/netip"
	"slices"

	"github.com/trafficpolicy/trafficpolicy/internal/netlab"
	"github.com/trafficpolicy/trafficpolicy/internal/synth"
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

// Addresses returns what [synth.Addresses] does, as far as a router forwards it.
func Addresses(inv *model.Inventory, policies []*model.Policy, names map[string][]netip.Addr) []netip.Addr {
	return slices.DeleteFunc(synth.Addresses(inv, policies, names), func(a netip.Addr) bool { return !routable(a) })
}

// reserved4 is what a router does not forward though it is no multicast
// (RFC 1122, 3.2.1.3; RFC 1112, 4).
var reserved4 = []netip.Prefix{netip.MustParsePrefix("0.0.0.0/8"), netip.MustParsePrefix("240.0.0.0/4")}

// routable reports whether a router forwards packets to and from a.
func routable(a netip.Addr) bool {
	return a.IsValid() && a.IsGlobalUnicast() && !slices.ContainsFunc(reserved4, func(p netip.Prefix) bool { return p.Contains(a) })
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
