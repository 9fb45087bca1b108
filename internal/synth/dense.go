package synth

import (
	"fmt"
	"math/rand/v2"
	"net/netip"
	"slices"

	"github.com/trafficpolicy/trafficpolicy/model"
)

// Dense draws the cluster of seed for analyses that try everything: up to eight
// policies of up to four rules a direction, whose prefixes and ports come from
// pools so small that they repeat, halve and cover one another all the time.
// At most three names a direction have no address in the policies. One seed
// in two has matchExpressions, one in two IPv6.
func Dense(seed uint64) *Cluster {
	g := &dense{generator: &generator{Rand: rand.New(rand.NewPCG(seed, 0x6465))}, keys: denseKeys[:3], labels: 30}
	if g.often(50) {
		g.expressions = 20
	}
	return g.cluster(seed)
}

// DenseKeys is [Dense] with selectors of more keys, most of them expressions: what
// pods can have for one key matters together with what they have for others.
func DenseKeys(seed uint64) *Cluster {
	g := &dense{generator: &generator{Rand: rand.New(rand.NewPCG(seed, 0x6b65))}, keys: denseKeys, labels: 8, expressions: 30}
	return g.cluster(seed)
}

func (g *dense) cluster(seed uint64) *Cluster {
	g.prefixes = densePrefixes[model.IPv4]
	if g.often(50) {
		g.prefixes = slices.Concat(g.prefixes, densePrefixes[model.IPv6])
	}
	for d, pool := range denseNames {
		for _, i := range g.Perm(len(pool))[:3] {
			g.names[d] = append(g.names[d], pool[i])
		}
	}
	c := &Cluster{Seed: seed, Inventory: g.inventory(), Resolve: map[string][]netip.Addr{}}
	if g.often(50) {
		c.Resolve["x.example"] = g.ends(1)
	}
	for i := range 1 + g.IntN(8) {
		c.Policies = append(c.Policies, g.policy(i))
	}
	slices.SortFunc(c.Policies, model.ComparePolicies)
	return c
}

var (
	denseKeys     = []string{"app", "env", "tier", "team", "zone"}
	densePrefixes = [2][]netip.Prefix{
		model.IPv4: parsePrefixes("0.0.0.0/0", "0.0.0.0/1", "128.0.0.0/1", "10.0.0.0/8", "10.0.0.0/9", "10.128.0.0/9",
			"10.0.0.0/24", "10.0.0.0/25", "10.0.0.128/25", "10.0.0.0/32", "10.0.0.255/32", "255.255.255.255/32"),
		model.IPv6: parsePrefixes("::/0", "::/1", "8000::/1", "fd00::/8", "fd00::/9", "fd80::/9", "fd00::/128"),
	}
	densePorts = []model.Port{
		{Proto: model.TCP, Last: 65535}, {Proto: model.TCP, First: 1, Last: 65535},
		{Proto: model.TCP, First: 1, Last: 80}, {Proto: model.TCP, First: 81, Last: 65535},
		{Proto: model.TCP, First: 80, Last: 80}, {Proto: model.TCP, First: 80, Last: 90}, {Proto: model.TCP, First: 85, Last: 100},
		{Proto: model.UDP, Last: 65535}, {Proto: model.UDP, First: 53, Last: 53},
		{Proto: model.SCTP, Last: 65535}, {Proto: model.ICMP},
	}
	denseNames = [2][]model.Peer{
		model.Egress: {
			{Kind: model.PeerFQDN, FQDN: "x.example"}, {Kind: model.PeerFQDN, FQDN: "y.example"},
			servicePeer("a", "s0"), servicePeer("a", model.AnyService), workloadPeer("a", model.Labels{{Key: "app", Value: "x"}}),
		},
		model.Ingress: {
			{Kind: model.PeerNamespace, Namespace: "a"}, workloadPeer("b", nil),
			servicePeer("a", "s0"), servicePeer("a", model.AnyService), workloadPeer("a", model.Labels{{Key: "app", Value: "x"}}),
		},
	}
)

func parsePrefixes(list ...string) []netip.Prefix {
	out := make([]netip.Prefix, len(list))
	for i, s := range list {
		out[i] = netip.MustParsePrefix(s)
	}
	return out
}

func servicePeer(ns, name string) model.Peer {
	return model.Peer{Kind: model.PeerService, Service: model.ServicePeer{Namespace: ns, Name: name}}
}

func workloadPeer(ns string, ls model.Labels) model.Peer {
	return model.Peer{Kind: model.PeerWorkload, Workload: model.WorkloadPeer{Namespace: ns, Labels: ls}}
}

