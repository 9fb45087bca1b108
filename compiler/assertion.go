package compiler

import (
	"bufio"
	"context"
	"fmt"
	"io"
	"net/netip"
	"os"
	"slices"
	"strings"

	"go.yaml.in/yaml/v3"

	"github.com/trafficpolicy/trafficpolicy/model"
)

// Assertion says that every packet between some pods and some peers, on some
// ports, has one verdict. docs/prove.md describes the file that holds it.
type Assertion struct {
	Name string
	// Namespace and Pod name one pod; Namespace alone, with Selector, the pods of
	// it; an empty Namespace those of every namespace.
	Namespace, Pod string
	Selector       model.Selector
	Direction      model.Direction
	Peers          []AssertedPeer // at least one
	Ports          []model.Port   // none is every protocol and port
	Allow          bool           // what is expected
	AllowVacuous   bool           // that it speaks of no packet is no failure
	Pos            model.Pos
}

// AssertedPeer is a peer as a rule has it, or where Group is set all addresses of
// a group.
type AssertedPeer struct {
	Group PeerGroup
	Peer  model.Peer
}

// PeerGroup names addresses that assertions often speak of.
type PeerGroup string

const (
	// AnyPeer is every address.
	AnyPeer PeerGroup = "any"
	// MetadataPeers is where instance metadata is served: 100.100.100.200, and
	// 169.254.169.254 as elsewhere. It has no IPv6 address.
	MetadataPeers PeerGroup = "metadata"
	// PrivatePeers is RFC 1918, the shared address space of RFC 6598 and the
	// unique local addresses of RFC 4193.
	PrivatePeers PeerGroup = "private"
)

// prefixes of each group.
var groupPrefixes = map[PeerGroup][]string{
	AnyPeer:       {"0.0.0.0/0", "::/0"},
	MetadataPeers: {"100.100.100.200/32", "169.254.169.254/32"},
	PrivatePeers:  {"10.0.0.0/8", "100.64.0.0/10", "172.16.0.0/12", "192.168.0.0/16", "fc00::/7"},
}

// Expand returns p as peers of a rule.
func (p *AssertedPeer) Expand() []model.Peer {
	if p.Group == "" {
		return []model.Peer{p.Peer}
	}
	var out []model.Peer
	for _, s := range groupPrefixes[p.Group] {
		out = append(out, model.Peer{Kind: model.PeerCIDR, CIDR: netip.MustParsePrefix(s)})
	}
	return out
}

var peerGroups = []string{string(AnyPeer), string(MetadataPeers), string(PrivatePeers)}

// Fields of assertion files, sorted.
var (
	assertionFileFields = []string{"assertions"}
	assertionFields     = []string{"allowVacuous", "direction", "expect", "name", "peers", "pods", "ports"}
	assertedPodsFields  = []string{"namespace", "selector"}
	directionNames      = []string{"egress", "ingress"}
	expectNames         = []string{"allow", "deny"}
)

// LoadAssertions reads assertion files; "-" is stdin. Like [Load] it returns what
// is wrong with them as findings, sorted, and errors for what cannot be read.
func LoadAssertions(ctx context.Context, paths []string, stdin io.Reader) ([]*Assertion, []model.Finding, error) {
	l, err := newLoader(LoadOptions{})
	if err != nil {
		return nil, nil, err
	}
	r := assertionReader{loader: l, first: map[string]model.Pos{}}
	l.take = r.document
	for _, path := range paths {
		if err := r.file(ctx, path, stdin); err != nil {
			return nil, nil, err
		}
	}
	model.SortFindings(l.findings)
	return r.out, l.findings, nil
}

// assertionReader collects the assertions of all files.
type assertionReader struct {
	*loader
	out   []*Assertion
	first map[string]model.Pos // by name
}

func (r *assertionReader) file(ctx context.Context, path string, stdin io.Reader) error {
	src := &source{document: &document{file: path}}
	in := stdin
	if path == "-" {
		src.file = StdinName
		if stdin == nil {
			return fmt.Errorf(`standard input ("-") is named, but there is none`)
		}
	} else {
		f, err := os.Open(path)
		if err != nil {
			return err
		}
		defer f.Close()
		in = f
	}
	if err := r.yamlStream(ctx, src, bufio.NewReader(in)); err != nil {
		return fmt.Errorf("read %s: %w", src.file, err)
	}
	return nil
}

// document takes the assertions of one document: a list of them, or a mapping
// with the list.
func (r *assertionReader) document(src *source, root *yaml.Node) {
	d := r.newDecoder(src.document)
	list, p := root, (*path)(nil)
	if kindOf(deref(root)) != kindList {
		p = p.field("assertions")
		f, ok := d.strict(root, nil, assertionFileFields)
		if list = f.get("assertions"); ok && isNull(list) {
			d.missing(root, nil, &f, "assertions", "a list of assertions")
		}
	}
	for i, item := range d.list(list, p) {
		d.broken = false
		a := d.assertion(item, p.item(i))
		if first, twice := r.first[a.Name]; twice && a.Name != "" {
			d.report(model.InvalidValue, item, p.item(i).field("name"), "name %s is that of the assertion at %s, want another", quote(a.Name), first)
		} else {
			r.first[a.Name] = a.Pos
		}
		if !d.broken {
			r.out = append(r.out, a)
		}
		if d.full {
			break
		}
	}
	r.findings = append(r.findings, d.findings...)
}

