package compiler

import (
	"bytes"
	"os"
	"strings"
	"sync"
)

// sourceLines finds lines of inputs for messages.
type sourceLines struct {
	mu    sync.Mutex
	stdin []byte // nil where it was too large, or not read
	mixed bool   // a compact inventory names standard input: which one is meant, is not known
	file  string // the file that text is of
	text  []byte
}

// maxSourceText is the size in bytes up to which a file is read for the line of
// a finding.
const maxSourceText = 64 << 20

// SourceLine returns a line of an input, from 1, without its end, and whether it
// is there: a file may have changed since, or be too large. It is read from disk
// when asked for. Safe for concurrent use.
func (in *Input) SourceLine(file string, line int) (string, bool) {
	s := &in.lines
	s.mu.Lock()
	defer s.mu.Unlock()
	text := s.stdin
	if s.mixed {
		text = nil
	}
	if file != StdinName {
		text = s.read(file)
	}
	text = bytes.TrimPrefix(text, utf8BOM)
	for ; line > 1; line-- {
		i := bytes.IndexByte(text, '\n')
		if i < 0 {
			return "", false
		}
		text = text[i+1:]
	}
	if line < 1 || len(text) == 0 {
		return "", false
	}
	if i := bytes.IndexByte(text, '\n'); i >= 0 {
		text = text[:i]
	}
	return strings.TrimSuffix(strings.ToValidUTF8(string(text), "\uFFFD"), "\r"), true
}

// read returns the text of a file, nil where it cannot be had. The last one is
// kept: findings are sorted by file.
func (s *sourceLines) read(file string) []byte {
	if file == s.file {
		return s.text
	}
	s.file, s.text = file, nil
	info, err := os.Stat(file)
	if err != nil || !info.Mode().IsRegular() || info.Size() > maxSourceText {
		return nil
	}
	s.text, _ = os.ReadFile(file)
	return s.text
}
