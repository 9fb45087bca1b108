package compiler

import (
	"bytes"
	"regexp"
	"unicode/utf8"

	"github.com/trafficpolicy/trafficpolicy/model"
)

// Suppression is one comment "# trafficpolicy:ignore CODE reason".
type Suppression struct {
	Code   model.Code // as written, known or not
	Reason string     // may be missing
	Pos    model.Pos  // of the #
	// Line is the line that the comment is about: its own where something stands
	// before it, that of what they close where only brackets do, otherwise the next
	// one that is no comment. It is 0 where that is blank or ends the document.
	Line int
	// Above reports whether the comment has lines of its own, above Line.
	Above bool
}

// A # begins a comment at the start of a line or after white space (YAML 1.2.2,
// section 6.6).
var suppressionComment = regexp.MustCompile(`(?:^|[ \t])#[ \t]*trafficpolicy:ignore(?:[ \t]+([^ \t\r]+)(?:[ \t]+([^\r]*[^ \t\r]))?)?[ \t\r]*$`)

// suppressions finds suppression comments in the documents of one YAML stream,
// given in order. It reads lines, not YAML: one inside a block scalar counts
// too, and is reported as unused.
type suppressions struct {
	file    string
	found   []Suppression
	waiting int // how many at the end of found have no line yet
	content int // the last line with more than brackets
}

// scan takes the next document; before is the number of lines ahead of it.
func (s *suppressions) scan(text []byte, before int) {
	if !bytes.Contains(text, []byte("trafficpolicy:ignore")) {
		s.settle(0)
		return
	}
	for i, line := range bytes.Split(text, []byte("\n")) {
		s.line(line, before+i+1)
	}
}

func (s *suppressions) line(line []byte, n int) {
	code := bytes.TrimSpace(line)
	m := suppressionComment.FindSubmatchIndex(line)
	hash := -1
	if m != nil {
		hash = m[0] + bytes.IndexByte(line[m[0]:], '#')
		code = bytes.TrimSpace(line[:hash])
	} else if len(code) > 0 && code[0] == '#' {
		return // a remark between the comment and what it is about
	}
	opens := len(bytes.Trim(code, "-{[ \t")) == 0 && len(code) > 0 && !bytes.HasPrefix(line, []byte("---"))
	above := m != nil && len(code) == 0
	switch {
	case above || opens: // the first key is on a line to come
	case len(code) == 0 || bytes.HasPrefix(line, []byte("---")):
		s.settle(0)
	default:
		s.settle(n)
	}
	if len(bytes.Trim(code, "]}, \t")) > 0 {
		s.content = n
	}
	if m == nil {
		return
	}
	c := Suppression{Pos: model.Pos{File: s.file, Line: n, Column: utf8.RuneCount(line[:hash]) + 1}, Line: s.content, Above: above}
	if m[2] >= 0 {
		c.Code = model.Code(line[m[2]:m[3]])
	}
	if m[4] >= 0 {
		c.Reason = string(line[m[4]:m[5]])
	}
	if above || opens {
		c.Line = 0
		s.waiting++
	}
	s.found = append(s.found, c)
}

// settle says which line the comments are about that wait for one.
func (s *suppressions) settle(line int) {
	for i := len(s.found) - s.waiting; i < len(s.found); i++ {
		s.found[i].Line = line
	}
	s.waiting = 0
}
