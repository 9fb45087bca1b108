package oracle_test

import (
	"fmt"
	"net/netip"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/trafficpolicy/trafficpolicy/model"
	"github.com/trafficpolicy/trafficpolicy/verify/oracle"
)

func TestCheckRelated(t *testing.T) {
	in := read(t, `
tp a/o 10 app=x
  egress deny 10.0.0.0/9 tcp
tp a/p 100 app=x
  egress allow 10.0.0.0/9
  egress allow 10.128.0.0/9
  egress allow 11.0.0.0/8
  egress allow 10.0.0.0/8
  egress allow 0.0.0.0/0`, "")
	const rule = "TrafficPolicy/a/p#egress[3]"
	tests := []struct {
		related string // of a/p, by index; o is the other policy's rule
		cut     bool
		want    string
	}{
		{"0 1 o", false, ""},
		{"o 1 0", false, ""},
		{"0 1", false, "none of the other action"},
		{"0 o", false, "nobody matches egress 10.128.0.0 TCP 0"},
		{"1 o", false, "nobody matches egress 10.0.0.0 UDP 0"},
		{"0 1 2 o", false, "egress[2] matches no packet"},
		{"0 1 4 o", false, "egress[4] is not tried before it"},
		{"0 1 3 o", false, "egress[3] is not tried before it"},
		{"0 1 9 o", false, "egress[9] is not tried before it"},
		{"0 1 o", true, "3 related rules, cut true"},
	}
	for _, test := range tests {
		var related []string
		for _, s := range strings.Fields(test.related) {
			name := "TrafficPolicy/a/p#egress[" + s + "]"
			if s == "o" {
				name = "TrafficPolicy/a/o#egress[0]"
			}
			related = append(related, name)
		}
		err := oracle.CheckRelated(in, rule, related, test.cut)
		if got := fmt.Sprint(err); (err == nil) != (test.want == "") || !strings.Contains(got, test.want) {
			t.Errorf("related %s: %v, want %q", test.related, err, test.want)
		}
	}
}

func TestWitness(t *testing.T) {
	in := read(t, `
tp default/basic 100 app=agent
  egress allow 0.0.0.0/0
tp default/egress 100 app=agent
  egress deny 100.100.100.200/32
  egress allow fqdn:db.example tcp/3306`, "")
	report, err := oracle.Analyze(in)
	if err != nil {
		t.Fatal(err)
	}
	var got []string
	for _, f := range report.Findings {
		got = append(got, fmt.Sprintf("%s %s: %s %s by %s, %s", f.Code, f.Subject, f.Witness.Pod, f.Witness.Packet, f.Witness.Rule, f.Witness.Other))
	}
	want := []string{
		"TP201 TrafficPolicy/default/basic TrafficPolicy/default/egress: default?app=agent egress 100.100.100.200 TCP 0 by TrafficPolicy/default/basic#egress[0], TrafficPolicy/default/egress#egress[0]",
		"TP203 TrafficPolicy/default/egress: default?app=agent egress 100.100.100.200 TCP 0 by TrafficPolicy/default/basic#egress[0], ",
		"TP101 TrafficPolicy/default/egress#egress[0]: default?app=agent egress 100.100.100.200 TCP 0 by TrafficPolicy/default/basic#egress[0], ",
		`TP102 TrafficPolicy/default/egress#egress[1]: default?app=agent egress 0.0.0.0 TCP 3306 in ["fqdn db.example"] by TrafficPolicy/default/basic#egress[0], `,
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Error(diff)
	}
}

func TestCheckWitness(t *testing.T) {
	in := read(t, `
tp a/o 10 app=x
  egress deny 10.0.0.0/9 tcp
tp a/p 100 app=x
  egress allow 10.0.0.0/16,10.0.0.0/17,11.0.0.0/8 tcp
  egress allow 11.0.0.0/9 tcp/80
  egress allow fqdn:a.example udp
  egress deny fqdn:a.example udp
tp a/q 100 env=z
  egress deny 11.0.0.0/8
  egress deny 10.0.0.0/8
gtp r 1000 app=x
  egress allow 11.0.0.0/9 tcp/80`, "")
	x, z, both := labels("app", "x"), labels("env", "z"), labels("app", "x", "env", "z")
	const p, pq = "TrafficPolicy/a/p#egress", "TrafficPolicy/a/p TrafficPolicy/a/q"
	tests := []struct {
		code    model.Code
		subject string
		labels  model.Labels
		addr    string
		port    model.L4
		want    bool
	}{
		{model.RedundantRule, p + "[1]", x, "11.0.0.0", 80, true},
		{model.RedundantRule, p + "[1]", both, "11.127.255.255", 80, true},
		{model.RedundantRule, p + "[1]", z, "11.0.0.0", 80, false},       // not selected
		{model.RedundantRule, p + "[1]", x, "11.0.0.0", 81, false},       // not its packet
		{model.RedundantRule, p + "[1]", x, "11.128.0.0", 80, false},     // not its packet
		{model.RedundantRule, p + "[0]", x, "11.0.0.0", 80, false},       // reaches it
		{model.RedundantRule, p + "[9]", x, "11.0.0.0", 80, false},       // no such rule
		{model.ShadowedRule, p + "[3]", x, "9.9.9.9", model.L4UDP, true}, // in the atom
		{model.ShadowedRule, p + "[3]", x, "9.9.9.9", 80, false},
		{model.UnreachablePeer, p + "[0].to[0]", x, "10.0.255.255", 1, true},
		{model.UnreachablePeer, p + "[0].to[0]", x, "10.1.0.0", 1, false},
		{model.UnreachablePeer, p + "[0].to[2]", x, "11.0.0.0", 1, false},
		{model.UnreachablePeer, p + "[1].ports[0]", x, "11.0.0.0", 80, true},
		{model.UnreachablePeer, p + "[1].ports[0]", x, "11.0.0.0", 81, false},
		{model.NoEffect, p + "[0]", x, "11.0.0.0", 80, true},
		{model.NoEffect, p + "[1]", x, "11.0.0.0", 80, false},
		{model.OverriddenPolicy, "GlobalTrafficPolicy/r", x, "11.0.0.0", 80, true},
		{model.OverriddenPolicy, "GlobalTrafficPolicy/r", x, "11.0.0.0", 81, false},
		{model.OverriddenPolicy, "TrafficPolicy/a/p", x, "11.0.0.0", 80, false},
		{model.PriorityConflict, pq, both, "11.0.0.0", 80, true},
		{model.PriorityConflict, pq, x, "11.0.0.0", 80, false},              // not both
		{model.PriorityConflict, pq, both, "10.0.0.0", 80, false},           // a smaller priority matches
		{model.PriorityConflict, pq, both, "10.0.0.0", model.L4UDP, true},   // in the atom
		{model.PriorityConflict, pq, both, "9.9.9.9", model.L4UDP, false},   // of one only
		{model.PriorityConflict, pq, both, "11.0.0.0", model.L4ICMP, false}, // of one only
	}
	for _, test := range tests {
		f := oracle.Finding{Code: test.code, Subject: test.subject, Witness: oracle.Witness{
			Pod:    oracle.Pod{Namespace: "a", Labels: test.labels},
			Packet: oracle.Packet{Addr: netip.MustParseAddr(test.addr), L4: test.port},
		}}
		if err := oracle.CheckWitness(in, f); (err == nil) != test.want {
			t.Errorf("%s %s at %s: %v, want %t", test.code, test.subject, test.labels, err, test.want)
		}
	}
	if err := oracle.CheckWitness(in, oracle.Finding{Code: model.PriorityConflict, Subject: pq}); err == nil {
		t.Error("no packet is a witness")
	}
}

