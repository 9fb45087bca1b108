package bundle

import (
	"errors"
	"fmt"
	"io"
)

// Reason says why a bundle was not taken.
type Reason uint8

const (
	Unreadable   Reason = iota // the stream failed; Err has the cause
	Empty                      // no byte at all
	NotBundle                  // no tar, or its first entry is no manifest
	Truncated                  // ends before its last file, or without the end of a tar
	BadSchema                  // of another schema version
	BadManifest                // the manifest is not one that Write makes
	BadEntry                   // an entry that has no place: link, path, duplicate, unknown, out of order
	BadDigest                  // a file differs from what the manifest says of it
	TooLarge                   // over a limit
	Trailing                   // something follows the end
	BadEnvelope                // the envelope is not one that Write makes, or signs another manifest
	Unsigned                   // a signature was asked for, and there is none
	UnknownKey                 // no trusted key has signed
	BadSignature               // the signature of a trusted key is wrong
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

// Read reads a bundle, signed or not, and checks no signature.
func Read(r io.Reader) (*Bundle, error) { return Open(r, nil) }

// Open reads one bundle, which must be all that r has, and stops reading at the
// first thing that is wrong. Unless trusted is nil, a key of trusted must have signed
// the bundle (see [Bundle.Verify]); nothing of a bundle but its schema is decoded, and
// nothing behind its signature read, before that is certain. Errors are of type *Error.
func Open(r io.Reader, trusted *Keyring) (*Bundle, error) {
	in := &source{r: r}
	b, next, err := in.head(trusted)
	if err != nil {
		return nil, err
	}
	for _, want := range b.Manifest.Files {
		f, err := in.file(next, want)
		if err != nil {
			return nil, err
		}
		b.Files = append(b.Files, f)
		next = in.next()
	}
	if err := in.end(next); err != nil {
		return nil, err
	}
	return b, nil
}

// ReadManifest reads a bundle up to its first file: the manifest, and that a key of
// trusted has signed it as Open wants it. It tells which of several bundles is wanted;
// whether the files are what it says, only Open knows. Errors are of type *Error.
func ReadManifest(r io.Reader, trusted *Keyring) (*Manifest, error) {
	in := &source{r: r}
	b, _, err := in.head(trusted)
	if err != nil {
		return nil, err
	}
	return &b.Manifest, nil
}

// head reads the manifest and the envelope, if there is one. next is what stands
// behind them.
func (s *source) head(trusted *Keyring) (b *Bundle, next found, err error) {
	text, err := s.manifest()
	if err != nil {
		return nil, next, err
	}
	e, next, err := s.envelope(text, trusted)
	if err != nil {
		return nil, next, err
	}
	m, err := decodeManifest(text)
	if err != nil {
		return nil, next, err
	}
	return &Bundle{Manifest: *m, Envelope: e}, next, nil
}

// found is what stands where an entry is looked for: its header, or why there is
// none, as source.entry says it.
type found struct {
	entry
	err error
}

func (s *source) next() found {
	e, err := s.entry()
	return found{e, err}
}

// manifest reads the first entry.
func (s *source) manifest() ([]byte, error) {
	e, err := s.entry()
	switch own := (*Error)(nil); {
	case s.err != nil:
		return nil, &Error{Unreadable, "read", s.err}
	case s.n == 0:
		return nil, fail(Empty, "the input is empty")
	case err == io.ErrUnexpectedEOF:
		return nil, fail(Truncated, "it ends within the first %d bytes", s.n)
	case errors.As(err, &own):
		return nil, err
	case err != nil:
		return nil, fail(NotBundle, "the input is no tar archive")
	case e.name != ManifestName:
		return nil, fail(NotBundle, "its first entry is %q, not %s", e.name, ManifestName)
	case e.size > MaxManifest:
		return nil, fail(TooLarge, "%s has %d bytes, more than %d", ManifestName, e.size, MaxManifest)
	}
	return s.body(e, checkSchema)
}

// envelope reads and checks the envelope that follows a manifest, nil where the
// bundle has none. next is what stands behind it.
func (s *source) envelope(manifest []byte, trusted *Keyring) (e *Envelope, next found, err error) {
	next = s.next()
	if next.err == nil && next.name == SignatureName {
		if next.size > MaxEnvelope {
			return nil, next, fail(TooLarge, "%s has %d bytes, more than %d", SignatureName, next.size, MaxEnvelope)
		}
		text, err := s.body(next.entry, nil)
		if err != nil {
			return nil, next, err
		}
		if e, err = decodeEnvelope(text, manifest); err != nil {
			return nil, next, err
		}
		if err := verifyEnvelope(e, trusted); err != nil {
			return nil, next, err
		}
		return e, s.next(), nil
	}
	if s.err != nil {
		return nil, next, &Error{Unreadable, "read", s.err}
	}
	return nil, next, verifyEnvelope(nil, trusted)
}

// file reads the entry at hand, which must be the one that the manifest has next.
func (s *source) file(at found, want FileInfo) (File, error) {
	if at.err != nil {
		return File{}, s.missing(at.err, want.Name)
	}
	if at.name != want.Name {
		return File{}, fail(BadEntry, "entry %q stands where the manifest has %q", at.name, want.Name)
	}
	if at.size != want.Size {
		return File{}, fail(BadDigest, "%s has %d bytes and the manifest says %d", at.name, at.size, want.Size)
	}
	data, err := s.body(at.entry, nil)
	if err != nil {
		return File{}, err
	}
	f := File{at.name, data}
	if info(f) != want {
		return File{}, fail(BadDigest, "%s is not what the manifest says: it was damaged or changed", at.name)
	}
	return f, nil
}

// missing is why there is no entry although name has to follow.
func (s *source) missing(err error, name string) error {
	switch own := (*Error)(nil); {
	case s.err != nil:
		return &Error{Unreadable, "read", s.err}
	case err == io.EOF, err == io.ErrUnexpectedEOF:
		return fail(Truncated, "it ends before %s", name)
	case errors.As(err, &own):
		return err
	}
	return fail(BadEntry, "what stands where %s should is no tar entry", name)
}

// end checks that behind the last file there is the end of a tar, two blocks of
// zeros, and nothing else.
func (s *source) end(at found) error {
	switch own := (*Error)(nil); {
	case at.err == nil:
		return fail(BadEntry, "entry %q is not in the manifest", at.name)
	case s.err != nil:
		return &Error{Unreadable, "read", s.err}
	case at.err == io.ErrUnexpectedEOF:
		return fail(Truncated, "it lacks the end of a tar")
	case errors.As(at.err, &own):
		return at.err
	case at.err != io.EOF:
		return fail(Trailing, "something follows its last file")
	}
	switch at := s.next(); {
	case s.err != nil:
		return &Error{Unreadable, "read", s.err}
	case at.err == io.ErrUnexpectedEOF:
		return fail(Truncated, "it lacks the end of a tar")
	case at.err != io.EOF:
		return fail(Trailing, "something follows its last file")
	}
	return s.exhausted()
}

// exhausted checks that the input ends.
func (s *source) exhausted() error {
	var one [1]byte
	for {
		n, err := s.Read(one[:])
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
