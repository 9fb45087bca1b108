package compiler

import (
	"strings"

	"go.yaml.in/yaml/v3"

	"github.com/trafficpolicy/trafficpolicy/model"
)

// typeMeta is what tells objects apart.
type typeMeta struct{ apiVersion, kind string }

// object is one decoded object of any kind that means something here.
type object struct {
	objectKey
	inventory bool // read from LoadOptions.Inventory
	pos       model.Pos
	findings  []model.Finding
	// value is a *model.Policy, *model.Pod and so on; nil exactly where an error
	// is among findings.
	value     any
	defaulted bool // its namespace is that of LoadOptions: it names none
	// tree is what a policy is made of, where loader.snapshot is set.
	tree []byte
	// spec is a digest of what an object that is not valid says, to tell equal
	// copies of it.
	spec string
}

// objectKey is what must be unique. It is zero where the name is not known.
type objectKey struct{ kind, namespace, name string }

func (k objectKey) String() string {
	if k.namespace == "" {
		return k.kind + "/" + k.name
	}
	return k.kind + "/" + k.namespace + "/" + k.name
}

// policyKinds are the two kinds of [model.GroupVersion].
var policyKinds = []string{model.GlobalTrafficPolicy.String(), model.TrafficPolicy.String()}

// kindDecoders decode objects of the inventory by group (and version, where the
// shape depends on it) and kind. A nil value is a broken object.
var kindDecoders = map[typeMeta]func(d *decoder, n *yaml.Node, m meta) any{
	{"v1", "Namespace"}:                   decodeNamespace,
	{"v1", "Node"}:                        decodeNode,
	{"v1", "Pod"}:                         decodePod,
	{"v1", "Service"}:                     decodeService,
	{"v1", "Endpoints"}:                   decodeEndpoints,
	{"discovery.k8s.io", "EndpointSlice"}: decodeEndpointSlice, // v1 and, up to Kubernetes 1.24, v1beta1
	{"apps", "Deployment"}:                decodeTemplate,
	{"apps", "StatefulSet"}:               decodeTemplate,
	{"apps", "DaemonSet"}:                 decodeTemplate,
	{"apps", "ReplicaSet"}:                decodeTemplate,
	{"batch", "Job"}:                      decodeTemplate,
	{"batch", "CronJob"}:                  decodeTemplate,
}

// lookup returns the decoder of an inventory kind, nil for kinds that mean nothing.
func (t typeMeta) lookup() func(d *decoder, n *yaml.Node, m meta) any {
	group, _, grouped := strings.Cut(t.apiVersion, "/")
	if !grouped {
		group = t.apiVersion
	}
	return kindDecoders[typeMeta{group, t.kind}]
}

// isList reports whether the kind is that of a list. Whether an object of it is
// one, its items tell.
func (t typeMeta) isList() bool { return strings.HasSuffix(t.kind, "List") }

// source is a document together with how its objects are to be taken.
type source struct {
	*document
	path      string // "-" is standard input
	text      bool   // it is no compact inventory
	inventory bool   // named by LoadOptions.Inventory
	// found is set for a file found in a directory. What is no Kubernetes object
	// there is skipped: kustomization.yaml, values.yaml and the like. Somebody who
	// names such a file has made a mistake.
	found bool
}

func (l *loader) newDecoder(doc *document) *decoder {
	return &decoder{loader: l, doc: doc, rule: -1}
}

// decode takes one object, or all objects of a List. within is the type of the
// items of the list it stands in, which server responses leave out of the items.
func (l *loader) decode(n *yaml.Node, src *source, within typeMeta, depth int) {
	d := l.newDecoder(src.document)
	if kindOf(deref(n)) != kindMap {
		if !src.found {
			what := "the document"
			if depth > 0 {
				what = "an item of the list"
			}
			d.report(model.InvalidValue, n, nil, "%s is %s, want a Kubernetes object", what, describe(n))
		} else {
			l.skip("")
		}
		l.findings = append(l.findings, d.findings...)
		return
	}
	t, ok := d.typeOf(n, src, within)
	switch {
	case !ok:
		l.findings = append(l.findings, d.findings...)
	case t.isList() && d.items(n, src, t, depth):
		l.findings = append(l.findings, d.findings...)
	case t.apiVersion == model.GroupVersion && (t.kind == policyKinds[0] || t.kind == policyKinds[1]):
		o := d.policyObject(n, t.kind)
		if l.snapshot {
			o.tree = l.encodeTree(t.kind, n, src.document)
		}
		l.add(o, src)
	case t.lookup() != nil:
		l.add(d.inventoryObject(n, t), src)
	default:
		l.skip(t.kind)
	}
}

