package compiler

import (
	"crypto/sha256"
	"encoding/binary"

	"go.yaml.in/yaml/v3"

	"github.com/trafficpolicy/trafficpolicy/model"
)

// Fields of a policy, sorted.
var (
	policyFields  = []string{"apiVersion", "kind", "metadata", "spec", "status"}
	specFields    = []string{"egress", "ingress", "priority", "selector"}
	sectionFields = []string{"rules"}
)

// policyObject decodes a TrafficPolicy or GlobalTrafficPolicy.
func (d *decoder) policyObject(n *yaml.Node, kind string) *object {
	o := &object{pos: d.pos(n)}
	pol := &model.Policy{Kind: model.GlobalTrafficPolicy, Pos: o.pos}
	namespaced := kind == model.TrafficPolicy.String()
	if namespaced {
		pol.Kind = model.TrafficPolicy
	}
	f, _ := d.strict(n, nil, policyFields)
	m := d.policyMeta(n, f.get("metadata"), namespaced)
	pol.Namespace, pol.Name = m.namespace, m.name
	if m.name != "" && (!namespaced || m.namespace != "") {
		o.objectKey = objectKey{kind, m.namespace, m.name}
		d.policy = pol.Ref()
		for i := range d.findings {
			d.findings[i].Policy = d.policy
		}
	}
	d.newer(newerKinds, n, nil, "kind "+quote(kind))
	d.spec(pol, n, &f)
	o.findings = d.findings
	if d.broken {
		o.spec = digest(f.get("spec"))
		return o
	}
	o.value = pol
	return o
}

// spec decodes spec into pol.
func (d *decoder) spec(pol *model.Policy, n *yaml.Node, top *fields) {
	node, p := top.get("spec"), (*path)(nil).field("spec")
	if isNull(node) {
		d.missing(n, nil, top, "spec", "a mapping with the selector")
		return
	}
	f, ok := d.strict(node, p, specFields)
	if !ok {
		return
	}
	pol.Priority = d.priority(node, p, &f)
	if sel := f.get("selector"); isNull(sel) {
		d.missing(node, p, &f, "selector", "a label selector ({} selects every pod in scope)")
	} else {
		pol.Selector = d.selector(sel, p.field("selector"))
	}
	pol.Ingress = d.section(pol, model.Ingress, f.get("ingress"), p.field("ingress"))
	pol.Egress = d.section(pol, model.Egress, f.get("egress"), p.field("egress"))
}

// priority returns spec.priority, the default where it is absent or null.
func (d *decoder) priority(spec *yaml.Node, p *path, f *fields) int {
	n := f.get("priority")
	if isNull(n) {
		for _, meant := range f.meant {
			if meant == "priority" {
				return model.DefaultPriority
			}
		}
		at := spec
		if n != nil {
			at = n
		}
		d.report(model.ImplicitDefault, at, p.field("priority"),
			"%q is missing in %q, the policy gets %d, want a number from %d to %d", "priority", "spec", model.DefaultPriority, model.MinPriority, model.MaxPriority)
		return model.DefaultPriority
	}
	v, ok := d.integer(n, p.field("priority"))
	if ok && (v < model.MinPriority || v > model.MaxPriority) {
		d.report(model.PriorityRange, n, p.field("priority"),
			"priority %s is out of range, want a number from %d to %d", clip(deref(n).Value), model.MinPriority, model.MaxPriority)
	}
	return int(v)
}

// section decodes spec.ingress or spec.egress, which may be absent or null.
func (d *decoder) section(pol *model.Policy, dir model.Direction, n *yaml.Node, p *path) *model.Section {
	if isNull(n) {
		return nil
	}
	f, ok := d.strict(n, p, sectionFields)
	if !ok {
		return nil
	}
	s := &model.Section{Pos: d.pos(n)}
	items := d.list(f.get("rules"), p.field("rules"))
	if len(items) > 0 {
		s.Rules = make([]model.Rule, 0, min(len(items), maxValues))
	}
	d.dir = dir
	rules := p.field("rules")
	for i, item := range items {
		d.rule = i
		s.Rules = append(s.Rules, d.oneRule(pol, item, rules.item(i)))
		if d.full {
			break
		}
	}
	d.rule = -1
	return s
}

// digest returns a digest of a value that is the same for equal text, whatever
// its position; comments, style and anchors do not count. It is "" for a value
// that aliases make too large, or endless.
func digest(n *yaml.Node) string {
	h := sha256.New()
	visits, buf := 0, []byte(nil)
	var walk func(n *yaml.Node)
	walk = func(n *yaml.Node) {
		if visits++; visits > maxValues/10 {
			return
		}
		n = deref(n)
		buf = append(buf[:0], byte(n.Kind))
		for _, part := range []string{n.Tag, n.Value} {
			buf = binary.AppendUvarint(buf, uint64(len(part)))
			buf = append(buf, part...)
		}
		buf = binary.AppendUvarint(buf, uint64(len(n.Content)))
		h.Write(buf)
		for _, c := range n.Content {
			walk(c)
		}
	}
	if n != nil {
		walk(n)
	}
	if visits > maxValues/10 {
		return ""
	}
	return string(h.Sum(nil))
}
