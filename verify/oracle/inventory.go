package oracle

import (
	"fmt"
	"net/netip"
	"slices"
	"strings"

	"github.com/trafficpolicy/trafficpolicy/model"
)

// Cluster is the small inventory of a hand-made case.
type Cluster struct {
	model.Inventory
	Resolve map[string][]netip.Addr // --resolve
}

// ParseCluster reads an inventory in the short notation of the hand-made cases,
// one object a line:
//
//	service NS/NAME CLUSTERIP,CLUSTERIP [ENDPOINT,ENDPOINT]
//	pod NS/NAME k=v,k=v IP,IP [unenrolled] [hostnetwork] [succeeded] [failed]
//	template NS/NAME k=v,k=v [unenrolled]
//	resolve NAME IP,IP
//
// A "-" stands for an empty list.
func ParseCluster(text string) (*Cluster, error) {
	c := &Cluster{Resolve: map[string][]netip.Addr{}}
	for n, line := range strings.Split(text, "\n") {
		fields := strings.Fields(line)
		if len(fields) == 0 {
			continue
		}
		if len(fields) < 3 {
			return nil, fmt.Errorf("line %d: %q has no third word", n+1, line)
		}
		if err := c.add(fields[0], fields[1], fields[2], fields[3:]); err != nil {
			return nil, fmt.Errorf("line %d: %w", n+1, err)
		}
	}
	return c, nil
}

func (c *Cluster) add(kind, ref, list string, more []string) error {
	ns, name, _ := strings.Cut(ref, "/")
	switch kind {
	case "service":
		addrs, err := parseAddrs(list)
		if err != nil {
			return err
		}
		c.Services = append(c.Services, &model.Service{Namespace: ns, Name: name, ClusterIPs: addrs, Headless: len(addrs) == 0})
		if len(more) > 0 {
			addrs, err = parseAddrs(more[0])
			c.Endpoints = append(c.Endpoints, &model.Endpoints{Namespace: ns, Name: name, Service: name,
				Subsets: []model.EndpointSubset{{Addrs: addrs}}})
		}
		return err
	case "pod":
		if len(more) == 0 {
			return fmt.Errorf("pod %s has no addresses, not even -", ref)
		}
		addrs, err := parseAddrs(more[0])
		p := &model.Pod{Namespace: ns, Name: name, PodMeta: podMeta(list, more[1:]), IPs: addrs, Phase: "Running"}
		if slices.Contains(more, "succeeded") {
			p.Phase = model.PodSucceeded
		}
		if slices.Contains(more, "failed") {
			p.Phase = model.PodFailed
		}
		c.Pods = append(c.Pods, p)
		return err
	case "template":
		c.Templates = append(c.Templates, &model.PodTemplate{Kind: "Deployment", Namespace: ns, Name: name, PodMeta: podMeta(list, more)})
		return nil
	case "resolve":
		addrs, err := parseAddrs(list)
		c.Resolve[ref] = addrs
		return err
	}
	return fmt.Errorf("%q is no kind", kind)
}

func podMeta(labels string, flags []string) model.PodMeta {
	m := model.PodMeta{Enrolled: !slices.Contains(flags, "unenrolled"), HostNetwork: slices.Contains(flags, "hostnetwork")}
	if labels != "-" {
		kv := map[string]string{}
		for _, l := range strings.Split(labels, ",") {
			k, v, _ := strings.Cut(l, "=")
			kv[k] = v
		}
		m.Labels = model.NewLabels(kv)
	}
	return m
}

func parseAddrs(list string) ([]netip.Addr, error) {
	if list == "-" {
		return nil, nil
	}
	var out []netip.Addr
	for _, s := range strings.Split(list, ",") {
		a, err := netip.ParseAddr(s)
		if err != nil {
			return nil, err
		}
		out = append(out, a)
	}
	return out, nil
}

// Peers is the [Peers] of the inventory sense.
func (c *Cluster) Peers() Peers { return Known{c.Resolve, &c.Inventory} }

// Known resolves by SEMANTICS 3, once more and for small inventories only: no
// Services of type ExternalName, no EndpointSlices beside Endpoints, no pods
// that yield their address to another.
type Known struct {
	Resolve map[string][]netip.Addr // --resolve
	// Inventory is nil without one: the always sense.
	Inventory *model.Inventory
}

// Peers implements [Peers]: "service, egress: its clusterIPs and every
// endpoint address. Ingress: every endpoint address"; "namespace, workload:
// podIPs of the matching pods, hostNetwork pods left out"; finished pods are no
// peers. A kind of which there is no object at all is unknown.
func (k Known) Peers(p *model.Peer, d model.Direction) ([]netip.Prefix, bool) {
	var addrs []netip.Addr
	switch {
	case p.Kind == model.PeerFQDN:
		addrs = k.Resolve[p.FQDN]
		return prefixes(addrs), len(addrs) == 0
	case k.Inventory == nil:
		return nil, true
	case p.Kind == model.PeerService:
		return prefixes(k.service(p.Service, d)), len(k.Inventory.Services) == 0
	}
	ns, labels := p.Namespace, model.Labels(nil)
	if p.Kind == model.PeerWorkload {
		ns, labels = p.Workload.Namespace, p.Workload.Labels
	}
	for _, pod := range k.Inventory.Pods {
		if pod.Namespace == ns && pod.Subject() && matchSelector(&model.Selector{MatchLabels: labels}, pod.Labels) {
			addrs = append(addrs, pod.IPs...)
		}
	}
	return prefixes(addrs), len(k.Inventory.Pods) == 0
}

func (k Known) service(s model.ServicePeer, d model.Direction) []netip.Addr {
	var addrs []netip.Addr
	is := func(ns, name string) bool {
		return ns == s.Namespace && (s.Name == model.AnyService || name == s.Name)
	}
	for _, service := range k.Inventory.Services {
		if d == model.Egress && is(service.Namespace, service.Name) {
			addrs = append(addrs, service.ClusterIPs...)
		}
	}
	for _, e := range k.Inventory.Endpoints {
		if is(e.Namespace, e.Service) {
			for _, subset := range e.Subsets {
				addrs = append(addrs, subset.Addrs...)
			}
		}
	}
	return addrs
}

func prefixes(addrs []netip.Addr) []netip.Prefix {
	var out []netip.Prefix
	for _, a := range addrs {
		out = append(out, netip.PrefixFrom(a, a.BitLen()))
	}
	return out
}
