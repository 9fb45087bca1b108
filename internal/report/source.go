package report

import (
	"bytes"
	"io"
	"os"
	"strings"
	"unicode"
	"unicode/utf8"

	"github.com/clipperhouse/displaywidth"

	"github.com/trafficpolicy/trafficpolicy/model"
)

// maxSource is the largest file, in bytes, that is read again to show a line of
// it: policies are smaller, and of a cluster dump one line says little.
const maxSource = 16 << 20

// maxExcerpt is the most characters of a line that are shown.
const maxExcerpt = 120

// sources reads lines of input files, each file once. The zero value is ready to use.
type sources struct {
	files map[string]*source
}

// source is the text of one file and where its lines begin.
type source struct {
	text   []byte
	starts []int
}

// line returns line n of file (from 1), false where it cannot be read again:
// standard input, a file that is gone or is too large.
func (s *sources) line(file string, n int) (string, bool) {
	if s.files == nil {
		s.files = map[string]*source{}
	}
	src := s.files[file]
	if src == nil {
		src = newSource(readSource(file))
		s.files[file] = src
	}
	if n < 1 || n > len(src.starts) {
		return "", false
	}
	text := src.text[src.starts[n-1]:]
	if i := bytes.IndexByte(text, '\n'); i >= 0 {
		text = text[:i]
	}
	return strings.TrimSuffix(string(text), "\r"), true
}

func newSource(text []byte) *source {
	s := &source{text: text}
	for at := 0; at < len(text); {
		s.starts = append(s.starts, at)
		i := bytes.IndexByte(text[at:], '\n')
		if i < 0 {
			break
		}
		at += i + 1
	}
	return s
}

func readSource(file string) []byte {
	info, err := os.Stat(file)
	if err != nil || !info.Mode().IsRegular() || info.Size() > maxSource {
		return nil
	}
	f, err := os.Open(file)
	if err != nil {
		return nil
	}
	defer f.Close()
	text, err := io.ReadAll(io.LimitReader(f, maxSource))
	if err != nil {
		return nil
	}
	return text
}

// excerpt returns the source line of p and, below it, the marks under what
// stands at its column; false where there is nothing to show. Tabs stay, so that
// the marks line up, below characters of two columns too; other control characters
// show as U+FFFD.
func (s *sources) excerpt(p model.Pos) (line, marks string, ok bool) {
	text, ok := s.line(p.File, p.Line)
	if !ok || p.Column < 1 {
		return "", "", false
	}
	runes := []rune(text)
	if p.Column > len(runes) {
		return "", "", false
	}
	at := p.Column - 1
	width := subjectWidth(runes[at:])
	ellipsis := ""
	if at+width > maxExcerpt { // move the window so that the subject is in it
		cut := max(0, at-maxExcerpt/2)
		runes, at, ellipsis = runes[cut:], at-cut, "..."
	}
	if len(runes) > maxExcerpt {
		runes = append(runes[:maxExcerpt:maxExcerpt], []rune("...")...)
	}
	width = min(width, len(runes)-at)
	for i, r := range runes {
		if r != '\t' && !unicode.IsPrint(r) {
			runes[i] = utf8.RuneError
		}
	}
	marks = blank(ellipsis+string(runes[:at])) + "^" + strings.Repeat("~", max(1, displaywidth.String(string(runes[at:at+width])))-1)
	return ellipsis + string(runes), marks, true
}

// blank returns blanks as wide as s shows on a terminal. Tabs stay tabs.
func blank(s string) string {
	parts := strings.Split(s, "\t")
	for i := range parts {
		parts[i] = strings.Repeat(" ", displaywidth.String(parts[i]))
	}
	return strings.Join(parts, "\t")
}

// subjectWidth returns how many runes of rs belong to the value or key that
// begins there: a quoted text whole, anything else up to what ends it.
func subjectWidth(rs []rune) int {
	if q := rs[0]; q == '"' || q == '\'' {
		for i := 1; i < len(rs); i++ {
			if rs[i] == '\\' && q == '"' {
				i++
			} else if rs[i] == q {
				return i + 1
			}
		}
		return len(rs)
	}
	for i, r := range rs {
		if i == 0 {
			continue
		}
		if unicode.IsSpace(r) || strings.ContainsRune(",}]{[", r) || r == ':' && (i+1 == len(rs) || unicode.IsSpace(rs[i+1])) {
			return i
		}
	}
	return len(rs)
}
