package compiler

import (
	"fmt"
	"slices"
	"strings"

	"go.yaml.in/yaml/v3"

	"github.com/trafficpolicy/trafficpolicy/model"
)

// maxFields is the most fields that a known set has (ObjectMeta).
const maxFields = 20

// fields is the known fields of one mapping.
type fields struct {
	known  []string
	values [maxFields]*yaml.Node
	// meant holds known fields that an unknown one is probably a misspelling of:
	// that they are missing is no finding of its own.
	meant   []string
	unknown bool // the mapping has a field that is not known
}

// get returns the value of a known field, nil where absent. It may be null.
func (f *fields) get(name string) *yaml.Node {
	if i := slices.Index(f.known, name); i >= 0 {
		return f.values[i]
	}
	return nil
}

// strict reads a mapping that may hold the known fields alone; everything else
// is reported. known is sorted. ok is false where n is no mapping.
func (d *decoder) strict(n *yaml.Node, p *path, known []string) (f fields, ok bool) {
	return d.mapping(n, p, known, true, "")
}

// strictHiding is strict for a field that is known only to have a finding of its
// own: it is not offered.
func (d *decoder) strictHiding(n *yaml.Node, p *path, known []string, hidden string) (f fields, ok bool) {
	return d.mapping(n, p, known, true, hidden)
}

// lenient reads the known fields of a mapping and ignores all others. Absent
// and null are a mapping without fields.
func (d *decoder) lenient(n *yaml.Node, p *path, known ...string) (f fields) {
	if isNull(n) {
		return f
	}
	f, _ = d.mapping(n, p, known, false, "")
	return f
}

// mapping reads the known fields of a mapping. If strict, others are reported
// together with the known ones, but for the hidden one.
func (d *decoder) mapping(n *yaml.Node, p *path, known []string, strict bool, hidden string) (f fields, ok bool) {
	f.known = known
	if !d.visit(n, p) {
		return f, false
	}
	if kindOf(deref(n)) != kindMap {
		d.wrongType(n, p, "a mapping")
		return f, false
	}
	var first [maxFields]*yaml.Node // keys, for duplicates
	d.pairs(n, p, strict, func(key string, k, v *yaml.Node, merged bool) {
		i := slices.Index(known, key)
		switch {
		case i < 0 && strict:
			f.unknown = true
			offered := slices.DeleteFunc(slices.Clone(known), func(s string) bool { return s == hidden })
			if near := d.unknownField(k, p, key, offered); near != "" {
				f.meant = append(f.meant, near)
			}
		case i < 0:
		case first[i] == nil:
			first[i], f.values[i] = k, v
		case !merged: // a merged key yields to one that is there
			d.duplicateKey(k, first[i], p.field(key), key)
		}
	})
	return f, true
}

// pairFunc takes one pair of a mapping. merged is set for pairs that a merge key
// brings in.
type pairFunc func(key string, k, v *yaml.Node, merged bool)

// pairs calls fn for each pair of a mapping: its own in order, then those that
// merge keys (<<) bring in. Integers in plain decimal form are taken as their
// digits, as kubectl does; other keys that are no strings are reported, or
// ignored where fields that are not known are.
func (d *decoder) pairs(n *yaml.Node, p *path, strict bool, fn pairFunc) {
	d.pairsDeep(n, p, strict, 0, fn)
}

func (d *decoder) pairsDeep(n *yaml.Node, p *path, strict bool, depth int, fn pairFunc) {
	if depth > maxDepth {
		d.report(model.ParseError, n, p, "merge keys nest deeper than %d", maxDepth)
		return
	}
	r := deref(n)
	var merges []*yaml.Node
	for i := 0; i+1 < len(r.Content); i += 2 {
		k, v := deref(r.Content[i]), r.Content[i+1]
		if !d.visit(r.Content[i], p) {
			return
		}
		switch kind := kindOf(k); {
		case k.Tag == "!!merge":
			merges = append(merges, v)
		case kind == kindString, kind == kindInt && isDecimal(k.Value):
			fn(k.Value, r.Content[i], v, depth > 0)
		case strict:
			d.wrongKey(r.Content[i], p)
		}
	}
	for i, m := range merges {
		if i > 0 {
			d.report(model.ParseError, m, p, `duplicate key "<<", want one with a list of aliases`)
		}
		sources := []*yaml.Node{m}
		if kindOf(deref(m)) == kindList {
			sources = deref(m).Content
		}
		for _, s := range sources {
			if kindOf(deref(s)) != kindMap {
				d.report(model.InvalidValue, s, p, `merge key "<<" holds %s, want an alias of a mapping`, describe(s))
				continue
			}
			d.pairsDeep(s, p, strict, depth+1, fn)
		}
	}
}

// wrongKey reports a key that is no string.
func (d *decoder) wrongKey(k *yaml.Node, p *path) {
	quoted := ""
	switch kindOf(deref(k)) {
	case kindBool, kindInt, kindFloat, kindNull:
		quoted = fmt.Sprintf(" (put it in quotes: %q)", clip(deref(k).Value))
	}
	d.report(model.InvalidValue, k, p, "a key of %s is %s, want a string%s", p.last(), describe(k), quoted)
}

func (d *decoder) duplicateKey(k, first *yaml.Node, p *path, key string) {
	d.report(model.ParseError, k, p, "duplicate key %s, first on line %d", quote(key), d.pos(first).Line)
}

// unknownField reports a field that the kind does not have and returns the known
// one that was probably meant.
func (d *decoder) unknownField(k *yaml.Node, p *path, key string, known []string) string {
	near := nearest(key, known)
	where := ""
	if p != nil {
		where = " in " + p.last()
	}
	f := d.report(model.UnknownField, k, p.field(key), "unknown field %s%s, want %s%s", quote(key), where, choices(known), hint(near))
	f.Suggestion = suggest(near)
	return near
}

// missing reports a field that must be there, unless a misspelt one was meant:
// at its null where it has one, else at n, the mapping that lacks it.
func (d *decoder) missing(n *yaml.Node, p *path, f *fields, name, want string) {
	if slices.Contains(f.meant, name) {
		return
	}
	if null := f.get(name); null != nil {
		n = null
	}
	where := p.last()
	if p == nil {
		where = "the object"
	}
	d.report(model.MissingField, n, p.field(name), "%q is missing in %s, want %s", name, where, want)
}

// choices lists what would be right: `one of "a", "b"`, or the only choice.
func choices(names []string) string {
	if len(names) == 1 {
		return quote(names[0])
	}
	sorted := slices.Sorted(slices.Values(names))
	for i, n := range sorted {
		sorted[i] = quote(n)
	}
	return "one of " + strings.Join(sorted, ", ")
}

func hint(near string) string {
	if near == "" {
		return ""
	}
	return " (did you mean " + quote(near) + "?)"
}

func suggest(near string) string {
	if near == "" {
		return ""
	}
	return "did you mean " + quote(near) + "?"
}

// nearest returns the one of choices that name was probably meant to be, or "":
// one that differs only in case, else the first of [Nearest].
func nearest(name string, choices []string) string {
	for _, c := range choices {
		if strings.EqualFold(c, name) {
			return c
		}
	}
	if near := Nearest(name, choices); len(near) > 0 {
		return near[0]
	}
	return ""
}