type dense struct {
	*generator
	keys        []string // of labels
	labels      int      // percentage of keys with a matchLabel
	expressions int      // of those with an expression
	prefixes    []netip.Prefix
	names       [2][]model.Peer // by direction
}

func (g *dense) policy(i int) *model.Policy {
	p := &model.Policy{
		Kind:     model.GlobalTrafficPolicy,
		Name:     fmt.Sprintf("p%d", i),
		Priority: one(g.generator, []int{1, 100, 100, 100, 500, 1000}),
		Selector: g.selector(),
	}
	if g.often(70) {
		p.Kind, p.Namespace = model.TrafficPolicy, one(g.generator, []string{"a", "a", "b"})
	}
	if g.often(70) {
		p.Egress = g.section(model.Egress)
	}
	if g.often(70) {
		p.Ingress = g.section(model.Ingress)
	}
	return p
}

// selector draws conditions that can contradict each other.
func (g *dense) selector() model.Selector {
	labels := map[string]string{}
	var s model.Selector
	for _, key := range g.keys {
		if g.often(g.labels) {
			labels[key] = one(g.generator, []string{"x", "x", "y"})
		}
		if g.expressions == 0 || !g.often(g.expressions) {
			continue
		}
		r := model.Requirement{Key: key, Operator: one(g.generator, []model.Operator{model.In, model.NotIn, model.Exists, model.DoesNotExist})}
		if r.Operator == model.In || r.Operator == model.NotIn {
			r.Values = one(g.generator, [][]string{{"x"}, {"y"}, {"x", "y"}})
		}
		s.MatchExpressions = append(s.MatchExpressions, r)
	}
	s.MatchLabels = model.NewLabels(labels)
	return s
}

func (g *dense) section(d model.Direction) *model.Section {
	s := &model.Section{}
	for range g.IntN(5) {
		r := model.Rule{Action: one(g.generator, []model.Action{model.Allow, model.Allow, model.Deny, model.Deny, model.Reject})}
		if !g.often(5) {
			for range 1 + g.IntN(3) {
				r.Peers = append(r.Peers, g.peer(d))
			}
		}
		if g.often(50) {
			for range 1 + g.IntN(3) {
				r.Ports = append(r.Ports, one(g.generator, densePorts))
			}
		}
		s.Rules = append(s.Rules, r)
	}
	return s
}

func (g *dense) peer(d model.Direction) model.Peer {
	if g.often(30) {
		return one(g.generator, g.names[d])
	}
	return model.Peer{Kind: model.PeerCIDR, CIDR: one(g.generator, g.prefixes)}
}

// inventory draws up to five pods and two Services; now and then none at all of
// a kind, which is then unknown.
func (g *dense) inventory() *model.Inventory {
	inv := &model.Inventory{}
	if g.often(90) {
		for i := range 1 + g.IntN(5) {
			inv.Pods = append(inv.Pods, g.pod(i))
		}
	}
	if g.often(90) {
		for _, name := range services[:2] {
			s := &model.Service{Namespace: "a", Name: name, ClusterIPs: g.ends(g.IntN(2))}
			s.Headless = len(s.ClusterIPs) == 0
			inv.Services = append(inv.Services, s)
			inv.Endpoints = append(inv.Endpoints, &model.Endpoints{Namespace: "a", Name: name, Service: name,
				Subsets: []model.EndpointSubset{{Addrs: g.ends(g.IntN(3))}}})
		}
	}
	return inv
}

func (g *dense) pod(i int) *model.Pod {
	labels := map[string]string{}
	for _, key := range g.keys {
		if g.often(60) {
			labels[key] = one(g.generator, []string{"x", "y", "z"})
		}
	}
	return &model.Pod{
		Namespace: one(g.generator, []string{"a", "a", "b", "c"}), Name: fmt.Sprintf("pod%d", i), Phase: one(g.generator, []model.PodPhase{"Running", "Running", "Running", "Pending", model.PodFailed}),
		PodMeta: model.PodMeta{Labels: model.NewLabels(labels), Enrolled: g.often(85), HostNetwork: g.often(10)},
		IPs:     g.ends(g.IntN(3)),
	}
}

// ends returns up to n addresses, each once, that begin or end a prefix.
func (g *dense) ends(n int) []netip.Addr {
	var out []netip.Addr
	for range n {
		p := one(g.generator, g.prefixes)
		b := p.Addr().AsSlice()
		if g.often(50) {
			for i := p.Bits(); i < len(b)*8; i++ {
				b[i/8] |= 0x80 >> (i % 8)
			}
		}
		if a, _ := netip.AddrFromSlice(b); !slices.Contains(out, a) {
			out = append(out, a)
		}
	}
	return out
}
