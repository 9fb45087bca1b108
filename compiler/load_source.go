package compiler

import (
	"bytes"
	"crypto/sha256"
	"hash"
	"io"
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
// when asked for. Of a file that only a compact inventory names there are lines if
// it is what that was made of: whoever wrote that has no say in which files of this
// machine are shown. Safe for concurrent use.
func (in *Input) SourceLine(file string, line int) (string, bool) {
	s := &in.lines
	s.mu.Lock()
	defer s.mu.Unlock()
	text := s.stdin
	if s.mixed {
		text = nil
	}
	if file != StdinName {
		text = s.read(file, in.mayShow)
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

// mayShow reports whether lines of text, which is what file holds now, may be shown.
func (in *Input) mayShow(file string, text []byte) bool {
	digest, copied := in.copied[file]
	return !copied || in.direct[file] || digest == textDigest(text)
}

func textDigest(text []byte) string {
	sum := sha256.Sum256(text)
	return string(sum[:])
}

// digestReader reads r and finds the digest of what it has, unless that is larger
// than any text that lines are shown of.
type digestReader struct {
	r    io.Reader
	hash hash.Hash
	size int
}

func (d *digestReader) Read(b []byte) (int, error) {
	n, err := d.r.Read(b)
	if d.size += n; d.size <= maxSourceText {
		d.hash.Write(b[:n])
	}
	return n, err
}

// digest returns the digest of everything that was read, "" where it is too large.
func (d *digestReader) digest() string {
	if d.size > maxSourceText {
		return ""
	}
	return string(d.hash.Sum(nil))
}

// read returns the text of a file, nil where it cannot be had or may not be shown.
// The last one is kept: findings are sorted by file.
func (s *sourceLines) read(file string, mayShow func(string, []byte) bool) []byte {
	if file == s.file {
		return s.text
	}
	s.file, s.text = file, nil
	info, err := os.Stat(file)
	if err != nil || !info.Mode().IsRegular() || info.Size() > maxSourceText {
		return nil
	}
	if text, err := os.ReadFile(file); err == nil && mayShow(file, text) {
		s.text = text
	}
	return s.text
}
