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
	// before it, otherwise the next one that is neither blank nor a comment.
	Line int
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
}

// scan takes the next document; before is the number of lines ahead of it.
func (s *suppressions) scan(text []byte, before int) {
	if s.waiting == 0 && !bytes.Contains(text, []byte("trafficpolicy:ignore")) {
		return
	}
	for i, line := range bytes.Split(text, []byte("\n")) {
		s.line(line, before+i+1)
	}
}

func (s *suppressions) line(line []byte, n int) {
	code := bytes.TrimSpace(line)
	if len(code) > 0 && code[0] != '#' && !bytes.HasPrefix(line, []byte("---")) {
		for i := len(s.found) - s.waiting; i < len(s.found); i++ {
			s.found[i].Line = n
		}
		s.waiting = 0
	}
	m := suppressionComment.FindSubmatchIndex(line)
	if m == nil {
		return
	}
	hash := m[0] + bytes.IndexByte(line[m[0]:], '#')
	c := Suppression{Pos: model.Pos{File: s.file, Line: n, Column: utf8.RuneCount(line[:hash]) + 1}, Line: n}
	if m[2] >= 0 {
		c.Code = model.Code(line[m[2]:m[3]])
	}
	if m[4] >= 0 {
		c.Reason = string(line[m[4]:m[5]])
	}
	if code[0] == '#' {
		s.waiting++
	}
	s.found = append(s.found, c)
}
