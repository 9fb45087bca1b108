package verify

import (
	"net/netip"
	"slices"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/trafficpolicy/trafficpolicy/compiler"
	"github.com/trafficpolicy/trafficpolicy/model"
)

// securityCase is what lint says of policies in the oracle's notation.
type securityCase struct {
	name     string
	policies string
	want     []string
}

// found spells findings as "SCOPE rule or policy: witness".
func found(fs []model.Finding) []string {
	out := []string{}
	for _, f := range fs {
		about := f.Rule
		if about == "" {
			about = f.Policy
		}
		s := string(f.Scope) + " " + about
		if w := f.Witness; w != nil {
			s += ": " + w.Src + " > " + w.Dst + " " + w.Proto
			if w.Port > 0 {
				s += "/" + model.Port{First: w.Port, Last: w.Port}.String()[len("TCP "):]
			}
		}
		out = append(out, s)
	}
	return out
}

func (c *securityCase) check(t *testing.T, code model.Code, in *compiler.Input, o compiler.Options) {
	t.Helper()
	in.Policies = slices.SortedFunc(slices.Values(policies(t, c.policies)), model.ComparePolicies)
	if in.Inventory == nil {
		in.Inventory = &model.Inventory{}
	}
	r, err := Lint(t.Context(), in, LintOptions{Options: o, Only: []model.Code{code}})
	if err != nil {
		t.Fatal(err)
	}
	if len(r.Unchecked) > 0 {
		t.Errorf("unchecked %v", r.Unchecked)
	}
	if c.want == nil {
		c.want = []string{}
	}
	if diff := cmp.Diff(sorted(c.want), sorted(found(r.Findings))); diff != "" {
		t.Errorf("-want +got:\n%s%s%q", diff, c.policies, lines(r.Findings))
	}
}

const (
	noKubeDNS  = "always TrafficPolicy/a/p: a?app=web > 172.21.0.10 UDP/53"
	noKubeDNSt = "always TrafficPolicy/a/p: a?app=web > 172.21.0.10 TCP/53"
)

