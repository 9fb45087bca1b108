package command

import (
	"fmt"
	"net/netip"
	"slices"
	"strconv"
	"strings"
)

// maxLine is the longest line in bytes.
const maxLine = 64 << 10

// words is what is left of a line. The first failure sticks; all methods are
// harmless afterwards.
type words struct {
	list []string
	err  error
}

// split cuts a line into words: runs of letters, digits and the marks that
// names, numbers, addresses and operators have; each of { } , ; alone; and texts
// in double quotes, kept with the first quote.
func split(line string) (*words, error) {
	if len(line) > maxLine {
		return nil, fmt.Errorf("the line is longer than %d bytes", maxLine)
	}
	w := &words{list: make([]string, 0, 16)}
	for i := 0; i < len(line); {
		switch c := line[i]; {
		case c == ' ':
			if i == 0 || i == len(line)-1 || line[i-1] == ' ' {
				return nil, fmt.Errorf("more than one space between words")
			}
			i++
		case c == '"':
			n := strings.IndexByte(line[i+1:], '"')
			if n < 0 {
				return nil, fmt.Errorf("a quote is not closed")
			}
			text := line[i : i+1+n]
			if !isText(text[1:]) {
				return nil, fmt.Errorf("%s\" has a character that no quoted text has", text)
			}
			w.list = append(w.list, text)
			i += n + 2
		case strings.IndexByte("{},;", c) >= 0:
			w.list = append(w.list, line[i:i+1])
			i++
		case isWord(c):
			j := i + 1
			for j < len(line) && isWord(line[j]) {
				j++
			}
			w.list = append(w.list, line[i:j])
			i = j
		default:
			return nil, fmt.Errorf("character %q has no place in a command", c)
		}
	}
	return w, nil
}

func isAlnum(c byte) bool {
	return c >= 'a' && c <= 'z' || c >= 'A' && c <= 'Z' || c >= '0' && c <= '9'
}

func isWord(c byte) bool { return isAlnum(c) || strings.IndexByte("_.:/-@&=!>", c) >= 0 }

// isText reports whether s is what comments and prefixes are made of: rule names
// and spaces.
func isText(s string) bool {
	for i := range len(s) {
		if !isAlnum(s[i]) && strings.IndexByte("_./-#[] ", s[i]) < 0 {
			return false
		}
	}
	return true
}

// isName reports whether s can name an object.
func isName(s string) bool {
	if !strings.HasPrefix(s, "tp_") || len(s) == 3 || len(s) > 127 {
		return false
	}
	for i := range len(s) {
		if c := s[i]; (c < 'a' || c > 'z') && (c < '0' || c > '9') && c != '_' {
			return false
		}
	}
	return true
}

func (w *words) fail(format string, args ...any) {
	if w.err == nil {
		w.err = fmt.Errorf(format, args...)
	}
}

// peek returns the next word, "" at the end.
func (w *words) peek() string {
	if w.err != nil || len(w.list) == 0 {
		return ""
	}
	return w.list[0]
}

// next takes the next word.
func (w *words) next() string {
	s := w.peek()
	if s == "" {
		w.fail("the line ends too early")
		return ""
	}
	w.list = w.list[1:]
	return s
}

// has returns how many words phrase has if the line goes on with them, else 0.
func (w *words) has(phrase string) int {
	n := 0
	for w.err == nil && n < len(w.list) {
		word, rest, more := strings.Cut(phrase, " ")
		if w.list[n] != word {
			break
		}
		if n++; !more {
			return n
		}
		phrase = rest
	}
	return 0
}

// skip takes the words of phrase if the line goes on with them.
func (w *words) skip(phrase string) bool {
	n := w.has(phrase)
	w.list = w.list[n:]
	return n > 0
}

// want takes the words of phrase.
func (w *words) want(phrase string) {
	switch {
	case w.skip(phrase):
	case w.peek() == "":
		w.fail("the line ends where %q should stand", phrase)
	default:
		w.fail("%q stands where %q should", w.peek(), phrase)
	}
}

// oneOf takes a word of the list.
func (w *words) oneOf(choices ...string) string {
	s := w.next()
	if w.err == nil && !slices.Contains(choices, s) {
		w.fail("%q is not one of %s", s, strings.Join(choices, ", "))
	}
	return s
}

// name takes the name of an object.
func (w *words) name() string {
	s := w.next()
	if w.err == nil && !isName(s) {
		w.fail("%q is no name of ours", s)
	}
	return s
}

// ref takes the name of a set after its @.
func (w *words) ref() string {
	s, ok := strings.CutPrefix(w.next(), "@")
	if w.err == nil && (!ok || !isName(s)) {
		w.fail("%q names no set of ours", s)
	}
	return s
}

// quoted takes a text in quotes.
func (w *words) quoted() string {
	s, ok := strings.CutPrefix(w.next(), `"`)
	if !ok {
		w.fail("%q is not in quotes", s)
	}
	return s
}

// quotedName takes the name of an object in quotes.
func (w *words) quotedName() string {
	s := w.quoted()
	if w.err == nil && !isName(s) {
		w.fail("%q is no name of ours", s)
	}
	return s
}

// number takes a decimal number from low to high.
func (w *words) number(low, high int) int {
	s := w.next()
	n, err := strconv.Atoi(s)
	if w.err == nil && (err != nil || n < low || n > high || strconv.Itoa(n) != s) {
		w.fail("%q is no number from %d to %d", s, low, high)
	}
	return n
}

// end fails unless the line is used up.
func (w *words) end() error {
	if w.err == nil && len(w.list) > 0 {
		w.fail("%q stands behind the end of the command", w.list[0])
	}
	return w.err
}

func parseAddrs(s string) (first, last netip.Addr, ok bool) {
	if a, b, found := strings.Cut(s, "-"); found {
		first, ok1 := plainAddr(a)
		last, ok2 := plainAddr(b)
		return first, last, ok1 && ok2 && first.BitLen() == last.BitLen() && first.Less(last)
	}
	if strings.Contains(s, "/") {
		p, err := netip.ParsePrefix(s)
		if err != nil || p != p.Masked() || p.Addr().Is4In6() {
			return first, last, false
		}
		b := p.Addr().AsSlice()
		for i := p.Bits(); i < len(b)*8; i++ {
			b[i/8] |= 0x80 >> (i % 8)
		}
		last, _ = netip.AddrFromSlice(b)
		return p.Addr(), last, true
	}
	first, ok = plainAddr(s)
	return first, first, ok
}

func plainAddr(s string) (netip.Addr, bool) {
	a, err := netip.ParseAddr(s)
	return a, err == nil && a.Zone() == ""
}
