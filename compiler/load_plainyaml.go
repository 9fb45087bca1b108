package compiler

import (
	"bytes"
	"slices"
	"strings"

	"go.yaml.in/yaml/v3"
)

// parsePlainYAML parses a document of the form that nearly all have: block mappings
// and lists, flow ones within a line, plain and quoted scalars of ASCII within a line
// and without escapes, comments. The tree is that of the parser, without comments
// and in a quarter of the time. It reports false for every other text, good or bad:
// then the parser decides, and says what is wrong.
//
// text has passed badText, and its lines end at \n alone.
func parsePlainYAML(text []byte) (root *yaml.Node, ok bool) {
	p := &plainParser{text: text}
	p.nextLine()
	if p.line > 0 && string(p.rest) == "---" && p.indent == 0 {
		p.nextLine()
	}
	if p.line == 0 {
		return nil, false // nothing in it
	}
	root = p.block(0)
	if p.failed || p.line != 0 {
		return nil, false
	}
	return &yaml.Node{Kind: yaml.DocumentNode, Content: []*yaml.Node{root}}, true
}

// plainParser reads lines that have more than a comment, one after the other.
type plainParser struct {
	text   []byte // behind the current line
	lines  int    // read
	line   int    // number of the current line, from 1; 0 behind the last
	indent int    // of what is left of it: the column of its first byte, from 0
	rest   []byte // what is left of it, without white space at its ends
	spaced bool   // there were spaces before it
	failed bool   // the text is of another form

	nodes []yaml.Node       // memory for the next ones
	open  []*yaml.Node      // what is in the nodes being read, of the outer ones first
	keys  map[string]string // each once
}

// fail gives up. What it returns stands for any node.
func (p *plainParser) fail() *yaml.Node {
	p.failed, p.line, p.rest = true, 0, nil
	return &yaml.Node{}
}

// nextLine goes to the next line that has more than a comment.
func (p *plainParser) nextLine() {
	for p.line = 0; len(p.text) > 0; {
		text := p.text
		if i := bytes.IndexByte(text, '\n'); i >= 0 {
			text, p.text = text[:i], text[i+1:]
		} else {
			p.text = nil
		}
		p.lines++
		p.indent = 0
		for p.indent < len(text) && text[p.indent] == ' ' {
			p.indent++
		}
		p.rest = bytes.TrimRight(text[p.indent:], " ")
		if len(p.rest) > 0 && p.rest[0] != '#' {
			p.line = p.lines
			return
		}
	}
	p.rest = nil
}

// skip goes n bytes on in the line, and past the spaces behind them.
func (p *plainParser) skip(n int) {
	end := n
	for end < len(p.rest) && p.rest[end] == ' ' {
		end++
	}
	p.spaced = end > n
	p.rest, p.indent = p.rest[end:], p.indent+end
}

// ended reports whether nothing but a comment is left of the line.
func (p *plainParser) ended() bool {
	return len(p.rest) == 0 || p.rest[0] == '#' && p.spaced
}

// node returns a node that begins where the line is now.
func (p *plainParser) node(kind yaml.Kind) *yaml.Node {
	if len(p.nodes) == 0 {
		p.nodes = make([]yaml.Node, 64)
	}
	n := &p.nodes[0]
	p.nodes = p.nodes[1:]
	n.Kind, n.Line, n.Column = kind, p.line, p.indent+1
	switch kind {
	case yaml.MappingNode:
		n.Tag = "!!map"
	case yaml.SequenceNode:
		n.Tag = "!!seq"
	}
	return n
}

// block reads the mapping or list that begins in the current line.
func (p *plainParser) block(depth int) *yaml.Node {
	switch {
	case depth > maxDepth:
		return p.fail() // the parser's tree is then found to be too deep
	case p.isEntry():
		return p.list(depth)
	}
	return p.mapping(depth)
}

// add notes that n is in the innermost node being read.
func (p *plainParser) add(n *yaml.Node) { p.open = append(p.open, n) }

