package edit

import (
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

// place reads LINE:COLUMN or LINE:COLUMN FIELD.
func place(t *testing.T, s string) (p Place) {
	t.Helper()
	pos, field, _ := strings.Cut(s, " ")
	p.Field = field
	for i, part := range strings.Split(pos, ":") {
		n := 0
		for _, c := range part {
			n = n*10 + int(c-'0')
		}
		*[]*int{&p.Line, &p.Column}[i] = n
	}
	return p
}

func TestRemove(t *testing.T) {
	for _, c := range []struct {
		name   string
		text   string
		places []string
		want   string // of an error, "error: " before a part of it
	}{
		{"block, first", "rules:\n- a: 1\n  b: 2\n- a: 3\n", []string{"1:1 rules[0]"}, "rules:\n- a: 3\n"},
		{"block, last, without line end", "rules:\n- a: 1\n- a: 3", []string{"1:1 rules[1]"}, "rules:\n- a: 1\n"},
		{"block, indented, then a key", "x:\n  rules:\n    - a: 1\n    - a: 3\n  y: 1\n", []string{"1:1 x.rules[1]"}, "x:\n  rules:\n    - a: 1\n  y: 1\n"},
		{"block, not indented, then a key", "x:\n  rules:\n  - a: 1\n  - a: 3\n  y: 1\n", []string{"1:1 x.rules[1]"}, "x:\n  rules:\n  - a: 1\n  y: 1\n"},
		{"dash on its own line", "rules:\n-\n  a: 1\n- # why\n\n  a: 3\n- 5\n", []string{"1:1 rules[1]"}, "rules:\n-\n  a: 1\n- 5\n"},
		{"all of the rules", "rules: # both\n- a: 1\n- a: 3\nx: 1\n", []string{"1:1 rules[1]", "1:1 rules[0]"}, "rules: [] # both\nx: 1\n"},
		{"all, quoted key", "\"rules\" :\n- a: 1\n", []string{"1:1 rules[0]"}, "\"rules\" : []\n"},
		{"all of the peers", "to:\n- a: 1\n", []string{"1:1 to[0]"}, "error: nothing would be left of the list at line 2"},
		{"all of the peers, flow", "to: [{a: 1}]\n", []string{"1:1 to[0]"}, "error: nothing would be left of the list at line 1"},
		{"comments", "rules:\n# head of a\n- a: 1 # end\n  # inside a\n\n  # still inside\n# head of b\n- b: 1\n# behind\n", []string{"1:1 rules[0]"}, "rules:\n# head of b\n- b: 1\n# behind\n"},
		{"comment of the last", "rules:\n- a: 1\n  # inside a\n\n# head of b\n# and more\n- b: 1\n# behind\nx: 1\n", []string{"1:1 rules[1]"}, "rules:\n- a: 1\n  # inside a\n\n# behind\nx: 1\n"},
		{"a comment apart stays", "rules:\n- a: 1\n# apart\n\n- b: 1\n", []string{"1:1 rules[1]"}, "rules:\n- a: 1\n# apart\n"},
		{"a comment of another indent stays", "rules:\n  - a: 1\n    # of a\n # of nothing\n  - b: 1\n", []string{"1:1 rules[1]"}, "rules:\n  - a: 1\n    # of a\n # of nothing\n"},
		{"blank lines", "rules:\n- a\n\n- b\n\n- c\n\n- d\n", []string{"1:1 rules[1]", "1:1 rules[2]"}, "rules:\n- a\n\n- d\n"},
		{"blank line behind the first", "rules:\n- a\n\n- b\n", []string{"1:1 rules[0]"}, "rules:\n- b\n"},
		{"CRLF", "rules:\r\n- a: 1\r\n\r\n# x\r\n- a: 3\r\n\r\n- a: 4\r\n", []string{"1:1 rules[1]"}, "rules:\r\n- a: 1\r\n\r\n- a: 4\r\n"},
		{"byte order mark", "\ufeffrules:\n- a: 1\n- a: 3\n", []string{"1:1 rules[0]"}, "\ufeffrules:\n- a: 3\n"},
		{"letters of two bytes", "ä: {ö: [ü, ü], rules: [ü, é, ß]}\n", []string{"1:1 ä.rules[1]"}, "error: there is no ä.rules[1]"},
		{"letters of two bytes before", "x: {y: [ü, ü], rules: [ü, é, ß]}\n", []string{"1:1 x.rules[1]"}, "x: {y: [ü, ü], rules: [ü, ß]}\n"},
		{"nested lists", "rules:\n- to:\n  - x\n  - y\n  ports:\n  - z\n- to:\n  - x\n", []string{"1:1 rules[0].to[1]", "1:1 rules[1]"}, "rules:\n- to:\n  - x\n  ports:\n  - z\n"},
		{"an entry of a rule that goes", "rules:\n- to:\n  - x\n  - y\n- b\n", []string{"1:1 rules[0].to[1]", "1:1 rules[0]"}, "rules:\n- b\n"},
		{"block scalar", "rules:\n- a: |\n    # text\n    more\n- b: >-\n   # text\n\n# c\n- c\n", []string{"1:1 rules[1]"}, "rules:\n- a: |\n    # text\n    more\n\n# c\n- c\n"},
		{"flow ends at a small indent", "x:\n  rules:\n  - {a: 1,\nb: 2}\n  - 3\n  - {a: [\n]}\n", []string{"1:1 x.rules[0]"}, "x:\n  rules:\n  - 3\n  - {a: [\n]}\n"},
		{"flow of the last ends at a small indent", "x:\n  rules:\n  - 3\n  - {a: [\n]}\n", []string{"1:1 x.rules[1]"}, "error: cannot be cut out"},

		{"flow, first", "to: [{a: 1}, {b: 1}, {c: 1}]\n", []string{"1:1 to[0]"}, "to: [{b: 1}, {c: 1}]\n"},
		{"flow, middle", "to: [ {a: 1} , {b: 1} , {c: 1} ]\n", []string{"1:1 to[1]"}, "to: [ {a: 1} , {c: 1} ]\n"},
		{"flow, last", "to: [{a: 1}, {b: 1}]\n", []string{"1:1 to[1]"}, "to: [{a: 1}]\n"},
		{"flow, last with a comma", "to: [{a: 1}, {b: 1},]\n", []string{"1:1 to[1]"}, "to: [{a: 1},]\n"},
		{"flow, last two", "to: [{a: 1}, {b: 1}, {c: 1}]\n", []string{"1:1 to[1]", "1:1 to[2]"}, "to: [{a: 1}]\n"},
		{"flow, first and last", "to: [{a: 1}, {b: 1}, {c: 1}]\n", []string{"1:1 to[0]", "1:1 to[2]"}, "to: [{b: 1}]\n"},
		{"flow, all", "x: 1\nrules: [{a: 1}, {b: 1}] # none\n", []string{"1:1 rules[0]", "1:1 rules[1]"}, "x: 1\nrules: [] # none\n"},
		{"flow, pairs", "to: [a: 1, b: 2]\n", []string{"1:1 to[0]"}, "to: [b: 2]\n"},
		{"flow, quotes", `to: [{a: "],\"{"}, 'it''s ]', {b: it's}]` + "\n", []string{"1:1 to[1]"}, `to: [{a: "],\"{"}, {b: it's}]` + "\n"},
		{"flow, a line each", "to: [\n  # a\n  {a: 1}, # one\n  # b\n  {b: 1}, # two, with ]\n  {c: 1} # three\n]\n", []string{"1:1 to[1]"}, "to: [\n  # a\n  {a: 1}, # one\n  {c: 1} # three\n]\n"},
		{"flow, a line each, last", "to: [\n  {a: 1}, # one\n  # b\n  {b: 1} # two\n]\n", []string{"1:1 to[1]"}, "to: [\n  {a: 1} # one\n]\n"},
		{"flow, a line each, comma before", "to: [\n  {a: 1}\n  , {b: 1}\n  , {c: 1}\n]\n", []string{"1:1 to[1]"}, "to: [\n  {a: 1}\n  , {c: 1}\n]\n"},
		{"flow, two of a line", "to: [\n  {a: 1}, {b: 1},\n  {c: 1}]\n", []string{"1:1 to[1]"}, "to: [\n  {a: 1},\n  {c: 1}]\n"},
		{"flow, last before the bracket", "to: [{a: 1},\n  {b: 1}]\n", []string{"1:1 to[1]"}, "to: [{a: 1}\n  ]\n"},
		{"JSON", "{\n\t\"rules\": [\n\t\t{\"a\": 1},\n\t\t{\"b\": \"\\u005d\\\"\"}\n\t]\n}\n", []string{"2:2 rules[1]"}, "{\n\t\"rules\": [\n\t\t{\"a\": 1}\n\t]\n}\n"},
		{"JSON in one line", `{"rules":[{"a":1},{"b":2},{"c":3}]}`, []string{"1:2 rules[1]"}, `{"rules":[{"a":1},{"c":3}]}`},
		{"JSON, all", `{"rules":[{"a":1},{"b":2}]}`, []string{"1:2 rules[1]", "1:2 rules[0]"}, `{"rules":[]}`},

		{"document, first", "a: 1\n---\nb: 1\n", []string{"1:1"}, "---\nb: 1\n"},
		{"document, last", "a: 1\n---\nb: 1\n", []string{"3:1"}, "a: 1\n"},
		{"document, middle", "---\na: 1\n\n---\n# of b\nb: 1\n\n---\nc: 1\n", []string{"6:1"}, "---\na: 1\n\n---\nc: 1\n"},
		{"document, a comment stays", "# licence\n\n# of a\na: 1\n---\nb: 1\n", []string{"4:1"}, "# licence\n\n---\nb: 1\n"},
		{"document, the only one", "a: 1\nb:\n  c: 1\n", []string{"1:1"}, ""},
		{"document in JSON", "{\n  \"a\": 1\n}\n", []string{"2:3"}, ""},
		{"document behind its marker", "--- {a: 1}\n---\nb: 1\n", []string{"1:6"}, "error: begins on the line of its marker"},
		{"document with a directive", "%YAML 1.1\n---\na: 1\n", []string{"3:1"}, "error: cannot be cut out"},
		{"an escape that YAML lacks", `{"a":"\/","rules":[1]}`, []string{"1:2 rules[0]"}, "error: not YAML"},
		{"document with an end", "a: 1\n...\n---\nb: 1\n", []string{"1:1"}, "error: ends with the marker"},
		{"items", "items:\n- a: 1\n  x: 1\n- b: 1\n  y: 1\n", []string{"4:3"}, "items:\n- a: 1\n  x: 1\n"},
		{"rule of an item", "items:\n- a: 1\n  rules: [x, y]\n- b: 1\n", []string{"2:3 rules[1]"}, "items:\n- a: 1\n  rules: [x]\n- b: 1\n"},

		{"no object there", "a: 1\n", []string{"2:1"}, "error: there is no object at line 2"},
		{"no such entry", "rules:\n- a\n", []string{"1:1 rules[1]"}, "error: there is no rules[1] of the object at line 1"},
		{"no entry", "rules:\n- a\n", []string{"1:1 rules"}, "error: no entry of a list"},
		{"anchor", "a: &x 1\nrules:\n- b\n", []string{"1:1 rules[0]"}, "error: line 1 has an anchor"},
		{"alias", "rules:\n- &x b\n- *x\n", []string{"1:1 rules[1]"}, "error: line 2 has an anchor"},
		{"lone CR", "a: 1\rrules:\n- b\n", []string{"1:1 rules[0]"}, "error: lone CR"},
		{"not YAML", "a: [\n", []string{"1:1 rules[0]"}, "error: not YAML"},
	} {
		t.Run(c.name, func(t *testing.T) {
			var places []Place
			for _, s := range c.places {
				places = append(places, place(t, s))
			}
			text, err := Parse([]byte(c.text))
			var got []byte
			if err == nil {
				got, err = text.Remove(places)
			}
			if part, fails := strings.CutPrefix(c.want, "error: "); fails {
				if err == nil || !strings.Contains(err.Error(), part) {
					t.Fatalf("error %v, want one with %q; got %q", err, part, got)
				}
				return
			}
			if err != nil {
				t.Fatal(err)
			}
			if d := cmp.Diff(c.want, string(got)); d != "" {
				t.Errorf("(-want +got):\n%s", d)
			}
		})
	}
}

func TestSame(t *testing.T) {
	parse := func(s string) *Text {
		text, err := Parse([]byte(s))
		if err != nil {
			t.Fatal(err)
		}
		return text
	}
	a := parse("# one\na: {b: \"1\", c: [x]}\n")
	for text, want := range map[string]bool{
		"\na:\n  b: '1'\n  c:\n  - x # end\n": true,
		"\na: {b: 1, c: [x]}\n":               false, // a number
		"\na: {b: '1', c: [y]}\n":             false,
		"\na: {b: '1', c: [x, x]}\n":          false,
		"\na: {b: '1', c: [x]}\nd: 1\n":       false,
	} {
		if got := Same(a, Place{Line: 2, Column: 1}, parse(text), Place{Line: 2, Column: 1}); got != want {
			t.Errorf("%q: %v, want %v", text, got, want)
		}
	}
}
