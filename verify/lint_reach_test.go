package verify

import (
	"net/netip"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/trafficpolicy/trafficpolicy/compiler"
	"github.com/trafficpolicy/trafficpolicy/model"
)

func TestClosedDirections(t *testing.T) {
	const (
		in  = "always TrafficPolicy/a/p: 192.0.2.1 > a?app=web TCP/80"
		out = "always TrafficPolicy/a/p: a?app=web > 192.0.2.1 TCP/80"
	)
	for _, c := range []securityCase{
		{"egress alone", "tp a/p 100 app=web\n  egress allow 0.0.0.0/0", []string{in}},
		{"ingress alone", "tp a/p 100 app=web\n  ingress allow 0.0.0.0/0", []string{out}},
		{"both", "tp a/p 100 app=web\n  egress allow 0.0.0.0/0\n  ingress deny 0.0.0.0/0", nil},
		{"declared without rules", "tp a/p 100 app=web\n  egress\n  ingress", nil},
		{"neither", "tp a/p 100 app=web", []string{in, out}},
		{"another policy of the same pods", "tp a/p 100 app=web\n  egress allow 0.0.0.0/0\ntp a/q 900 app=web\n  ingress", nil},
		{"one of all pods", "tp a/p 100 app=web\n  egress allow 0.0.0.0/0\ngtp q 900\n  ingress\n  egress", nil},
		{"one of some of the pods", "tp a/p 100 app=web\n  egress allow 0.0.0.0/0\ntp a/q 900 app=web tier=front\n  ingress", []string{in}},
		{"one of another namespace", "tp a/p 100 app=web\n  egress allow 0.0.0.0/0\ntp b/q 900 app=web\n  ingress\n  egress", []string{in}},
		{"two, each once", "tp a/p 100 app=web\n  egress\ntp a/q 100 app=web\n  egress\ntp a/r 100 app=web tier=front\n  egress",
			[]string{in, strings.Replace(in, "a/p", "a/q", 1), "always TrafficPolicy/a/r: 192.0.2.1 > a?app=web,tier=front TCP/80"}},
		{"whichever value a label has", "tp a/p 100 env:exists\n  egress\ntp a/q 100 env=prod\n  ingress\n  egress\ntp a/r 100 env:notin(prod)\n  ingress\n  egress", nil},
		{"but for one value", "tp a/p 100 env:exists\n  egress\ntp a/q 100 env=prod\n  ingress\n  egress\ntp a/r 100 env:notin(prod|test)\n  ingress\n  egress",
			[]string{"always TrafficPolicy/a/p: 192.0.2.1 > a?env=test TCP/80"}},
		{"no pod at all", "tp a/p 100 app=web app:absent\n  egress", nil},
	} {
		t.Run(c.name, func(t *testing.T) {
			c.check(t, model.ClosedDirection, &compiler.Input{Inventory: dnsCluster(), InventoryGiven: true}, compiler.Options{})
			open := securityCase{policies: c.policies}
			open.check(t, model.ClosedDirection, &compiler.Input{}, compiler.Options{IsolateByDirection: true})
		})
	}
}

