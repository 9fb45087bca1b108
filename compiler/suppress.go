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

// scanSuppressions finds the suppression comments of a YAML text. It reads lines,
// not YAML: one inside a block scalar counts too, and is reported as unused.
func scanSuppressions(file string, text []byte) []Suppression {
	if !bytes.Contains(text, []byte("trafficpolicy:ignore")) {
		return nil
	}
	var out []Suppression
	waiting := 0 // how many at the end of out have no line yet
	for n, line := range bytes.Split(text, []byte("\n")) {
		code := bytes.TrimSpace(line)
		if len(code) > 0 && code[0] != '#' {
			for i := len(out) - waiting; i < len(out); i++ {
				out[i].Line = n + 1
			}
			waiting = 0
		}
		m := suppressionComment.FindSubmatchIndex(line)
		if m == nil {
			continue
		}
		hash := m[0] + bytes.IndexByte(line[m[0]:], '#')
		s := Suppression{Pos: model.Pos{File: file, Line: n + 1, Column: utf8.RuneCount(line[:hash]) + 1}, Line: n + 1}
		if m[2] >= 0 {
			s.Code = model.Code(line[m[2]:m[3]])
		}
		if m[4] >= 0 {
			s.Reason = string(line[m[4]:m[5]])
		}
		if code[0] == '#' {
			waiting++
		}
		out = append(out, s)
	}
	return out
}
