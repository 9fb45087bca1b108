package compiler

import (
	"context"
	"errors"
	"fmt"
	"net/netip"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/trafficpolicy/trafficpolicy/model"
)

// programText spells out what of p the tests look at.
func programText(p *Program) string {
	var b strings.Builder
	line := func(format string, args ...any) { fmt.Fprintf(&b, format+"\n", args...) }
	if p.NodeName != "" {
		line("node %s %v", p.NodeName, p.NodeAddrs)
	}
	for _, pod := range p.Pods {
		line("pod %s %v class %d", pod.Ref, pod.Addrs, pod.Class)
	}
	for i, c := range p.Classes {
		line("class %d: %s", i, refs(c.Policies))
		for _, d := range model.Directions {
			for _, r := range c.List(d).Rules {
				for _, peer := range r.Peers {
					line("  %s %s peer %d [%s] %s", r.Ref, r.Action, peer.Index, prefixText(peer.Prefixes), peer.Atom)
				}
			}
		}
	}
	for _, n := range p.Names {
		line("name %s %v", n.Name, n.Addrs)
	}
	if u := p.UnknownDeny; u != nil {
		line("unknown in %v but %v", u.PodCIDRs, u.Known)
	}
	for _, w := range p.Warnings {
		line("warning: %s", w)
	}
	return b.String()
}

func input(policies []*model.Policy, pods ...*model.Pod) *Input {
	return &Input{Policies: policies, InventoryGiven: true, Inventory: &model.Inventory{
		Nodes: []*model.Node{{Name: "n1", Addresses: addrs("192.168.0.2 192.168.0.1"),
			PodCIDRs: []netip.Prefix{netip.MustParsePrefix("fd00::/64"), netip.MustParsePrefix("10.0.0.0/24")}}},
		Pods: pods,
	}}
}

func TestCompile(t *testing.T) {
	web := tp("a/web", 100, "app=web",
		rule(model.Allow, "fqdn b.example", "fqdn a.example"), rule(model.Deny, "workload a?app=db", "cidr 10.0.0.0/8"))
	base := tp("base", 1000, "", model.Rule{Action: model.Allow})
	policies := []*model.Policy{web, base}
	in := input(policies,
		pod("b/z", "", "10.0.0.9"),
		pod("a/web-1", "app=web", "10.0.0.2 fd00::2"),
		pod("a/web-0", "app=web", "10.0.0.1"),
		pod("a/db", "app=db", "10.0.0.3", notEnrolled),
		pod("a/pending", "app=web", ""),
		pod("a/far", "app=web", "10.0.1.1", on("n2")),
		pod("a/host", "app=web", "192.168.0.1", hostNetwork),
		pod("a/done", "app=web", "10.0.0.8", finished),
	)
	o := CompileOptions{Options: Options{Resolve: map[string][]netip.Addr{"a.example": addrs("203.0.113.9 203.0.113.1")}}}
	webClass := `: TrafficPolicy/a/web GlobalTrafficPolicy/base
  TrafficPolicy/a/web#egress[0] allow peer 0 [] fqdn b.example
  TrafficPolicy/a/web#egress[0] allow peer 1 [203.0.113.1/32 203.0.113.9/32] fqdn a.example
  TrafficPolicy/a/web#egress[1] deny peer 0 [10.0.0.3/32] 
  TrafficPolicy/a/web#egress[1] deny peer 1 [10.0.0.0/8] 
  GlobalTrafficPolicy/base#egress[0] allow peer -1 [0.0.0.0/0 ::/0] 
`
	names := `name a.example [203.0.113.1 203.0.113.9]
name b.example []
`
	unresolved := "warning: p.yaml:5:9: TrafficPolicy/a/web#egress[0].to[0]: the allow does not hold: fqdn b.example has no known addresses, see --resolve\n"
	for _, c := range []struct {
		name   string
		target Target
		change func(*CompileOptions)
		want   string
	}{
		{"node", Target{Node: "n1"}, nil, `node n1 [192.168.0.1 192.168.0.2]
pod a/web-0 [10.0.0.1] class 0
pod a/web-1 [10.0.0.2 fd00::2] class 0
pod b/z [10.0.0.9] class 1
class 0` + webClass + `class 1: GlobalTrafficPolicy/base
  GlobalTrafficPolicy/base#egress[0] allow peer -1 [0.0.0.0/0 ::/0] 
` + names + "warning: 1 governed pod has no address of its own and is left out until compiled again: a/pending\n" + unresolved},
		{"node without Node object, every pod enrolled", Target{Node: "n2"}, func(o *CompileOptions) { o.AllEnrolled = true },
			"node n2 []\npod a/far [10.0.1.1] class 0\nclass 0" + webClass + names +
				"warning: node \"n2\" has no Node object in the inventory: its addresses are not known (tploader apply --node-addr names them)\n" + unresolved},
		{"pod", Target{Pod: "a/web-0"}, nil, "node n1 [192.168.0.1 192.168.0.2]\npod a/web-0 [10.0.0.1] class 0\nclass 0" + webClass + names + unresolved},
		{"pod not enrolled", Target{Pod: "a/db"}, nil, "node n1 [192.168.0.1 192.168.0.2]\n" +
			"warning: pod \"a/db\" lacks the annotations that put a pod under policy: the program enforces nothing\n"},
		{"pod on the host network", Target{Pod: "a/host"}, nil, "node n1 [192.168.0.1 192.168.0.2]\n" +
			"warning: pod \"a/host\" is on the host network: the program enforces nothing\n"},
		{"finished pod", Target{Pod: "a/done"}, nil, "node n1 [192.168.0.1 192.168.0.2]\n" +
			"warning: pod \"a/done\" is in phase Succeeded: the program enforces nothing\n"},
		{"pod without address", Target{Pod: "a/pending"}, nil, "node n1 [192.168.0.1 192.168.0.2]\n" +
			"warning: 1 governed pod has no address of its own and is left out until compiled again: a/pending\n"},
	} {
		o := o
		o.Target = c.target
		if c.change != nil {
			c.change(&o)
		}
		p, err := Compile(t.Context(), in, o)
		if err != nil {
			t.Errorf("%s: %v", c.name, err)
			continue
		}
		if diff := cmp.Diff(c.want, programText(p)); diff != "" {
			t.Errorf("%s (-want +got):\n%s", c.name, diff)
		}
	}
}

