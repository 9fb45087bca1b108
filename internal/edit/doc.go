// Package edit takes entries out of texts of YAML and JSON.
//
// Every byte that belongs to no entry taken out stays what it was: comments,
// formatting, line ends. What comes out is parsed again, and is the tree that
// went in without these entries, or there is an error.
package edit

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"strings"

	"go.yaml.in/yaml/v3"
)

// Text is a text of one or more documents. It does not change.
type Text struct {
	bytes []byte
	lines []int        // where each line begins, and the end of the text
	roots []*yaml.Node // of each document that holds something
	isBOM int          // length of the byte order mark, 0 without one
	// objects holds the documents and items of lists by where their first key stands.
	objects map[linePos]entry
}

// linePos is a line and column of the parser, from 1.
type linePos struct{ line, column int }

const byteOrderMark = "\xef\xbb\xbf"

// Parse reads a text. The error says why entries cannot be taken out of it: it
// is not YAML, ends lines in a way that editors do not, or shares values
// through anchors, so that what stands in one place means something in another.
func Parse(text []byte) (*Text, error) {
	t := &Text{bytes: text, lines: []int{0}}
	if bytes.HasPrefix(text, []byte(byteOrderMark)) {
		t.isBOM = len(byteOrderMark)
		t.lines[0] = t.isBOM
	}
	if oddBreaks(text) {
		return nil, errors.New("some of its lines end in a lone CR, NEL, LS or PS")
	}
	for i, c := range text {
		if c == '\n' && i+1 < len(text) {
			t.lines = append(t.lines, i+1)
		}
	}
	t.lines = append(t.lines, len(text))
	var err error
	if t.roots, err = parse(text[t.isBOM:]); err != nil {
		return nil, err
	}
	for _, r := range t.roots {
		if n := anchored(r); n != nil {
			return nil, fmt.Errorf("line %d has an anchor or an alias of one", n.Line)
		}
	}
	t.objects = map[linePos]entry{}
	for _, r := range t.roots {
		t.index(entry{node: r})
	}
	return t, nil
}

// Empty reports whether no document of t holds anything.
func (t *Text) Empty() bool { return len(t.roots) == 0 }

// parse returns the root of each document, but of those that hold nothing.
func parse(text []byte) (roots []*yaml.Node, err error) {
	defer func() {
		if r := recover(); r != nil { // the parser panics on some texts
			err = fmt.Errorf("not YAML: %v", r)
		}
	}()
	dec := yaml.NewDecoder(bytes.NewReader(text))
	for {
		n := new(yaml.Node)
		switch err := dec.Decode(n); {
		case err == io.EOF:
			return roots, nil
		case err != nil:
			return nil, fmt.Errorf("not YAML: %w", err)
		case len(n.Content) == 1 && n.Content[0].Tag != "!!null":
			roots = append(roots, n.Content[0])
		}
	}
}

// oddBreaks reports whether the parser sees other lines in text than an editor
// (YAML 1.1, section 4.1.4).
func oddBreaks(text []byte) bool {
	for _, s := range []string{"\u0085", "\u2028", "\u2029"} {
		if bytes.Contains(text, []byte(s)) {
			return true
		}
	}
	return bytes.Count(text, []byte("\r")) != bytes.Count(text, []byte("\r\n"))
}

// anchored returns the first node below n that has an anchor or is an alias.
func anchored(n *yaml.Node) *yaml.Node {
	if n.Anchor != "" || n.Kind == yaml.AliasNode {
		return n
	}
	for _, c := range n.Content {
		if a := anchored(c); a != nil {
			return a
		}
	}
	return nil
}

// lineOf returns the line, from 0, that holds the byte at an offset.
func (t *Text) lineOf(at int) int {
	lo, hi := 0, len(t.lines)-2
	for lo < hi {
		mid := (lo + hi + 1) / 2
		if t.lines[mid] <= at {
			lo = mid
		} else {
			hi = mid - 1
		}
	}
	return lo
}

// count returns how many lines there are.
func (t *Text) count() int { return len(t.lines) - 1 }

// line returns line i, from 0, with its end.
func (t *Text) line(i int) []byte { return t.bytes[t.lines[i]:t.lines[i+1]] }

// indent returns how many spaces line i begins with, and what stands behind them
// without white space at the end, "" on a blank line.
func (t *Text) indent(i int) (n int, rest string) {
	line := string(t.line(i))
	rest = strings.TrimLeft(line, " ")
	return len(line) - len(rest), strings.TrimSpace(rest)
}

func (t *Text) blank(i int) bool {
	_, rest := t.indent(i)
	return rest == ""
}

// comment reports whether line i is a comment that begins behind n spaces.
func (t *Text) comment(i, n int) bool {
	indent, rest := t.indent(i)
	return indent == n && strings.HasPrefix(rest, "#")
}

// isMarker reports whether line i begins with the document marker m.
func (t *Text) isMarker(i int, m string) bool {
	rest, ok := strings.CutPrefix(string(t.line(i)), m)
	return ok && (rest == "" || strings.IndexByte(" \t\r\n", rest[0]) >= 0)
}