func TestMetadataReachable(t *testing.T) {
	const both = "always TrafficPolicy/a/p#egress[0]: a?app=web > 100.100.100.200 TCP/80"
	for _, c := range []securityCase{
		{"everything", "tp a/p 100 app=web\n  egress allow 0.0.0.0/0", []string{both}},
		{"no peers at all", "tp a/p 100 app=web\n  egress allow any", []string{both}},
		{"the shared range", "tp a/p 100 app=web\n  egress allow 100.64.0.0/10", []string{both}},
		{"the address alone", "tp a/p 100 app=web\n  egress allow 100.100.100.200/32", []string{both}},
		{"the one beside it", "tp a/p 100 app=web\n  egress allow 100.100.100.201/32,100.100.100.192/29,169.254.169.255/32,169.254.169.252/31", nil},
		{"another port", "tp a/p 100 app=web\n  egress allow 0.0.0.0/0 udp/53", []string{"always TrafficPolicy/a/p#egress[0]: a?app=web > 100.100.100.200 UDP/53"}},
		{"denied before", "tp a/p 100 app=web\n  egress deny 100.100.100.200/32,169.254.169.254/32\n  egress allow 0.0.0.0/0", nil},
		{"denied behind", "tp a/p 100 app=web\n  egress allow 0.0.0.0/0\n  egress deny 100.100.100.200/32,169.254.169.254/32", []string{both}},
		{"one of two denied before", "tp a/p 100 app=web\n  egress deny 100.100.100.200/32\n  egress allow 0.0.0.0/0", []string{"always TrafficPolicy/a/p#egress[1]: a?app=web > 169.254.169.254 TCP/80"}},
		{"denied on the usual port alone", "tp a/p 100 app=web\n  egress deny 100.64.0.0/10,169.254.0.0/16 tcp/80\n  egress allow 0.0.0.0/0", []string{"always TrafficPolicy/a/p#egress[1]: a?app=web > 100.100.100.200 TCP"}},
		{"denied on the port that is allowed", "tp a/p 100 app=web\n  egress deny 100.64.0.0/10,169.254.0.0/16 tcp/80\n  egress allow 0.0.0.0/0 tcp/80", nil},
		{"denied by two halves", "tp a/p 100 app=web\n  egress deny 100.64.0.0/10,169.254.0.0/16 tcp,udp\n  egress reject 0.0.0.0/0 sctp,icmp\n  egress allow 0.0.0.0/0 tcp,udp,sctp,icmp", nil},
		{"two rules", "tp a/p 100 app=web\n  egress allow 100.64.0.0/10 tcp/80\n  egress allow 0.0.0.0/0 tcp/80-81",
			[]string{both, "always TrafficPolicy/a/p#egress[1]: a?app=web > 100.100.100.200 TCP/81"}},
		{"the second takes the other address", "tp a/p 100 app=web\n  egress allow 100.64.0.0/10\n  egress allow 0.0.0.0/0",
			[]string{both, "always TrafficPolicy/a/p#egress[1]: a?app=web > 169.254.169.254 TCP/80"}},
		{"denied by a policy of all pods", "tp a/p 100 app=web\n  egress allow 0.0.0.0/0\ngtp g 1\n  egress deny 100.100.100.200/32,169.254.169.254/32", nil},
		{"which comes too late", "tp a/p 100 app=web\n  egress allow 0.0.0.0/0\ngtp g 101\n  egress deny 100.100.100.200/32,169.254.169.254/32", []string{both}},
		{"denied for some of the pods", "tp a/p 100 app=web\n  egress allow 0.0.0.0/0\ntp a/q 1 app=web tier=front\n  egress deny 0.0.0.0/0", []string{both}},
		{"a name may be anywhere", "tp a/p 100 app=web\n  egress allow fqdn:x.example,service:a/db,workload:a?app=db\n  egress deny 0.0.0.0/0", nil},
		{"a denied name too", "tp a/p 100 app=web\n  egress deny fqdn:x.example,service:a/db\n  egress allow 0.0.0.0/0", []string{"always TrafficPolicy/a/p#egress[1]: a?app=web > 100.100.100.200 TCP/80"}},
		{"ingress opens nothing", "tp a/p 100 app=web\n  ingress allow 0.0.0.0/0", nil},
		{"a global policy", "gtp p 100\n  egress allow 0.0.0.0/0\ntp a/q 1\n  egress deny 0.0.0.0/0", []string{"always GlobalTrafficPolicy/p#egress[0]: any? > 100.100.100.200 TCP/80"}},
		{"a global policy, named by the simplest pod", "gtp p 100\n  egress allow 0.0.0.0/0\ntp a/q 1\n  egress deny 10.0.0.0/8", []string{"always GlobalTrafficPolicy/p#egress[0]: any? > 100.100.100.200 TCP/80"}},
		{"IPv6", "tp a/p 100 app=web\n  egress allow ::/0", nil},
	} {
		t.Run(c.name, func(t *testing.T) { c.check(t, model.MetadataReachable, &compiler.Input{}, compiler.Options{}) })
	}
}

