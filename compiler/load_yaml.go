package compiler

import (
	"bufio"
	"bytes"
	"context"
	"fmt"
	"io"
	"slices"
	"strings"
	"unicode/utf8"

	"go.yaml.in/yaml/v3"
)

// yamlStream takes all objects of a YAML stream. It is cut into documents before
// it is parsed: an error in one says nothing about the others, and a parser
// stops at its first. A line that begins with --- or ... is a marker wherever it
// stands (YAML 1.2.2, section 9.1.2), so that needs no parsing.
func (l *loader) yamlStream(ctx context.Context, src *source, r *bufio.Reader) error {
	s := yamlSplitter{r: r}
	var ahead parseQueue
	defer ahead.wait()
	comments := suppressions{file: src.file}
	defer func() { l.in.Suppressions = append(l.in.Suppressions, comments.found...) }()
	for {
		if err := ctx.Err(); err != nil {
			return err
		}
		more, err := s.next()
		if err != nil {
			return err
		}
		comments.scan(s.text, s.lines)
		doc := *src
		doc.document = &document{file: src.file, lines: s.lines}
		for ahead.isFull(len(s.text)) {
			l.yamlDocument(ahead.next())
		}
		switch {
		case s.tooLong:
			ahead.add(&doc, nil, func([]byte) *parsedYAML {
				return &parsedYAML{line: 1, column: 1, problem: fmt.Sprintf("document is larger than %d MB, want smaller documents, or JSON for a large inventory", maxDocument>>20)}
			})
		case s.content:
			ahead.add(&doc, s.text, parseDocument)
		}
		if !more {
			break
		}
	}
	for !ahead.isEmpty() {
		l.yamlDocument(ahead.next())
	}
	return nil
}

// yamlSplitter cuts a stream into documents.
type yamlSplitter struct {
	r      *bufio.Reader
	line   int    // lines read
	marker []byte // a --- line that begins the next document, already read

	// The document that next found.
	text    []byte
	lines   int  // lines before it
	content bool // it has more than comments, directives and markers
	tooLong bool // text was cut off
}

// next reads up to the end of a document and reports whether there may be more.
func (s *yamlSplitter) next() (more bool, err error) {
	s.text, s.lines, s.content, s.tooLong = nil, s.line, false, false
	begun := s.marker != nil // by a marker: directives end
	directives := false
	if begun {
		s.lines--
		s.text = append(s.text, s.marker...)
		s.content = hasContent(s.marker[3:])
		s.marker = nil
	}
	for start := true; ; {
		line, err := s.r.ReadSlice('\n')
		if err != nil && err != io.EOF && err != bufio.ErrBufferFull {
			return false, err
		}
		if start && len(line) > 0 {
			s.line++
		}
		switch {
		case start && isMarker(line, "---") && (begun || !directives):
			s.marker = bytes.Clone(line)
			return true, nil
		case start && isMarker(line, "---"):
			begun = true
		case start && isMarker(line, "..."):
			return err != io.EOF, nil
		case hasContent(line):
			directives = directives || start && !s.content && line[0] == '%'
			s.content = true
		}
		s.keep(line)
		if err == io.EOF {
			return false, nil
		}
		start = err == nil
	}
}

// keep appends a line, or part of one, to the text unless that gets too long.
func (s *yamlSplitter) keep(line []byte) {
	if len(s.text)+len(line) > maxDocument {
		s.text, s.tooLong = nil, true
	}
	if s.tooLong {
		return
	}
	if cap(s.text)-len(s.text) < len(line) {
		s.text = slices.Grow(s.text, max(len(s.text), len(line), 1024)) // append would add a quarter
	}
	s.text = append(s.text, line...)
}

// isMarker reports whether a line is the document marker m.
func isMarker(line []byte, m string) bool {
	return bytes.HasPrefix(line, []byte(m)) && (len(line) == len(m) || strings.IndexByte(" \t\r\n", line[len(m)]) >= 0)
}

// hasContent reports whether a line is neither blank nor a comment.
func hasContent(line []byte) bool {
	line = bytes.TrimLeft(bytes.TrimPrefix(line, utf8BOM), " \t\r\n")
	return len(line) > 0 && line[0] != '#'
}

// yamlDocument takes the objects of one document.
func (l *loader) yamlDocument(src *source, p *parsedYAML) {
	if p.problem != "" {
		l.textError(src.document, src.lines+p.line, p.column, p.problem)
		return
	}
	src.breaks = p.breaks
	for _, n := range p.nodes {
		l.yamlNode(src, n)
	}
}

// parsedYAML is what was read in the text of one document.
type parsedYAML struct {
	nodes  []*yaml.Node
	breaks *lineBreaks
	// problem, unless "", says why there are no nodes, at a line and column of the
	// text, from 1.
	problem      string
	line, column int
}