func TestCompileUnknownDeny(t *testing.T) {
	in := input([]*model.Policy{tp("a/web", 100, "app=web")},
		pod("a/web", "app=web", "10.0.0.1"), pod("a/other", "", "10.0.0.7 10.0.0.6"), pod("a/not", "app=web", "10.0.0.5", notEnrolled),
		pod("a/host", "", "192.168.0.1", hostNetwork), pod("a/done", "", "10.0.0.8", finished),
		pod("a/stale", "", "10.0.0.1", deleting), pod("a/far", "", "10.0.1.1", on("n2")))
	p, err := Compile(t.Context(), in, CompileOptions{Target: Target{Node: "n1"}, UnknownDeny: true})
	if err != nil {
		t.Fatal(err)
	}
	want := &UnknownDeny{
		PodCIDRs: []netip.Prefix{netip.MustParsePrefix("10.0.0.0/24"), netip.MustParsePrefix("fd00::/64")},
		Known:    addrs("10.0.0.5 10.0.0.6 10.0.0.7"),
	}
	eq := cmp.Comparer(func(a, b netip.Addr) bool { return a == b })
	eqPrefix := cmp.Comparer(func(a, b netip.Prefix) bool { return a == b })
	if diff := cmp.Diff(want, p.UnknownDeny, eq, eqPrefix); diff != "" {
		t.Errorf("-want +got:\n%s", diff)
	}
}

