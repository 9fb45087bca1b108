package bundle

import (
	"bytes"
	"fmt"
)

// Depths of the canonical texts: of objects and lists within each other.
const (
	manifestDepth = 4 // {"defaults": [{"policies": [
	envelopeDepth = 3 // {"signatures": [{
)

// CheckLayout reports whether text is laid out as the JSON files of a bundle are:
// indented by two spaces, each value on a line of its own, no empty object, no
// more than depth objects and lists within each other. It allocates nothing, and
// is asked before text is decoded: the memory that decoding takes is then in
// proportion to the text, which it is not where "{}," can stand for an element, and
// a text of brackets is refused at its first line. It does not tell whether the
// text is JSON.
func CheckLayout(text []byte, depth int) error { return checkLayout(text, depth) }

func checkLayout(text []byte, depth int) error {
	open := 0 // objects and lists
	for n := 1; len(text) > 0; n++ {
		line, rest, found := bytes.Cut(text, []byte{'\n'})
		if !found {
			return fmt.Errorf("line %d does not end", n)
		}
		content := bytes.TrimLeft(line, " ")
		step := lineStep(content)
		if step < 0 {
			open--
		}
		switch {
		case step == notLaidOut || open < 0 || len(line)-len(content) != 2*open || open == 0 && n > 1 && step >= 0:
			return fmt.Errorf("line %d is not as it should be", n)
		case step > 0:
			if open++; open > depth {
				return fmt.Errorf("line %d is more than %d objects and lists deep", n, depth)
			}
		}
		text = rest
	}
	if open != 0 {
		return fmt.Errorf("it ends within %d objects and lists", open)
	}
	return nil
}

// notLaidOut is the step of a line that no text has.
const notLaidOut = 2

// lineStep returns 1 for a line that opens an object or list, -1 for one that
// closes it, 0 for one with a value.
func lineStep(line []byte) int {
	if len(line) == 0 {
		return notLaidOut
	}
	if line[0] == '}' || line[0] == ']' {
		if len(line) == 1 || string(line[1:]) == "," {
			return -1
		}
		return notLaidOut
	}
	rest := line
	if line[0] == '"' {
		end := stringEnd(line)
		if key, ok := bytes.CutPrefix(line[end:], []byte(": ")); ok {
			rest = key
		}
	}
	return valueStep(rest)
}

// valueStep is lineStep behind the name of a field.
func valueStep(v []byte) int {
	switch string(v) {
	case "{", "[":
		return 1
	case "", ",", "{}", "{},":
		return notLaidOut
	case "[]", "[],":
		return 0
	}
	end := 0
	if v[0] == '"' {
		end = stringEnd(v)
	} else if end = bytes.IndexAny(v, "{}[]\", "); end < 0 {
		end = len(v)
	}
	if end > 0 && (end == len(v) || string(v[end:]) == ",") {
		return 0
	}
	return notLaidOut
}

// stringEnd returns where the string ends that s begins with (exclusive), 0
// where it does not end.
func stringEnd(s []byte) int {
	for i := 1; i < len(s); i++ {
		switch s[i] {
		case '\\':
			i++
		case '"':
			return i + 1
		}
	}
	return 0
}