// close puts what is open from i on into n.
func (p *plainParser) close(n *yaml.Node, i int) *yaml.Node {
	n.Content = slices.Clone(p.open[i:])
	p.open = p.open[:i]
	return n
}

// isEntry reports whether the line begins an entry of a list.
func (p *plainParser) isEntry() bool {
	return len(p.rest) > 0 && p.rest[0] == '-' && (len(p.rest) == 1 || p.rest[1] == ' ')
}

func (p *plainParser) list(depth int) *yaml.Node {
	n, indent, from := p.node(yaml.SequenceNode), p.indent, len(p.open)
	for p.line > 0 && p.indent == indent && p.isEntry() {
		p.skip(1)
		switch {
		case p.ended():
			p.add(p.below(indent+1, depth))
		case p.isEntry():
			return p.fail()
		case p.isKey() > 0:
			p.add(p.mapping(depth + 1))
		default:
			p.add(p.value(indent))
		}
	}
	return p.close(n, from)
}

func (p *plainParser) mapping(depth int) *yaml.Node {
	n, indent, from := p.node(yaml.MappingNode), p.indent, len(p.open)
	for p.line > 0 && p.indent == indent && !p.isEntry() {
		key := p.key(p.isKey())
		if key == nil {
			return p.fail()
		}
		p.add(key)
		if p.ended() {
			p.add(p.valueBelow(indent, depth))
		} else {
			p.add(p.value(indent))
		}
	}
	return p.close(n, from)
}

// valueBelow reads the value of a key that stands alone in its line: what is further
// in, or a list that is not.
func (p *plainParser) valueBelow(indent, depth int) *yaml.Node {
	p.nextLine()
	if p.line > 0 && p.indent == indent && p.isEntry() {
		return p.list(depth + 1)
	}
	return p.inner(indent+1, depth)
}

// below reads what stands in the lines behind this one, at least so far in.
func (p *plainParser) below(indent, depth int) *yaml.Node {
	p.nextLine()
	return p.inner(indent, depth)
}

func (p *plainParser) inner(indent, depth int) *yaml.Node {
	if p.line == 0 || p.indent < indent || !p.isEntry() && p.isKey() == 0 {
		return p.fail() // a null, or a scalar
	}
	return p.block(depth + 1)
}

// value reads the rest of the line, of a key or entry that stands at indent, and
// goes to the next. What is further in there would belong to it.
func (p *plainParser) value(indent int) *yaml.Node {
	n := p.inline(false, 0)
	if p.failed || !p.ended() {
		return p.fail()
	}
	if p.nextLine(); p.line > 0 && p.indent > indent {
		return p.fail()
	}
	return n
}

// inline reads a scalar or a mapping or list in flow style, within one if flow is set.
func (p *plainParser) inline(flow bool, depth int) *yaml.Node {
	switch {
	case len(p.rest) == 0 || depth > maxDepth:
		return p.fail()
	case p.rest[0] == '{':
		return p.flow(yaml.MappingNode, '}', depth)
	case p.rest[0] == '[':
		return p.flow(yaml.SequenceNode, ']', depth)
	case p.rest[0] == '"' || p.rest[0] == '\'':
		return p.quoted()
	}
	length := p.plain(flow)
	if length == 0 {
		return p.fail()
	}
	n := p.node(yaml.ScalarNode)
	n.Value = string(p.rest[:length])
	n.Tag = plainTag(n)
	p.skip(length)
	return n
}

func (p *plainParser) flow(kind yaml.Kind, end byte, depth int) *yaml.Node {
	n := p.node(kind)
	n.Style = yaml.FlowStyle
	from := len(p.open)
	p.skip(1)
	for first := true; ; first = false {
		switch {
		case len(p.rest) == 0:
			return p.fail()
		case p.rest[0] == end && first:
			p.skip(1)
			return n
		case kind == yaml.MappingNode:
			length := p.plain(true)
			if length == 0 || length+1 >= len(p.rest) || p.rest[length] != ':' || p.rest[length+1] != ' ' {
				return p.fail()
			}
			p.add(p.key(length))
		}
		p.add(p.inline(true, depth+1))
		switch {
		case len(p.rest) > 0 && p.rest[0] == end:
			p.skip(1)
			return p.close(n, from)
		case len(p.rest) == 0 || p.rest[0] != ',':
			return p.fail()
		}
		p.skip(1)
	}
}