var noDNSCases = []securityCase{
	// Names are needed.
	{"a name and no DNS", "tp a/p 100 app=web\n  egress allow fqdn:x.example", []string{noKubeDNS}},
	{"public addresses and no DNS", "tp a/p 100 app=web\n  egress allow 0.0.0.0/0 tcp/443", []string{noKubeDNS}},
	{"one public address and no DNS", "tp a/p 100 app=web\n  egress allow 47.1.2.3/32 tcp/443", []string{noKubeDNS}},
	{"private addresses need no names", "tp a/p 100 app=web\n  egress allow 10.0.0.0/8,172.16.0.0/12,192.168.0.0/16,100.64.0.0/10,169.254.0.0/16,127.0.0.0/8", nil},
	{"one more address is public", "tp a/p 100 app=web\n  egress allow 172.15.255.255/32 tcp/443", []string{noKubeDNS}},
	{"a Service needs none by itself", "tp a/p 100 app=web\n  egress allow service:a/db", nil},
	{"a denied name is not needed", "tp a/p 100 app=web\n  egress deny fqdn:x.example\n  egress allow 10.0.0.0/8 tcp/443", nil},
	{"public access that never comes first", "tp a/p 100 app=web\n  egress deny 0.0.0.0/0 tcp\n  egress allow 0.0.0.0/0 tcp/443", nil},
	{"what is left behind denials is public", "tp a/p 100 app=web\n  egress deny 0.0.0.0/1 tcp/443\n  egress allow 0.0.0.0/0 tcp/443", []string{noKubeDNS}},
	{"nothing public is left", "tp a/p 100 app=web\n  egress deny 1.0.0.0/8 tcp\n  egress allow 1.0.0.0/8,10.0.0.0/8 tcp/443", nil},
	{"a name behind a deny of everything", "tp a/p 100 app=web\n  egress deny 0.0.0.0/0\n  egress allow fqdn:x.example", nil},
	// Egress is restricted.
	{"egress is not declared", "tp a/p 100 app=web\n  ingress allow 0.0.0.0/0", nil},

	// kube-dns is denied.
	{"kube-dns is allowed", "tp a/p 100 app=web\n  egress allow service:kube-system/kube-dns\n  egress allow fqdn:x.example\n  egress deny 0.0.0.0/0", nil},
	{"all Services of its namespace are", "tp a/p 100 app=web\n  egress allow service:kube-system/*\n  egress allow fqdn:x.example", nil},
	{"another Service is", "tp a/p 100 app=web\n  egress allow service:kube-system/metrics\n  egress allow fqdn:x.example", []string{noKubeDNS}},
	{"its pods may be", "tp a/p 100 app=web\n  egress allow workload:kube-system?k8s-app=kube-dns\n  egress allow fqdn:x.example", nil},
	{"its pods may be denied", "tp a/p 100 app=web\n  egress deny workload:kube-system?k8s-app=kube-dns\n  egress allow 0.0.0.0/0", nil},
	{"its pods may be denied, and others are allowed", "tp a/p 100 app=web\n  egress deny workload:kube-system?k8s-app=kube-dns\n  egress allow 10.0.0.0/8\n  egress allow fqdn:x.example", nil},
	{"UDP alone", "tp a/p 100 app=web\n  egress allow service:kube-system/kube-dns udp/53\n  egress allow fqdn:x.example", []string{noKubeDNSt}},
	{"TCP alone", "tp a/p 100 app=web\n  egress allow service:kube-system/kube-dns tcp/53\n  egress allow fqdn:x.example", []string{noKubeDNS}},
	{"both, by port", "tp a/p 100 app=web\n  egress allow service:kube-system/kube-dns tcp/53,udp/53\n  egress allow fqdn:x.example", nil},
	{"another port", "tp a/p 100 app=web\n  egress allow service:kube-system/kube-dns tcp/53,udp/54-99\n  egress allow fqdn:x.example", []string{noKubeDNS}},
	{"denied by name", "tp a/p 100 app=web\n  egress deny service:kube-system/kube-dns\n  egress allow 0.0.0.0/0", []string{noKubeDNS}},
	{"denied with all of its namespace", "tp a/p 100 app=web\n  egress reject service:kube-system/* tcp/53\n  egress allow 0.0.0.0/0", []string{noKubeDNSt}},
	{"denied by name, behind the allow", "tp a/p 100 app=web\n  egress allow 0.0.0.0/0\n  egress deny service:kube-system/kube-dns", nil},
	{"an address that may be its own is allowed", "tp a/p 100 app=web\n  egress allow 172.21.0.10/32 udp/53,tcp/53\n  egress allow fqdn:x.example", nil},
	{"addresses that may be its own are denied", "tp a/p 100 app=web\n  egress deny 10.0.0.0/8,172.16.0.0/12\n  egress allow 0.0.0.0/0", nil},
	{"all that it may have are", "tp a/p 100 app=web\n  egress deny 10.0.0.0/8,172.16.0.0/12\n  egress deny 192.168.0.0/16\n  egress allow 0.0.0.0/0", []string{noKubeDNS}},
	{"all but one", "tp a/p 100 app=web\n  egress allow 192.168.255.255/32\n  egress deny 10.0.0.0/8,172.16.0.0/12,192.168.0.0/16\n  egress allow 0.0.0.0/0", nil},
	{"it is taken to have no public one", "tp a/p 100 app=web\n  egress allow 203.0.113.0/24", []string{noKubeDNS}},

	// Other resolvers are denied.
	{"a VPC resolver", "tp a/p 100 app=web\n  egress deny 100.100.2.136/32\n  egress allow 0.0.0.0/0", []string{"always TrafficPolicy/a/p#egress[0]: a?app=web > 100.100.2.136 UDP/53"}},
	{"the other", "tp a/p 100 app=web\n  egress reject 100.100.2.138/32 tcp/53\n  egress allow any", []string{"always TrafficPolicy/a/p#egress[0]: a?app=web > 100.100.2.138 TCP/53"}},
	{"the address between them", "tp a/p 100 app=web\n  egress deny 100.100.2.137/32\n  egress allow 0.0.0.0/0", nil},
	{"the shared range", "tp a/p 100 app=web\n  egress allow service:kube-system/kube-dns\n  egress deny 100.64.0.0/10\n  egress allow 0.0.0.0/0", []string{"always TrafficPolicy/a/p#egress[1]: a?app=web > 100.100.2.136 UDP/53"}},
	{"on another port", "tp a/p 100 app=web\n  egress deny 100.64.0.0/10 tcp/80,udp/54\n  egress allow 0.0.0.0/0", nil},
	{"behind an allow of the resolvers", "tp a/p 100 app=web\n  egress allow 100.100.2.136/32,100.100.2.138/32 udp/53,tcp/53\n  egress deny 100.64.0.0/10\n  egress allow 0.0.0.0/0", nil},
	{"link-local", "tp a/p 100 app=web\n  egress deny 169.254.0.0/16\n  egress allow 0.0.0.0/0", []string{"always TrafficPolicy/a/p#egress[0]: a?app=web > 169.254.20.10 UDP/53"}},
	{"the metadata service alone", "tp a/p 100 app=web\n  egress deny 169.254.169.254/32,100.100.100.200/32\n  egress allow 0.0.0.0/0", nil},
	{"a deny of everything is the default deny", "tp a/p 100 app=web\n  egress allow service:kube-system/kube-dns\n  egress allow fqdn:x.example\n  egress deny 0.0.0.0/0", nil},
	{"a deny of all DNS is not", "tp a/p 100 app=web\n  egress allow service:kube-system/kube-dns\n  egress deny 0.0.0.0/0 udp/53\n  egress allow 0.0.0.0/0", []string{"always TrafficPolicy/a/p#egress[1]: a?app=web > 100.100.2.136 UDP/53"}},
	{"where no names are needed", "tp a/p 100 app=web\n  egress deny 100.64.0.0/10\n  egress allow 10.0.0.0/8", nil},

	// Several policies.
	{"another policy of the pods allows it", "tp a/p 100 app=web\n  egress allow fqdn:x.example\ntp a/dns 900 app=web\n  egress allow service:kube-system/kube-dns", nil},
	{"another one of all pods", "tp a/p 100 app=web\n  egress allow fqdn:x.example\ngtp dns 1\n  egress allow service:kube-system/kube-dns", nil},
	{"one of some of the pods", "tp a/p 100 app=web\n  egress allow fqdn:x.example\ntp a/dns 1 app=web tier=front\n  egress allow service:kube-system/kube-dns", []string{noKubeDNS}},
	{"two of the same pods say it once", "tp a/p 100 app=web\n  egress allow fqdn:x.example\ntp a/q 200 app=web\n  egress allow 0.0.0.0/0 tcp/443", []string{noKubeDNS}},
	{"a policy of other pods takes it away", "tp a/p 100 app=web\n  egress allow service:kube-system/kube-dns\n  egress allow fqdn:x.example\ntp a/q 50 tier=front\n  egress deny service:kube-system/kube-dns",
		[]string{"always TrafficPolicy/a/p: a?app=web,tier=front > 172.21.0.10 UDP/53"}},
	{"it comes too late", "tp a/p 100 app=web\n  egress allow service:kube-system/kube-dns\n  egress allow fqdn:x.example\ntp a/q 150 tier=front\n  egress deny service:kube-system/kube-dns", nil},
	{"no pod has both", "tp a/p 100 app=web\n  egress allow service:kube-system/kube-dns\n  egress allow fqdn:x.example\ntp a/q 50 app=db\n  egress deny service:kube-system/kube-dns", nil},
	{"it takes what needs names as well", "tp a/p 100 app=web\n  egress allow service:kube-system/kube-dns\n  egress allow fqdn:x.example\ntp a/q 50 tier=front\n  egress deny 0.0.0.0/0", nil},
	{"everything but what needs names", "tp a/dns 100 app=web\n  egress allow service:kube-system/kube-dns\ntp a/p 10 app=web\n  egress allow fqdn:x.example\ntp a/q 50 tier=front\n  egress deny 0.0.0.0/0",
		[]string{"always TrafficPolicy/a/p: a?app=web,tier=front > 172.21.0.10 UDP/53"}},
	{"it is denied by name where it may be allowed by address", "tp a/p 100 app=web\n  egress allow 10.0.0.0/8,fqdn:x.example\ntp a/q 50 tier=front\n  egress deny service:kube-system/kube-dns",
		[]string{"always TrafficPolicy/a/p: a?app=web,tier=front > 172.21.0.10 UDP/53"}},
	{"resolvers, by a policy of other pods", "tp a/p 100 app=web\n  egress allow 0.0.0.0/0\ntp a/q 50 tier=front\n  egress deny 169.254.0.0/16",
		[]string{"always TrafficPolicy/a/q#egress[0]: a?app=web,tier=front > 169.254.20.10 UDP/53"}},
}

