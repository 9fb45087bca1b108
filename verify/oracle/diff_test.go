package oracle_test

import (
	"fmt"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/trafficpolicy/trafficpolicy/model"
	"github.com/trafficpolicy/trafficpolicy/verify/oracle"
)

func TestDiff(t *testing.T) {
	const p = `
tp a/p 100 app=x
  egress allow 10.0.0.0/8
`
	tests := []struct {
		name, old, new string
		cluster        string
		want           []string
	}{
		{name: "nothing", old: p, new: p},
		{name: "another name", old: p, new: `
tp a/q 100 app=x
  egress allow 10.0.0.0/8`},
		{name: "two halves", old: p, new: `
tp a/p 100 app=x
  egress allow 10.128.0.0/9
  egress allow 10.0.0.0/9`},
		{name: "a reject for the default deny", old: p, new: p + "  egress reject 0.0.0.0/0"},
		{name: "half of it", old: p, new: `
tp a/p 100 app=x
  egress allow 10.0.0.0/9`,
			want: []string{"a?app=x egress 10.128.0.0 TCP 0: allow by TrafficPolicy/a/p#egress[0], deny by "}},
		{name: "one port less", old: p, new: `
tp a/p 10 app=x
  egress deny 10.0.0.0/8 udp/53
` + p,
			want: []string{"a?app=x egress 10.0.0.0 UDP 53: allow by TrafficPolicy/a/p#egress[0], deny by TrafficPolicy/a/p#egress[0]"}},
		{name: "not selected any more", old: p, new: "",
			want: []string{
				"a?app=x egress 0.0.0.0 TCP 0: deny by , allow by ",
				"a?app=x egress 11.0.0.0 TCP 0: deny by , allow by ",
				"a?app=x ingress 0.0.0.0 TCP 0: deny by , allow by ",
			}},
		{name: "more pods", old: p, new: `
tp a/p 100 app:in(x|y)
  egress allow 10.0.0.0/8`,
			want: []string{
				"a?app=y egress 0.0.0.0 TCP 0: allow by , deny by ",
				"a?app=y egress 11.0.0.0 TCP 0: allow by , deny by ",
				"a?app=y ingress 0.0.0.0 TCP 0: allow by , deny by ",
			}},
		{name: "a name in the place of a prefix", old: p, new: `
tp a/p 100 app=x
  egress allow service:b/web`,
			want: []string{
				`a?app=x egress 0.0.0.0 TCP 0 in ["service b/web"]: deny by , allow by TrafficPolicy/a/p#egress[0]`,
				"a?app=x egress 10.0.0.0 TCP 0: allow by TrafficPolicy/a/p#egress[0], deny by ",
				`a?app=x egress 11.0.0.0 TCP 0 in ["service b/web"]: deny by , allow by TrafficPolicy/a/p#egress[0]`,
			}},
		{name: "a name in the place of a prefix, resolved", old: p, new: `
tp a/p 100 app=x
  egress allow service:b/web`,
			cluster: `
service b/web 10.0.0.0
pod a/one app=x 10.1.0.1
pod a/open app=x 10.1.0.2 unenrolled`,
			want: []string{"a/one egress 10.0.0.1 TCP 0: allow by TrafficPolicy/a/p#egress[0], deny by "}},
		{name: "priorities exchanged", old: `
tp a/p 10 app=x
  egress allow 10.0.0.0/8
tp a/q 20 env=z
  egress deny 10.0.0.0/9`, new: `
tp a/p 20 app=x
  egress allow 10.0.0.0/8
tp a/q 10 env=z
  egress deny 10.0.0.0/9`,
			want: []string{"a?app=x,env=z egress 10.0.0.0 TCP 0: allow by TrafficPolicy/a/p#egress[0], deny by TrafficPolicy/a/q#egress[0]"}},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			old, in := parse(t, test.old), read(t, test.new, test.cluster)
			differences, err := oracle.Diff(old, in)
			if err != nil {
				t.Fatal(err)
			}
			var got []string
			for _, d := range differences {
				got = append(got, fmt.Sprintf("%s %s: %s by %s, %s by %s", d.Pod, d.Packet, verb(d.Old), d.Old.Rule, verb(d.New), d.New.Rule))
			}
			if diff := cmp.Diff(test.want, got); diff != "" {
				t.Error(diff)
			}
		})
	}
}

