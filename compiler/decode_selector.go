package compiler

import (
	"slices"

	"go.yaml.in/yaml/v3"

	"github.com/trafficpolicy/trafficpolicy/model"
)

// Fields and operatorNames of a metav1.LabelSelector, sorted.
var (
	selectorFields    = []string{"matchExpressions", "matchLabels"}
	requirementFields = []string{"key", "operator", "values"}
	operatorNames     = []string{string(model.DoesNotExist), string(model.Exists), string(model.In), string(model.NotIn)}
)

// selector decodes a label selector that is not null.
func (d *decoder) selector(n *yaml.Node, p *path) (s model.Selector) {
	f, ok := d.strict(n, p, selectorFields)
	if !ok {
		return s
	}
	s.MatchLabels = d.labels(f.get("matchLabels"), p.field("matchLabels"))
	exprs := p.field("matchExpressions")
	for i, item := range d.list(f.get("matchExpressions"), exprs) {
		s.MatchExpressions = append(s.MatchExpressions, d.requirement(item, exprs.item(i)))
		if d.full {
			break
		}
	}
	return s
}

// requirement decodes one entry of matchExpressions.
func (d *decoder) requirement(n *yaml.Node, p *path) (r model.Requirement) {
	f, ok := d.strict(n, p, requirementFields)
	if !ok {
		return r
	}
	if key := f.get("key"); isNull(key) {
		d.missing(n, p, &f, "key", "a label key")
	} else if s, ok := d.str(key, p.field("key")); ok && d.labelKey(s, key, p.field("key")) {
		r.Key = d.intern(s)
	}
	op := f.get("operator")
	if isNull(op) {
		d.missing(n, p, &f, "operator", choices(operatorNames))
	} else if s, ok := d.enum(op, p.field("operator"), operatorNames); ok {
		r.Operator = model.Operator(s)
	}
	r.Values = d.requirementValues(n, p, &f, r.Operator)
	return r
}

// requirementValues decodes values, which In and NotIn need and the others must
// not have.
func (d *decoder) requirementValues(n *yaml.Node, p *path, f *fields, op model.Operator) []string {
	node := f.get("values")
	items := d.list(node, p.field("values"))
	switch {
	case (op == model.In || op == model.NotIn) && len(items) == 0:
		if isNull(node) {
			d.missing(n, p, f, "values", "at least one label value for the operator "+quote(string(op)))
		} else if kindOf(deref(node)) == kindList {
			d.report(model.InvalidValue, node, p.field("values"), "%q is empty, want at least one label value for the operator %q", "values", op)
		}
	case (op == model.Exists || op == model.DoesNotExist) && len(items) > 0:
		d.report(model.InvalidValue, node, p.field("values"), "%q has entries, want none for the operator %q", "values", op)
	}
	var values []string
	for i, item := range items {
		at := p.field("values").item(i)
		if s, ok := d.str(item, at); ok && d.labelValue(s, item, at) {
			values = append(values, d.intern(s))
		}
		if d.full {
			break
		}
	}
	slices.Sort(values)
	return slices.Compact(values)
}

// enum returns a string that must be one of names, exactly.
func (d *decoder) enum(n *yaml.Node, p *path, names []string) (string, bool) {
	s, ok := d.str(n, p)
	if !ok {
		return "", false
	}
	if i := slices.Index(names, s); i >= 0 {
		return names[i], true
	}
	near := nearest(s, names)
	f := d.report(model.InvalidValue, n, p, "%s %s is not known, want %s%s", p.name(), quote(s), choices(names), hint(near))
	f.Suggestion = suggest(near)
	return "", false
}