func labels(kv ...string) model.Labels {
	m := map[string]string{}
	for i := 0; i < len(kv); i += 2 {
		m[kv[i]] = kv[i+1]
	}
	return model.NewLabels(m)
}

// What cannot be tried one by one is an error, not an hour.
func TestTooMuch(t *testing.T) {
	var atoms, keys, cross strings.Builder
	atoms.WriteString("tp a/p 1\n")
	keys.WriteString("tp a/p 1")
	cross.WriteString("tp a/p 1\n")
	for i := range 24 {
		fmt.Fprintf(&atoms, "  egress allow fqdn:n%d.example\n", i)
		fmt.Fprintf(&keys, " k%d=v", i)
		for j := range 200 {
			fmt.Fprintf(&cross, "  egress allow 10.%d.%d.0/32 tcp/%d\n", i, j, 1+2*(200*i+j))
		}
	}
	for name, text := range map[string]string{"24 atoms": atoms.String(), "24 keys": keys.String(), "4801 ports": cross.String()} {
		in := read(t, text, "")
		if _, err := oracle.Analyze(in); err == nil || !strings.Contains(err.Error(), "one by one") {
			t.Errorf("%s: Analyze: %v", name, err)
		}
		if _, err := oracle.Diff(nil, in); err == nil {
			t.Errorf("%s: Diff is no error", name)
		}
		if _, err := oracle.Prove(in, oracle.Assertion{}); err == nil {
			t.Errorf("%s: Prove is no error", name)
		}
	}
}

func TestParse(t *testing.T) {
	got, err := oracle.Parse(`
gtp g 7 a=b c:notin(d|e) f:exists
  ingress reject workload:n?k=v&l=w,namespace:n tcp/80-90,udp/53,icmp,sctp
  egress`)
	if err != nil {
		t.Fatal(err)
	}
	want := []*model.Policy{{
		Kind: model.GlobalTrafficPolicy, Name: "g", Priority: 7,
		Selector: model.Selector{
			MatchLabels: model.Labels{{Key: "a", Value: "b"}},
			MatchExpressions: []model.Requirement{
				{Key: "c", Operator: model.NotIn, Values: []string{"d", "e"}}, {Key: "f", Operator: model.Exists}},
		},
		Ingress: &model.Section{Rules: []model.Rule{{
			Action: model.Reject,
			Peers: []model.Peer{
				{Kind: model.PeerWorkload, Workload: model.WorkloadPeer{Namespace: "n", Labels: model.Labels{{Key: "k", Value: "v"}, {Key: "l", Value: "w"}}}},
				{Kind: model.PeerNamespace, Namespace: "n"},
			},
			Ports: []model.Port{{Proto: model.TCP, First: 80, Last: 90}, {Proto: model.UDP, First: 53, Last: 53}, {Proto: model.ICMP}, {Proto: model.SCTP, Last: 65535}},
		}}},
		Egress: &model.Section{},
	}}
	if diff := cmp.Diff(want, got, cmp.Comparer(func(a, b model.Peer) bool { return a.String() == b.String() })); diff != "" {
		t.Error(diff)
	}
	for _, bad := range []string{
		"tp a/p", "np a/p 1", "tp a/p one", "tp a/p 1 app", "  egress allow any", "tp a/p 1\n  up allow any", "tp a/p 1\n  egress allow",
		"tp a/p 1\n  egress drop any", "tp a/p 1\n  egress allow 10.0.0.0", "tp a/p 1\n  egress allow any tcp/65536", "tp a/p 1\n  egress allow any gre",
	} {
		if _, err := oracle.Parse(bad); err == nil || !strings.HasPrefix(err.Error(), "line ") {
			t.Errorf("%q: %v, want an error with the line", bad, err)
		}
	}
}
