package compiler

import (
	"net/netip"

	"go.yaml.in/yaml/v3"

	"github.com/trafficpolicy/trafficpolicy/model"
)

// noClusterIP is spec.clusterIP of a headless Service.
const noClusterIP = "None"

func decodeService(d *decoder, n *yaml.Node, m meta) any {
	s := &model.Service{Namespace: m.namespace, Name: m.name, Pos: d.pos(n)}
	spec, _ := d.specStatus(n)
	f := d.lenient(spec, specPath, "clusterIP", "clusterIPs", "externalName", "ports", "selector", "type")
	s.Selector = d.labels(f.get("selector"), specPath.field("selector"))
	ports := specPath.field("ports")
	for i, item := range d.list(f.get("ports"), ports) {
		s.Ports = append(s.Ports, d.servicePort(item, ports.item(i)))
	}
	kind, _ := d.optionalStr(f.get("type"), specPath.field("type"))
	if kind == "ExternalName" {
		name, ok := d.optionalStr(f.get("externalName"), specPath.field("externalName"))
		if ok && name == "" {
			d.report(model.InvalidValue, n, specPath.field("externalName"), `"externalName" is missing, want a name for type ExternalName`)
		}
		s.ExternalName = name
		return s
	}
	ips := specPath.field("clusterIPs")
	for i, item := range d.list(f.get("clusterIPs"), ips) {
		d.clusterIP(s, item, ips.item(i))
	}
	if len(s.ClusterIPs) == 0 && !s.Headless {
		d.clusterIP(s, f.get("clusterIP"), specPath.field("clusterIP"))
	}
	return s
}

// clusterIP adds one address of a Service, or marks it headless.
func (d *decoder) clusterIP(s *model.Service, n *yaml.Node, p *path) {
	if n != nil && deref(n).Value == noClusterIP {
		s.Headless = true
		return
	}
	s.ClusterIPs = d.addr(s.ClusterIPs, n, p)
}

func (d *decoder) servicePort(n *yaml.Node, p *path) (sp model.ServicePort) {
	f := d.lenient(n, p, "name", "port", "protocol", "targetPort")
	name, _ := d.optionalStr(f.get("name"), p.field("name"))
	sp.Name = d.intern(name)
	sp.Proto = d.proto(f.get("protocol"), p.field("protocol"))
	if isNull(f.get("port")) {
		d.report(model.InvalidValue, n, p.field("port"), `"port" is missing in a port of a Service, want a port from 1 to 65535`)
		return sp
	}
	sp.Port, _ = d.portNumber(f.get("port"), p.field("port"))
	sp.Target = sp.Port
	target, at := f.get("targetPort"), p.field("targetPort")
	switch {
	case isNull(target):
	case kindOf(deref(target)) == kindString:
		if name := deref(target).Value; name != "" {
			sp.Target, sp.TargetName = 0, d.intern(name)
		}
	case deref(target).Value == "0": // not set
	default:
		sp.Target, _ = d.portNumber(target, at)
	}
	return sp
}

// serviceNameLabel ties a slice to its Service.
const serviceNameLabel = "kubernetes.io/service-name"

func decodeEndpointSlice(d *decoder, n *yaml.Node, m meta) any {
	e := &model.Endpoints{Namespace: m.namespace, Name: m.name, Slice: true, Service: m.labels.Get(serviceNameLabel), Pos: d.pos(n)}
	f := d.lenient(n, nil, "addressType", "endpoints", "ports")
	kind, _ := d.optionalStr(f.get("addressType"), (*path)(nil).field("addressType"))
	var set model.EndpointSubset
	set.Ports = d.endpointPorts(f.get("ports"), (*path)(nil).field("ports"))
	endpoints := (*path)(nil).field("endpoints")
	for i, item := range d.list(f.get("endpoints"), endpoints) {
		at := endpoints.item(i)
		ef := d.lenient(item, at, "addresses")
		for j, a := range d.list(ef.get("addresses"), at.field("addresses")) {
			if kind != "FQDN" { // names, which are no addresses
				set.Addrs = d.addr(set.Addrs, a, at.field("addresses").item(j))
			}
		}
	}
	if len(set.Addrs) > 0 {
		e.Subsets = []model.EndpointSubset{set}
	}
	return e
}

func decodeEndpoints(d *decoder, n *yaml.Node, m meta) any {
	e := &model.Endpoints{Namespace: m.namespace, Name: m.name, Service: m.name, Pos: d.pos(n)}
	f := d.lenient(n, nil, "subsets")
	subsets := (*path)(nil).field("subsets")
	for i, item := range d.list(f.get("subsets"), subsets) {
		at := subsets.item(i)
		sf := d.lenient(item, at, "addresses", "notReadyAddresses", "ports")
		set := model.EndpointSubset{Ports: d.endpointPorts(sf.get("ports"), at.field("ports"))}
		for _, name := range []string{"addresses", "notReadyAddresses"} {
			set.Addrs = d.endpointAddrs(set.Addrs, sf.get(name), at.field(name))
		}
		if len(set.Addrs) > 0 {
			e.Subsets = append(e.Subsets, set)
		}
	}
	return e
}

// endpointAddrs adds the ip of each entry.
func (d *decoder) endpointAddrs(addrs []netip.Addr, n *yaml.Node, p *path) []netip.Addr {
	for i, item := range d.list(n, p) {
		f := d.lenient(item, p.item(i), "ip")
		addrs = d.addr(addrs, f.get("ip"), p.item(i).field("ip"))
	}
	return addrs
}

// endpointPorts decodes ports of a slice or subset. Without a number an entry is
// every port.
func (d *decoder) endpointPorts(n *yaml.Node, p *path) []model.EndpointPort {
	var ports []model.EndpointPort
	for i, item := range d.list(n, p) {
		at := p.item(i)
		f := d.lenient(item, at, "name", "port", "protocol")
		name, _ := d.optionalStr(f.get("name"), at.field("name"))
		number, _ := d.portNumber(f.get("port"), at.field("port"))
		ports = append(ports, model.EndpointPort{Name: d.intern(name), Proto: d.proto(f.get("protocol"), at.field("protocol")), Port: number})
	}
	return ports
}