func TestCompileErrors(t *testing.T) {
	ok := []*model.Policy{tp("a/web", 100, "app=web")}
	web := pod("a/web-0", "app=web", "10.0.0.1")
	deny := func(peer string) []*model.Policy {
		return []*model.Policy{tp("a/web", 100, "app=web", rule(model.Allow, "cidr 10.0.0.0/8"), rule(model.Deny, "cidr 10.0.0.0/8", peer))}
	}
	at := func(t Target) CompileOptions { return CompileOptions{Target: t} }
	node := at(Target{Node: "n1"})
	unresolved := "p.yaml:5:9: TrafficPolicy/a/web#egress[1].to[1]: the deny would not hold: "
	anyway := " (--allow-unresolved compiles it all the same)"
	withServices := func(in *Input) *Input {
		in.Inventory.Services = []*model.Service{service("a/idle", "", ""), {Namespace: "a", Name: "out", ExternalName: "x.example"},
			service("b/real", "172.20.0.1", ""), {Namespace: "b", Name: "out", ExternalName: "x.example"}}
		return in
	}
	for _, c := range []struct {
		name  string
		in    *Input
		o     CompileOptions
		want  string // "" for none
		waive func(*CompileOptions)
	}{
		{"fine", input(ok, web), node, "", nil},
		{"no target", input(ok, web), CompileOptions{}, "a program is for one node or one pod: name either", nil},
		{"two targets", input(ok, web), at(Target{Node: "n1", Pod: "a/web-0"}), "a program is for one node or one pod: name either", nil},
		{"unknown node", input(ok, web, pod("a/x", "", "", on("n21"))), at(Target{Node: "n2"}), `node "n2" is not in the inventory, did you mean "n1" or "n21"?`, nil},
		{"unknown pod", input(ok, web), at(Target{Pod: "a/wbe-0"}), `pod "a/wbe-0" is not in the inventory, did you mean "a/web-0"?`, nil},
		{"pod like no other", input(ok, web), at(Target{Pod: "zzz/nothing"}), `pod "zzz/nothing" is not in the inventory`, nil},
		{"pod without namespace", input(ok, web), at(Target{Pod: "web-0"}), `pod "web-0" is not NAMESPACE/NAME`, nil},
		{"no policies", input(nil, web), node, "no policies: the program would open everything (--allow-empty compiles it all the same)",
			func(o *CompileOptions) { o.AllowEmpty = true }},
		{"deny of an unknown service", withServices(input(deny("service a/typo"), web)), node, unresolved + "service a/typo is not in the inventory" + anyway,
			func(o *CompileOptions) { o.AllowUnresolved = true }},
		{"deny of an ExternalName", withServices(input(deny("service a/out"), web)), node, unresolved + "service a/out is of type ExternalName, which has no addresses" + anyway,
			func(o *CompileOptions) { o.AllowUnresolved = true }},
		{"deny of Services, one of them an ExternalName", withServices(input(deny("service b/*"), web)), node,
			strings.Replace(unresolved, "hold", "hold in full", 1) + "service b/* includes a Service of type ExternalName, which has no addresses" + anyway,
			func(o *CompileOptions) { o.AllowUnresolved = true }},
		{"deny of a name", input(deny("fqdn x.example"), web), node, unresolved + "fqdn x.example has no known addresses, see --resolve" + anyway,
			func(o *CompileOptions) { o.Resolve = map[string][]netip.Addr{"x.example": addrs("203.0.113.1")} }},
		{"deny of a namespace", input(deny("workload nowhere?"), web), node, unresolved + `namespace "nowhere" is not in the inventory` + anyway,
			func(o *CompileOptions) { o.AllowUnresolved = true }},
		{"deny without any Service given", input(deny("service a/idle"), web), node, unresolved + "service a/idle cannot be looked up: the inventory has no Services" + anyway,
			func(o *CompileOptions) { o.AllowUnresolved = true }},
		{"deny of a service without addresses", withServices(input(deny("service a/idle"), web)), node, "", nil},
		{"deny of a workload without pods", input(deny("workload a?app=none"), web), node, "", nil},
		{"deny that is not of this node", input(deny("fqdn x.example"), pod("a/web-0", "app=web", "10.0.0.1", on("n2"))), node, "", nil},
		{"no podCIDRs", input(ok, web, pod("a/x", "", "", on("n2"))), CompileOptions{Target: Target{Node: "n2"}, UnknownDeny: true},
			`unknown pods of node "n2" cannot be closed: the inventory does not have its spec.podCIDRs`, nil},
		{"unknown deny of a pod", input(ok, web), CompileOptions{Target: Target{Pod: "a/web-0"}, UnknownDeny: true},
			"unknown pods can be closed for a node only (--unknown deny goes with --node)", nil},
		{"one address, governed and not", input(ok, web, pod("a/other", "", "10.0.0.1")), node,
			"address 10.0.0.1 is claimed by pods that different policies govern: a/web-0, a/other", nil},
		{"one address, other node", input(ok, web, pod("a/other", "", "10.0.0.1", on("n2"))), at(Target{Node: "n2"}),
			"address 10.0.0.1 is claimed by pods that different policies govern: a/web-0, a/other", nil},
		{"one address of strangers", input(ok, pod("a/x", "", "10.0.0.1", on("n2")), pod("a/y", "app=web", "10.0.0.1", on("n3"))), node, "", nil},
		{"one address, both left alone", input(ok, pod("a/x", "", "10.0.0.1"), pod("a/y", "app=web", "10.0.0.1", notEnrolled)), node, "", nil},
		{"one address, one class", input(ok, web, pod("a/web-1", "app=web", "10.0.0.1")), node, "", nil},
		{"one address yielded", input(ok, web, pod("a/other", "", "10.0.0.1", deleting)), node, "", nil},
	} {
		_, err := Compile(t.Context(), c.in, c.o)
		if got := errorText(err); got != c.want {
			t.Errorf("%s: error %q, want %q", c.name, got, c.want)
		}
		if refusal := (*Refusal)(nil); errors.As(err, &refusal) != (strings.Contains(c.want, "would") || strings.Contains(c.want, "claimed")) {
			t.Errorf("%s: error %T: only what must not be compiled is a Refusal", c.name, err)
		}
		if c.waive != nil {
			c.waive(&c.o)
			if _, err := Compile(t.Context(), c.in, c.o); err != nil {
				t.Errorf("%s, waived: %v", c.name, err)
			}
		}
	}
}

