package command

import (
	"bytes"
	"fmt"
	"slices"
	"strings"
)

// Error is a line that is no command of ours.
type Error struct {
	Line int // from 1
	Err  error
}

func (e *Error) Error() string { return fmt.Sprintf("line %d: %v", e.Line, e.Err) }
func (e *Error) Unwrap() error { return e.Err }

// Parse reads a text of commands and calls f for each, with its line. It stops
// at the first error, its own or f's; its own and those that f returns are *Error.
// The last line ends with a newline, as all do.
func Parse(text []byte, f func(line int, c Command) error) error {
	for n := 1; len(text) > 0; n++ {
		line, rest, ok := bytes.Cut(text, []byte{'\n'})
		if !ok {
			return &Error{n, fmt.Errorf("the line does not end")}
		}
		text = rest
		c, err := parse(string(line))
		if err == nil {
			err = f(n, c)
		}
		if err != nil {
			return &Error{n, err}
		}
	}
	return nil
}

const table = "inet trafficpolicy"

// ParseLine reads one command, without its newline.
func ParseLine(line string) (Command, error) { return parse(line) }

func parse(line string) (Command, error) {
	w, err := split(line)
	if err != nil {
		return nil, err
	}
	c := command(w)
	if err := w.end(); err != nil {
		return nil, err
	}
	return c, nil
}

func command(w *words) Command {
	if w.oneOf("add", "flush") == "flush" {
		kind := w.oneOf("chain", "map", "set")
		w.want(table)
		return &Flush{kind, w.name()}
	}
	kind := w.oneOf("table", "chain", "set", "map", "counter", "limit", "element", "rule")
	w.want(table)
	switch kind {
	case "chain":
		return chain(w)
	case "set":
		return set(w)
	case "map":
		return mapping(w)
	case "counter":
		return &Counter{w.name()}
	case "limit":
		return limit(w)
	case "element":
		return elements(w)
	case "rule":
		return &Rule{w.name(), terms(w)}
	}
	return &Table{}
}

// chain reads a chain or a base chain. Priorities stay between defragmentation
// (-400) and the last hooks, and a base chain never drops by policy.
func chain(w *words) *Chain {
	c := &Chain{Name: w.name()}
	if !w.skip("{") {
		return c
	}
	w.want("type filter hook")
	c.Hook = w.oneOf("prerouting", "input", "forward", "output")
	w.want("priority")
	c.Priority = w.number(-199, 199)
	w.want("; policy accept ; }")
	return c
}

var keyTypes = []string{"ipv4_addr", "ipv6_addr", "inet_service", "ifname", "nf_proto"}

func set(w *words) *Set {
	s := &Set{Name: w.name()}
	w.want("{ type")
	s.Types = []string{w.oneOf(keyTypes...)}
	if w.skip(".") {
		s.Types = append(s.Types, w.oneOf(keyTypes...))
	}
	w.want(";")
	if w.skip("size") {
		s.Size = w.number(1, 1<<20)
		w.want(";")
	}
	switch {
	case w.skip("flags timeout ;"):
		s.Timeout = true
	case w.skip("flags dynamic , timeout ; timeout 10s ;"):
		s.Dynamic, s.Timeout = true, true
	}
	w.want("}")
	return s
}

func mapping(w *words) *Set {
	s := &Set{Name: w.name(), Map: true}
	w.want("{ type")
	s.Types = []string{w.oneOf(keyTypes...)}
	w.want(": verdict ;")
	s.Interval = w.skip("flags interval ;")
	w.want("}")
	return s
}

func limit(w *words) *Limit {
	l := &Limit{Name: w.name()}
	w.want("{ rate")
	rate, _ := strings.CutSuffix(w.peek(), "/second")
	if w.peek() != "" {
		w.list[0] = rate
	}
	l.Rate = w.number(1, 1_000_000)
	w.want("burst")
	l.Burst = w.number(1, 1_000_000)
	w.want("packets ; }")
	return l
}

func elements(w *words) *Elements {
	e := &Elements{Name: w.name()}
	w.want("{")
	for {
		x := Element{Key: []string{w.next()}}
		if w.skip(".") {
			x.Key = append(x.Key, w.next())
		}
		if w.skip(":") {
			x.Verdict = verdict(w)
		}
		e.Elements = append(e.Elements, x)
		if w.err != nil || !w.skip(",") {
			break
		}
	}
	w.want("}")
	return e
}

// verdict reads a verdict that a map can hold, and those of rules alone.
func verdict(w *words) *Verdict {
	v := &Verdict{Kind: w.oneOf("accept", "drop", "return", "goto", "jump", "reject")}
	switch {
	case v.Kind == "goto" || v.Kind == "jump":
		v.Target = w.name()
	case v.Kind != "reject":
	case w.skip("with tcp reset"):
		v.Target = "tcp reset"
	default:
		w.want("with icmpx type admin-prohibited")
		v.Target = "admin-prohibited"
	}
	return v
}

var verdictWords = []string{"accept", "drop", "return", "goto", "jump", "reject"}

func terms(w *words) []Term {
	var list []Term
	for w.peek() != "" {
		list = append(list, term(w))
	}
	if len(list) == 0 {
		w.fail("the rule is empty")
	}
	return list
}

func term(w *words) Term {
	switch {
	case w.skip("counter name"):
		return &Count{w.quotedName()}
	case w.skip("limit name"):
		return &Rate{w.quotedName()}
	case w.skip("log prefix"):
		return logging(w)
	case w.skip("update"):
		u := &Update{Name: w.ref()}
		w.want("{")
		u.Field = field(w).name
		w.want("}")
		return u
	case w.skip("comment"):
		c := &Comment{w.quoted()}
		if len(c.Text) > 128 {
			w.fail("a comment of %d bytes is longer than 128", len(c.Text))
		}
		return c
	case slices.Contains(verdictWords, w.peek()):
		return verdict(w)
	}
	return comparison(w)
}

func logging(w *words) *Log {
	l := &Log{Prefix: w.quoted()}
	if len(l.Prefix) > 127 {
		w.fail("a prefix of %d bytes is longer than 127", len(l.Prefix))
	}
	w.want("group")
	l.Group = w.number(0, 65535)
	w.want("snaplen")
	l.Snaplen = w.number(1, 65535)
	return l
}
