package compiler

import (
	"bufio"
	"bytes"
	"errors"
	"fmt"
	"io"
	"strconv"
	"unicode/utf16"
	"unicode/utf8"

	"go.yaml.in/yaml/v3"
)

// jsonScanner reads JSON (RFC 8259) from a stream into nodes, with positions,
// which encoding/json does not give, and without holding more of it than one
// value. Duplicate keys are kept, for whoever reads the mapping to report.
type jsonScanner struct {
	r            *bufio.Reader
	win          []byte // what r has buffered
	pos          int    // bytes of win that were taken
	line, column int    // of the next byte, from 1; columns count code points
	depth        int
	values       int // of the object being read
	nodes        nodeArena
	scratch      []byte
	recent       [1 << 11]string // short strings, of which most repeat, by recentSlot
	drop         map[string]bool // fields whose mappings and lists are left out
}

func newJSONScanner(r *bufio.Reader) *jsonScanner {
	return &jsonScanner{r: r, line: 1, column: 1}
}

// syntaxError is what is wrong with a JSON text.
type syntaxError struct {
	line, column int
	message      string
}

func (e *syntaxError) Error() string { return e.message }

func (s *jsonScanner) errorf(format string, args ...any) error {
	return &syntaxError{s.line, s.column, fmt.Sprintf(format, args...)}
}

// validJSON reports whether text is a sequence of JSON values.
func validJSON(text []byte) bool {
	s := newJSONScanner(bufio.NewReader(bytes.NewReader(text)))
	for {
		c, err := s.between()
		if err == io.EOF {
			return true
		}
		if err != nil || c != '{' || s.skip() != nil {
			return false
		}
	}
}

// fill has win begin with the next byte. It returns io.EOF at the end. What was
// taken from win is not valid any more.
func (s *jsonScanner) fill() error {
	s.r.Discard(s.pos)
	s.win, s.pos = nil, 0
	if b, err := s.r.Peek(1); len(b) == 0 {
		return err
	}
	s.win, _ = s.r.Peek(s.r.Buffered())
	return nil
}

// peek returns the next byte without taking it, io.EOF at the end.
func (s *jsonScanner) peek() (byte, error) {
	if s.pos == len(s.win) {
		if err := s.fill(); err != nil {
			return 0, err
		}
	}
	return s.win[s.pos], nil
}

// ahead returns the next n bytes, at most 16, or fewer at the end.
func (s *jsonScanner) ahead(n int) []byte {
	if len(s.win)-s.pos < n {
		s.r.Discard(s.pos)
		s.r.Peek(n)
		s.win, _ = s.r.Peek(s.r.Buffered())
		s.pos = 0
	}
	return s.win[s.pos:min(s.pos+n, len(s.win))]
}

// take takes one byte that was peeked at.
func (s *jsonScanner) take(c byte) {
	s.pos++
	switch {
	case c == '\n':
		s.line++
		s.column = 1
	case utf8.RuneStart(c):
		s.column++
	}
}

// space skips white space and returns the next byte without taking it.
func (s *jsonScanner) space() (byte, error) {
	for {
		line, column := s.line, s.column
		for i, c := range s.win[s.pos:] {
			switch c {
			case ' ', '\t', '\r':
				column++
			case '\n':
				line++
				column = 1
			default:
				s.pos += i
				s.line, s.column = line, column
				return c, nil
			}
		}
		s.pos = len(s.win)
		s.line, s.column = line, column
		if err := s.fill(); err != nil {
			return 0, err
		}
	}
}

// between is space between the values of a stream, where a line of YAML's
// document markers may stand.
func (s *jsonScanner) between() (byte, error) {
	for {
		c, err := s.space()
		if err != nil || c != '-' || s.column != 1 {
			return c, err
		}
		if !isMarker(s.ahead(4), "---") {
			return c, nil
		}
		for range 3 {
			s.take('-')
		}
	}
}

// inside is space within a value, where the end of the text is an error.
func (s *jsonScanner) inside() (byte, error) {
	c, err := s.space()
	if err == io.EOF {
		return 0, s.errorf("the text ends inside of a value")
	}
	return c, err
}

// node begins a node at the present position.
func (s *jsonScanner) node(kind yaml.Kind, tag string) (*yaml.Node, error) {
	if s.values++; s.values > maxValues {
		return nil, errTooManyValues
	}
	return s.newNode(kind, tag), nil
}