func errorText(err error) string {
	if err == nil {
		return ""
	}
	return err.Error()
}

func TestCompileBroken(t *testing.T) {
	in := input([]*model.Policy{tp("a/web", 100, "app=web", rule(model.Reject, "fqdn x.example"))}, pod("a/web-0", "app=web", "10.0.0.1"))
	in.Inventory.Broken = []model.BrokenObject{
		{Ref: "Pod/a/bad", Pos: model.Pos{File: "i.yaml", Line: 3, Column: 1}, Why: "it is blue"},
		{Ref: "Service/a/bad", Pos: model.Pos{File: "i.yaml", Line: 9, Column: 1}},
		{Ref: "Node/", Pos: model.Pos{File: "i.yaml", Line: 12, Column: 1}},
		{Ref: "Namespace/b", Pos: model.Pos{File: "i.yaml", Line: 15, Column: 1}},
	}
	o := CompileOptions{Target: Target{Node: "n1"}}
	_, err := Compile(t.Context(), in, o)
	var refusal *Refusal
	if !errors.As(err, &refusal) {
		t.Fatalf("error %v, want a refusal", err)
	}
	want := []string{ // every reason at once
		"p.yaml:5:9: TrafficPolicy/a/web#egress[0].to[0]: the reject would not hold: fqdn x.example has no known addresses, see --resolve (--allow-unresolved compiles it all the same)",
		"i.yaml:3:1: Pod/a/bad cannot be read (with --skip-broken it is unprotected, and rules that name it lack its addresses); it is blue",
		"i.yaml:9:1: Service/a/bad cannot be read (with --skip-broken rules that name the Service lack its addresses)",
		"i.yaml:12:1: Node cannot be read (with --skip-broken its addresses are not known, so its probes are judged as any peer's)",
		"i.yaml:15:1: Namespace/b cannot be read (with --skip-broken nothing that is enforced depends on it)",
	}
	if diff := cmp.Diff(want, refusal.Reasons); diff != "" {
		t.Errorf("reasons (-want +got):\n%s", diff)
	}
	o.SkipBroken, o.AllowUnresolved = true, true
	p, err := Compile(t.Context(), in, o)
	if err != nil {
		t.Fatal(err)
	}
	want = []string{
		"i.yaml:12:1: Node cannot be read: its addresses are not known, so its probes are judged as any peer's",
		"i.yaml:15:1: Namespace/b cannot be read: nothing that is enforced depends on it",
		"i.yaml:3:1: Pod/a/bad cannot be read: it is unprotected, and rules that name it lack its addresses; it is blue",
		"i.yaml:9:1: Service/a/bad cannot be read: rules that name the Service lack its addresses",
		"p.yaml:5:9: TrafficPolicy/a/web#egress[0].to[0]: the reject does not hold: fqdn x.example has no known addresses, see --resolve",
	}
	if diff := cmp.Diff(want, p.Warnings); diff != "" {
		t.Errorf("warnings (-want +got):\n%s", diff)
	}
}

// An address that pods of one class share stands once in a program.
func TestCompileSharedAddress(t *testing.T) {
	in := input([]*model.Policy{tp("a/web", 100, "app=web")},
		pod("a/web-1", "app=web", "10.0.0.1 10.0.0.2"), pod("a/web-0", "app=web", "10.0.0.1"), pod("a/web-2", "app=web", "10.0.0.2"))
	p, err := Compile(t.Context(), in, CompileOptions{Target: Target{Node: "n1"}})
	if err != nil {
		t.Fatal(err)
	}
	want := `node n1 [192.168.0.1 192.168.0.2]
pod a/web-0 [10.0.0.1] class 0
pod a/web-1 [10.0.0.2] class 0
class 0: TrafficPolicy/a/web
warning: 1 governed pod has no address of its own and is left out until compiled again: a/web-2
`
	if diff := cmp.Diff(want, programText(p)); diff != "" {
		t.Errorf("-want +got:\n%s", diff)
	}
}

