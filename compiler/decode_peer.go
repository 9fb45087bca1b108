package compiler

import (
	"net/netip"
	"strings"

	"go.yaml.in/yaml/v3"

	"github.com/trafficpolicy/trafficpolicy/model"
)

// Kinds of peers by direction, and fields of those that are mappings, sorted.
var (
	peerFields     = []string{"cidr", "fqdn", "namespace", "service", "workload"}
	peerKinds      = map[model.Direction][]string{model.Egress: {"cidr", "fqdn", "service", "workload"}, model.Ingress: {"cidr", "namespace", "service", "workload"}}
	serviceFields  = []string{"name", "namespace"}
	workloadFields = []string{"namespace", "selector"}
)

// peer decodes one entry of to or from.
func (d *decoder) peer(pol *model.Policy, n *yaml.Node, p *path) (peer model.Peer) {
	peer.Pos = d.pos(n)
	f, ok := d.peerFields(n, p)
	if !ok {
		return peer
	}
	var set []string
	for _, name := range peerFields {
		v, at := f.get(name), p.field(name)
		if isNull(v) {
			continue
		}
		set = append(set, name)
		switch name {
		case "cidr":
			peer.Kind, peer.CIDR = model.PeerCIDR, d.cidr(v, at)
		case "service":
			peer.Kind, peer.Service = model.PeerService, d.service(pol, v, at)
		case "namespace":
			peer.Kind, peer.Namespace = model.PeerNamespace, d.namespacePeer(v, at)
		case "workload":
			peer.Kind, peer.Workload = model.PeerWorkload, d.workload(pol, v, at)
		case "fqdn":
			peer.Kind, peer.FQDN = model.PeerFQDN, d.fqdn(v, at)
		}
	}
	switch {
	case len(set) == 0 && !f.unknown:
		d.report(model.PeerKindCode, n, p, "the peer says nothing, want %s", choices(peerKinds[d.dir]))
	case len(set) > 1:
		d.report(model.PeerKindCode, n, p, "the peer has %s, want exactly one: peers of a list are alternatives, so give each an entry of its own", and(set))
	}
	return peer
}

// peerFields reads a peer's fields. Those of the other direction have findings
// of their own and are not offered.
func (d *decoder) peerFields(n *yaml.Node, p *path) (fields, bool) {
	if d.dir == model.Ingress {
		return d.strictHiding(n, p, peerFields, "fqdn")
	}
	return d.strictHiding(n, p, peerFields, "namespace")
}

// and joins quoted names: `"a", "b" and "c"`.
func and(names []string) string {
	q := make([]string, len(names))
	for i, n := range names {
		q[i] = quote(n)
	}
	return strings.Join(q[:len(q)-1], ", ") + " and " + q[len(q)-1]
}

// cidr decodes a prefix. A bare address is its /32 or /128.
func (d *decoder) cidr(n *yaml.Node, p *path) netip.Prefix {
	s, ok := d.str(n, p)
	if !ok {
		return netip.Prefix{}
	}
	bare := !strings.Contains(s, "/")
	prefix, err := netip.ParsePrefix(s)
	if bare {
		var a netip.Addr
		if a, err = netip.ParseAddr(s); err == nil {
			prefix = netip.PrefixFrom(a, a.BitLen())
		}
	}
	const want = "an IPv4 or IPv6 prefix such as 10.0.0.0/8"
	switch a := prefix.Addr(); {
	case strings.Contains(s, "%"):
		d.report(model.InvalidValue, n, p, "cidr %s has a zone, want %s", quote(s), want)
	case err != nil:
		d.report(model.InvalidValue, n, p, "cidr %s is not a prefix, want %s", quote(s), want)
	case a.Is4In6():
		d.report(model.InvalidValue, n, p, "cidr %s is IPv4-mapped, want it as IPv4, such as %s", quote(s), unmapped(prefix))
	case bare:
		d.report(model.CIDRForm, n, p, "cidr %s is an address, taken as %s", quote(s), prefix).Suggestion = prefix.String()
		return prefix
	case prefix != prefix.Masked():
		d.report(model.CIDRForm, n, p, "cidr %s has host bits set, taken as %s", quote(s), prefix.Masked()).Suggestion = prefix.Masked().String()
		return prefix.Masked()
	default:
		return prefix
	}
	return netip.Prefix{}
}

