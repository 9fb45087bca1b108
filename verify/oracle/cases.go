package oracle

import (
	"net/netip"
	"slices"

	"github.com/trafficpolicy/trafficpolicy/model"
)

// Case is one hand-made question with the answers that a person has worked out. Any
// other reading of the same policies can be run over [Cases].
type Case struct {
	Name     string // starts with the anomaly class or the sentence it is about
	Policies string // in the notation of [Parse]
	// Families is nil for auto: "IPv4 alone when no address anywhere (policies,
	// --resolve, podIPs, clusterIPs, endpoints, slices, nodes) is IPv6, else both".
	Families []model.Family
	Want     []string // "CODE SUBJECT" of the always sense, sorted
	Cluster  string   // in the notation of [ParseCluster]; "" without an inventory
	Further  []string // "CODE SUBJECT" of the inventory sense beyond Want, sorted
}

// Read returns the question of the case in the always sense, and the cluster,
// nil without one.
func (c *Case) Read() (Input, *Cluster, error) {
	policies, err := Parse(c.Policies)
	if err != nil {
		return Input{}, nil, err
	}
	in := Input{Policies: policies, Peers: Unresolved{}, Families: c.Families}
	var cluster *Cluster
	if c.Cluster != "" {
		if cluster, err = ParseCluster(c.Cluster); err != nil {
			return Input{}, nil, err
		}
		in.Peers = Known{Resolve: cluster.Resolve}
	}
	if in.Families == nil {
		in.Families = families(policies, cluster)
	}
	return in, cluster, nil
}

// InCluster returns in asked in the inventory sense.
func InCluster(in Input, c *Cluster) Input {
	in.Peers, in.Pods, in.Templates = c.Peers(), c.Pods, c.Templates
	return in
}

// families is --families auto. c may be nil.
func families(policies []*model.Policy, c *Cluster) []model.Family {
	var addrs []netip.Addr
	for _, p := range policies {
		for _, d := range model.Directions {
			for _, r := range p.Rules(d) {
				for _, peer := range r.Peers {
					if peer.Kind == model.PeerCIDR {
						addrs = append(addrs, peer.CIDR.Addr())
					}
				}
			}
		}
	}
	if c != nil {
		for _, known := range c.Resolve {
			addrs = append(addrs, known...)
		}
		for _, p := range c.Pods {
			addrs = append(addrs, p.IPs...)
		}
		for _, s := range c.Services {
			addrs = append(addrs, s.ClusterIPs...)
		}
		for _, e := range c.Endpoints {
			for _, s := range e.Subsets {
				addrs = append(addrs, s.Addrs...)
			}
		}
	}
	if slices.ContainsFunc(addrs, netip.Addr.Is6) {
		return model.Families[:]
	}
	return []model.Family{model.IPv4}
}

// Cases holds every anomaly class of the firewall literature (Al-Shaer and
// Hamed, "Discovery of Policy Anomalies in Distributed Firewalls", 2004), within
// one policy and between policies, the blind spots of checkers that compare rules
// by pairs, and both sides of each sentence about TP101 to TP203.
var Cases = slices.Concat(shadowing, redundancy, generalization, correlation, irrelevance,
	blindSpots, labelCases, entryCases, effectCases, overrideCases, pairCases, inventoryCases)

