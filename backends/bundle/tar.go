package bundle

import (
	"archive/tar"
	"bytes"
	"errors"
	"io"
	"strconv"
	"time"
)

// Reading takes the one header that Write makes for an entry's name and size,
// byte for byte. So no extension of the format (PAX, GNU, sparse files, base-256
// numbers) is ever interpreted, and every bit of an archive counts.

// blockSize is the unit of a tar: a header, and what files are padded to.
const blockSize = 512

// entry is what the header of an entry says.
type entry struct {
	name string
	size int64
}

// errNoHeader says that a block is not the header of an entry of any tar.
var errNoHeader = errors.New("no tar entry")

// header is the one header that an entry of that name and size can have.
func header(name string, size int64) *tar.Header {
	return &tar.Header{
		Typeflag: tar.TypeReg,
		Name:     name,
		Size:     size,
		Mode:     0o644,
		ModTime:  time.Unix(0, 0),
		Format:   tar.FormatUSTAR,
	}
}

// entry reads the header of the next entry. It returns io.EOF for a block of zeros,
// which begins the end of a tar, io.ErrUnexpectedEOF where the input ends,
// errNoHeader, or an *Error for the header of an entry that no bundle has.
func (s *source) entry() (entry, error) {
	var b [blockSize]byte
	if _, err := io.ReadFull(s, b[:]); err != nil {
		if err == io.EOF {
			err = io.ErrUnexpectedEOF
		}
		return entry{}, err
	}
	if b == [blockSize]byte{} {
		return entry{}, io.EOF
	}
	// USTAR (IEEE Std 1003.1, pax): the name has bytes 0 to 99, the size 124 to 135,
	// eleven octal digits and a NUL.
	name, _, _ := bytes.Cut(b[:100], []byte{0})
	size, err := strconv.ParseUint(string(b[124:135]), 8, 63)
	if err != nil || !validName(string(name)) || !isHeader(&b, string(name), int64(size)) {
		return entry{}, refuse(&b)
	}
	return entry{string(name), int64(size)}, nil
}

// isHeader reports whether b is the header of an entry of that name and size.
func isHeader(b *[blockSize]byte, name string, size int64) bool {
	var want bytes.Buffer
	err := tar.NewWriter(&want).WriteHeader(header(name, size))
	return err == nil && bytes.Equal(want.Bytes(), b[:])
}

// refuse says what is wrong with a header that no bundle has.
func refuse(b *[blockSize]byte) error {
	h, err := tar.NewReader(bytes.NewReader(b[:])).Next()
	switch {
	case errors.Is(err, tar.ErrHeader):
		return errNoHeader
	case err != nil: // what it announces has to follow
		return fail(BadEntry, "an entry has extensions (PAX or GNU) that no bundle has")
	case !validName(h.Name):
		return fail(BadEntry, "entry %q has a name that no file of a bundle has", h.Name)
	case h.Typeflag != tar.TypeReg:
		return fail(BadEntry, "entry %q is no regular file", h.Name)
	}
	return fail(BadEntry, "entry %q carries owner, mode, time or extensions that no bundle has", h.Name)
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

// body reads the content of an entry and what pads it. The memory that it takes
// follows what arrives, whatever the header claims: at first 1 MiB at most, then eight
// times as much as has arrived, and in all 8/7 of the size. begins, if not nil, is asked
// about the first bytes, beginBytes of them or all, before more is read.
func (s *source) body(e entry, begins func(data []byte) error) ([]byte, error) {
	first := e.size
	for first > 1<<20 {
		first = (first + 7) / 8
	}
	data := make([]byte, 0, first)
	for int64(len(data)) < e.size {
		if len(data) == cap(data) {
			data = append(make([]byte, 0, min(e.size, 8*int64(cap(data)))), data...)
		}
		n, err := s.Read(data[len(data):cap(data)])
		data = data[:len(data)+n]
		if err != nil && int64(len(data)) < e.size {
			return nil, s.cut(e.name)
		}
		if begins != nil && int64(len(data)) >= min(e.size, beginBytes) {
			if err := begins(data); err != nil {
				return nil, err
			}
			begins = nil
		}
	}
	return data, s.padding(e)
}

// beginBytes is how much of an entry tells whether it is what it should be.
const beginBytes = 256

// padding reads what follows an entry up to a whole block: zeros.
func (s *source) padding(e entry) error {
	var b [blockSize]byte
	pad := b[:(blockSize-e.size%blockSize)%blockSize]
	if _, err := io.ReadFull(s, pad); err != nil {
		return s.cut(e.name)
	}
	if b != [blockSize]byte{} {
		return fail(BadEntry, "%s is not padded with zeros", e.name)
	}
	return nil
}

// cut is why an entry ends too early.
func (s *source) cut(name string) error {
	if s.err != nil {
		return &Error{Unreadable, "read", s.err}
	}
	return fail(Truncated, "it ends within %s", name)
}

// source remembers how reading went.
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
