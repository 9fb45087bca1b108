package edit

import (
	"bytes"
	"fmt"
	"strings"

	"go.yaml.in/yaml/v3"
)

// flowItem is where one entry of a sequence in flow style stands, in offsets.
type flowItem struct {
	start, end int
	comma      int // behind it, -1 without one
}

// next returns the offset behind the item and its comma.
func (f *flowItem) next() int { return max(f.end, f.comma+1) }

// flow marks the entries of a sequence in flow style.
func (r *remover) flow(seq *yaml.Node) error {
	items, err := r.flowItems(seq)
	if err != nil {
		return err
	}
	for i := 0; i < len(items); i++ {
		if !r.gone[seq.Content[i]] {
			continue
		}
		j := i
		for j+1 < len(items) && r.gone[seq.Content[j+1]] {
			j++
		}
		r.flowRun(items, i, j)
		i = j
	}
	return nil
}

// flowRun marks the entries from i to j, of which neither neighbour goes.
func (r *remover) flowRun(items []flowItem, i, j int) {
	from, to := items[i].start, items[j].next()
	if i > 0 && j == len(items)-1 && items[j].comma < 0 {
		// The comma before goes too: JSON has none behind the last entry.
		r.dropRange(items[i-1].comma, items[i-1].comma+1)
	}
	first, last := r.lineOf(from), r.lineOf(to-1)
	before, behind := r.bytes[r.lines[first]:from], bytes.TrimSpace(r.bytes[to:r.lines[last+1]])
	if len(bytes.TrimSpace(before)) == 0 && (len(behind) == 0 || behind[0] == '#') {
		r.dropLines(r.headOf(first, len(before)), last, i == 0)
		return
	}
	switch begins := len(bytes.TrimSpace(before)) == 0; {
	case !begins && (len(behind) == 0 || j == len(items)-1):
		from -= len(before) - len(bytes.TrimRight(before, " \t"))
	case j < len(items)-1:
		for strings.IndexByte(" \t", r.bytes[to]) >= 0 {
			to++
		}
	}
	r.dropRange(from, to)
}

// flowItems finds the entries of a sequence in flow style.
func (r *remover) flowItems(seq *yaml.Node) ([]flowItem, error) {
	s := flowScanner{text: r.bytes, at: r.offset(seq), item: flowItem{start: -1}}
	if !s.run() || len(s.items) != len(seq.Content) {
		return nil, fmt.Errorf("the entries of the list at line %d cannot be told apart", seq.Line)
	}
	for i, n := range seq.Content {
		if r.offset(n) != s.items[i].start {
			return nil, fmt.Errorf("the entry at line %d cannot be told from what is around it", n.Line)
		}
	}
	return s.items, nil
}

// flowScanner cuts a sequence in flow style into its entries. It knows brackets,
// quotes and comments, no more; who uses it parses what comes out.
type flowScanner struct {
	text  []byte
	at    int
	depth int
	items []flowItem
	item  flowItem // being read; start is -1 before it
}

// run reads from the bracket at s.at to the one that closes it.
func (s *flowScanner) run() bool {
	if s.at >= len(s.text) || s.text[s.at] != '[' {
		return false
	}
	s.at++
	begins := true // a quote here opens a quoted text
	for s.at < len(s.text) {
		c := s.text[s.at]
		switch {
		case c == ' ' || c == '\t' || c == '\r' || c == '\n':
			begins = true
			s.at++
			continue
		case c == '#' && strings.IndexByte(" \t\n", s.text[s.at-1]) >= 0:
			for s.at < len(s.text) && s.text[s.at] != '\n' {
				s.at++
			}
			continue
		case s.depth == 0 && c == ',':
			s.finish(s.at)
			begins = true
			s.at++
			continue
		case s.depth == 0 && c == ']':
			s.finish(-1)
			return true
		}
		end := s.at + 1
		switch {
		case begins && (c == '"' || c == '\''):
			end = quoted(s.text, s.at)
		case c == '[' || c == '{':
			s.depth++
		case c == ']' || c == '}':
			s.depth--
		}
		begins = strings.IndexByte(",[{:", c) >= 0
		s.take(end)
	}
	return false
}

// take counts what stands up to end to the item.
func (s *flowScanner) take(end int) {
	if s.item.start < 0 {
		s.item.start = s.at
	}
	s.at, s.item.end = end, end
}

// finish ends the item, if there is one.
func (s *flowScanner) finish(comma int) {
	if s.item.start >= 0 {
		s.item.comma = comma
		s.items = append(s.items, s.item)
	}
	s.item = flowItem{start: -1}
}

// quoted returns the offset behind the quoted text that begins at an offset.
func quoted(text []byte, at int) int {
	q := text[at]
	for at++; at < len(text); at++ {
		switch {
		case text[at] == '\\' && q == '"':
			at++
		case text[at] == q && q == '\'' && at+1 < len(text) && text[at+1] == q:
			at++
		case text[at] == q:
			return at + 1
		}
	}
	return len(text)
}