func (s *jsonScanner) newNode(kind yaml.Kind, tag string) *yaml.Node {
	n := s.nodes.take()
	n.Kind, n.Tag, n.Line, n.Column = kind, tag, s.line, s.column
	return n
}

// nodeArena hands out nodes, and takes them back once an object was decoded.
type nodeArena struct {
	chunks [][]yaml.Node // of arenaChunk
	used   int
}

const (
	arenaChunk = 256
	arenaKept  = 64 // chunks, however large an object was
)

// take returns a zero node, which may have room for content.
func (a *nodeArena) take() *yaml.Node {
	c := a.used / arenaChunk
	if c == len(a.chunks) {
		a.chunks = append(a.chunks, make([]yaml.Node, arenaChunk))
	}
	n := &a.chunks[c][a.used%arenaChunk]
	a.used++
	*n = yaml.Node{Content: n.Content[:0]}
	return n
}

// release takes back what was handed out since used was what it is now.
func (a *nodeArena) release(used int) {
	a.used = used
	if kept := used/arenaChunk + arenaKept; len(a.chunks) > kept {
		clear(a.chunks[kept:])
		a.chunks = a.chunks[:kept]
	}
}

// errTooManyValues ends the reading of an object above maxValues.
var errTooManyValues = errors.New("too many values")

// value reads any value.
func (s *jsonScanner) value() (*yaml.Node, error) {
	c, err := s.inside()
	if err != nil {
		return nil, err
	}
	switch c {
	case '{':
		return s.object(nil)
	case '[':
		return s.array()
	case '"':
		n, err := s.node(yaml.ScalarNode, "!!str")
		if err != nil {
			return nil, err
		}
		n.Style = yaml.DoubleQuotedStyle
		n.Value, err = s.str()
		return n, err
	}
	n, err := s.node(yaml.ScalarNode, "")
	if err != nil {
		return nil, err
	}
	n.Value, n.Tag, err = s.word()
	return n, err
}

// skip reads any value and forgets it.
func (s *jsonScanner) skip() error {
	c, err := s.inside()
	if err != nil {
		return err
	}
	switch c {
	case '{':
		return s.skipMembers()
	case '[':
		return s.elements(s.skip)
	case '"':
		_, err := s.text()
		return err
	}
	_, _, err = s.word()
	return err
}

// object reads an object. field, if not nil, may take a value: it returns false
// where it did not, and nil with true where the field is to be left out.
func (s *jsonScanner) object(field func(n *yaml.Node, key string) (*yaml.Node, bool, error)) (*yaml.Node, error) {
	n, err := s.node(yaml.MappingNode, "!!map")
	if err != nil {
		return nil, err
	}
	if err := s.enter('{'); err != nil {
		return n, err
	}
	for first := true; ; first = false {
		if done, err := s.beginKey(first); done || err != nil {
			return n, err
		}
		k := s.newNode(yaml.ScalarNode, "!!str")
		k.Style = yaml.DoubleQuotedStyle
		if k.Value, err = s.str(); err != nil {
			return n, err
		}
		if err := s.endKey(); err != nil {
			return n, err
		}
		if err := s.member(n, k, field); err != nil {
			return n, err
		}
		if done, err := s.comma('}'); done || err != nil {
			return n, err
		}
	}
}

// member reads the value of key k of n.
func (s *jsonScanner) member(n, k *yaml.Node, field func(n *yaml.Node, key string) (*yaml.Node, bool, error)) error {
	if field != nil {
		if v, taken, err := field(n, k.Value); taken || err != nil {
			if v != nil {
				n.Content = append(n.Content, k, v)
			}
			return err
		}
	}
	if s.drop[k.Value] {
		if c, err := s.inside(); err != nil {
			return err
		} else if c == '{' || c == '[' {
			return s.skip()
		}
	}
	v, err := s.value()
	if err == nil {
		n.Content = append(n.Content, k, v)
	}
	return err
}

func (s *jsonScanner) array() (*yaml.Node, error) {
	n, err := s.node(yaml.SequenceNode, "!!seq")
	if err != nil {
		return nil, err
	}
	err = s.elements(func() error {
		v, err := s.value()
		if err == nil {
			n.Content = append(n.Content, v)
		}
		return err
	})
	return n, err
}

// enter and leave keep the depth.
func (s *jsonScanner) enter(c byte) error {
	if s.depth++; s.depth > maxDepth {
		return s.errorf("lists and mappings nest deeper than %d", maxDepth)
	}
	s.take(c)
	return nil
}