var shadowing = []Case{
	{Name: "shadowing within a policy", Policies: `
tp a/p 100 app=x
  egress deny 10.0.0.0/8
  egress allow 10.1.0.0/16
  egress allow 0.0.0.0/0`,
		Want: []string{"TP101 TrafficPolicy/a/p#egress[1]"}},
	{Name: "shadowing between policies: smaller priority first, whatever the names", Policies: `
tp a/z 10 app=x
  egress deny 10.0.0.0/8
tp a/a 100 app=x
  egress allow 10.1.0.0/16
  egress allow 192.168.0.0/16`,
		Want: []string{"TP101 TrafficPolicy/a/a#egress[0]"}},
	{Name: "shadowing between policies: a global one over a namespaced one", Policies: `
gtp base 10
  ingress deny 10.0.0.0/8
tp a/p 100 app=x
  ingress allow 10.1.0.0/16`,
		Want: []string{"TP101 TrafficPolicy/a/p#ingress[0]", "TP203 TrafficPolicy/a/p"}},
	{Name: "shadowing between policies of one priority: global before namespaced", Policies: `
tp a/a 100 app=x
  egress allow 10.0.0.0/8
gtp z 100
  egress deny 10.0.0.0/8`,
		Want: []string{"TP101 TrafficPolicy/a/a#egress[0]", "TP201 GlobalTrafficPolicy/z TrafficPolicy/a/a", "TP203 TrafficPolicy/a/a"}},
	{Name: "shadowing between policies of one priority: by name", Policies: `
tp a/b 100 app=x
  egress allow 10.0.0.0/8
tp a/a 100 app=x
  egress deny 10.0.0.0/8`,
		Want: []string{"TP101 TrafficPolicy/a/b#egress[0]", "TP201 TrafficPolicy/a/a TrafficPolicy/a/b", "TP203 TrafficPolicy/a/b"}},
	{Name: "shadowing: a reject is a deny", Policies: `
tp a/p 100 app=x
  egress reject 10.0.0.0/8
  egress deny 10.1.0.0/16
  egress allow 10.2.0.0/16`,
		Want: []string{"TP101 TrafficPolicy/a/p#egress[2]", "TP102 TrafficPolicy/a/p#egress[1]"}},
	{Name: "shadowing: one of several winners decides otherwise", Policies: `
tp a/p 100 app=x
  egress allow 10.0.0.0/9
  egress deny 10.128.0.0/9
  egress allow 10.0.0.0/8
  egress allow 10.0.0.0/7`,
		// The first has no effect: without it the third, dead as it is, would
		// do the same.
		Want: []string{"TP101 TrafficPolicy/a/p#egress[2]", "TP104 TrafficPolicy/a/p#egress[0]"}},
	{Name: "shadowing: the directions have nothing to do with each other", Policies: `
tp a/p 100 app=x
  egress deny 10.0.0.0/8
  egress allow 0.0.0.0/0
  ingress allow 10.0.0.0/8`},
}

var redundancy = []Case{
	{Name: "redundancy within a policy", Policies: `
tp a/p 100 app=x
  egress allow 10.0.0.0/8
  egress allow 10.1.0.0/16`,
		Want: []string{"TP102 TrafficPolicy/a/p#egress[1]"}},
	{Name: "redundancy between policies", Policies: `
tp a/p 10 app=x
  egress allow 10.0.0.0/8
tp a/q 100 app=x
  egress allow 10.1.0.0/16
  egress allow 192.168.0.0/16`,
		Want: []string{"TP102 TrafficPolicy/a/q#egress[0]"}},
	{Name: "redundancy within a policy: a later rule does the same", Policies: `
tp a/p 100 app=x
  egress allow 10.1.0.0/16
  egress allow 10.0.0.0/8`,
		Want: []string{"TP104 TrafficPolicy/a/p#egress[0]"}},
	{Name: "redundancy within a policy: not where a rule between decides otherwise", Policies: `
tp a/p 100 app=x
  egress allow 10.1.0.0/16
  egress deny 10.0.0.0/15
  egress allow 10.0.0.0/8`},
	{Name: "redundancy between policies: a later policy does the same", Policies: `
tp a/p 10 app=x
  egress allow 10.1.0.0/16
tp a/q 100 app=x
  egress allow 10.0.0.0/8`,
		Want: []string{"TP104 TrafficPolicy/a/p#egress[0]"}},
	{Name: "redundancy between policies: not for pods that the later one does not select", Policies: `
tp a/p 10 app=x
  egress allow 10.1.0.0/16
tp a/q 100 app=x env=z
  egress allow 10.0.0.0/8`},
}

