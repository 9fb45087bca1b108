package compiler

import (
	"fmt"
	"strconv"
	"strings"

	"go.yaml.in/yaml/v3"

	"github.com/trafficpolicy/trafficpolicy/model"
)

// document is where an object was read from.
type document struct {
	file string
	// lines is added to a node's line: documents of a stream are parsed apart.
	lines  int
	breaks *lineBreaks // nil in nearly all texts
	// visits counts values looked at, which aliases can make many times more than
	// there are.
	visits int
}

// decoder decodes one object and collects what is wrong with it.
type decoder struct {
	*loader
	doc      *document
	findings []model.Finding
	broken   bool // an error is among findings
	full     bool // maxObjectFindings or maxValues was reached

	policy string // Ref, once known
	// dir and rule say which rule is being decoded; rule is -1 outside of rules.
	dir  model.Direction
	rule int
}

// path is where a value stands in its object: a chain of steps up to the root,
// which is nil. It is turned into text only for a finding.
type path struct {
	up    *path
	key   string
	index int // of a list item, where key is ""
}

func (p *path) field(key string) *path { return &path{up: p, key: key} }
func (p *path) item(i int) *path       { return &path{up: p, index: i} }

// String returns the path as kubectl writes it, such as spec.egress.rules[0].to.
func (p *path) String() string { return string(p.append(nil)) }

// append is recursive, and what messages are made of is copied, so that a path
// that no finding asks for needs no memory of the heap.
func (p *path) append(b []byte) []byte {
	if p == nil {
		return b
	}
	b = p.up.append(b)
	switch {
	case p.key == "":
		return append(strconv.AppendInt(append(b, '['), int64(p.index), 10), ']')
	case strings.ContainsAny(p.key, ".[]/ "):
		return append(append(append(b, '['), quote(p.key)...), ']')
	case len(b) > 0:
		b = append(b, '.')
	}
	return append(b, clip(p.key)...)
}

// pos returns where a node stands: of a mapping, its first key.
func (d *decoder) pos(n *yaml.Node) model.Pos { return d.doc.pos(n) }

func (doc *document) pos(n *yaml.Node) model.Pos {
	if n.Kind == yaml.MappingNode && len(n.Content) > 0 {
		n = n.Content[0]
	}
	line, column := n.Line, n.Column
	if doc.breaks != nil {
		line, column = doc.breaks.place(line, column)
	}
	return model.Pos{File: doc.file, Line: line + doc.lines, Column: column}
}

// lastLine returns the line on which the last value of n begins.
func (d *decoder) lastLine(n *yaml.Node) int {
	for len(n.Content) > 0 {
		n = n.Content[len(n.Content)-1]
	}
	return d.pos(n).Line
}

// report adds a finding of code c about the value n at p and returns it for
// details; the pointer is valid until the next report.
func (d *decoder) report(c model.Code, n *yaml.Node, p *path, format string, args ...any) *model.Finding {
	if d.full {
		return &model.Finding{}
	}
	if len(d.findings) == maxObjectFindings {
		d.full = true
		c, format, args = model.ParseError, "more than %d problems in one object, the rest is not shown", []any{maxObjectFindings}
	}
	f := model.NewFinding(c, d.pos(n), fmt.Sprintf(format, args...))
	f.Field, f.Policy = p.String(), d.policy
	if d.rule >= 0 && d.policy != "" {
		f.Rule = fmt.Sprintf("%s#%s[%d]", d.policy, d.dir, d.rule)
	}
	d.findings = append(d.findings, f)
	d.broken = d.broken || f.Severity == model.Error
	return &d.findings[len(d.findings)-1]
}

// visit counts one value and reports whether decoding may go on.
func (d *decoder) visit(n *yaml.Node, p *path) bool {
	d.doc.visits++
	if d.doc.visits > maxValues && !d.full {
		d.report(model.ParseError, n, p, "aliases make this document larger than %d values, write it in parts", maxValues)
		d.full, d.broken = true, true
	}
	return !d.full
}

// wrongType reports that n is not what is wanted, such as "a string".
func (d *decoder) wrongType(n *yaml.Node, p *path, want string) {
	r := deref(n)
	hint := ""
	if want == "a string" && (kindOf(r) == kindBool || kindOf(r) == kindInt || kindOf(r) == kindFloat) {
		hint = fmt.Sprintf(" (put it in quotes: %q)", clip(r.Value))
	}
	if strings.HasPrefix(want, "an integer") && kindOf(r) == kindString && isDecimal(r.Value) {
		hint = " (without quotes: " + clip(r.Value) + ")"
	}
	d.report(model.InvalidValue, n, p, "%s is %s, want %s%s", p.last(), describe(n), want, hint)
}

// name returns the field at p.
func (p *path) name() string { return strings.Clone(p.key) }

// last names the value at p for a message: its field, or the item of a list.
func (p *path) last() string {
	switch {
	case p == nil:
		return "the document"
	case p.key == "":
		return fmt.Sprintf("item %d of %s", p.index, p.up.last())
	}
	return quote(p.key)
}

// str returns the string n, which must not be null.
func (d *decoder) str(n *yaml.Node, p *path) (string, bool) {
	if !d.visit(n, p) {
		return "", false
	}
	if r := deref(n); kindOf(r) == kindString {
		return r.Value, true
	}
	d.wrongType(n, p, "a string")
	return "", false
}

// optionalStr is str for a field that may be absent or null: then "", true.
func (d *decoder) optionalStr(n *yaml.Node, p *path) (string, bool) {
	if isNull(n) {
		return "", true
	}
	return d.str(n, p)
}

// optionalBool returns the boolean n, false where absent or null.
func (d *decoder) optionalBool(n *yaml.Node, p *path) bool {
	if isNull(n) || !d.visit(n, p) {
		return false
	}
	r := deref(n)
	if kindOf(r) != kindBool {
		d.wrongType(n, p, "a boolean")
		return false
	}
	switch strings.ToLower(r.Value) {
	case "true", "yes", "on", "y":
		return true
	}
	return false
}

// integer returns the integer n. Only the plain decimal form counts: YAML 1.1,
// YAML 1.2 and JSON read 080, 0o10, 1_000 and 80.0 differently.
func (d *decoder) integer(n *yaml.Node, p *path) (int64, bool) {
	if !d.visit(n, p) {
		return 0, false
	}
	r := deref(n)
	k := kindOf(r)
	if k != kindInt && k != kindFloat {
		d.wrongType(n, p, "an integer")
		return 0, false
	}
	if !isDecimal(r.Value) {
		d.wrongType(n, p, "an integer in plain decimal form")
		return 0, false
	}
	v, err := strconv.ParseInt(r.Value, 10, 64)
	if err != nil { // out of the range of int64: out of every range asked for
		v = 1<<63 - 1
		if r.Value[0] == '-' {
			v = -1 << 63
		}
	}
	return v, true
}

// isDecimal reports whether s is an optional minus and digits without leading zero.
func isDecimal(s string) bool {
	s = strings.TrimPrefix(s, "-")
	if s == "" || s[0] == '0' && len(s) > 1 {
		return false
	}
	return strings.Trim(s, "0123456789") == ""
}

// list returns the items of n; nil where n is absent, null or no list.
func (d *decoder) list(n *yaml.Node, p *path) []*yaml.Node {
	if isNull(n) || !d.visit(n, p) {
		return nil
	}
	r := deref(n)
	if kindOf(r) != kindList {
		d.wrongType(n, p, "a list")
		return nil
	}
	return r.Content
}