func (s *jsonScanner) leave(c byte) {
	s.depth--
	s.take(c)
}

// skipMembers reads an object whose brace is next.
func (s *jsonScanner) skipMembers() error {
	if err := s.enter('{'); err != nil {
		return err
	}
	for first := true; ; first = false {
		if done, err := s.beginKey(first); done || err != nil {
			return err
		}
		if _, err := s.text(); err != nil {
			return err
		}
		if err := s.endKey(); err != nil {
			return err
		}
		if err := s.skip(); err != nil {
			return err
		}
		if done, err := s.comma('}'); done || err != nil {
			return err
		}
	}
}

// beginKey reads up to the quote of a key, or over the brace that ends an object
// without one.
func (s *jsonScanner) beginKey(first bool) (done bool, err error) {
	c, err := s.inside()
	switch {
	case err != nil:
		return false, err
	case c == '}' && first:
		s.leave(c)
		return true, nil
	case c != '"':
		return false, s.errorf("%q is not expected here, want a key in quotes", rune(c))
	}
	return false, nil
}

// endKey reads over the colon.
func (s *jsonScanner) endKey() error {
	s.values++
	c, err := s.inside()
	if err != nil {
		return err
	}
	if c != ':' {
		return s.errorf(`%q is not expected here, want ":" behind the key`, rune(c))
	}
	s.take(c)
	return nil
}

// elements reads an array whose bracket is next. fn must read one value.
func (s *jsonScanner) elements(fn func() error) error {
	if err := s.enter('['); err != nil {
		return err
	}
	for first := true; ; first = false {
		c, err := s.inside()
		if err != nil {
			return err
		}
		if c == ']' && first {
			s.leave(c)
			return nil
		}
		if err := fn(); err != nil {
			return err
		}
		if done, err := s.comma(']'); done || err != nil {
			return err
		}
	}
}

// comma reads what follows a value: a comma, or the end of the collection.
func (s *jsonScanner) comma(end byte) (done bool, err error) {
	c, err := s.inside()
	switch {
	case err != nil:
		return false, err
	case c == end:
		s.leave(c)
		return true, nil
	case c == ',':
		s.take(c)
		return false, nil
	}
	return false, s.errorf(`%q is not expected here, want "," or %q`, rune(c), string(end))
}

// str reads a string. Short ones share memory with equal ones before.
func (s *jsonScanner) str() (string, error) {
	b, err := s.text()
	if err != nil {
		return "", err
	}
	const short = 64
	if len(b) == 0 || len(b) > short {
		return string(b), nil
	}
	t := &s.recent[recentSlot(b)%len(s.recent)]
	if *t != string(b) {
		*t = string(b)
	}
	return *t, nil
}

// recentSlot is a number that short strings seldom have in common.
func recentSlot(b []byte) int {
	n := len(b)
	h := uint32(n)<<24 ^ uint32(b[0])<<16 ^ uint32(b[n/2])<<8 ^ uint32(b[n-1]) ^ uint32(b[n/4])<<12
	return int(h * 0x9e3779b1 >> 16)
}

// text reads a string. It is valid until the next byte is read.
func (s *jsonScanner) text() ([]byte, error) {
	s.take('"')
	s.scratch = s.scratch[:0]
	for {
		if s.pos == len(s.win) {
			if err := s.fill(); err == io.EOF {
				return nil, s.errorf("the text ends inside of a string")
			} else if err != nil {
				return nil, err
			}
		}
		// Plain characters first, as many as there are.
		b := s.plain()
		if len(s.scratch)+len(b) > maxDocument {
			return nil, s.errorf("a string is larger than %d MB", maxDocument>>20)
		}
		if s.pos == len(s.win) {
			s.scratch = append(s.scratch, b...)
			continue
		}
		c := s.win[s.pos]
		if c != '"' || len(s.scratch) > 0 {
			s.scratch = append(s.scratch, b...)
			b = s.scratch
		}
		switch {
		case c == '"':
			if !utf8.Valid(b) {
				return nil, s.errorf("a string is not UTF-8")
			}
			s.take(c)
			return b, nil
		case c < ' ':
			return nil, s.errorf("control character %U in a string, want it escaped", c)
		}
		if err := s.escape(); err != nil {
			return nil, err
		}
	}
}

