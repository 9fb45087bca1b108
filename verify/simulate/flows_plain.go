package simulate

import "strings"

// fromPlainJSON reads a flow from JSON of the form that programs write: one
// object of the known keys, each once, with strings that need no escapes and
// numbers without sign, fraction and exponent. It reports false where the text
// is anything else, good or bad; then f is undefined, and fromJSON decides.
func (f *rawFlow) fromPlainJSON(text string) bool {
	t := plainJSON(text)
	if !t.skip('{') {
		return false
	}
	for seen := (rawFlow{}); ; {
		key, ok := t.string()
		c, known := columnOf(key)
		if !ok || !known || seen[c] != "" || !t.skip(':') {
			return false
		}
		seen[c] = key
		if t.next('"') {
			f[c], ok = t.string()
			f[c] = strings.TrimSpace(f[c])
		} else {
			f[c], ok = t.number()
		}
		switch {
		case !ok:
			return false
		case t.skip(','):
		default:
			return t.skip('}') && t == ""
		}
	}
}

// plainJSON is the rest of a text, which begins with no white space.
type plainJSON string

func (t *plainJSON) next(c byte) bool { return len(*t) > 0 && (*t)[0] == c }

// skip goes past c and the white space behind it, if c is next.
func (t *plainJSON) skip(c byte) bool {
	if !t.next(c) {
		return false
	}
	t.cut(1)
	return true
}

// cut goes past n bytes and the white space behind them.
func (t *plainJSON) cut(n int) {
	for n < len(*t) && ((*t)[n] == ' ' || (*t)[n] == '\t') {
		n++
	}
	*t = (*t)[n:]
}

// string goes past a string without escapes.
func (t *plainJSON) string() (string, bool) {
	if !t.next('"') {
		return "", false
	}
	for i := 1; i < len(*t); i++ {
		switch c := (*t)[i]; {
		case c == '"':
			s := string((*t)[1:i])
			t.cut(i + 1)
			return s, true
		case c == '\\' || c < ' ':
			return "", false
		}
	}
	return "", false
}

// number goes past a whole number.
func (t *plainJSON) number() (string, bool) {
	n := 0
	for n < len(*t) && '0' <= (*t)[n] && (*t)[n] <= '9' {
		n++
	}
	if n == 0 || n > 1 && (*t)[0] == '0' {
		return "", false
	}
	s := string((*t)[:n])
	t.cut(n)
	return s, true
}