func TestMetadataReachableInInventory(t *testing.T) {
	inv := dnsCluster()
	inv.Services = append(inv.Services, &model.Service{Namespace: "a", Name: "meta"})
	inv.Endpoints = append(inv.Endpoints, &model.Endpoints{Namespace: "a", Name: "meta", Service: "meta", Subsets: []model.EndpointSubset{{Addrs: addr("100.100.100.200")}}})
	for _, c := range []securityCase{
		{"a Service with its address", "tp a/p 100 app=web\n  egress allow service:a/meta", []string{"inventory TrafficPolicy/a/p#egress[0]: a/w0 > 100.100.100.200 TCP/80"}},
		{"and the other address always", "tp a/p 100 app=web\n  egress allow service:a/meta,169.254.0.0/16",
			[]string{"always TrafficPolicy/a/p#egress[0]: a?app=web > 169.254.169.254 TCP/80", "inventory TrafficPolicy/a/p#egress[0]: a/w0 > 100.100.100.200 TCP/80"}},
		{"always is not repeated", "tp a/p 100 app=web\n  egress allow 100.64.0.0/10", []string{"always TrafficPolicy/a/p#egress[0]: a?app=web > 100.100.100.200 TCP/80"}},
		{"no such pod", "tp a/p 100 app=db\n  egress allow service:a/meta", nil},
	} {
		t.Run(c.name, func(t *testing.T) {
			c.check(t, model.MetadataReachable, &compiler.Input{Inventory: inv, InventoryGiven: true}, compiler.Options{})
		})
	}
	c := securityCase{"an address given for the name", "tp a/p 100 app=web\n  egress allow fqdn:x.example", []string{"always TrafficPolicy/a/p#egress[0]: a?app=web > 169.254.169.254 TCP/80"}}
	c.check(t, model.MetadataReachable, &compiler.Input{}, compiler.Options{Resolve: map[string][]netip.Addr{"x.example": addr("169.254.169.254")}})
}