var generalization = []Case{
	{Name: "generalization within a policy is how exceptions are written", Policies: `
tp a/p 100 app=x
  egress deny 10.1.0.0/16
  egress allow 10.0.0.0/8`},
	{Name: "generalization between policies is how they are layered", Policies: `
tp a/p 10 app=x
  egress deny 10.1.0.0/16
gtp base 1000
  egress allow 10.0.0.0/8`},
	{Name: "generalization between policies of one priority is a conflict", Policies: `
tp a/p 100 app=x
  egress deny 10.1.0.0/16
tp a/q 100 app=x
  egress allow 10.0.0.0/8`,
		Want: []string{"TP201 TrafficPolicy/a/p TrafficPolicy/a/q"}},
}

var correlation = []Case{
	{Name: "correlation within a policy", Policies: `
tp a/p 100 app=x
  egress deny 10.0.0.0/8 tcp/80
  egress allow 10.1.0.0/16 tcp/1-100`,
	},
	{Name: "correlation between policies", Policies: `
tp a/p 10 app=x
  egress deny 10.0.0.0/8 tcp/80
tp a/q 100 app=x
  egress allow 10.1.0.0/16 tcp/1-100`,
	},
	{Name: "correlation between policies of one priority is a conflict", Policies: `
tp a/p 100 app=x
  egress deny 10.0.0.0/8 tcp/80
tp a/q 100 app=x
  egress allow 10.1.0.0/16 tcp/1-100`,
		Want: []string{"TP201 TrafficPolicy/a/p TrafficPolicy/a/q"}},
	{Name: "correlation between policies of one priority: unless a smaller priority takes all that both match", Policies: `
tp a/top 10 app=x
  egress allow 10.1.0.0/16 tcp/80
tp a/p 100 app=x
  egress deny 10.0.0.0/8 tcp/80
tp a/q 100 app=x
  egress allow 10.1.0.0/16 tcp/1-100
tp a/z 500 app=x
  egress allow 10.2.0.0/16`,
		Want: []string{"TP202 TrafficPolicy/a/p TrafficPolicy/a/q"}},
	{Name: "correlation between policies of one priority: a smaller priority that leaves one port", Policies: `
tp a/top 10 app=x
  egress allow 10.1.0.0/16 tcp/80
tp a/p 100 app=x
  egress deny 10.0.0.0/8 tcp/80-81
tp a/q 100 app=x
  egress allow 10.1.0.0/16 tcp/1-100
tp a/z 500 app=x
  egress allow 10.2.0.0/16`,
		Want: []string{"TP201 TrafficPolicy/a/p TrafficPolicy/a/q"}},
}

var irrelevance = []Case{
	{Name: "irrelevance: a selector that contradicts itself", Policies: `
tp a/p 100 app=x app:in(y)
  egress deny any
  egress allow 10.0.0.0/8
tp a/q 100 app=x
  egress allow 10.0.0.0/8`},
	{Name: "irrelevance: a selector that contradicts itself, by expressions", Policies: `
gtp p 100 app:exists app:absent
  egress allow 10.0.0.0/8
gtp q 100 app:in(x) app:notin(x)
  egress allow 10.0.0.0/8`},
	{Name: "irrelevance: an address family that is not analysed", Families: []model.Family{model.IPv4}, Policies: `
tp a/p 100 app=x
  egress deny fd00::/8
  egress allow 10.0.0.0/8,fd00::/8
  egress allow fd00::/8`},
	{Name: "irrelevance: a deny that the default deny would do", Policies: `
tp a/p 100 app=x
  egress deny 10.0.0.0/8
  egress allow 192.168.0.0/16`,
		Want: []string{"TP104 TrafficPolicy/a/p#egress[0]"}},
	{Name: "irrelevance: a Service without addresses", Policies: `
tp a/p 100 app=x
  egress deny 10.0.0.0/8
  egress allow service:a/none
  egress allow 0.0.0.0/0`,
		Want: []string{"TP104 TrafficPolicy/a/p#egress[1]"},
		Cluster: `
service a/none -
pod a/one app=x 10.0.0.1`},
}