func TestCompileCancelled(t *testing.T) {
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	in := input([]*model.Policy{tp("a/web", 100, "app=web")}, pod("a/web-0", "app=web", "10.0.0.1"))
	if _, err := Compile(ctx, in, CompileOptions{Target: Target{Node: "n1"}}); !errors.Is(err, context.Canceled) {
		t.Errorf("error %v, want %v", err, context.Canceled)
	}
}

// What is unknown is an atom in an analysis. In an artifact every fqdn is one,
// and anything else unknown matches nothing.
func TestRuleList(t *testing.T) {
	r := NewResolver(&model.Inventory{}, Options{Resolve: map[string][]netip.Addr{"known.example": addrs("203.0.113.1")}})
	p := tp("a/p", 1, "", rule(model.Allow, "fqdn known.example", "fqdn unknown.example", "service a/web", "service a/*", "workload b?app=x"))
	p.Egress.Rules[0].Ports = []model.Port{{Proto: model.TCP, First: 80, Last: 90}, {Proto: model.TCP, First: 85, Last: 443}}
	text := func(m ListMode) (out []string) {
		for _, peer := range r.RuleList([]*model.Policy{p}, model.Egress, m).Rules[0].Peers {
			out = append(out, prefixText(peer.Prefixes)+"|"+string(peer.Atom))
		}
		return out
	}
	want := []string{"203.0.113.1/32|", "|fqdn unknown.example", "|service a/web", "|service a/*", "|workload b?app=x"}
	if diff := cmp.Diff(want, text(ForAnalysis)); diff != "" {
		t.Errorf("for analysis (-want +got):\n%s", diff)
	}
	want = []string{"203.0.113.1/32|fqdn known.example", "|fqdn unknown.example", "|", "|", "|"}
	if diff := cmp.Diff(want, text(ForArtifact)); diff != "" {
		t.Errorf("for an artifact (-want +got):\n%s", diff)
	}
	got := r.RuleList([]*model.Policy{p}, model.Egress, ForAnalysis).Rules[0].L4
	if diff := cmp.Diff(model.L4Set{{First: 80, Last: 443}}, got); diff != "" {
		t.Errorf("ports (-want +got):\n%s", diff)
	}
}

func TestRuleListIsolated(t *testing.T) {
	egress := tp("a/egress", 1, "", rule(model.Allow, "cidr 0.0.0.0/0"))
	neither := tp("a/neither", 1, "")
	declared := tp("a/declared", 1, "")
	declared.Ingress = &model.Section{}
	for _, c := range []struct {
		name        string
		byDirection bool
		policies    []*model.Policy
		egress      bool
		ingress     bool
	}{
		{"not selected", false, nil, false, false},
		{"one direction closes both", false, []*model.Policy{egress}, true, true},
		{"neither section closes both", false, []*model.Policy{neither}, true, true},
		{"not selected, by direction", true, nil, false, false},
		{"only the declared direction", true, []*model.Policy{egress}, true, false},
		{"neither section closes none", true, []*model.Policy{neither}, false, false},
		{"a section without rules closes", true, []*model.Policy{declared}, false, true},
		{"any policy closes", true, []*model.Policy{neither, egress, declared}, true, true},
	} {
		r := NewResolver(&model.Inventory{}, Options{IsolateByDirection: c.byDirection})
		for d, want := range map[model.Direction]bool{model.Egress: c.egress, model.Ingress: c.ingress} {
			if got := r.RuleList(c.policies, d, ForAnalysis).Isolated; got != want {
				t.Errorf("%s: %s isolated %v, want %v", c.name, d, got, want)
			}
		}
	}
}

func TestNearest(t *testing.T) {
	for _, c := range []struct {
		name    string
		choices string
		want    string
	}{
		{"node-a", "node-b node-c node-ab nodea gateway", "node-ab node-b node-c"},
		{"agnet", "agent agents gene", "agent agents"}, // a swap is one edit
		{"n1", "n2 m2", "n2"},
		{"ab", "ba cd", "ba"},
		{"x", "y", ""}, // nothing in common
		{"selector", "selector selector", "selector"},
	} {
		if got := strings.Join(Nearest(c.name, strings.Fields(c.choices)), " "); got != c.want {
			t.Errorf("%s of %s: %q, want %q", c.name, c.choices, got, c.want)
		}
	}
}