func TestPrivateReachable(t *testing.T) {
	open := func(rule, to string) []string {
		return []string{"always TrafficPolicy/a/p#egress[" + rule + "]: a?app=web > " + to}
	}
	for _, c := range []securityCase{
		{"everything", "tp a/p 100 app=web\n  egress allow 0.0.0.0/0", open("0", "10.0.0.0 TCP/80")},
		{"no peers at all", "tp a/p 100 app=web\n  egress allow any", open("0", "10.0.0.0 TCP/80")},
		{"two halves", "tp a/p 100 app=web\n  egress allow 0.0.0.0/1,128.0.0.0/1", open("0", "10.0.0.0 TCP/80")},
		{"one half twice", "tp a/p 100 app=web\n  egress allow 0.0.0.0/1,0.0.0.0/1", nil},
		{"a private range by itself", "tp a/p 100 app=web\n  egress allow 10.0.0.0/8", nil},
		{"all four denied", "tp a/p 100 app=web\n  egress deny 10.0.0.0/8,172.16.0.0/12\n  egress deny 192.168.0.0/16\n  egress reject 100.64.0.0/10\n  egress allow 0.0.0.0/0", nil},
		{"all but 100.64/10", "tp a/p 100 app=web\n  egress deny 10.0.0.0/8,172.16.0.0/12,192.168.0.0/16\n  egress allow 0.0.0.0/0", open("1", "100.64.0.0 TCP/80")},
		{"all but 192.168/16", "tp a/p 100 app=web\n  egress deny 10.0.0.0/8,172.16.0.0/12,100.64.0.0/10\n  egress allow 0.0.0.0/0", open("1", "192.168.0.0 TCP/80")},
		{"all but one address", "tp a/p 100 app=web\n  egress deny 10.0.0.0/8,172.16.0.0/13,172.24.0.0/14,172.28.0.0/15,172.30.0.0/16,172.31.0.0/17,172.31.128.0/18,172.31.192.0/19,172.31.224.0/20,172.31.240.0/21,172.31.248.0/22,172.31.252.0/23,172.31.254.0/24,172.31.255.0/25,172.31.255.128/26,172.31.255.192/27,172.31.255.224/28,172.31.255.240/29,172.31.255.248/30,172.31.255.252/31,172.31.255.254/32,192.168.0.0/16,100.64.0.0/10\n  egress allow 0.0.0.0/0", open("1", "172.31.255.255 TCP")},
		{"denied on one port", "tp a/p 100 app=web\n  egress deny 0.0.0.0/0 tcp/22\n  egress allow 0.0.0.0/0", open("1", "10.0.0.0 TCP/80")},
		{"denied on the port that is allowed", "tp a/p 100 app=web\n  egress deny 0.0.0.0/0 tcp/443\n  egress allow 0.0.0.0/0 tcp/443", nil},
		{"allowed on one port", "tp a/p 100 app=web\n  egress allow 0.0.0.0/0 tcp/443", open("0", "10.0.0.0 TCP/443")},
		{"allowed on purpose before", "tp a/p 100 app=web\n  egress allow 100.64.0.0/10\n  egress deny 10.0.0.0/8,172.16.0.0/12,192.168.0.0/16\n  egress allow 0.0.0.0/0", nil},
		{"denied by a policy before", "tp a/p 100 app=web\n  egress allow 0.0.0.0/0\ngtp g 1\n  egress deny 10.0.0.0/8,172.16.0.0/12,192.168.0.0/16,100.64.0.0/10", nil},
		{"denied by one behind", "tp a/p 100 app=web\n  egress allow 0.0.0.0/0\ngtp g 101\n  egress deny 10.0.0.0/8,172.16.0.0/12,192.168.0.0/16,100.64.0.0/10", open("0", "10.0.0.0 TCP/80")},
		{"IPv6", "tp a/p 100 app=web\n  egress allow ::/0", nil},
		{"ingress", "tp a/p 100 app=web\n  ingress allow 0.0.0.0/0", nil},
		{"a deny", "tp a/p 100 app=web\n  egress deny 0.0.0.0/0", nil},
	} {
		t.Run(c.name, func(t *testing.T) { c.check(t, model.PrivateReachable, &compiler.Input{}, compiler.Options{}) })
	}
}

// What is open at different pods is one finding.
func TestPrivateReachableJoinsPods(t *testing.T) {
	ps := policies(t, `
tp a/p 100
  egress allow 0.0.0.0/0
tp a/q 1 env=prod
  egress deny 10.0.0.0/8,192.168.0.0/16,100.64.0.0/10
tp a/r 1 env:notin(prod)
  egress deny 172.16.0.0/12,192.168.0.0/16,100.64.0.0/10
`)
	r := lint(t, ps, &model.Inventory{}, LintOptions{Only: []model.Code{model.PrivateReachable}})
	want := []string{"TP504 info TrafficPolicy/a/p#egress[0]: 0.0.0.0/0 is allowed to pods such as a? with private addresses: " +
		"the rules before do not deny all of 10.0.0.0/8 or 172.16.0.0/12 at spec.egress.rules[0]; " +
		"deny 10.0.0.0/8 and 172.16.0.0/12 before it, behind rules that allow what the pods need there"}
	if diff := cmp.Diff(want, lines(r.Findings)); diff != "" {
		t.Errorf("-want +got:\n%s", diff)
	}
}

