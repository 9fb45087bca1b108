package synth

import (
	"math/rand/v2"
	"net/netip"
	"strings"

	"go.yaml.in/yaml/v3"

	"github.com/trafficpolicy/trafficpolicy/model"
)

// object is one YAML mapping.
type object = map[string]any

// PolicyYAML returns the policies as a stream of documents, in a form that the
// seed chooses among those that mean the same: fields that are left out, null or
// empty, bare addresses, host bits, names in capitals.
func (c *Cluster) PolicyYAML() string {
	f := &forms{&generator{Rand: rand.New(rand.NewPCG(c.Seed, 0x666f))}}
	var docs []object
	for _, p := range c.Policies {
		docs = append(docs, f.policy(p))
	}
	return stream(docs)
}

// InventoryYAML returns the inventory as a stream of documents.
func (c *Cluster) InventoryYAML() string {
	var docs []object
	inv := c.Inventory
	for _, n := range inv.Namespaces {
		docs = append(docs, header("v1", "Namespace", "", n.Name, n.Labels))
	}
	for _, n := range inv.Nodes {
		docs = append(docs, nodeObject(n))
	}
	for _, p := range inv.Pods {
		docs = append(docs, podObject(p))
	}
	for _, s := range inv.Services {
		docs = append(docs, serviceObject(s))
	}
	for _, e := range inv.Endpoints {
		docs = append(docs, endpointsObject(e))
	}
	return stream(docs)
}

// stream marshals docs with sorted keys.
func stream(docs []object) string {
	var b strings.Builder
	for _, d := range docs {
		text, err := yaml.Marshal(d)
		if err != nil {
			panic(err) // plain maps, slices, strings and numbers always marshal
		}
		b.WriteString("---\n")
		b.Write(text)
	}
	return b.String()
}

func header(version, kind, namespace, name string, labels model.Labels) object {
	meta := object{"name": name}
	if namespace != "" {
		meta["namespace"] = namespace
	}
	if len(labels) > 0 {
		meta["labels"] = labelMap(labels)
	}
	return object{"apiVersion": version, "kind": kind, "metadata": meta}
}

func labelMap(ls model.Labels) object {
	m := make(object, len(ls))
	for _, l := range ls {
		m[l.Key] = l.Value
	}
	return m
}

// addrObjects returns {key: address} for each address.
func addrObjects(key string, as []netip.Addr) []object {
	var out []object
	for _, a := range as {
		out = append(out, object{key: a.String()})
	}
	return out
}

func nodeObject(n *model.Node) object {
	o := header("v1", "Node", "", n.Name, nil)
	addrs := addrObjects("address", n.Addresses)
	for _, a := range addrs {
		a["type"] = "InternalIP"
	}
	o["status"] = object{"addresses": addrs}
	return o
}

func podObject(p *model.Pod) object {
	o := header("v1", "Pod", p.Namespace, p.Name, p.Labels)
	if p.Enrolled {
		o["metadata"].(object)["annotations"] = object{
			"network.alibabacloud.com/enable-network-policy-agent": "true",
			"network.alibabacloud.com/network-policy-mode":         "traffic-policy",
		}
	}
	spec := object{"nodeName": p.NodeName}
	if p.HostNetwork {
		spec["hostNetwork"] = true
	}
	status := object{"phase": string(p.Phase)}
	if len(p.IPs) > 0 {
		status["podIP"] = p.IPs[0].String()
		status["podIPs"] = addrObjects("ip", p.IPs)
	}
	o["spec"], o["status"] = spec, status
	return o
}

func serviceObject(s *model.Service) object {
	o := header("v1", "Service", s.Namespace, s.Name, nil)
	spec := object{}
	o["spec"] = spec
	if s.ExternalName != "" {
		spec["type"], spec["externalName"] = "ExternalName", s.ExternalName
		return o
	}
	spec["clusterIP"] = "None"
	if !s.Headless {
		spec["clusterIP"] = s.ClusterIPs[0].String()
		var ips []string
		for _, a := range s.ClusterIPs {
			ips = append(ips, a.String())
		}
		spec["clusterIPs"] = ips
	}
	if s.Selector != nil {
		spec["selector"] = labelMap(s.Selector)
	}
	var ports []object
	for _, p := range s.Ports {
		ports = append(ports, object{"name": p.Name, "protocol": p.Proto.String(), "port": p.Port, "targetPort": p.Target})
	}
	spec["ports"] = ports
	return o
}

func endpointsObject(e *model.Endpoints) object {
	sub := e.Subsets[0]
	var ports []object
	for _, p := range sub.Ports {
		ports = append(ports, object{"name": p.Name, "protocol": p.Proto.String(), "port": p.Port})
	}
	if !e.Slice {
		o := header("v1", "Endpoints", e.Namespace, e.Name, nil)
		o["subsets"] = []object{{"addresses": addrObjects("ip", sub.Addrs), "ports": ports}}
		return o
	}
	o := header("discovery.k8s.io/v1", "EndpointSlice", e.Namespace, e.Name, model.Labels{{Key: "kubernetes.io/service-name", Value: e.Service}})
	o["addressType"], o["ports"] = model.FamilyOf(sub.Addrs[0]).String(), ports
	var endpoints []object
	for _, a := range sub.Addrs {
		endpoints = append(endpoints, object{"addresses": []string{a.String()}})
	}
	o["endpoints"] = endpoints
	return o
}