func TestProve(t *testing.T) {
	const guide = `
tp default/agent 100 app=agent
  egress deny 100.100.100.200/32
  egress allow service:kube-system/kube-dns
  egress deny 10.0.0.0/8
  egress allow 0.0.0.0/0
`
	agent := model.Selector{MatchLabels: model.NewLabels(map[string]string{"app": "agent"})}
	metadata := peers(t, "100.100.100.200/32")
	tests := []struct {
		name, policies, cluster string
		assertion               oracle.Assertion
		want                    string
	}{
		{"metadata is closed", guide, "",
			oracle.Assertion{Namespace: "default", Selector: agent, Peers: metadata}, "proven"},
		{"metadata is closed only to pods that the policy selects", guide, "",
			oracle.Assertion{Namespace: "default", Peers: metadata},
			"default? egress 100.100.100.200 TCP 0: allow by "},
		{"and only in its namespace", guide, "",
			oracle.Assertion{Selector: agent, Peers: metadata},
			"other0?app=agent egress 100.100.100.200 TCP 0: allow by "},
		{"a policy of smaller priority may open it to some", guide + "tp default/q 1 env=z\n  egress allow 100.100.100.200/30 tcp/80", "",
			oracle.Assertion{Namespace: "default", Selector: agent, Peers: metadata},
			"default?app=agent,env=z egress 100.100.100.200 TCP 80: allow by TrafficPolicy/default/q#egress[0]"},
		{"unless it is about other ports", guide + "tp default/q 1 env=z\n  egress allow 100.100.100.200/30 tcp/80", "",
			oracle.Assertion{Namespace: "default", Selector: agent, Peers: metadata, Ports: ports(t, "tcp/81-443,udp")}, "proven"},
		{"DNS is open, or so says the rule after the metadata", guide, "",
			oracle.Assertion{Namespace: "default", Selector: agent, Peers: peers(t, "service:kube-system/kube-dns"), Ports: ports(t, "udp/53"), Allow: true},
			`default?app=agent egress 100.100.100.200 UDP 53 in ["service kube-system/kube-dns"]: deny by TrafficPolicy/default/agent#egress[0]`},
		{"DNS is open", guide, "service kube-system/kube-dns 10.96.0.10 10.1.0.2",
			oracle.Assertion{Namespace: "default", Selector: agent, Peers: peers(t, "service:kube-system/kube-dns"), Ports: ports(t, "udp/53"), Allow: true},
			"proven"},
		{"private addresses are closed but for a Service that may be anywhere", guide, "",
			oracle.Assertion{Namespace: "default", Selector: agent, Peers: peers(t, "10.0.0.0/8")},
			`default?app=agent egress 10.0.0.0 TCP 0 in ["service kube-system/kube-dns"]: allow by TrafficPolicy/default/agent#egress[1]`},
		{"private addresses are closed", guide, "service kube-system/kube-dns 192.168.0.10\npod default/one app=agent 10.1.0.1",
			oracle.Assertion{Namespace: "default", PodName: "one", Peers: peers(t, "10.0.0.0/8")}, "proven"},
		{"nothing comes in", guide, "",
			oracle.Assertion{Namespace: "default", Selector: agent, Direction: model.Ingress}, "proven"},
		{"a pod that is not enrolled is open", guide, "pod default/one app=agent 10.1.0.1 unenrolled",
			oracle.Assertion{Namespace: "default", Selector: agent, Peers: metadata},
			"default/one egress 100.100.100.200 TCP 0: allow by "},
		{"a hostNetwork pod is open", guide, "pod default/one app=agent 10.1.0.1 hostnetwork",
			oracle.Assertion{Namespace: "default", PodName: "one", Peers: metadata},
			"default/one egress 100.100.100.200 TCP 0: allow by "},
		{"a finished pod is none", guide, "pod default/one app=agent 10.1.0.1 failed\npod default/two app=agent 10.1.0.1",
			oracle.Assertion{Namespace: "default", PodName: "one", Peers: metadata}, "vacuous"},
		{"no such pod", guide, "pod default/one app=agent 10.1.0.1",
			oracle.Assertion{Namespace: "default", PodName: "two", Peers: metadata}, "vacuous"},
		{"nobody to talk to", guide, "service default/none -",
			oracle.Assertion{Namespace: "default", Selector: agent, Peers: peers(t, "service:default/none")}, "vacuous"},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			p, err := oracle.Prove(read(t, test.policies, test.cluster), test.assertion)
			if err != nil {
				t.Fatal(err)
			}
			got := fmt.Sprintf("%s %s: %s by %s", p.Pod, p.Packet, verb(p.Decision), p.Decision.Rule)
			if p.Proven {
				got = "proven"
			}
			if p.Vacuous {
				got = "vacuous"
			}
			if got != test.want {
				t.Errorf("got  %s\nwant %s", got, test.want)
			}
		})
	}
}

func verb(d oracle.Decision) string {
	if d.Allow {
		return "allow"
	}
	return "deny"
}

func parse(t *testing.T, text string) []*model.Policy {
	t.Helper()
	policies, err := oracle.Parse(text)
	if err != nil {
		t.Fatal(err)
	}
	return policies
}

// read returns the question in the inventory sense where there is a cluster.
func read(t *testing.T, policies, cluster string) oracle.Input {
	t.Helper()
	c := oracle.Case{Policies: policies, Cluster: cluster}
	in, inventory, err := c.Read()
	if err != nil {
		t.Fatal(err)
	}
	if inventory != nil {
		in = oracle.InCluster(in, inventory)
	}
	return in
}

// rule returns the rule of one line of the notation.
func rule(t *testing.T, line string) model.Rule {
	return parse(t, "gtp x 1\n  egress allow "+line)[0].Egress.Rules[0]
}

func peers(t *testing.T, list string) []model.Peer { return rule(t, list).Peers }
func ports(t *testing.T, list string) []model.Port { return rule(t, "any "+list).Ports }
