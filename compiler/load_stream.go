package compiler

import (
	"bufio"
	"bytes"
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"io"
	"path/filepath"
	"strings"

	"github.com/trafficpolicy/trafficpolicy/model"
)

var utf8BOM = []byte("\xef\xbb\xbf")

// read takes all objects of one file or of standard input.
func (l *loader) read(ctx context.Context, in inputFile) error {
	src := &source{document: &document{file: in.path}, inventory: in.inventory, found: in.found}
	var r io.Reader
	if in.path == "-" {
		src.file = StdinName
		r = &l.stdin
	} else {
		f, err := l.open(in.path)
		if err != nil {
			return err
		}
		defer f.Close()
		r = f
	}
	src.path = in.path
	whole := &digestReader{r: r, hash: sha256.New()}
	if l.snapshot {
		r = whole
	}
	if err := l.stream(ctx, src, r); err != nil {
		return fmt.Errorf("read %s: %w", model.Printable(src.file), err)
	}
	if n := len(l.sources); l.snapshot && src.text && in.path != "-" {
		l.sources[n-1].digest = whole.digest()
	}
	if in.path == "-" {
		l.in.lines.stdin = l.stdin.text()
	}
	return nil
}

// beginSource notes that the objects of a file follow; path is what it is counted
// by.
func (l *loader) beginSource(name, path string) {
	l.count(path)
	l.sources = append(l.sources, sourceFile{name: name, sourceMark: sourceMark{len(l.objects), len(l.findings), len(l.in.Suppressions)}})
}

// count counts a file that was read, once by whatever name.
func (l *loader) count(path string) {
	if real, err := filepath.EvalSymlinks(path); err == nil {
		path = real
	}
	if abs, err := filepath.Abs(path); err == nil {
		path = abs
	}
	if !l.counted[path] {
		l.counted[path] = true
		l.in.Files++
	}
}

// stream tells JSON, YAML and compact inventories apart and takes all objects of r.
func (l *loader) stream(ctx context.Context, src *source, r io.Reader) error {
	if l.buffer == nil {
		l.buffer = bufio.NewReaderSize(nil, sniffSize)
	}
	l.buffer.Reset(r)
	head, err := l.buffer.Peek(sniffSize)
	if err != nil && !errors.Is(err, io.EOF) {
		return err
	}
	whole := err != nil
	if IsCompactInventory(head) && l.take == nil {
		if src.file == StdinName {
			l.stdin.forget() // it has no lines
		}
		return l.compactStream(ctx, src, l.buffer)
	}
	l.beginSource(src.file, src.path)
	src.text, l.in.direct[src.file] = true, true
	if IsCompactInventory(head) {
		l.textError(src.document, 1, 1, "not YAML or JSON: the file is a compact inventory")
		return nil
	}
	if bytes.HasPrefix(head, []byte("\xff\xfe")) || bytes.HasPrefix(head, []byte("\xfe\xff")) {
		l.textError(src.document, 1, 1, "not YAML or JSON: the text is UTF-16, want UTF-8")
		return nil
	}
	if bytes.HasPrefix(head, utf8BOM) {
		l.buffer.Discard(len(utf8BOM))
		head = head[len(utf8BOM):]
	}
	if isJSON(head, whole, strings.EqualFold(filepath.Ext(src.file), ".json")) {
		return l.jsonStream(ctx, src, l.buffer)
	}
	return l.yamlStream(ctx, src, l.buffer)
}

// isJSON reports whether a text that begins with head is JSON. YAML in flow
// style looks much the same: where the text is there as a whole, that it can be
// read as JSON decides, else what follows the first brace.
func isJSON(head []byte, whole, named bool) bool {
	text := bytes.TrimLeft(head, " \t\r\n")
	switch {
	case named:
		return true
	case len(text) == 0 || text[0] != '{':
		return false
	case whole:
		return validJSON(head)
	}
	text = bytes.TrimLeft(text[1:], " \t\r\n")
	return len(text) > 0 && (text[0] == '"' || text[0] == '}')
}

// textError adds a finding about a text that is no YAML or JSON.
func (l *loader) textError(doc *document, line, column int, message string) {
	l.findings = append(l.findings, model.NewFinding(model.ParseError, model.Pos{File: doc.file, Line: line, Column: column}, message))
}

// stdin is standard input that remembers what was read, up to maxStdinKept.
type stdin struct {
	r    io.Reader
	kept []byte
	lost bool // there was more
}

func (s *stdin) Read(b []byte) (int, error) {
	n, err := s.r.Read(b)
	switch {
	case s.lost:
	case len(s.kept)+n > maxStdinKept:
		s.kept, s.lost = nil, true
	default:
		s.kept = append(s.kept, b[:n]...)
	}
	return n, err
}

// forget has nothing of standard input remembered.
func (s *stdin) forget() { s.kept, s.lost = nil, true }

// text returns what was read, nil where that is too much to keep.
func (s *stdin) text() []byte { return s.kept }
