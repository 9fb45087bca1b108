package synth

import (
	"net/netip"
	"slices"

	"go4.org/netipx"

	"github.com/trafficpolicy/trafficpolicy/model"
)

// Addresses returns every address that the inventory and the policies speak
// of, the neighbours of each prefix's ends, and some that nothing speaks of.
func Addresses(inv *model.Inventory, policies []*model.Policy, names map[string][]netip.Addr) []netip.Addr {
	var out []netip.Addr
	for _, s := range []string{"8.8.8.8", "1.1.1.1", "10.8.0.1", "172.16.0.1", "192.168.0.1", "100.64.0.1", "100.100.100.200", "2001:db8::8", "fd00:ffff::1"} {
		out = append(out, netip.MustParseAddr(s))
	}
	around := func(p netip.Prefix) {
		first, last := p.Masked().Addr(), netipx.PrefixLastIP(p)
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
	return slices.DeleteFunc(slices.Compact(out), func(a netip.Addr) bool { return !a.IsValid() })
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
	slices.Sort(out)
	return slices.Compact(out)
}