// parseDocument parses the text of one document. It is safe for concurrent use.
func parseDocument(text []byte) *parsedYAML {
	text = bytes.TrimPrefix(text, utf8BOM)
	if at, what := badText(text); what != "" {
		line, column := lineColumn(text, at)
		return &parsedYAML{line: line, column: column, problem: "not YAML: " + what}
	}
	if manyValues(text) {
		return &parsedYAML{line: 1, column: 1, problem: fmt.Sprintf("document has more than %d values, want smaller documents", maxValues)}
	}
	odd := oddBreaks(text)
	if odd == nil && !bytes.Contains(text, []byte("\r")) {
		if root, ok := parsePlainYAML(text); ok {
			return &parsedYAML{nodes: []*yaml.Node{root}}
		}
	}
	nodes, err := parseYAML(text)
	if err != nil {
		line, column, message := yamlError(text, err)
		return &parsedYAML{line: line, column: column, problem: "not YAML: " + message}
	}
	return &parsedYAML{nodes: nodes, breaks: odd}
}

// parseYAML parses a document. It returns more than one where it is ended by a
// marker behind a line break that only YAML 1.1 has.
func parseYAML(text []byte) (nodes []*yaml.Node, err error) {
	dec := yaml.NewDecoder(bytes.NewReader(text))
	for {
		n := new(yaml.Node)
		if err := decodeYAML(dec, n); err == io.EOF {
			return nodes, nil
		} else if err != nil {
			return nil, err
		}
		nodes = append(nodes, n)
	}
}

// yamlNode takes the objects of one parsed document.
func (l *loader) yamlNode(src *source, n *yaml.Node) {
	if len(n.Content) == 0 {
		return
	}
	root := n.Content[0]
	if deep := tooDeep(root, 0); deep != nil {
		pos := src.pos(deep)
		l.textError(src.document, pos.Line, pos.Column, fmt.Sprintf("lists and mappings nest deeper than %d", maxDepth))
		return
	}
	if kindOf(root) == kindNull {
		return
	}
	if l.take != nil {
		l.take(src, root)
		return
	}
	l.decode(root, src, typeMeta{}, 0)
}

// decodeYAML is dec.Decode, with any panic of the parser as an error.
func decodeYAML(dec *yaml.Decoder, n *yaml.Node) (err error) {
	defer func() {
		if r := recover(); r != nil {
			err = fmt.Errorf("yaml: %v", r)
		}
	}()
	return dec.Decode(n)
}

// badText returns the first byte that no YAML text may have, and what it is; ""
// for a good text.
func badText(text []byte) (at int, what string) {
	for at < len(text) {
		c := text[at]
		switch {
		case c >= utf8.RuneSelf:
			r, size := utf8.DecodeRune(text[at:])
			if r == utf8.RuneError && size == 1 {
				return at, fmt.Sprintf("byte %#02x is not UTF-8", c)
			}
			if r >= 0x80 && r < 0xa0 && r != 0x85 || r == 0xfffe || r == 0xffff {
				return at, fmt.Sprintf("control character %U", r)
			}
			at += size
			continue
		case c == 0:
			return at, "NUL byte, want UTF-8 text"
		case c < ' ' && c != '\t' && c != '\n' && c != '\r' || c == 0x7f:
			return at, fmt.Sprintf("control character %U", c)
		}
		at++
	}
	return 0, ""
}

// lineColumn returns the line and column of a byte of text, from 1.
func lineColumn(text []byte, at int) (line, column int) {
	before := text[:at]
	start := bytes.LastIndexByte(before, '\n') + 1
	return bytes.Count(before, []byte("\n")) + 1, utf8.RuneCount(before[start:]) + 1
}

// manyValues reports whether a document has more than maxValues values, as far
// as its separators tell: each node of a tree takes some 200 bytes, so a short
// text can become a large tree.
func manyValues(text []byte) bool {
	if len(text) < maxValues/2 {
		return false
	}
	n := 1
	for i, c := range text {
		next := byte('\n')
		if i+1 < len(text) {
			next = text[i+1]
		}
		switch c {
		case ',', '?':
			n += 2
		case '[', '{':
			n++
		case '-':
			if next <= ' ' {
				n++
			}
		case ':':
			if next <= ' ' || i > 0 && strings.IndexByte(`"'`, text[i-1]) >= 0 || strings.IndexByte(",[]{}", next) >= 0 {
				n += 2
			}
		}
	}
	return n > maxValues
}

// tooDeep returns the first node that stands deeper than maxDepth.
func tooDeep(n *yaml.Node, depth int) *yaml.Node {
	if depth > maxDepth {
		return n
	}
	for _, c := range n.Content {
		if deep := tooDeep(c, depth+1); deep != nil {
			return deep
		}
	}
	return nil
}