func TestNoDNS(t *testing.T) {
	for _, c := range noDNSCases {
		t.Run(c.name, func(t *testing.T) { c.check(t, model.NoDNS, &compiler.Input{}, compiler.Options{}) })
	}
}

// TestNoDNSOfDeadName has a name with known addresses: a rule that no packet
// reaches needs none.
func TestNoDNSOfDeadName(t *testing.T) {
	for _, c := range []securityCase{
		{"its only address is denied before", "tp a/p 100 app=web\n  egress deny 47.1.2.3/32\n  egress allow fqdn:x.example", nil},
		{"another address is", "tp a/p 100 app=web\n  egress deny 47.1.2.4/32\n  egress allow fqdn:x.example", []string{noKubeDNS}},
		{"a live one is behind it", "tp a/p 100 app=web\n  egress deny 47.1.2.3/32\n  egress allow fqdn:x.example\n  egress allow fqdn:y.example", []string{noKubeDNS}},
	} {
		t.Run(c.name, func(t *testing.T) {
			c.check(t, model.NoDNS, &compiler.Input{}, compiler.Options{Resolve: map[string][]netip.Addr{"x.example": addr("47.1.2.3")}})
		})
	}
}

func TestNoDNSByDirection(t *testing.T) {
	c := securityCase{policies: "tp a/p 100 app=web\n  ingress allow 0.0.0.0/0\ntp a/q 100 app=db\n  egress allow fqdn:x.example",
		want: []string{"always TrafficPolicy/a/q: a?app=db > 172.21.0.10 UDP/53"}}
	c.check(t, model.NoDNS, &compiler.Input{}, compiler.Options{IsolateByDirection: true})
}

