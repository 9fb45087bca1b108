package edit

import (
	"errors"
	"fmt"
	"strings"
	"unicode/utf8"

	"go.yaml.in/yaml/v3"
)

// Remove returns the text without the entries at places. Comments on the lines
// directly above an entry, indented as it is, and those within it go with it,
// and one of two blank lines that then meet. A list of rules or items may lose
// all its entries and is then []; any other would get another meaning, so that
// is an error, as is an entry that cannot be told from what is around it.
func (t *Text) Remove(places []Place) ([]byte, error) {
	r := &remover{Text: t, gone: map[*yaml.Node]bool{}, drop: make([]bool, len(t.bytes)), above: make([]int, t.count()), insert: map[int]string{}}
	var lists []entry // one for each sequence, in order
	known := map[*yaml.Node]bool{}
	for _, p := range places {
		e, err := t.find(p)
		if err != nil {
			return nil, err
		}
		if p.Field != "" && e.seq == nil {
			return nil, fmt.Errorf("%s is no entry of a list", p)
		}
		switch r.gone[e.node] = true; {
		case e.seq == nil:
			if err := r.document(e.node); err != nil {
				return nil, err
			}
		case !known[e.seq]:
			known[e.seq] = true
			lists = append(lists, e)
		}
	}
	for _, e := range lists {
		if err := r.list(e); err != nil {
			return nil, err
		}
	}
	return r.result()
}

// remover marks what goes.
type remover struct {
	*Text
	gone   map[*yaml.Node]bool
	drop   []bool         // by byte
	above  []int          // of a line that goes: one before it, and all in between go
	insert map[int]string // before the byte at an offset

	last struct { // what offset was asked for
		linePos
		at int
	}
}

// offset returns where a node begins. It goes on from where it was, so that all
// nodes of a long line take one walk of it.
func (r *remover) offset(n *yaml.Node) int {
	if n.Line != r.last.line || n.Column < r.last.column {
		r.last.linePos, r.last.at = linePos{n.Line, 1}, r.lines[n.Line-1]
	}
	for ; r.last.column < n.Column && r.last.at < len(r.bytes); r.last.column++ {
		_, size := utf8.DecodeRune(r.bytes[r.last.at:])
		r.last.at += size
	}
	return r.last.at
}

// emptyLists are lists that mean the same without entries as without the last
// one that matched nothing.
var emptyLists = map[string]bool{"rules": true, "items": true}

// list marks the entries of one sequence.
func (r *remover) list(e entry) error {
	left := 0
	for _, n := range e.seq.Content {
		if !r.gone[n] {
			left++
		}
	}
	if left == 0 && (e.key == nil || !emptyLists[e.key.Value]) {
		return fmt.Errorf("nothing would be left of the list at line %d, which then means everything", e.seq.Line)
	}
	if e.seq.Style&yaml.FlowStyle != 0 {
		return r.flow(e.seq)
	}
	if left == 0 {
		if err := r.writeEmpty(e.key); err != nil {
			return err
		}
	}
	return r.block(e.seq)
}

// writeEmpty gives a key the value [] in place of its entries.
func (r *remover) writeEmpty(key *yaml.Node) error {
	at := r.offset(key)
	rest := string(r.bytes[at:])
	name := strings.Trim(rest[:strings.IndexByte(rest, ':')+1], ` "':`)
	if name != key.Value {
		return fmt.Errorf("the key at line %d cannot be told from its value", key.Line)
	}
	r.insert[at+strings.IndexByte(rest, ':')+1] = " []"
	return nil
}

// dropLines drops the lines from first to last, and of two blank lines that then
// meet the second. begins says that nothing of the list stands before, so that
// the blank line behind parted what is gone from what stays.
func (r *remover) dropLines(first, last int, begins bool) {
	before := first - 1
	for before >= 0 && r.dropped(before) {
		before = r.above[before]
	}
	parted := begins || before < 0 || r.blank(before)
	switch {
	case parted && last+1 < r.count() && r.blank(last+1):
		last++
	case before >= 0 && r.blank(before) && last+1 == r.count():
		r.dropRange(r.lines[before], r.lines[before+1])
		before--
		r.above[before+1] = before
	}
	r.dropRange(r.lines[first], r.lines[last+1])
	for line := first; line <= last; line++ {
		r.above[line] = before
	}
}

func (r *remover) dropRange(from, to int) {
	for i := from; i < to; i++ {
		r.drop[i] = true
	}
}

// dropped reports whether line i goes as a whole.
func (r *remover) dropped(i int) bool { return r.drop[r.lines[i]] && r.drop[r.lines[i+1]-1] }

// result writes what is left and holds that it is what is meant.
func (r *remover) result() ([]byte, error) {
	out := make([]byte, 0, len(r.bytes))
	for i, c := range r.bytes {
		out = append(out, r.insert[i]...)
		if !r.drop[i] {
			out = append(out, c)
		}
	}
	out = append(out, r.insert[len(r.bytes)]...)
	after, err := Parse(out)
	if err != nil {
		return nil, fmt.Errorf("the entries cannot be cut out of the text around them: %w", err)
	}
	if !sameNodes(r.roots, after.roots, r.gone) {
		return nil, errors.New("the entries cannot be cut out of the text around them")
	}
	return out, nil
}
