package nftables

import (
	"net/netip"

	"github.com/trafficpolicy/trafficpolicy/compiler"
	"github.com/trafficpolicy/trafficpolicy/model"
)

// Builders of programs, so that a test case is a few lines.

func addrs(list ...string) []netip.Addr {
	out := make([]netip.Addr, len(list))
	for i, s := range list {
		out[i] = netip.MustParseAddr(s)
	}
	return out
}

func cidrs(list ...string) []model.ListPeer {
	out := make([]model.ListPeer, len(list))
	for i, s := range list {
		out[i] = model.ListPeer{Index: i, Prefixes: []netip.Prefix{netip.MustParsePrefix(s)}}
	}
	return out
}

func fqdn(name string) []model.ListPeer { return []model.ListPeer{{Atom: model.Atom("fqdn " + name)}} }

func tcp(first, last uint16) model.L4Range {
	return model.Port{Proto: model.TCP, First: first, Last: last}.L4()
}

func udp(first, last uint16) model.L4Range {
	return model.Port{Proto: model.UDP, First: first, Last: last}.L4()
}

// rule is a rule of a list without its name; no ports are every port.
func rule(a model.Action, peers []model.ListPeer, ports ...model.L4Range) model.ListRule {
	l4 := model.EveryL4
	if len(ports) > 0 {
		l4 = model.NewL4Set(ports...)
	}
	return model.ListRule{Action: a, Peers: peers, L4: l4}
}

// class is a class that the policy TrafficPolicy/default/NAME alone selects.
func class(name string, egress, ingress []model.ListRule) compiler.ProgramClass {
	p := &model.Policy{Kind: model.TrafficPolicy, Namespace: "default", Name: name, Priority: 100}
	list := func(d model.Direction, rules []model.ListRule) *model.RuleList {
		for i := range rules {
			rules[i].Ref = model.RuleRef{Policy: p, Direction: d, Index: i}
		}
		return &model.RuleList{Direction: d, Isolated: true, Rules: rules}
	}
	return compiler.ProgramClass{Policies: []*model.Policy{p}, Egress: list(model.Egress, egress), Ingress: list(model.Ingress, ingress)}
}

// sample has every kind of object: ports, names between maps, all actions, a
// class twice, two families, two classes.
func sample() *compiler.Program {
	all := cidrs("0.0.0.0/0", "::/0")
	return &compiler.Program{
		Target: compiler.Target{Node: "node-1"}, NodeName: "node-1",
		NodeAddrs: addrs("192.168.1.1", "fd00:1::1"),
		Pods: []compiler.ProgramPod{
			{Ref: "default/a", Addrs: addrs("10.0.0.10", "fd00::10"), Class: 0},
			{Ref: "default/b", Addrs: addrs("10.0.0.11"), Class: 1},
			{Ref: "default/c", Addrs: addrs("10.0.0.12", "10.0.0.13", "fd00::12"), Class: 0},
		},
		Classes: []compiler.ProgramClass{
			class("a", []model.ListRule{
				rule(model.Deny, cidrs("100.100.100.200/32")),
				rule(model.Allow, cidrs("10.1.0.0/24"), tcp(80, 90), udp(53, 53), model.L4Range{First: model.L4ICMP, Last: model.L4ICMP}),
				rule(model.Allow, fqdn("rds.example"), tcp(3306, 3306)),
				rule(model.Allow, fqdn("api.example")),
				rule(model.Reject, cidrs("10.0.0.0/8", "fd00::/8")),
				rule(model.Allow, all),
			}, []model.ListRule{
				rule(model.Allow, cidrs("10.0.0.0/24"), tcp(0, 65535)),
				rule(model.Deny, all, udp(0, 1023)),
				rule(model.Allow, cidrs("fd00::/64")),
			}),
			class("b", []model.ListRule{rule(model.Allow, all)}, nil),
		},
		Names: []compiler.ProgramName{{Name: "api.example"}, {Name: "rds.example", Addrs: addrs("1.2.3.4", "2001:db8::1")}},
	}
}

// samplePod is the sample's first pod in its own namespace.
func samplePod() *compiler.Program {
	p := sample()
	p.Target = compiler.Target{Pod: "default/a"}
	p.Pods, p.Classes = p.Pods[:1], p.Classes[:1]
	p.PodAddrs = p.Pods[0].Addrs
	return p
}

// sampleUnknown is the sample with unknown pods closed.
func sampleUnknown() *compiler.Program {
	p := sample()
	p.UnknownDeny = &compiler.UnknownDeny{
		PodCIDRs: []netip.Prefix{netip.MustParsePrefix("10.0.0.0/24"), netip.MustParsePrefix("fd00::/64")},
		Known:    addrs("10.0.0.0", "10.0.0.1", "10.0.0.99", "10.0.0.255", "fd00::1"),
	}
	return p
}
