package ruleset

import (
	"bytes"
	"fmt"
	"strings"

	"github.com/trafficpolicy/trafficpolicy/backends/nftables/command"
)

// Text is one text of commands. Name is for messages.
type Text struct {
	Name string
	Data []byte
	// May, if not nil, says what has no place in the text although nft would do it.
	May func(command.Command) error
}

// pos is a line of a text.
type pos struct {
	text uint32 // index in Table.names
	line uint32 // from 1
}

// each calls f with every command of a text and its line. Spaces and comments
// mean no more than they do to nft.
func each(data []byte, f func(line int, c command.Command) error) error {
	for n := 1; len(data) > 0; n++ {
		line, rest, ok := bytes.Cut(data, []byte{'\n'})
		if !ok {
			return &lineError{n, fmt.Errorf("the line does not end")}
		}
		data = rest
		text := plain(string(line))
		if text == "" {
			continue
		}
		var c command.Command = &deleteTable{}
		var err error
		if text != "delete table inet trafficpolicy" {
			c, err = command.ParseLine(text)
		}
		if err == nil {
			err = f(n, c)
		}
		if err != nil {
			return &lineError{n, err}
		}
	}
	return nil
}

// deleteTable is the one command of a script that package command, which speaks
// for bundles, does not have.
type deleteTable struct{ *command.Table }

type lineError struct {
	line int
	err  error
}

func (e *lineError) Error() string { return fmt.Sprintf("line %d: %v", e.line, e.err) }
func (e *lineError) Unwrap() error { return e.err }

// plain returns a line without a comment, with one space where there are several
// or tabs; quoted text is left alone.
func plain(line string) string {
	if !strings.ContainsAny(line, "\t#") && !strings.Contains(line, "  ") && !strings.HasPrefix(line, " ") && !strings.HasSuffix(line, " ") {
		return line
	}
	out := make([]byte, 0, len(line))
	quoted := false
	for i := range len(line) {
		c := line[i]
		switch {
		case c == '"':
			quoted = !quoted
		case quoted:
		case c == '#':
			return strings.TrimSuffix(string(out), " ")
		case c == ' ' || c == '\t':
			if len(out) == 0 || out[len(out)-1] == ' ' {
				continue
			}
			c = ' '
		}
		out = append(out, c)
	}
	return strings.TrimSuffix(string(out), " ")
}