// quoted reads a scalar in quotes that has neither escapes nor any but ASCII.
func (p *plainParser) quoted() *yaml.Node {
	n, quote := p.node(yaml.ScalarNode), p.rest[0]
	i := 1
	for i < len(p.rest) && p.rest[i] != quote {
		if c := p.rest[i]; c == '\\' || c < ' ' || c > '~' {
			return p.fail()
		}
		i++
	}
	if i+1 < len(p.rest) && strings.IndexByte(" ,]}", p.rest[i+1]) < 0 || i == len(p.rest) {
		return p.fail() // an escaped quote, a key, or no end
	}
	n.Value, n.Tag, n.Style = string(p.rest[1:i]), "!!str", yaml.DoubleQuotedStyle
	if quote == '\'' {
		n.Style = yaml.SingleQuotedStyle
	}
	p.skip(i + 1)
	return n
}

// isKey returns the length of the plain key that the line begins with, 0 without one.
func (p *plainParser) isKey() int {
	const longest = 512 // the parser takes no key of more than 1024
	n := p.plain(false)
	if n == 0 || n > longest || n == len(p.rest) || p.rest[n] != ':' || n+1 < len(p.rest) && p.rest[n+1] != ' ' {
		return 0
	}
	return n
}

// key reads a plain key of that length with its colon; nil where it is 0.
func (p *plainParser) key(length int) *yaml.Node {
	if length == 0 {
		return nil
	}
	n := p.node(yaml.ScalarNode)
	known, ok := p.keys[string(p.rest[:length])]
	if !ok {
		known = string(p.rest[:length])
		if p.keys == nil {
			p.keys = map[string]string{}
		}
		p.keys[known] = known
	}
	n.Value = known
	n.Tag = plainTag(n)
	p.skip(length + 1)
	return n
}

// plain returns the length of the plain scalar that the line begins with, 0 where
// it begins with anything else, or the scalar has a byte that could be read otherwise.
func (p *plainParser) plain(flow bool) int {
	if len(p.rest) == 0 || !isPlain(p.rest[0]) && p.rest[0] != '.' && p.rest[0] != '/' || bytes.HasPrefix(p.rest, []byte("...")) {
		return 0 // three dots may end the document
	}
	end := 0 // behind the last byte that is no space
	for i, c := range p.rest {
		next := byte(' ')
		if i+1 < len(p.rest) {
			next = p.rest[i+1]
		}
		switch {
		case isPlain(c) || strings.IndexByte("./-+=@()%~*#", c) >= 0:
		case c == ' ' && next != '#':
			continue
		case c == ' ', c == ':' && next == ' ', flow && (c == ',' || c == ']' || c == '}'):
			return end
		case c == ':' && (isPlain(next) || next == ':' && !flow || next == '/' && !flow):
		default:
			return 0
		}
		end = i + 1
	}
	return end
}

func isPlain(c byte) bool {
	return 'a' <= c && c <= 'z' || 'A' <= c && c <= 'Z' || '0' <= c && c <= '9' || c == '_'
}

// plainTag returns the tag of a plain scalar. What has a slash is no number, time or
// other word that means something; nor need the package be asked of ports.
func plainTag(n *yaml.Node) string {
	isDigit := func(c rune) bool { return '0' <= c && c <= '9' }
	const safe = 18 // digits of an int64
	switch v := n.Value; {
	case strings.IndexByte(v, '/') >= 0:
		return "!!str"
	case v[0] != '0' && len(v) <= safe && !strings.ContainsFunc(v, func(c rune) bool { return !isDigit(c) }):
		return "!!int"
	}
	return n.ShortTag()
}