// dnsCluster has a pod app=web of namespace a, and kube-dns at 172.21.0.10 with an
// endpoint at 10.0.0.53.
func dnsCluster() *model.Inventory {
	return &model.Inventory{
		Pods: []*model.Pod{web("w0")},
		Services: []*model.Service{
			{Namespace: "kube-system", Name: "kube-dns", ClusterIPs: addr("172.21.0.10")},
			{Namespace: "a", Name: "db", ClusterIPs: addr("172.21.0.20")},
		},
		Endpoints: []*model.Endpoints{{Namespace: "kube-system", Name: "kube-dns", Slice: true, Service: "kube-dns",
			Subsets: []model.EndpointSubset{{Addrs: addr("10.0.0.53")}}}},
	}
}

func TestNoDNSInInventory(t *testing.T) {
	const private = "tp a/p 100 app=web\n  egress deny 10.0.0.0/8,172.16.0.0/12\n  egress allow 0.0.0.0/0"
	for _, c := range []struct {
		securityCase
		change func(*model.Inventory)
	}{
		{securityCase{"its addresses are denied", private, []string{"inventory TrafficPolicy/a/p: a/w0 > 172.21.0.10 UDP/53"}}, nil},
		{securityCase{"one of its addresses is not", "tp a/p 100 app=web\n  egress deny 172.16.0.0/12\n  egress allow 0.0.0.0/0", nil}, nil},
		{securityCase{"its endpoint is not in the inventory", "tp a/p 100 app=web\n  egress deny 172.16.0.0/12\n  egress allow 0.0.0.0/0",
			[]string{"inventory TrafficPolicy/a/p: a/w0 > 172.21.0.10 UDP/53"}}, func(i *model.Inventory) { i.Endpoints = nil }},
		{securityCase{"its address is allowed", "tp a/p 100 app=web\n  egress allow 172.21.0.10/32 udp/53,tcp/53\n  egress allow fqdn:x.example", nil}, nil},
		{securityCase{"another address is", "tp a/p 100 app=web\n  egress allow 172.21.0.11/32 udp/53,tcp/53\n  egress allow fqdn:x.example",
			[]string{"inventory TrafficPolicy/a/p: a/w0 > 172.21.0.10 UDP/53"}}, nil},
		{securityCase{"it is not private", "tp a/p 100 app=web\n  egress deny 10.0.0.0/8,172.16.0.0/12,192.168.0.0/16\n  egress allow 0.0.0.0/0", nil}, func(i *model.Inventory) {
			i.Services[0].ClusterIPs = addr("11.0.0.10")
		}},
		{securityCase{"it is not private, and denied by name", "tp a/p 100 app=web\n  egress reject service:kube-system/kube-dns\n  egress allow 100.100.100.200/32\n  egress allow 0.0.0.0/0",
			[]string{"always TrafficPolicy/a/p: a?app=web > 8.9.9.9 UDP/53"}}, func(i *model.Inventory) {
			i.Services[0].ClusterIPs = addr("8.9.9.9")
		}},
		{securityCase{"no such pod", private, nil}, func(i *model.Inventory) { i.Pods[0].Labels = labels("app", "db") }},
		{securityCase{"no pod enrolled", private, nil}, func(i *model.Inventory) { i.Pods[0].Enrolled = false }},
		{securityCase{"no pods given", private, []string{"inventory TrafficPolicy/a/p: a?app=web > 172.21.0.10 UDP/53"}}, func(i *model.Inventory) { i.Pods = nil }},
		{securityCase{"no kube-dns", private, nil}, func(i *model.Inventory) { i.Services = i.Services[1:] }},
		{securityCase{"no Services", private, nil}, func(i *model.Inventory) { i.Services = nil }},
		{securityCase{"what holds always is not repeated", "tp a/p 100 app=web\n  egress allow fqdn:x.example\n  egress deny 100.64.0.0/10",
			[]string{noKubeDNS, "always TrafficPolicy/a/p#egress[1]: a?app=web > 100.100.2.136 UDP/53"}}, nil},
	} {
		t.Run(c.name, func(t *testing.T) {
			inv := dnsCluster()
			if c.change != nil {
				c.change(inv)
			}
			c.check(t, model.NoDNS, &compiler.Input{Inventory: inv, InventoryGiven: true}, compiler.Options{})
		})
	}
}

