package edit

import (
	"errors"
	"fmt"
	"strings"

	"go.yaml.in/yaml/v3"
)

// block marks the entries of a sequence in block style: whole lines.
func (r *remover) block(seq *yaml.Node) error {
	dash := seq.Column - 1 // spaces before each dash
	firsts := make([]int, len(seq.Content)+1)
	above := seq.Line - 2
	for i, n := range seq.Content {
		line := n.Line - 1
		for ; line > above; line-- {
			if indent, rest := r.indent(line); indent == dash && (rest == "-" || strings.HasPrefix(rest, "- ") || strings.HasPrefix(rest, "-\t")) {
				break
			}
		}
		if line == above {
			return fmt.Errorf("the entry at line %d does not begin its line", n.Line)
		}
		firsts[i], above = line, line
	}
	firsts[len(seq.Content)] = r.blockEnd(lastLine(seq), dash)
	begins := true
	for i, n := range seq.Content {
		if !r.gone[n] {
			begins = false
			continue
		}
		last := r.lastOf(firsts[i], firsts[i+1], dash)
		r.dropLines(r.headOf(firsts[i], dash), last, begins)
	}
	return nil
}

// blockEnd returns the line behind a block whose content goes on at least up to
// line, from 1, and is indented more than n.
func (t *Text) blockEnd(line, n int) int {
	for ; line < t.count(); line++ {
		if indent, rest := t.indent(line); rest != "" && indent <= n && !strings.HasPrefix(rest, "#") {
			break
		}
	}
	return line
}

// lastOf returns the last line of an entry that begins at first, indented by n,
// and ends before limit. Comments that are indented more belong to it.
func (t *Text) lastOf(first, limit, n int) int {
	for last := limit - 1; last > first; last-- {
		if indent, rest := t.indent(last); rest != "" && (indent > n || !strings.HasPrefix(rest, "#")) {
			return last
		}
	}
	return first
}

// headOf returns the first of the comment lines directly above a line that are
// indented by n, as it is.
func (t *Text) headOf(line, n int) int {
	for line > 0 && t.comment(line-1, n) {
		line--
	}
	return line
}

// lastLine returns the last line, from 1, that a node below n begins at.
func lastLine(n *yaml.Node) int {
	last := n.Line
	for _, c := range n.Content {
		last = max(last, lastLine(c))
	}
	return last
}

// document marks a document with its marker, which stays where comments that are
// not the object's own would lose it.
func (r *remover) document(root *yaml.Node) error {
	line := root.Line - 1
	if r.isMarker(line, "---") {
		return fmt.Errorf("the object at line %d begins on the line of its marker", root.Line)
	}
	n := root.Column - 1
	first := r.headOf(line, n)
	above := first - 1
	for above >= 0 && !r.isMarker(above, "---") {
		if _, rest := r.indent(above); rest != "" && !strings.HasPrefix(rest, "#") {
			return fmt.Errorf("the document at line %d begins with a directive", root.Line)
		}
		above--
	}
	limit := line + 1
	for limit < r.count() && !r.isMarker(limit, "---") {
		if r.isMarker(limit, "...") {
			return errors.New("a document ends with the marker \"...\"")
		}
		limit++
	}
	last := r.lastOf(line, limit, n)
	bare := true
	for i := above + 1; i < limit; i++ {
		bare = bare && (i >= first && i <= last || r.blank(i))
	}
	if bare {
		r.dropRange(r.lines[max(above, 0)], r.lines[limit])
		return nil
	}
	r.dropLines(first, last, false)
	return nil
}