// unmapped returns the IPv4 prefix that an IPv4-mapped one was meant to be.
func unmapped(p netip.Prefix) netip.Prefix {
	return netip.PrefixFrom(p.Addr().Unmap(), max(0, p.Bits()-96)).Masked()
}

// service decodes a service peer.
func (d *decoder) service(pol *model.Policy, n *yaml.Node, p *path) (s model.ServicePeer) {
	f, ok := d.strict(n, p, serviceFields)
	if !ok {
		return s
	}
	s.Namespace = d.peerNamespace(pol, n, p, &f)
	name, at := f.get("name"), p.field("name")
	if isNull(name) {
		d.missing(n, p, &f, "name", `the name of a Service, or "*" for every Service of the namespace`)
	} else if v, ok := d.str(name, at); ok {
		if v != model.AnyService && !d.isLabelName(v) {
			d.report(model.InvalidValue, name, at, `service name %s is not valid, want "*" or %s`, quote(v), wantLabelName)
		}
		s.Name = d.intern(v)
	}
	return s
}

// workload decodes a workload peer. Its selector is a plain label set.
func (d *decoder) workload(pol *model.Policy, n *yaml.Node, p *path) (w model.WorkloadPeer) {
	d.newer(newerWorkload, n, p, `peer "workload"`)
	f, ok := d.strict(n, p, workloadFields)
	if !ok {
		return w
	}
	w.Namespace = d.peerNamespace(pol, n, p, &f)
	sel, at := f.get("selector"), p.field("selector")
	if isNull(sel) {
		d.missing(n, p, &f, "selector", "labels ({} is every pod of the namespace)")
		return w
	}
	for _, name := range selectorFields {
		if r := deref(sel); r.Kind == yaml.MappingNode && len(r.Content) == 2 && r.Content[0].Value == name && deref(r.Content[1]).Kind != yaml.ScalarNode {
			d.report(model.InvalidValue, r.Content[0], at.field(name), "%q in the selector of a workload, want the labels themselves, as in selector: {app: web}", name)
			return w
		}
	}
	w.Labels = d.labels(sel, at)
	return w
}

// peerNamespace returns the namespace of a service or workload peer: the
// policy's own where it is left out, which a GlobalTrafficPolicy has not.
func (d *decoder) peerNamespace(pol *model.Policy, n *yaml.Node, p *path, f *fields) string {
	v, at := f.get("namespace"), p.field("namespace")
	if isNull(v) {
		if pol.Kind == model.GlobalTrafficPolicy {
			d.missing(n, p, f, "namespace", "a namespace, since a GlobalTrafficPolicy has none of its own")
		}
		return pol.Namespace
	}
	return d.namespaceString(v, at)
}

// namespacePeer decodes a namespace peer, which egress does not have.
func (d *decoder) namespacePeer(n *yaml.Node, p *path) string {
	if d.dir == model.Egress {
		d.report(model.PeerKindCode, n, p, "peer %q in an egress rule, want %s", "namespace", choices(peerKinds[d.dir]))
	}
	return d.namespaceString(n, p)
}

func (d *decoder) namespaceString(n *yaml.Node, p *path) string {
	s, ok := d.str(n, p)
	if !ok || !d.namespaceName(s, n, p) {
		return ""
	}
	return d.intern(s)
}

// fqdn decodes a domain name, which ingress does not have.
func (d *decoder) fqdn(n *yaml.Node, p *path) string {
	if d.dir == model.Ingress {
		d.report(model.FQDNInIngress, n, p, "peer %q in an ingress rule, want %s", "fqdn", choices(peerKinds[d.dir]))
	}
	s, ok := d.str(n, p)
	if !ok {
		return ""
	}
	name, ok := NormalizeFQDN(s)
	switch {
	case ok:
		return d.intern(name)
	case strings.Contains(s, "*"):
		d.report(model.InvalidValue, n, p, "fqdn %s has a wildcard, want an exact domain name", quote(s))
	case looksLikeAddr(s):
		d.report(model.InvalidValue, n, p, "fqdn %s is an address, want a domain name, or the peer %q", quote(s), "cidr")
	default:
		d.report(model.InvalidValue, n, p, "fqdn %s is not a domain name, want %s", quote(s), wantSubdomain)
	}
	return ""
}
