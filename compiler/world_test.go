package compiler

import (
	"net/netip"
	"strings"

	"github.com/trafficpolicy/trafficpolicy/model"
)

// The helpers build small clusters by hand, so that resolving and grouping are
// tested without the decoder.

func addrs(s string) []netip.Addr {
	var out []netip.Addr
	for _, f := range strings.Fields(s) {
		out = append(out, netip.MustParseAddr(f))
	}
	return out
}

func labelSet(s string) model.Labels {
	if s == "" {
		return nil
	}
	m := map[string]string{}
	for _, kv := range strings.Split(s, ",") {
		k, v, _ := strings.Cut(kv, "=")
		m[k] = v
	}
	return model.NewLabels(m)
}

// pod returns an enrolled running pod on node n1; ref is NAMESPACE/NAME.
func pod(ref, labels, ips string, change ...func(*model.Pod)) *model.Pod {
	ns, name, _ := strings.Cut(ref, "/")
	p := &model.Pod{Namespace: ns, Name: name, NodeName: "n1", Phase: "Running", IPs: addrs(ips),
		PodMeta: model.PodMeta{Labels: labelSet(labels), Enrolled: true}}
	for _, c := range change {
		c(p)
	}
	return p
}

func hostNetwork(p *model.Pod)     { p.HostNetwork = true }
func finished(p *model.Pod)        { p.Phase = model.PodSucceeded }
func failed(p *model.Pod)          { p.Phase = model.PodFailed }
func deleting(p *model.Pod)        { p.Deleting = true }
func notEnrolled(p *model.Pod)     { p.Enrolled = false }
func on(n string) func(*model.Pod) { return func(p *model.Pod) { p.NodeName = n } }

func service(ref, clusterIPs, selector string) *model.Service {
	ns, name, _ := strings.Cut(ref, "/")
	return &model.Service{Namespace: ns, Name: name, ClusterIPs: addrs(clusterIPs), Selector: labelSet(selector)}
}

func slice(ref, of, ips string) *model.Endpoints {
	ns, name, _ := strings.Cut(ref, "/")
	return &model.Endpoints{Namespace: ns, Name: name, Slice: true, Service: of, Subsets: []model.EndpointSubset{{Addrs: addrs(ips)}}}
}

func endpoints(ref, ips string) *model.Endpoints {
	ns, name, _ := strings.Cut(ref, "/")
	return &model.Endpoints{Namespace: ns, Name: name, Service: name, Subsets: []model.EndpointSubset{{Addrs: addrs(ips)}}}
}

func peer(s string) model.Peer {
	kind, what, _ := strings.Cut(s, " ")
	switch kind {
	case "service":
		ns, name, _ := strings.Cut(what, "/")
		return model.Peer{Kind: model.PeerService, Service: model.ServicePeer{Namespace: ns, Name: name}}
	case "namespace":
		return model.Peer{Kind: model.PeerNamespace, Namespace: what}
	case "workload":
		ns, ls, _ := strings.Cut(what, "?")
		return model.Peer{Kind: model.PeerWorkload, Workload: model.WorkloadPeer{Namespace: ns, Labels: labelSet(ls)}}
	case "fqdn":
		return model.Peer{Kind: model.PeerFQDN, FQDN: what}
	}
	return model.Peer{Kind: model.PeerCIDR, CIDR: netip.MustParsePrefix(what)}
}

func rule(a model.Action, peers ...string) model.Rule {
	r := model.Rule{Action: a}
	for _, p := range peers {
		r.Peers = append(r.Peers, peer(p))
		r.Peers[len(r.Peers)-1].Pos = model.Pos{File: "p.yaml", Line: 5, Column: 9}
	}
	return r
}

// tp returns a TrafficPolicy; ref is NAMESPACE/NAME, or NAME for a global one.
func tp(ref string, priority int, labels string, egress ...model.Rule) *model.Policy {
	p := &model.Policy{Kind: model.TrafficPolicy, Priority: priority, Selector: model.Selector{MatchLabels: labelSet(labels)}}
	ns, name, ok := strings.Cut(ref, "/")
	if !ok {
		p.Kind, ns, name = model.GlobalTrafficPolicy, "", ref
	}
	p.Namespace, p.Name = ns, name
	p.Pos = model.Pos{File: "p.yaml", Line: 1, Column: 1}
	if len(egress) > 0 {
		p.Egress = &model.Section{Rules: egress}
	}
	return p
}

func requirement(key string, op model.Operator, values ...string) model.Requirement {
	return model.Requirement{Key: key, Operator: op, Values: values}
}

func refs[T interface{ Ref() string }](xs []T) string {
	var out []string
	for _, x := range xs {
		out = append(out, x.Ref())
	}
	return strings.Join(out, " ")
}

func prefixText(ps []netip.Prefix) string {
	var out []string
	for _, p := range ps {
		out = append(out, p.String())
	}
	return strings.Join(out, " ")
}
