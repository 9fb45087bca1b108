package compiler

import (
	"net/netip"
	"slices"

	"go.yaml.in/yaml/v3"

	"github.com/trafficpolicy/trafficpolicy/model"
)

// Inventory objects come from a cluster that has accepted them, or from the
// fixtures of a test: unknown fields are ignored, but what is read must be right,
// since an address that is dropped quietly is one that a deny does not cover.

// specStatus reads the two mappings that most kinds have.
func (d *decoder) specStatus(n *yaml.Node) (spec, status *yaml.Node) {
	f := d.lenient(n, nil, "spec", "status")
	return f.get("spec"), f.get("status")
}

var (
	specPath   = (*path)(nil).field("spec")
	statusPath = (*path)(nil).field("status")
)

func decodeNamespace(d *decoder, n *yaml.Node, m meta) any {
	if m.name != "" {
		d.namespaceName(m.name, n, (*path)(nil).field("metadata").field("name"))
	}
	return &model.Namespace{Name: d.intern(m.name), Labels: m.labels, Pos: d.pos(n)}
}

func decodeNode(d *decoder, n *yaml.Node, m meta) any {
	node := &model.Node{Name: d.intern(m.name), Pos: d.pos(n)}
	spec, status := d.specStatus(n)
	s := d.lenient(spec, specPath, "podCIDR", "podCIDRs")
	cidrs := specPath.field("podCIDRs")
	for i, item := range d.list(s.get("podCIDRs"), cidrs) {
		d.podCIDR(node, item, cidrs.item(i))
	}
	if len(node.PodCIDRs) == 0 && !isNull(s.get("podCIDR")) {
		d.podCIDR(node, s.get("podCIDR"), specPath.field("podCIDR"))
	}
	f := d.lenient(status, statusPath, "addresses", "nodeInfo")
	addrs := statusPath.field("addresses")
	for i, item := range d.list(f.get("addresses"), addrs) {
		at := addrs.item(i)
		a := d.lenient(item, at, "address", "type")
		kind, _ := d.optionalStr(a.get("type"), at.field("type"))
		if kind == "InternalIP" || kind == "ExternalIP" {
			node.Addresses = d.addr(node.Addresses, a.get("address"), at.field("address"))
		}
	}
	info := d.lenient(f.get("nodeInfo"), statusPath.field("nodeInfo"), "kubeletVersion")
	version, _ := d.optionalStr(info.get("kubeletVersion"), statusPath.field("nodeInfo").field("kubeletVersion"))
	node.KubeletVersion = d.intern(version)
	return node
}

// podCIDR appends one range of pods of a node; "" is none.
func (d *decoder) podCIDR(node *model.Node, n *yaml.Node, p *path) {
	s, ok := d.optionalStr(n, p)
	if !ok || s == "" {
		return
	}
	prefix, err := netip.ParsePrefix(s)
	if err != nil || prefix.Addr().Is4In6() {
		d.report(model.InvalidValue, n, p, "pod CIDR %s is not a prefix, want one such as 10.0.0.0/24", quote(s))
		return
	}
	node.PodCIDRs = append(node.PodCIDRs, prefix.Masked())
}

// addr appends an address, unmapped and once; absent, null and "" are none.
func (d *decoder) addr(addrs []netip.Addr, n *yaml.Node, p *path) []netip.Addr {
	s, ok := d.optionalStr(n, p)
	if !ok || s == "" {
		return addrs
	}
	a, err := netip.ParseAddr(s)
	if err != nil || a.Zone() != "" {
		d.report(model.InvalidValue, n, p, "%s is not an IP address, want an IPv4 or IPv6 address without zone", quote(s))
		return addrs
	}
	if a = a.Unmap(); slices.Contains(addrs, a) {
		return addrs
	}
	return append(addrs, a)
}

// proto decodes a transport protocol of a Service, slice or container; absent is TCP.
func (d *decoder) proto(n *yaml.Node, p *path) model.Proto {
	if isNull(n) {
		return model.TCP
	}
	s, _ := d.enum(n, p, []string{"SCTP", "TCP", "UDP"})
	return protocols[s]
}