// plain takes the characters of a string that stand for themselves, up to the end
// of win.
func (s *jsonScanner) plain() []byte {
	b := s.win[s.pos:]
	i, high := 0, byte(0)
	for i < len(b) && b[i] != '"' && b[i] != '\\' && b[i] >= ' ' {
		high |= b[i]
		i++
	}
	b = b[:i]
	s.pos += i
	if high < utf8.RuneSelf {
		s.column += i
		return b
	}
	for _, c := range b {
		if utf8.RuneStart(c) {
			s.column++
		}
	}
	return b
}

// escape reads one escape sequence into the scratch buffer.
func (s *jsonScanner) escape() error {
	s.take('\\')
	c, err := s.peek()
	if err != nil {
		return s.errorf("the text ends inside of a string")
	}
	switch c {
	case '"', '\\', '/':
	case 'b':
		c = '\b'
	case 'f':
		c = '\f'
	case 'n':
		c = '\n'
	case 'r':
		c = '\r'
	case 't':
		c = '\t'
	case 'u':
		return s.unicode()
	default:
		return s.errorf("%q is no escape", `\`+string(rune(c)))
	}
	s.take(' ') // whatever it was, one column
	s.scratch = append(s.scratch, c)
	return nil
}

// unicode reads uXXXX, and a second half where the first is that of a pair.
func (s *jsonScanner) unicode() error {
	r, err := s.hex()
	if err != nil {
		return err
	}
	if utf16.IsSurrogate(r) {
		if string(s.ahead(2)) != `\u` {
			return s.errorf("half of a surrogate pair, want both")
		}
		s.take('\\')
		low, err := s.hex()
		if err != nil {
			return err
		}
		if r = utf16.DecodeRune(r, low); r == utf8.RuneError {
			return s.errorf("half of a surrogate pair, want both")
		}
	}
	s.scratch = utf8.AppendRune(s.scratch, r)
	return nil
}

func (s *jsonScanner) hex() (rune, error) {
	b := s.ahead(5)
	v, err := uint64(0), error(nil)
	if len(b) < 5 {
		return 0, s.errorf("the text ends inside of a string")
	}
	if v, err = strconv.ParseUint(string(b[1:]), 16, 16); err != nil {
		return 0, s.errorf(`\%s is no escape, want four hexadecimal digits`, quote(string(b))[1:6])
	}
	for _, c := range b {
		s.take(c)
	}
	return rune(v), nil
}

// word reads a number, true, false or null, and returns its tag in YAML.
func (s *jsonScanner) word() (text, tag string, err error) {
	const longest = 1024
	s.scratch = s.scratch[:0]
	for {
		c, err := s.peek()
		if err != nil && err != io.EOF {
			return "", "", err
		}
		letter := c|0x20 >= 'a' && c|0x20 <= 'z'
		if err == io.EOF || !letter && (c < '0' || c > '9') && c != '+' && c != '-' && c != '.' {
			break
		}
		if len(s.scratch) == longest {
			return "", "", s.errorf("a number is longer than %d digits", longest)
		}
		s.take(c)
		s.scratch = append(s.scratch, c)
	}
	text = string(s.scratch)
	switch text {
	case "true", "false":
		return text, "!!bool", nil
	case "null":
		return text, "!!null", nil
	case "":
		c, _ := s.peek()
		return "", "", s.errorf("%q is not expected here, want a value", rune(c))
	}
	integer, ok := jsonNumber(text)
	switch {
	case !ok:
		s.column -= len(text)
		return "", "", s.errorf("%s is no value, want a string in quotes, a number, true, false or null", quote(text))
	case integer:
		return text, "!!int", nil
	}
	return text, "!!float", nil
}

// jsonNumber reports whether s is a number of JSON, and one without fraction and
// exponent.
func jsonNumber(s string) (integer, ok bool) {
	digits := func(s string) int {
		n := 0
		for n < len(s) && s[n] >= '0' && s[n] <= '9' {
			n++
		}
		return n
	}
	if s[0] == '-' {
		s = s[1:]
	}
	n := digits(s)
	if n == 0 || n > 1 && s[0] == '0' {
		return false, false
	}
	s, integer = s[n:], true
	if len(s) > 0 && s[0] == '.' {
		if n = digits(s[1:]); n == 0 {
			return false, false
		}
		s, integer = s[1+n:], false
	}
	if len(s) > 0 && s[0]|0x20 == 'e' {
		s, integer = s[1:], false
		if len(s) > 0 && (s[0] == '+' || s[0] == '-') {
			s = s[1:]
		}
		if n = digits(s); n == 0 {
			return false, false
		}
		s = s[n:]
	}
	return integer, s == ""
}
