package edit

import (
	"fmt"
	"regexp"
	"strconv"

	"go.yaml.in/yaml/v3"
)

// Place says where an entry stands.
type Place struct {
	// Line and Column, from 1, are those of the first key of the object, which is
	// a document or an item of a List.
	Line, Column int
	// Field is the path of the entry of a list within the object, such as
	// spec.egress.rules[0].to[1]; "" is the object itself.
	Field string
}

// String returns the place for a message.
func (p Place) String() string {
	if p.Field == "" {
		return fmt.Sprintf("the object at line %d", p.Line)
	}
	return fmt.Sprintf("%s of the object at line %d", p.Field, p.Line)
}

// entry is a node that can be taken out: one of a sequence, or a document.
type entry struct {
	key  *yaml.Node // of seq, nil for a document
	seq  *yaml.Node // nil for a document
	node *yaml.Node
}

// find returns the entry at p.
func (t *Text) find(p Place) (entry, error) {
	e, ok := t.objects[linePos{p.Line, p.Column}]
	if !ok {
		return entry{}, fmt.Errorf("there is no object at line %d, column %d", p.Line, p.Column)
	}
	return descend(e, p)
}

// Find returns the line and column of the entry at p, from 1: of a mapping, those
// of its first key.
func (t *Text) Find(p Place) (line, column int, err error) {
	e, err := t.find(p)
	if err != nil {
		return 0, 0, err
	}
	n := e.node
	if n.Kind == yaml.MappingNode && len(n.Content) > 0 {
		n = n.Content[0]
	}
	return n.Line, n.Column, nil
}

// index takes note of e and of its items.
func (t *Text) index(e entry) {
	n := e.node
	if n.Kind != yaml.MappingNode || len(n.Content) == 0 {
		return
	}
	t.objects[linePos{n.Content[0].Line, n.Content[0].Column}] = e
	key, items := field(n, "items")
	if items == nil || items.Kind != yaml.SequenceNode {
		return
	}
	for _, item := range items.Content {
		t.index(entry{key, items, item})
	}
}

// field returns the key and value of a mapping's field, nil where it has none.
func field(n *yaml.Node, name string) (key, value *yaml.Node) {
	if n.Kind == yaml.MappingNode {
		for i := 0; i+1 < len(n.Content); i += 2 {
			if n.Content[i].Value == name {
				return n.Content[i], n.Content[i+1]
			}
		}
	}
	return nil, nil
}

// step is one step of a path: a field, or an index behind the one before.
var step = regexp.MustCompile(`\.?([A-Za-z]+)|\[([0-9]+)\]`)

// descend follows the path of p from an object.
func descend(e entry, p Place) (entry, error) {
	var key *yaml.Node
	for _, s := range step.FindAllStringSubmatch(p.Field, -1) {
		if s[1] != "" {
			if key, e.node = field(e.node, s[1]); e.node == nil {
				return e, fmt.Errorf("there is no %s", p)
			}
			continue
		}
		i, err := strconv.Atoi(s[2])
		if err != nil || e.node.Kind != yaml.SequenceNode || i >= len(e.node.Content) {
			return e, fmt.Errorf("there is no %s", p)
		}
		e = entry{key: key, seq: e.node, node: e.node.Content[i]}
	}
	return e, nil
}

// Same reports whether the objects at p of t and at q of u are the same, in
// everything but comments and style.
func Same(t *Text, p Place, u *Text, q Place) bool {
	a, err := t.find(p)
	if err != nil {
		return false
	}
	b, err := u.find(q)
	return err == nil && same(a.node, b.node, nil)
}

// same reports whether two trees are the same once the nodes of gone are taken
// out of a.
func same(a, b *yaml.Node, gone map[*yaml.Node]bool) bool {
	if a.Kind != b.Kind || a.Tag != b.Tag || a.Value != b.Value {
		return false
	}
	return sameNodes(a.Content, b.Content, gone)
}

func sameNodes(a, b []*yaml.Node, gone map[*yaml.Node]bool) bool {
	for _, n := range a {
		switch {
		case gone[n]:
		case len(b) == 0 || !same(n, b[0], gone):
			return false
		default:
			b = b[1:]
		}
	}
	return len(b) == 0
}
