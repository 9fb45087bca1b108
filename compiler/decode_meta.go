package compiler

import (
	"slices"

	"go.yaml.in/yaml/v3"
	"k8s.io/apimachinery/pkg/util/validation"

	"github.com/trafficpolicy/trafficpolicy/model"
)

// objectMetaFields are the fields of metav1.ObjectMeta, and clusterName, which
// servers before Kubernetes 1.24 had. Sorted.
var objectMetaFields = []string{
	"annotations", "clusterName", "creationTimestamp", "deletionGracePeriodSeconds", "deletionTimestamp",
	"finalizers", "generateName", "generation", "labels", "managedFields", "name", "namespace",
	"ownerReferences", "resourceVersion", "selfLink", "uid",
}

// meta is what is read of an object's metadata.
type meta struct {
	kind            string
	namespace, name string
	labels          model.Labels
	annotations     *yaml.Node
	annotationsPath *path
	deleting        bool
	defaulted       bool // namespace is the default
}

// objectMeta reads metadata of an inventory object. namespaced kinds without a
// namespace get the default one.
func (d *decoder) objectMeta(n, node *yaml.Node, namespaced bool) (m meta) {
	p := (*path)(nil).field("metadata")
	f := d.lenient(node, p, "annotations", "deletionTimestamp", "generateName", "labels", "name", "namespace")
	d.metaName(&m, n, node, p, &f, namespaced)
	m.labels = d.labels(f.get("labels"), p.field("labels"))
	m.annotations, m.annotationsPath = f.get("annotations"), p.field("annotations")
	m.deleting = !isNull(f.get("deletionTimestamp"))
	return m
}

// policyMeta reads metadata of a policy. Every field of ObjectMeta is accepted,
// and nothing else.
func (d *decoder) policyMeta(n, node *yaml.Node, namespaced bool) (m meta) {
	p := (*path)(nil).field("metadata")
	if isNull(node) {
		d.missing(n, nil, &fields{}, "metadata", "a mapping with the name")
		return m
	}
	f, ok := d.strict(node, p, objectMetaFields)
	if !ok {
		return m
	}
	d.metaName(&m, n, node, p, &f, namespaced)
	if ns := f.get("namespace"); !namespaced && !isNull(ns) && deref(ns).Value != "" {
		d.globalNamespace(ns, p.field("namespace"))
	}
	d.labels(f.get("labels"), p.field("labels"))
	d.stringMap(f.get("annotations"), p.field("annotations"), func(string, string, *yaml.Node, *yaml.Node) {})
	return m
}

// globalNamespace warns of a namespace in a cluster-scoped object. API servers
// drop it, and kustomize puts it there, so it is no error; but its author may
// think that the policy is limited to that namespace.
func (d *decoder) globalNamespace(n *yaml.Node, p *path) {
	broken := d.broken
	f := d.report(model.InvalidValue, n, p,
		"namespace %s has no effect: a GlobalTrafficPolicy is cluster-scoped, want no namespace, or a TrafficPolicy", quote(deref(n).Value))
	f.Severity, d.broken = model.Warning, broken
}

// metaName reads name and namespace. generateName names nothing: the object has
// no name, and no place in the order of evaluation, before a server made one.
func (d *decoder) metaName(m *meta, n, node *yaml.Node, p *path, f *fields, namespaced bool) {
	if isNull(node) {
		node = n
	}
	name, ok := d.optionalStr(f.get("name"), p.field("name"))
	switch {
	case !ok:
	case name == "" && !isNull(f.get("generateName")):
		d.missing(node, p, f, "name", "a name (generateName gives none before the object is created)")
	case name == "":
		d.missing(node, p, f, "name", "a name")
	case len(validation.IsDNS1123Subdomain(name)) > 0:
		d.report(model.InvalidValue, f.get("name"), p.field("name"), "name %s is not valid, want %s", quote(name), wantSubdomain)
	default:
		m.name = name
	}
	ns, ok := d.optionalStr(f.get("namespace"), p.field("namespace"))
	switch {
	case !ok || !namespaced:
	case ns == "":
		m.namespace, m.defaulted = d.namespace, true
	case d.namespaceName(ns, f.get("namespace"), p.field("namespace")):
		m.namespace = d.intern(ns)
	}
}

// What names must look like, in words.
const (
	wantSubdomain  = `at most 253 lower-case letters, digits, "-" or ".", each part beginning and ending with a letter or digit`
	wantLabelName  = `at most 63 lower-case letters, digits or "-", beginning and ending with a letter or digit`
	wantLabelKey   = `[PREFIX/]NAME: a name of at most 63 letters, digits, "-", "_" or ".", beginning and ending with a letter or digit, and a domain as prefix`
	wantLabelValue = `at most 63 letters, digits, "-", "_" or ".", beginning and ending with a letter or digit`
)

// namespaceName reports a namespace that can be none.
func (d *decoder) namespaceName(ns string, n *yaml.Node, p *path) bool {
	if d.isLabelName(ns) {
		return true
	}
	d.report(model.InvalidValue, n, p, "namespace %s is not valid, want %s", quote(ns), wantLabelName)
	return false
}

// labels reads a label set. Keys and values are interned.
func (d *decoder) labels(n *yaml.Node, p *path) model.Labels {
	var ls model.Labels
	d.stringMap(n, p, func(key, value string, k, v *yaml.Node) {
		if d.labelKey(key, k, p.field(key)) && d.labelValue(value, v, p.field(key)) {
			ls = append(ls, model.Label{Key: d.intern(key), Value: d.intern(value)})
		}
	})
	slices.SortFunc(ls, func(a, b model.Label) int {
		if a.Key < b.Key {
			return -1
		}
		return 1
	})
	return ls
}

// stringMap calls fn for each entry of a mapping of strings, which may be absent
// or null. Keys are unique.
func (d *decoder) stringMap(n *yaml.Node, p *path, fn func(key, value string, k, v *yaml.Node)) {
	if isNull(n) || !d.visit(n, p) {
		return
	}
	if kindOf(deref(n)) != kindMap {
		d.wrongType(n, p, "a mapping of strings")
		return
	}
	seen := make(map[string]*yaml.Node)
	d.pairs(n, p, true, func(key string, k, v *yaml.Node, merged bool) {
		at := p.field(key)
		if first, ok := seen[key]; ok {
			if !merged {
				d.duplicateKey(k, first, at, key)
			}
			return
		}
		seen[key] = k
		if value, ok := d.str(v, at); ok {
			fn(key, value, k, v)
		}
	})
}

func (d *decoder) labelKey(key string, k *yaml.Node, p *path) bool {
	if !d.valid(labelKeys, key) {
		d.report(model.InvalidValue, k, p, "label key %s is not valid, want %s", quote(key), wantLabelKey)
		return false
	}
	return true
}

func (d *decoder) labelValue(value string, v *yaml.Node, p *path) bool {
	if !d.valid(labelValues, value) {
		d.report(model.InvalidValue, v, p, "label value %s is not valid, want nothing or %s", quote(value), wantLabelValue)
		return false
	}
	return true
}

// isLabelName reports whether s is a DNS label, as names of namespaces and
// Services are (RFC 1123; Services had to begin with a letter up to Kubernetes 1.33).
func (d *decoder) isLabelName(s string) bool {
	return d.valid(labelNames, s)
}
