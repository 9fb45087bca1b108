package compiler

import (
	"encoding/binary"

	"go.yaml.in/yaml/v3"
)

// Kinds of nodes in a tree. What a policy means depends on options of whoever
// reads it, so a compact inventory has policies as nodes, which are decoded as
// those of a text are.
const (
	treeScalar = 1 + iota
	treeList
	treeMap
	treeAlias  // of a node that is there, by its number
	treeTarget // an alias whose node follows

	treeAnchor = 0x80 // bit: the node has the next number, from 0
)

// treeTags are those that nearly all nodes have; others are written out.
var treeTags = []string{"", "!!str", "!!map", "!!seq", "!!int", "!!bool", "!!null", "!!float", "!!merge", "!!timestamp"}

// treeWriter writes nodes of doc, in places of the text that doc is part of.
type treeWriter struct {
	b       []byte
	doc     *document
	line    int
	deep    bool // something is deeper than maxTreeDepth, and left out
	anchors map[*yaml.Node]uint64
}

// maxTreeDepth is how deep nodes nest with those that aliases stand for.
const maxTreeDepth = 50 * maxDepth

// encodeTree returns the kind of a policy and its nodes.
func (l *loader) encodeTree(kind string, n *yaml.Node, doc *document) []byte {
	w := &treeWriter{doc: doc, anchors: map[*yaml.Node]uint64{}}
	w.text(kind)
	w.node(n, 0)
	l.deep = l.deep || w.deep
	return w.b
}

func (w *treeWriter) number(n uint64) { w.b = binary.AppendUvarint(w.b, n) }

func (w *treeWriter) text(s string) {
	w.number(uint64(len(s)))
	w.b = append(w.b, s...)
}

func (w *treeWriter) node(n *yaml.Node, depth int) {
	if w.deep = w.deep || depth > maxTreeDepth; w.deep {
		return
	}
	kind := map[yaml.Kind]byte{yaml.ScalarNode: treeScalar, yaml.SequenceNode: treeList, yaml.MappingNode: treeMap, yaml.AliasNode: treeAlias}[n.Kind]
	target, known := uint64(0), false
	if n.Kind == yaml.AliasNode {
		if target, known = w.anchors[n.Alias]; !known {
			kind = treeTarget
		}
	}
	if n.Anchor != "" {
		w.anchors[n] = uint64(len(w.anchors))
		kind |= treeAnchor
	}
	w.b = append(w.b, kind)
	w.place(n)
	switch kind &^ treeAnchor {
	case treeAlias:
		w.number(target)
		return
	case treeTarget:
		w.node(n.Alias, depth+1)
		return
	}
	w.tag(n.Tag)
	w.number(uint64(n.Style))
	if n.Kind == yaml.ScalarNode {
		w.text(n.Value)
		return
	}
	w.number(uint64(len(n.Content)))
	for _, c := range n.Content {
		w.node(c, depth+1)
	}
}

// place writes where n itself stands, not its first key.
func (w *treeWriter) place(n *yaml.Node) {
	line, column := n.Line, n.Column
	if w.doc.breaks != nil {
		line, column = w.doc.breaks.place(line, column)
	}
	line += w.doc.lines
	w.b = binary.AppendVarint(w.b, int64(line-w.line))
	w.number(uint64(column))
	w.line = line
}

// tag writes the number of a tag that is known, else one more and the tag.
func (w *treeWriter) tag(tag string) {
	for i, known := range treeTags {
		if tag == known {
			w.number(uint64(i))
			return
		}
	}
	w.number(uint64(len(treeTags)))
	w.text(tag)
}

// treeReader reads what treeWriter wrote.
type treeReader struct {
	*compactData
	line    int
	anchors []*yaml.Node
	values  int
}

// decodeTree returns what encodeTree was given; n is nil where d has failed.
func decodeTree(d *compactData) (kind string, n *yaml.Node) {
	r := &treeReader{compactData: d}
	kind = r.text()
	n = r.node(0)
	if r.failed == "" && len(r.b) > 0 {
		r.fail("a policy is followed by something")
	}
	if r.failed != "" {
		return kind, nil
	}
	return kind, n
}

// node reads a node, which is not nil even where r has failed.
func (r *treeReader) node(depth int) *yaml.Node {
	n := &yaml.Node{}
	if r.values++; depth > maxTreeDepth || r.values > maxValues {
		r.fail("a policy is too deep or too large")
		return n
	}
	kind := r.byte()
	if kind&treeAnchor != 0 {
		r.anchors = append(r.anchors, n)
		n.Anchor = "a" // which one does not matter
	}
	r.line += int(r.signed())
	n.Line, n.Column = r.line, int(r.below(maxPlace, "column"))
	if n.Line < 0 || int64(n.Line) >= maxPlace {
		r.fail("line %d is no place", n.Line)
	}
	switch kind &^ treeAnchor {
	case treeAlias:
		i := r.number()
		if i >= uint64(len(r.anchors)) {
			r.fail("an alias of nothing")
			return n
		}
		n.Kind, n.Alias = yaml.AliasNode, r.anchors[i]
		return n
	case treeTarget:
		n.Kind, n.Alias = yaml.AliasNode, r.node(depth+1)
		return n
	case treeScalar:
		n.Kind = yaml.ScalarNode
	case treeList:
		n.Kind = yaml.SequenceNode
	case treeMap:
		n.Kind = yaml.MappingNode
	default:
		r.fail("a node of kind %d", kind)
		return n
	}
	n.Tag = r.tag()
	n.Style = yaml.Style(r.below(256, "style"))
	if n.Kind == yaml.ScalarNode {
		n.Value = r.text()
		return n
	}
	count := r.entries(4)
	if n.Kind == yaml.MappingNode && count%2 != 0 {
		r.fail("a key without a value")
		return n
	}
	n.Content = make([]*yaml.Node, 0, count)
	for range count {
		if r.failed != "" {
			break
		}
		n.Content = append(n.Content, r.node(depth+1))
	}
	return n
}

func (r *treeReader) tag() string {
	i := r.number()
	if i < uint64(len(treeTags)) {
		return treeTags[i]
	}
	return r.text()
}