// assertion decodes one entry.
func (d *decoder) assertion(n *yaml.Node, p *path) *Assertion {
	a := &Assertion{Pos: d.pos(n)}
	f, ok := d.strict(n, p, assertionFields)
	if !ok {
		return a
	}
	if name := f.get("name"); isNull(name) {
		d.missing(n, p, &f, "name", "what the assertion is called in the output")
	} else if a.Name, ok = d.str(name, p.field("name")); ok && strings.TrimSpace(a.Name) == "" {
		d.report(model.InvalidValue, name, p.field("name"), "name %s is empty, want what the assertion is called in the output", quote(a.Name))
	}
	if pods := f.get("pods"); isNull(pods) {
		d.missing(n, p, &f, "pods", "NAMESPACE/POD, or a mapping of namespace and selector ({} is every pod)")
	} else {
		d.assertedPods(a, pods, p.field("pods"))
	}
	if s, ok := d.requiredEnum(n, p, &f, "direction", directionNames); ok && s == "ingress" {
		a.Direction = model.Ingress
	}
	s, _ := d.requiredEnum(n, p, &f, "expect", expectNames)
	a.Allow = s == "allow"
	a.AllowVacuous = d.optionalBool(f.get("allowVacuous"), p.field("allowVacuous"))
	d.assertedPeers(a, n, p, &f)
	a.Ports = d.ports(f.get("ports"), p.field("ports"))
	return a
}

// requiredEnum returns a field that must be there and be one of names.
func (d *decoder) requiredEnum(n *yaml.Node, p *path, f *fields, name string, names []string) (string, bool) {
	v := f.get(name)
	if isNull(v) {
		d.missing(n, p, f, name, choices(names))
		return "", false
	}
	return d.enum(v, p.field(name), names)
}

// assertedPods decodes NAMESPACE/POD, or a mapping of namespace and selector.
func (d *decoder) assertedPods(a *Assertion, n *yaml.Node, p *path) {
	if kindOf(deref(n)) == kindString {
		s, _ := d.str(n, p)
		ns, name, ok := strings.Cut(s, "/")
		if !ok || !d.isLabelName(ns) || name == "" || strings.Contains(name, "/") {
			d.report(model.InvalidValue, n, p, "pods %s is not NAMESPACE/POD, want that, or a mapping of namespace and selector", quote(s))
		}
		a.Namespace, a.Pod = ns, name
		return
	}
	f, ok := d.strict(n, p, assertedPodsFields)
	if !ok {
		return
	}
	if ns := f.get("namespace"); !isNull(ns) {
		a.Namespace = d.namespaceString(ns, p.field("namespace"))
	}
	if sel := f.get("selector"); !isNull(sel) {
		a.Selector = d.selector(sel, p.field("selector"))
	}
}

// assertedPeers decodes the peers. A service or workload without a namespace is
// of the pods' own, where they have one.
func (d *decoder) assertedPeers(a *Assertion, n *yaml.Node, p *path, f *fields) {
	own := &model.Policy{Kind: model.GlobalTrafficPolicy}
	if a.Namespace != "" {
		own = &model.Policy{Kind: model.TrafficPolicy, Namespace: a.Namespace}
	}
	d.dir = a.Direction
	v, at := f.get("peers"), p.field("peers")
	items := d.list(v, at)
	for i, item := range items {
		if kindOf(deref(item)) == kindString {
			d.peerGroup(a, item, at.item(i))
			continue
		}
		before := len(d.findings)
		a.Peers = append(a.Peers, AssertedPeer{Peer: d.peer(own, item, at.item(i))})
		for j := before; j < len(d.findings); j++ { // own is no policy that the user has seen
			d.findings[j].Message = strings.Replace(d.findings[j].Message, "a GlobalTrafficPolicy has none of its own", "the pods are of every namespace", 1)
		}
		if d.full {
			return
		}
	}
	if isNull(v) {
		d.missing(n, p, f, "peers", "a list of peers (any is every address)")
	} else if len(items) == 0 && kindOf(deref(v)) == kindList {
		d.report(model.InvalidValue, v, at, "%q is empty, want at least one peer (any is every address)", "peers")
	}
}

// peerGroup decodes the name of a group of addresses.
func (d *decoder) peerGroup(a *Assertion, n *yaml.Node, p *path) {
	s, ok := d.str(n, p)
	if ok && !slices.Contains(peerGroups, s) {
		near := nearest(s, peerGroups)
		f := d.report(model.InvalidValue, n, p, "peer %s is not known, want %s, or a mapping as in a rule%s", quote(s), choices(peerGroups), hint(near))
		f.Suggestion = suggest(near)
		return
	}
	a.Peers = append(a.Peers, AssertedPeer{Group: PeerGroup(s)})
}