func TestBroadSelectors(t *testing.T) {
	for _, c := range []securityCase{
		{"empty", "tp a/p 100", []string{"always TrafficPolicy/a/p"}},
		{"one label", "tp a/p 100 app=web", []string{"always TrafficPolicy/a/p"}},
		{"two labels", "tp a/p 100 app=web env=prod", nil},
		{"one expression", "tp a/p 100 app:in(web|db)", []string{"always TrafficPolicy/a/p"}},
		{"one negative expression", "tp a/p 100 app:absent", []string{"always TrafficPolicy/a/p"}},
		{"one label, twice", "tp a/p 100 app:in(web|db) app:notin(db)", []string{"always TrafficPolicy/a/p"}},
		{"a label and an expression about another", "tp a/p 100 app=web env:exists", nil},
		{"a label and an expression about the same", "tp a/p 100 app=web app:exists", []string{"always TrafficPolicy/a/p"}},
		{"a global policy", "gtp p 100", nil},
		{"a global policy with one label", "gtp p 100 app=web", nil},
	} {
		t.Run(c.name, func(t *testing.T) { c.check(t, model.BroadSelector, &compiler.Input{}, compiler.Options{}) })
	}
}

func TestCanBypass(t *testing.T) {
	ps := policies(t, "tp a/web 100 app=web\ntp a/db 100 app=db\ngtp all 100")
	bypass := func(why ...string) func(*model.Pod) { return func(p *model.Pod) { p.Bypass = why } }
	notEnrolled := func(p *model.Pod) { p.Enrolled = false }
	of := func(n, selected, who string) []string {
		var out []string
		for _, p := range []string{"GlobalTrafficPolicy/all", "TrafficPolicy/a/web"} {
			out = append(out, "TP503 warning "+p+": "+n+" of "+selected+" selected pods and pod templates could undo or go round "+p+": "+who)
		}
		return out
	}
	for _, c := range []struct {
		name string
		inv  model.Inventory
		want []string
	}{
		{"none", model.Inventory{Pods: []*model.Pod{web("w0")}}, nil},
		{"no pods", model.Inventory{Namespaces: []*model.Namespace{{Name: "a"}}}, nil},
		{"one of two", model.Inventory{Pods: []*model.Pod{web("w0"), web("w1", bypass("capability NET_ADMIN", "privileged"))}},
			of("1", "2", "Pod a/w1 (capability NET_ADMIN, privileged)")},
		{"not enrolled", model.Inventory{Pods: []*model.Pod{web("w0", bypass("privileged"), notEnrolled)}}, of("1", "1", "Pod a/w0 (privileged)")},
		{"never a subject", model.Inventory{Pods: []*model.Pod{
			web("w0", bypass("privileged"), func(p *model.Pod) { p.HostNetwork = true }),
			web("w1", bypass("privileged"), func(p *model.Pod) { p.Phase = model.PodFailed })}}, nil},
		{"a template with its pods", model.Inventory{
			Pods: []*model.Pod{web("d-0", bypass("privileged")), web("d-1", bypass("privileged")), web("d-2", bypass("privileged"))},
			Templates: []*model.PodTemplate{{Kind: "Deployment", Namespace: "a", Name: "d",
				PodMeta: model.PodMeta{Labels: labels("app", "web"), Bypass: []string{"privileged"}}}}},
			of("4", "4", "Pod a/d-0 (privileged), Pod a/d-1 (privileged), Pod a/d-2 (privileged) and 1 more")},
	} {
		r := lint(t, ps, &c.inv, LintOptions{Only: []model.Code{model.CanBypass}})
		var got []string
		for _, l := range lines(r.Findings) {
			l, _, _ = strings.Cut(l, "; ")
			got = append(got, l)
		}
		if diff := cmp.Diff(sorted(c.want), sorted(got)); diff != "" {
			t.Errorf("%s (-want +got):\n%s", c.name, diff)
		}
	}
}