// typeOf reads apiVersion and kind. ok is false where they are unusable, which
// is then reported, or, in a file found in a directory, counted.
func (d *decoder) typeOf(n *yaml.Node, src *source, within typeMeta) (t typeMeta, ok bool) {
	api, kind := d.typeNodes(n)
	if isNull(api) && isNull(kind) && !d.broken {
		if within.kind != "" {
			return within, true
		}
		if src.found {
			d.skip("")
			return t, false
		}
	}
	want := quote(model.GroupVersion) + " for a policy"
	if isNull(kind) {
		d.missing(n, nil, &fields{}, "kind", "a kind such as "+quote(model.TrafficPolicy.String()))
	}
	if isNull(api) && !isNull(kind) && !strings.HasSuffix(deref(kind).Value, "List") {
		d.missing(n, nil, &fields{}, "apiVersion", want)
	}
	t.apiVersion, _ = d.optionalStr(api, (*path)(nil).field("apiVersion"))
	t.kind, _ = d.optionalStr(kind, (*path)(nil).field("kind"))
	if d.broken {
		return t, false
	}
	return t, d.checkPolicyType(t, api, kind)
}

// typeNodes returns the values of apiVersion and kind, nil where absent. What is
// wrong with other keys is left to whoever decodes the object.
func (d *decoder) typeNodes(n *yaml.Node) (api, kind *yaml.Node) {
	var apiKey, kindKey *yaml.Node
	first := func(key, value **yaml.Node, name string, k, v *yaml.Node, merged bool) {
		switch {
		case *key == nil:
			*key, *value = k, v
		case !merged:
			d.duplicateKey(k, *key, (*path)(nil).field(name), name)
		}
	}
	d.newDecoder(d.doc).pairs(n, nil, false, func(name string, k, v *yaml.Node, merged bool) {
		switch name {
		case "apiVersion":
			first(&apiKey, &api, name, k, v, merged)
		case "kind":
			first(&kindKey, &kind, name, k, v, merged)
		}
	})
	return api, kind
}

// inventoryObject decodes an object that policies are resolved against.
func (d *decoder) inventoryObject(n *yaml.Node, t typeMeta) *object {
	o := &object{pos: d.pos(n)}
	f := d.lenient(n, nil, "metadata")
	m := d.objectMeta(n, f.get("metadata"), !clusterScoped[t.kind])
	o.objectKey = objectKey{d.intern(t.kind), m.namespace, m.name}
	m.kind, o.defaulted = o.kind, m.defaulted
	o.value = t.lookup()(d, n, m)
	o.findings = d.findings
	if d.broken {
		o.value, o.spec = nil, digest(n)
	}
	return o
}

var clusterScoped = map[string]bool{"Namespace": true, "Node": true}

// checkPolicyType reports an object that is nearly a policy: one that is quietly
// skipped would be a policy that is quietly not enforced.
func (d *decoder) checkPolicyType(t typeMeta, api, kind *yaml.Node) bool {
	near := nearest(t.kind, policyKinds)
	switch {
	case t.isList():
		return true
	case near == t.kind && t.apiVersion != model.GroupVersion:
		d.report(model.InvalidValue, api, (*path)(nil).field("apiVersion"),
			"apiVersion %s is not that of %s, want %q", quote(t.apiVersion), t.kind, model.GroupVersion)
		return false
	case near != "" && near != t.kind && t.apiVersion == model.GroupVersion:
		f := d.report(model.InvalidValue, kind, (*path)(nil).field("kind"),
			"kind %s is not known, want %s%s", quote(t.kind), choices(policyKinds), hint(near))
		f.Suggestion = suggest(near)
		return false
	}
	return true
}

// items takes the items of a list. It reports false for an object that is no
// list although its kind ends so.
func (d *decoder) items(n *yaml.Node, src *source, t typeMeta, depth int) bool {
	f := d.lenient(n, nil, "items")
	items := f.get("items")
	if items == nil {
		return t.kind == "List"
	}
	p := (*path)(nil).field("items")
	if depth > maxDepth {
		d.report(model.ParseError, items, p, "lists nest deeper than %d", maxDepth)
		return true
	}
	within := t.itemType()
	for _, item := range d.list(items, p) {
		if !d.visit(item, p) {
			break
		}
		own := *src
		own.found = false
		d.decode(item, &own, within, depth+1)
	}
	return true
}

// itemType returns the type of items that do not name their own: of a PodList
// they are Pods. It is zero for a List of anything.
func (t typeMeta) itemType() typeMeta {
	if t.kind == "List" {
		return typeMeta{}
	}
	return typeMeta{t.apiVersion, strings.TrimSuffix(t.kind, "List")}
}

// add keeps a decoded object.
func (l *loader) add(o *object, src *source) {
	o.inventory = src.inventory
	l.objects = append(l.objects, o)
}

// NoKind is the key of [Input.Skipped] for files without any object.
const NoKind = "(no kind)"

func (l *loader) skip(kind string) {
	if kind == "" {
		kind = NoKind
	}
	l.skipped[l.intern(kind)]++
}