var blindSpots = []Case{
	{Name: "union: two halves that cover", Policies: `
tp a/p 100 app=x
  egress allow 10.0.0.0/9
  egress allow 10.128.0.0/9
  egress deny 10.0.0.0/8`,
		Want: []string{"TP101 TrafficPolicy/a/p#egress[2]"}},
	{Name: "union: two halves of the ports that cover", Policies: `
tp a/p 100 app=x
  egress allow 10.0.0.0/8 tcp/1-80
  egress allow 10.0.0.0/8 tcp/81-65535
  egress deny 10.0.0.0/8 tcp/1-65535`,
		Want: []string{"TP101 TrafficPolicy/a/p#egress[2]"}},
	{Name: "union: port 0 is a port", Policies: `
tp a/p 100 app=x
  egress allow 10.0.0.0/8 tcp/1-80
  egress allow 10.0.0.0/8 tcp/81-65535
  egress deny 10.0.0.0/8 tcp
  egress allow 10.0.0.0/7`},
	{Name: "union: a cover with a one-port hole", Policies: `
tp a/p 100 app=x
  egress allow 10.0.0.0/8 tcp/1-79
  egress allow 10.0.0.0/8 tcp/81-65535
  egress deny 10.0.0.0/8 tcp/1-65535
  egress allow 10.0.0.0/8 tcp/80
  egress allow 10.0.0.0/7`,
		Want: []string{"TP101 TrafficPolicy/a/p#egress[3]"}},
	{Name: "union: a cover with a one-address hole", Policies: `
tp a/p 100 app=x
  egress allow 10.0.0.0/31
  egress allow 10.0.0.2/32
  egress deny 10.0.0.0/30
  egress allow 10.0.0.0/29`},
	{Name: "union: all protocols that have a name", Policies: `
tp a/p 100 app=x
  egress allow 10.0.0.0/8 tcp
  egress allow 10.0.0.0/8 udp
  egress allow 10.0.0.0/8 sctp
  egress allow 10.0.0.0/8 icmp
  egress deny 10.0.0.0/8 icmp,tcp,sctp,udp`,
		Want: []string{"TP101 TrafficPolicy/a/p#egress[4]"}},
	{Name: "union: the protocols that have a name are not all", Policies: `
tp a/p 100 app=x
  egress deny 10.0.0.0/8 tcp,udp,sctp,icmp
  egress allow 10.0.0.0/8
  egress deny 10.0.0.0/7`,
		Want: []string{"TP104 TrafficPolicy/a/p#egress[2]"}},
	{Name: "union: a chain, where each rule is covered by the one before and only the first wins", Policies: `
tp a/p 100 app=x
  egress allow 10.0.0.0/8
  egress deny 10.0.0.0/9
  egress allow 10.0.0.0/10
  egress deny 10.0.0.0/11`,
		Want: []string{"TP101 TrafficPolicy/a/p#egress[1]", "TP101 TrafficPolicy/a/p#egress[3]", "TP102 TrafficPolicy/a/p#egress[2]"}},
	{Name: "union: a chain of links, across policies", Policies: `
tp a/one 1 app=x
  egress allow 10.0.0.0/8 tcp/1-100
gtp two 10
  egress deny 10.0.0.0/8 tcp/50-200
tp a/three 100 app=x
  egress allow 10.0.0.0/8 tcp/150-300
tp a/four 1000 app=x
  egress deny 10.0.0.0/8 tcp/1-300`,
		Want: []string{"TP101 TrafficPolicy/a/four#egress[0]", "TP203 TrafficPolicy/a/four"}},
	{Name: "union: a residue that children eat up", Policies: `
tp a/p 100 app=x
  egress allow 10.0.0.0/9
  egress allow 10.128.0.0/10
  egress allow 10.192.0.0/11
  egress allow 10.224.0.0/11
  egress deny 10.0.0.0/8`,
		Want: []string{"TP101 TrafficPolicy/a/p#egress[4]"}},
	{Name: "union: a residue of ports that children and a parent eat up", Policies: `
tp a/p 100 app=x
  egress allow 10.0.0.0/32 tcp/80-81
  egress allow 10.0.0.1/32 tcp/80
  egress allow 10.0.0.0/8 tcp/81
  egress deny 10.0.0.0/31 tcp/80-81`,
		Want: []string{"TP101 TrafficPolicy/a/p#egress[3]"}},
	{Name: "union: the first and the last address", Policies: `
tp a/p 100 app=x
  egress allow 0.0.0.0/32
  egress allow 255.255.255.255/32
  egress deny 0.0.0.0/32,255.255.255.255/32
  egress deny 0.0.0.0/31,255.255.255.254/31
  egress allow 0.0.0.0/0`,
		Want: []string{"TP101 TrafficPolicy/a/p#egress[2]"}},
	{Name: "atom: behind an equal atom", Policies: `
tp a/p 100 app=x
  egress allow fqdn:a.example
  egress deny fqdn:a.example
  egress allow 0.0.0.0/0`,
		Want: []string{"TP101 TrafficPolicy/a/p#egress[1]"}},
	{Name: "atom: behind an equal atom whose ports cover", Policies: `
tp a/p 100 app=x
  egress deny fqdn:a.example tcp/443
  egress allow fqdn:a.example tcp/443
  egress allow fqdn:a.example tcp/443-444`,
		Want: []string{"TP101 TrafficPolicy/a/p#egress[1]"}},
	{Name: "atom: another name is another set", Policies: `
tp a/p 100 app=x
  egress deny fqdn:a.example
  egress allow fqdn:b.example`},
	{Name: "atom: a name and the wildcard of its namespace are independent", Policies: `
tp a/p 100 app=x
  egress deny service:b/*
  egress allow service:b/web`},
	{Name: "atom: behind everyone", Policies: `
tp a/p 100 app=x
  egress deny any tcp
  egress allow fqdn:a.example tcp/443
  egress allow fqdn:a.example udp/443`,
		Want: []string{"TP101 TrafficPolicy/a/p#egress[1]"}},
	{Name: "atom: behind part of the addresses it may reach", Policies: `
tp a/p 100 app=x
  ingress deny 0.0.0.0/1
  ingress allow namespace:b`},
	{Name: "atom: behind halves that cover everyone at one port", Policies: `
tp a/p 100 app=x
  ingress deny 0.0.0.0/1 tcp/1-80
  ingress deny 128.0.0.0/1 tcp/80-90
  ingress allow workload:b?app=y tcp/80
  ingress allow workload:b?app=y tcp/80-81`,
		Want: []string{"TP101 TrafficPolicy/a/p#ingress[2]"}},
	{Name: "atom: 0.0.0.0/0 before a Service, in an IPv4-only world", Policies: `
tp a/p 100 app=x
  egress deny 0.0.0.0/0
  egress allow service:kube-system/kube-dns`,
		Want: []string{"TP101 TrafficPolicy/a/p#egress[1]"}},
	{Name: "atom: 0.0.0.0/0 before a Service, where an address is IPv6", Policies: `
tp a/p 100 app=x
  egress deny 0.0.0.0/0
  egress allow service:kube-system/kube-dns
  egress allow fd00::/8`},
	{Name: "atom: both families before a Service", Policies: `
tp a/p 100 app=x
  egress deny 0.0.0.0/0,::/0
  egress allow service:kube-system/kube-dns`,
		Want: []string{"TP101 TrafficPolicy/a/p#egress[1]"}},
}
