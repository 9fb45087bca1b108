package compiler

import (
	"net/netip"
	"slices"

	"github.com/trafficpolicy/trafficpolicy/model"
)

// Families returns the address families that an analysis of in covers. With
// FamiliesAuto it is IPv4 alone where no address anywhere is IPv6: not in
// policies, not in o.Resolve, and not of a pod, Service, endpoint or node.
func (in *Input) Families(o Options) []model.Family {
	switch {
	case o.Families == FamiliesIPv4, o.Families == FamiliesAuto && !in.hasIPv6(o):
		return model.Families[:1]
	}
	return model.Families[:]
}

func (in *Input) hasIPv6(o Options) bool {
	for _, addrs := range o.Resolve {
		if anyIPv6(addrs) {
			return true
		}
	}
	return slices.ContainsFunc(in.Policies, policyHasIPv6) || inventoryHasIPv6(in.Inventory)
}

func policyHasIPv6(p *model.Policy) bool {
	for _, d := range model.Directions {
		for _, r := range p.Rules(d) {
			for i := range r.Peers {
				if r.Peers[i].Kind == model.PeerCIDR && r.Peers[i].CIDR.Addr().Is6() {
					return true
				}
			}
		}
	}
	return false
}

func inventoryHasIPv6(inv *model.Inventory) bool {
	return slices.ContainsFunc(inv.Pods, func(p *model.Pod) bool { return anyIPv6(p.IPs) }) ||
		slices.ContainsFunc(inv.Services, func(s *model.Service) bool { return anyIPv6(s.ClusterIPs) }) ||
		slices.ContainsFunc(inv.Endpoints, func(e *model.Endpoints) bool {
			return slices.ContainsFunc(e.Subsets, func(s model.EndpointSubset) bool { return anyIPv6(s.Addrs) })
		}) ||
		slices.ContainsFunc(inv.Nodes, func(n *model.Node) bool {
			return anyIPv6(n.Addresses) || slices.ContainsFunc(n.PodCIDRs, func(p netip.Prefix) bool { return p.Addr().Is6() })
		})
}

func anyIPv6(addrs []netip.Addr) bool { return slices.ContainsFunc(addrs, netip.Addr.Is6) }