// Of a dual-stack kube-dns every address counts, but for a family that is not
// analysed.
func TestNoDNSFamilies(t *testing.T) {
	inv := dnsCluster()
	inv.Services[0].ClusterIPs = append(addr("fd00::a"), addr("172.21.0.10")...)
	const v6 = "tp a/p 100 app=web\n  egress allow fd00::/8\n  egress deny 10.0.0.0/8,172.16.0.0/12\n  egress allow 0.0.0.0/0"
	for _, c := range []struct {
		securityCase
		families compiler.FamilyMode
	}{
		{securityCase{"IPv6 alone is allowed", v6, nil}, compiler.FamiliesAuto},
		{securityCase{"IPv6 does not count", v6, []string{"inventory TrafficPolicy/a/p: a/w0 > 172.21.0.10 UDP/53"}}, compiler.FamiliesIPv4},
		{securityCase{"neither is allowed", "tp a/p 100 app=web\n  egress allow fqdn:x.example", []string{noKubeDNS}}, compiler.FamiliesDual},
		{securityCase{"public IPv6", "tp a/p 100 app=web\n  egress allow 2400::/16", []string{noKubeDNS}}, compiler.FamiliesDual},
		{securityCase{"private IPv6", "tp a/p 100 app=web\n  egress allow fd00::/8,fe80::/10,ff00::/8", nil}, compiler.FamiliesDual},
	} {
		t.Run(c.name, func(t *testing.T) {
			c.check(t, model.NoDNS, &compiler.Input{Inventory: inv, InventoryGiven: true}, compiler.Options{Families: c.families})
		})
	}
}
