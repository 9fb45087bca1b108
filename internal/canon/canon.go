// Package canon reads JSON in exactly one form: as encoding/json writes it with an
// indent of two spaces, without escapes for HTML and with a newline at the end.
//
// A [Reader] is told what comes next and takes nothing else, line by line. So a
// text that was read is the text that would be written of it, no field is there
// twice, unknown or out of order, and a text that is not as it should be is refused at
// the first such line: the memory that reading takes follows what was asked for, not
// what brackets in the input could stand for.
package canon

import (
	"bytes"
	"encoding/json"
	"fmt"
	"net/netip"
	"strconv"
)

// Reader reads one text. The first failure sticks, and everything that is read
// behind it is zero.
type Reader struct {
	text  []byte // what is left
	line  int    // the number of the last line that was read, from 1
	depth int    // objects and lists that are open
	more  bool   // a value follows: the last was followed by a comma, or an object or list has just begun
	err   error
}

// Read reads a text that is one object, whose fields the function reads.
func Read(text []byte, fields func(r *Reader)) error {
	r := &Reader{text: text, more: true}
	r.Object("", func() { fields(r) })
	if r.err == nil && (len(r.text) > 0 || r.more) {
		r.Fail("something follows its end")
	}
	return r.err
}

// Err returns the first failure.
func (r *Reader) Err() error { return r.err }

// Fail makes the last line that was read the place of a failure, unless there was one.
func (r *Reader) Fail(format string, args ...any) {
	if r.err == nil {
		r.err = fmt.Errorf("line %d: %s", r.line, fmt.Sprintf(format, args...))
	}
}

// wrong is the failure of a line that is not what was to come.
func (r *Reader) wrong(key string) {
	if key == "" {
		r.Fail("it is not what should stand here")
		return
	}
	r.Fail("field %q should stand here", key)
}

// peek returns the next line without its newline, nil where there is none.
func (r *Reader) peek() (line, rest []byte) {
	line, rest, ok := bytes.Cut(r.text, []byte{'\n'})
	if !ok {
		return nil, nil
	}
	return line, rest
}

// content returns what a line has behind its indent and, if key is not empty,
// behind the name of the field.
func (r *Reader) content(line []byte, key string) ([]byte, bool) {
	indent := 2 * r.depth
	if len(line) <= indent {
		return nil, false
	}
	for _, c := range line[:indent] {
		if c != ' ' {
			return nil, false
		}
	}
	line = line[indent:]
	if key == "" {
		return line, line[0] != ' '
	}
	if len(line) < len(key)+4 || line[0] != '"' || string(line[1:1+len(key)]) != key || string(line[1+len(key):4+len(key)]) != `": ` {
		return nil, false
	}
	return line[4+len(key):], true
}

// next reads the next line: what it has behind the name of the field.
func (r *Reader) next(key string) []byte {
	if r.err != nil {
		return nil
	}
	line, rest := r.peek()
	r.text = rest
	r.line++
	c, ok := r.content(line, key)
	if !ok {
		r.wrong(key)
		return nil
	}
	return c
}

// value reads a line with a value, and whether another follows.
func (r *Reader) value(key string) []byte {
	if !r.more {
		r.line++
		r.wrong(key)
		return nil
	}
	c := r.next(key)
	c, r.more = bytes.CutSuffix(c, []byte{','})
	return c
}

// Has reports whether the next line is a field of that name.
func (r *Reader) Has(key string) bool {
	if r.err != nil || !r.more {
		return false
	}
	line, _ := r.peek()
	_, ok := r.content(line, key)
	return ok
}

// Object reads an object, whose fields f reads. key is the name of the field that
// it is, "" in a list; so it is with all that follow.
func (r *Reader) Object(key string, f func()) {
	if c := r.open(key); r.err == nil && string(c) != "{" {
		r.wrong(key)
	}
	r.inside(f)
	r.shut("}")
}

// List reads a list, each of whose elements f reads.
func (r *Reader) List(key string, f func()) {
	switch c := r.open(key); {
	case r.err != nil:
		return
	case string(c) == "[]" || string(c) == "[],":
		r.more = len(c) == 3
		return
	case string(c) != "[":
		r.wrong(key)
		return
	}
	r.inside(func() {
		for at := -1; r.more && r.err == nil; f() {
			if at == r.line {
				panic("canon: an element that reads nothing")
			}
			at = r.line
		}
	})
	r.shut("]")
}

// open reads the line that begins an object or list.
func (r *Reader) open(key string) []byte {
	if !r.more {
		r.line++
		r.wrong(key)
	}
	return r.next(key)
}

func (r *Reader) inside(f func()) {
	if r.err != nil {
		return
	}
	r.depth++
	r.more = true
	f()
	r.depth--
}

// shut reads the line that ends an object or list.
func (r *Reader) shut(bracket string) {
	if r.err == nil && r.more {
		r.line++
		r.Fail("a %q should stand here", bracket)
	}
	c := r.next("")
	c, r.more = bytes.CutSuffix(c, []byte{','})
	if r.err == nil && string(c) != bracket {
		r.Fail("a %q should stand here", bracket)
	}
}

// String reads a string.
func (r *Reader) String(key string) string {
	c := r.value(key)
	if r.err != nil {
		return ""
	}
	s, ok := text(c)
	if !ok {
		r.Fail("it has no string as it should be written")
	}
	return s
}

// text returns the string that c is the text of.
func text(c []byte) (string, bool) {
	if len(c) < 2 || c[0] != '"' || c[len(c)-1] != '"' {
		return "", false
	}
	if plain(c[1 : len(c)-1]) {
		return string(c[1 : len(c)-1]), true
	}
	var s string
	if err := json.Unmarshal(c, &s); err != nil {
		return "", false
	}
	var again bytes.Buffer
	e := json.NewEncoder(&again)
	e.SetEscapeHTML(false)
	if err := e.Encode(s); err != nil {
		return "", false
	}
	return s, bytes.Equal(bytes.TrimSuffix(again.Bytes(), []byte{'\n'}), c)
}

// plain reports whether text stands for itself between quotes.
func plain(text []byte) bool {
	for _, c := range text {
		if c < ' ' || c >= 0x7f || c == '"' || c == '\\' {
			return false
		}
	}
	return true
}

// Int reads a number.
func (r *Reader) Int(key string) int64 {
	c := r.value(key)
	if r.err != nil {
		return 0
	}
	n, err := strconv.ParseInt(string(c), 10, 64)
	if err != nil || strconv.FormatInt(n, 10) != string(c) {
		r.Fail("it has no whole number as it should be written")
	}
	return n
}

// Uint reads a number that is not negative and has at most so many bits.
func (r *Reader) Uint(key string, bits int) uint64 {
	c := r.value(key)
	if r.err != nil {
		return 0
	}
	n, err := strconv.ParseUint(string(c), 10, bits)
	if err != nil || strconv.FormatUint(n, 10) != string(c) {
		r.Fail("it has no number of %d bits as it should be written", bits)
	}
	return n
}

// Addr reads an IP address.
func (r *Reader) Addr(key string) netip.Addr {
	s := r.String(key)
	if r.err != nil {
		return netip.Addr{}
	}
	a, err := netip.ParseAddr(s)
	if err != nil || a.String() != s {
		r.Fail("%q is no IP address as it should be written", s)
	}
	return a
}
