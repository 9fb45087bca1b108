package bundle

import (
	"archive/tar"
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"time"
)

// Limits of what Read takes, inclusive, in bytes but for MaxFiles.
const (
	MaxManifest = 64 << 20
	MaxFile     = 512 << 20
	MaxTotal    = 1 << 30 // all files together
	MaxFiles    = 16
	maxName     = 64
)

// Reason says why a bundle was not taken.
type Reason uint8

const (
	Unreadable  Reason = iota // the stream failed; Err has the cause
	Empty                     // no byte at all
	NotBundle                 // no tar, or its first entry is no manifest
	Truncated                 // ends before its last file, or without the end of a tar
	BadSchema                 // of another schema version
	BadManifest               // the manifest is not one that Write makes
	BadEntry                  // an entry that has no place: link, path, duplicate, unknown, out of order
	BadDigest                 // a file differs from what the manifest says of it
	TooLarge                  // over a limit
	Trailing                  // something follows the end
)

// Error is why a bundle was not taken, as one sentence.
type Error struct {
	Reason Reason
	Text   string
	Err    error // the cause, or nil
}

func (e *Error) Error() string {
	if e.Err != nil {
		return fmt.Sprintf("bundle: %s: %v", e.Text, e.Err)
	}
	return "bundle: " + e.Text
}

func (e *Error) Unwrap() error { return e.Err }

func fail(r Reason, format string, args ...any) error {
	return &Error{Reason: r, Text: fmt.Sprintf(format, args...)}
}

// Read reads one bundle, which must be all that r has. Errors are of type *Error.
func Read(r io.Reader) (*Bundle, error) {
	in := &source{r: r}
	tr := tar.NewReader(in)
	text, err := readManifest(in, tr)
	if err != nil {
		return nil, err
	}
	m, err := decodeManifest(text)
	if err != nil {
		return nil, err
	}
	b := &Bundle{Manifest: *m}
	var total int64
	for _, want := range m.Files {
		if total += want.Size; total > MaxTotal {
			return nil, fail(TooLarge, "its files are larger than %d bytes together", int64(MaxTotal))
		}
	}
	for _, want := range m.Files {
		f, err := readFile(in, tr, want)
		if err != nil {
			return nil, err
		}
		b.Files = append(b.Files, f)
	}
	if err := atEnd(in, tr, archiveSize(text, m)); err != nil {
		return nil, err
	}
	return b, nil
}

// ReadManifest reads a bundle up to the end of its manifest, which it checks by itself:
// whether the files are what it says, only Read knows. Errors are of type *Error.
func ReadManifest(r io.Reader) (*Manifest, error) {
	in := &source{r: r}
	text, err := readManifest(in, tar.NewReader(in))
	if err != nil {
		return nil, err
	}
	return decodeManifest(text)
}

func readManifest(in *source, tr *tar.Reader) ([]byte, error) {
	h, err := tr.Next()
	switch {
	case in.err != nil:
		return nil, &Error{Unreadable, "read", in.err}
	case in.n == 0:
		return nil, fail(Empty, "the input is empty")
	case errors.Is(err, io.ErrUnexpectedEOF):
		return nil, fail(Truncated, "it ends within the first %d bytes", in.n)
	case err != nil:
		return nil, fail(NotBundle, "the input is no tar archive")
	case h.Name != ManifestName:
		return nil, fail(NotBundle, "its first entry is %q, not %s", h.Name, ManifestName)
	}
	if err := checkHeader(h); err != nil {
		return nil, err
	}
	if h.Size > MaxManifest {
		return nil, fail(TooLarge, "%s has %d bytes, more than %d", ManifestName, h.Size, MaxManifest)
	}
	return readBody(in, tr, h.Name, h.Size)
}

// checkHeader refuses everything but the plain header that Write makes.
func checkHeader(h *tar.Header) error {
	want := header(h.Name, h.Size)
	switch {
	case !validName(h.Name):
		return fail(BadEntry, "entry %q has a name that no file of a bundle has", h.Name)
	case h.Typeflag != tar.TypeReg:
		return fail(BadEntry, "entry %q is no regular file", h.Name)
	case h.Format != tar.FormatUSTAR || len(h.PAXRecords) > 0 || h.Linkname != "" ||
		h.Mode != want.Mode || h.Uid != 0 || h.Gid != 0 || h.Uname != "" || h.Gname != "" ||
		h.Devmajor != 0 || h.Devminor != 0 || !h.ModTime.Equal(time.Unix(0, 0)):
		return fail(BadEntry, "entry %q carries owner, mode, time or extensions that no bundle has", h.Name)
	}
	return nil
}

// validName reports whether s is lower case letters, digits, dots, dashes and
// underscores, begins with a letter and is no longer than maxName: no path, no
// "..", nothing hidden.
func validName(s string) bool {
	if s == "" || len(s) > maxName || s[0] < 'a' || s[0] > 'z' {
		return false
	}
	for _, c := range []byte(s) {
		if (c < 'a' || c > 'z') && (c < '0' || c > '9') && c != '.' && c != '-' && c != '_' {
			return false
		}
	}
	return true
}

