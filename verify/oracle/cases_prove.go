package oracle

import (
	"strings"

	"github.com/trafficpolicy/trafficpolicy/model"
)

// ProveCase is one hand-made assertion with its outcome.
type ProveCase struct {
	Name      string
	Policies  string // in the notation of [Parse]
	Cluster   string // in the notation of [ParseCluster]; "" without an inventory
	Assertion Assertion
	// Want is "proven", "vacuous" or, refuted, "POD PACKET: allow|deny by RULE".
	Want string
}

const (
	guidePolicy = `
tp default/agent 100 app=agent
  egress deny 100.100.100.200/32
  egress allow service:kube-system/kube-dns
  egress deny 10.0.0.0/8
  egress allow 0.0.0.0/0
`
	metadata = "100.100.100.200/32"
	kubeDNS  = "service:kube-system/kube-dns"
)

var agent = model.Selector{MatchLabels: model.Labels{{Key: "app", Value: "agent"}}}

// ProveCases holds proven, refuted and vacuous assertions, with atoms and without.
var ProveCases = []ProveCase{
	{"metadata is closed", guidePolicy, "",
		Assertion{Namespace: "default", Selector: agent, Peers: mustPeers(metadata)}, "proven"},
	{"metadata is closed only to pods that the policy selects", guidePolicy, "",
		Assertion{Namespace: "default", Peers: mustPeers(metadata)},
		"default? egress 100.100.100.200 TCP 0: allow by "},
	{"and only in its namespace", guidePolicy, "",
		Assertion{Selector: agent, Peers: mustPeers(metadata)},
		"other0?app=agent egress 100.100.100.200 TCP 0: allow by "},
	{"a policy of smaller priority may open it to some", guidePolicy + "tp default/q 1 env=z\n  egress allow 100.100.100.200/30 tcp/80", "",
		Assertion{Namespace: "default", Selector: agent, Peers: mustPeers(metadata)},
		"default?app=agent,env=z egress 100.100.100.200 TCP 80: allow by TrafficPolicy/default/q#egress[0]"},
	{"unless it is about other ports", guidePolicy + "tp default/q 1 env=z\n  egress allow 100.100.100.200/30 tcp/80", "",
		Assertion{Namespace: "default", Selector: agent, Peers: mustPeers(metadata), Ports: mustPorts("tcp/81-443,udp")}, "proven"},
	{"DNS is open, or so says the rule after the metadata", guidePolicy, "",
		Assertion{Namespace: "default", Selector: agent, Peers: mustPeers(kubeDNS), Ports: mustPorts("udp/53"), Allow: true},
		`default?app=agent egress 100.100.100.200 UDP 53 in ["service kube-system/kube-dns"]: deny by TrafficPolicy/default/agent#egress[0]`},
	{"DNS is open", guidePolicy, "service kube-system/kube-dns 10.96.0.10 10.1.0.2",
		Assertion{Namespace: "default", Selector: agent, Peers: mustPeers(kubeDNS), Ports: mustPorts("udp/53"), Allow: true},
		"proven"},
	{"private addresses are closed but for a Service that may be anywhere", guidePolicy, "",
		Assertion{Namespace: "default", Selector: agent, Peers: mustPeers("10.0.0.0/8")},
		`default?app=agent egress 10.0.0.0 TCP 0 in ["service kube-system/kube-dns"]: allow by TrafficPolicy/default/agent#egress[1]`},
	{"private addresses are closed", guidePolicy, "service kube-system/kube-dns 192.168.0.10\npod default/one app=agent 10.1.0.1",
		Assertion{Namespace: "default", PodName: "one", Peers: mustPeers("10.0.0.0/8")}, "proven"},
	{"nothing comes in", guidePolicy, "",
		Assertion{Namespace: "default", Selector: agent, Direction: model.Ingress}, "proven"},
	{"a pod that is not enrolled is open", guidePolicy, "pod default/one app=agent 10.1.0.1 unenrolled",
		Assertion{Namespace: "default", Selector: agent, Peers: mustPeers(metadata)},
		"default/one egress 100.100.100.200 TCP 0: allow by "},
	{"a hostNetwork pod is open", guidePolicy, "pod default/one app=agent 10.1.0.1 hostnetwork",
		Assertion{Namespace: "default", PodName: "one", Peers: mustPeers(metadata)},
		"default/one egress 100.100.100.200 TCP 0: allow by "},
	{"a finished pod is none", guidePolicy, "pod default/one app=agent 10.1.0.1 failed\npod default/two app=agent 10.1.0.1",
		Assertion{Namespace: "default", PodName: "one", Peers: mustPeers(metadata)}, "vacuous"},
	{"no such pod", guidePolicy, "pod default/one app=agent 10.1.0.1",
		Assertion{Namespace: "default", PodName: "two", Peers: mustPeers(metadata)}, "vacuous"},
	{"nobody to talk to", guidePolicy, "service default/none -",
		Assertion{Namespace: "default", Selector: agent, Peers: mustPeers("service:default/none")}, "vacuous"},
}

// mustPeers and mustPorts read the lists of a rule in the notation of [Parse].
func mustPeers(list string) []model.Peer { return mustRule(list).Peers }
func mustPorts(list string) []model.Port { return mustRule("any " + list).Ports }

func mustRule(line string) model.Rule {
	p := new(model.Policy)
	if err := parseRule(p, append([]string{"egress", "allow"}, strings.Fields(line)...)); err != nil {
		panic(err) // a case of ours is not in the notation
	}
	return p.Egress.Rules[0]
}
