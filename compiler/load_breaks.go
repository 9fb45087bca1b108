package compiler

import (
	"bytes"
	"unicode/utf8"
)

// lineBreaks translates the parser's lines to those of an editor. YAML 1.1, and
// the parser with it, also ends lines at a lone CR, at NEL, LS and PS (YAML 1.1,
// section 4.1.4), which editors show within a line.
type lineBreaks struct {
	text   []byte
	starts []int // of the parser's lines
}

// oddBreaks returns the translation for text, nil where none is needed.
func oddBreaks(text []byte) *lineBreaks {
	odd := bytes.Contains(text, []byte("\u0085")) || bytes.Contains(text, []byte("\u2028")) || bytes.Contains(text, []byte("\u2029")) ||
		bytes.Count(text, []byte("\r")) != bytes.Count(text, []byte("\r\n"))
	if !odd {
		return nil
	}
	b := &lineBreaks{text: text, starts: []int{0}}
	for i := 0; i < len(text); {
		r, size := utf8.DecodeRune(text[i:])
		i += size
		switch r {
		case '\r':
			if i < len(text) && text[i] == '\n' {
				continue
			}
			fallthrough
		case '\n', '\u0085', '\u2028', '\u2029':
			b.starts = append(b.starts, i)
		}
	}
	return b
}

// place returns the line and column in an editor of those of the parser.
func (b *lineBreaks) place(line, column int) (int, int) {
	if line < 1 || line > len(b.starts) {
		return line, column
	}
	at := b.starts[line-1]
	for ; column > 1 && at < len(b.text); column-- {
		_, size := utf8.DecodeRune(b.text[at:])
		at += size
	}
	return lineColumn(b.text, at)
}