// decodeManifest takes the canonical text only, which rules out unknown and
// repeated fields, another order and anything that follows.
func decodeManifest(text []byte) (*Manifest, error) {
	if !bytes.HasPrefix(text, beginning) {
		return nil, otherSchema(text)
	}
	var m Manifest
	if err := json.Unmarshal(text, &m); err != nil {
		return nil, &Error{BadManifest, ManifestName, err}
	}
	if again, err := encodeManifest(&m); err != nil || !bytes.Equal(again, text) {
		return nil, fail(BadManifest, "%s is not in the form in which the compiler writes it", ManifestName)
	}
	if err := m.validate(); err != nil {
		return nil, &Error{BadManifest, ManifestName, err}
	}
	return &m, nil
}

// beginning is that of every manifest of this schema.
var beginning = fmt.Appendf(nil, "{\n  \"schema\": %d,\n", Schema)

// otherSchema says why a manifest that begins in another way is not taken.
func otherSchema(text []byte) error {
	var version struct {
		Schema *int `json:"schema"`
	}
	if err := json.Unmarshal(text, &version); err != nil {
		return &Error{BadManifest, ManifestName + " is no JSON object", err}
	}
	switch {
	case version.Schema == nil:
		return fail(BadManifest, "%s has no schema", ManifestName)
	case *version.Schema != Schema:
		return fail(BadSchema, "it has schema %d and this program reads schema %d: compiler and loader must be of one version", *version.Schema, Schema)
	}
	return fail(BadManifest, "%s is not in the form in which the compiler writes it", ManifestName)
}

// readFile reads the next entry, which must be the one that the manifest has next.
func readFile(in *source, tr *tar.Reader, want FileInfo) (File, error) {
	h, err := tr.Next()
	if err != nil {
		return File{}, nextError(in, err, want.Name)
	}
	if err := checkHeader(h); err != nil {
		return File{}, err
	}
	if h.Name != want.Name {
		return File{}, fail(BadEntry, "entry %q stands where the manifest has %q", h.Name, want.Name)
	}
	if h.Size != want.Size {
		return File{}, fail(BadDigest, "%s has %d bytes and the manifest says %d", h.Name, h.Size, want.Size)
	}
	data, err := readBody(in, tr, h.Name, h.Size)
	if err != nil {
		return File{}, err
	}
	f := File{h.Name, data}
	if info(f) != want {
		return File{}, fail(BadDigest, "%s is not what the manifest says: it was damaged or changed", h.Name)
	}
	return f, nil
}

// nextError is why there is no next entry although name is missing.
func nextError(in *source, err error, name string) error {
	switch {
	case in.err != nil:
		return &Error{Unreadable, "read", in.err}
	case err == io.EOF || errors.Is(err, io.ErrUnexpectedEOF):
		return fail(Truncated, "it ends before %s", name)
	}
	return fail(BadEntry, "what stands where %s should is no tar entry", name)
}

// readBody reads a file of a stated size. The buffer grows with what arrives.
func readBody(in *source, tr *tar.Reader, name string, size int64) ([]byte, error) {
	var b bytes.Buffer
	n, err := io.Copy(&b, io.LimitReader(tr, size))
	switch {
	case in.err != nil:
		return nil, &Error{Unreadable, "read", in.err}
	case err != nil || n != size:
		return nil, fail(Truncated, "it ends within %s", name)
	}
	return b.Bytes(), nil
}

// blockSize is the unit of a tar: a header, and what files are padded to.
const blockSize = 512

// archiveSize returns the size of the tar: a header for each entry, contents
// padded to whole blocks, and the two zero blocks that end it.
func archiveSize(manifest []byte, m *Manifest) int64 {
	entry := func(size int64) int64 { return blockSize + (size+blockSize-1)/blockSize*blockSize }
	n := entry(int64(len(manifest))) + 2*blockSize
	for _, f := range m.Files {
		n += entry(f.Size)
	}
	return n
}

// atEnd checks that after the last file there is the end of the tar, at size,
// and nothing else.
func atEnd(in *source, tr *tar.Reader, size int64) error {
	h, err := tr.Next()
	switch {
	case err == nil:
		return fail(BadEntry, "entry %q is not in the manifest", h.Name)
	case in.err != nil:
		return &Error{Unreadable, "read", in.err}
	case errors.Is(err, io.ErrUnexpectedEOF), err == io.EOF && in.n < size:
		return fail(Truncated, "it lacks the end of a tar")
	case err != io.EOF || in.n > size:
		return fail(Trailing, "something follows its last file")
	}
	var one [1]byte
	for {
		n, err := in.Read(one[:])
		switch {
		case n > 0:
			return fail(Trailing, "something follows its end")
		case err == io.EOF:
			return nil
		case err != nil:
			return &Error{Unreadable, "read", err}
		}
	}
}

// source remembers how reading went, which archive/tar does not tell apart
// from what it found.
type source struct {
	r   io.Reader
	n   int64 // bytes read
	err error // other than io.EOF
}

func (s *source) Read(p []byte) (int, error) {
	n, err := s.r.Read(p)
	s.n += int64(n)
	if err != nil && err != io.EOF {
		s.err = err
	}
	return n, err
}
