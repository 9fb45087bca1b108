package compiler

import (
	"go.yaml.in/yaml/v3"

	"github.com/trafficpolicy/trafficpolicy/model"
)

// Fields and protocols of a port entry, sorted.
var (
	portFields    = []string{"endPort", "port", "protocol"}
	protocols     = map[string]model.Proto{"ICMP": model.ICMP, "SCTP": model.SCTP, "TCP": model.TCP, "UDP": model.UDP}
	protocolNames = []string{"ICMP", "SCTP", "TCP", "UDP"}
)

// ports decodes a rule's ports, which may be absent, null or empty.
func (d *decoder) ports(n *yaml.Node, p *path) []model.Port {
	items := d.list(n, p)
	if len(items) > 0 {
		d.newer(newerPorts, n, p, `field "ports"`)
	}
	var ports []model.Port
	for i, item := range items {
		ports = append(ports, d.port(item, p.item(i)))
		if d.full {
			break
		}
	}
	return ports
}

// port decodes one entry of ports.
func (d *decoder) port(n *yaml.Node, p *path) model.Port {
	port := model.Port{Last: 65535, Pos: d.pos(n)}
	f, ok := d.strict(n, p, portFields)
	if !ok {
		return port
	}
	if proto := f.get("protocol"); !isNull(proto) {
		if s, ok := d.enum(proto, p.field("protocol"), protocolNames); ok {
			port.Proto = protocols[s]
		}
	}
	first, hasFirst := d.portNumber(f.get("port"), p.field("port"))
	last, hasLast := d.portNumber(f.get("endPort"), p.field("endPort"))
	if port.Proto == model.ICMP {
		port.First, port.Last = 0, 0
		for _, name := range []string{"port", "endPort"} {
			if v := f.get(name); !isNull(v) {
				d.report(model.InvalidValue, v, p.field(name), "%q with protocol ICMP, want none: ICMP has no ports", name)
			}
		}
		return port
	}
	switch {
	case isNull(f.get("port")) && !isNull(f.get("endPort")):
		d.missing(n, p, &f, "port", `the first port of the range that "endPort" ends`)
	case hasFirst && hasLast && last < first:
		d.report(model.InvalidValue, f.get("endPort"), p.field("endPort"), "port range %d-%d is empty, want endPort at least port", first, last)
	case hasFirst && hasLast:
		port.First, port.Last = first, last
	case hasFirst:
		port.First, port.Last = first, first
	}
	return port
}

// portNumber returns a port; ok is false where it is absent, null or invalid.
func (d *decoder) portNumber(n *yaml.Node, p *path) (port uint16, ok bool) {
	if isNull(n) {
		return 0, false
	}
	v, ok := d.integer(n, p)
	if !ok {
		return 0, false
	}
	if v < 1 || v > 65535 {
		d.report(model.InvalidValue, n, p, "%s %s is out of range, want a port from 1 to 65535", p.name(), clip(deref(n).Value))
		return 0, false
	}
	return uint16(v), true
}
