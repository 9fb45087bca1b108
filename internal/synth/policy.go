package synth

import (
	"fmt"
	"net/netip"

	"github.com/trafficpolicy/trafficpolicy/model"
)

func (g *generator) policy(i int) *model.Policy {
	p := &model.Policy{
		Kind:     model.GlobalTrafficPolicy,
		Name:     fmt.Sprintf("p%d", i),
		Priority: one(g, []int{1, 100, 100, 100, 101, 1000}),
		Selector: g.selector(),
	}
	if g.often(60) {
		p.Kind, p.Namespace = model.TrafficPolicy, one(g, namespaces[:2])
	}
	if g.often(75) {
		p.Egress = g.section(p, model.Egress)
	}
	if g.often(60) {
		p.Ingress = g.section(p, model.Ingress)
	}
	return p
}

func (g *generator) selector() model.Selector {
	s := model.Selector{MatchLabels: g.labels(20)}
	for _, key := range labelKeys {
		if !g.often(15) {
			continue
		}
		r := model.Requirement{Key: key, Operator: one(g, []model.Operator{model.In, model.NotIn, model.Exists, model.DoesNotExist})}
		if r.Operator == model.In || r.Operator == model.NotIn {
			r.Values = one(g, [][]string{{"x"}, {"y"}, {"x", "y"}})
		}
		s.MatchExpressions = append(s.MatchExpressions, r)
	}
	return s
}

func (g *generator) section(p *model.Policy, d model.Direction) *model.Section {
	s := &model.Section{}
	for range g.IntN(5) {
		s.Rules = append(s.Rules, g.rule(p, d))
	}
	return s
}

func (g *generator) rule(p *model.Policy, d model.Direction) model.Rule {
	r := model.Rule{Action: one(g, []model.Action{model.Allow, model.Allow, model.Deny, model.Deny, model.Reject})}
	if !g.often(8) {
		for range 1 + g.IntN(3) {
			r.Peers = append(r.Peers, g.peer(p, d))
		}
	}
	if g.often(50) {
		for range 1 + g.IntN(3) {
			r.Ports = append(r.Ports, g.port())
		}
	}
	return r
}

func (g *generator) port() model.Port {
	p := model.Port{Proto: one(g, []model.Proto{model.TCP, model.TCP, model.UDP, model.SCTP, model.ICMP})}
	switch {
	case p.Proto == model.ICMP:
	case g.often(25):
		p.Last = 65535 // no port field: every port
	default:
		a, b := one(g, ports), one(g, ports)
		p.First, p.Last = min(a, b), max(a, b)
	}
	return p
}

func (g *generator) peer(p *model.Policy, d model.Direction) model.Peer {
	// Names of the policy's own namespace, and one that does not exist.
	ns := one(g, []string{"default", "default", "a", "b", "missing"})
	switch g.IntN(10) {
	case 0, 1:
		name := one(g, append([]string{model.AnyService}, services...))
		return model.Peer{Kind: model.PeerService, Service: model.ServicePeer{Namespace: ns, Name: name}}
	case 2:
		return model.Peer{Kind: model.PeerWorkload, Workload: model.WorkloadPeer{Namespace: ns, Labels: g.labels(40)}}
	case 3, 4:
		if d == model.Egress {
			return model.Peer{Kind: model.PeerFQDN, FQDN: one(g, fqdns)}
		}
		return model.Peer{Kind: model.PeerNamespace, Namespace: ns}
	}
	return model.Peer{Kind: model.PeerCIDR, CIDR: g.cidr()}
}

// cidr draws prefixes in and around the blocks, and the ends of the space.
func (g *generator) cidr() netip.Prefix {
	f := model.Family(0)
	if g.often(30) {
		f = model.IPv6
	}
	a := g.addr(f)
	if g.often(8) {
		a = one(g, []netip.Addr{f.All().Addr(), map[model.Family]netip.Addr{
			model.IPv4: netip.MustParseAddr("255.255.255.255"),
			model.IPv6: netip.MustParseAddr("ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff"),
		}[f]})
	}
	bits := a.BitLen() - g.IntN(8)
	if g.often(20) {
		bits = one(g, []int{0, 0, 1, 8, 25})
	}
	prefix, _ := a.Prefix(bits)
	return prefix
}
