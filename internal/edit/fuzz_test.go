package edit

import (
	"bytes"
	"testing"
)

// What is taken out of any text leaves a text without it, or an error; and
// nothing but a piece of what was there, and the [] of a list that is empty now.
func FuzzRemove(f *testing.F) {
	for _, text := range []string{
		"rules:\n# head\n- a: 1\n  # inside\n- a: 3\n\n- {b: [1, 2]} # end\n",
		"items:\n- a: 1\n  rules: [x, y]\n- b: 1\n",
		"to: [\n  # a\n  {a: 1}, # one\n  'it''s ]' , \"]\\\"\",\n]\n---\nb: 1\n",
		"{\"rules\":[{\"a\":1},{\"b\":2},{\"c\":3}]}",
		"\ufeffrules:\r\n-\r\n  a: |\r\n    # text\r\n- b\r\n",
	} {
		f.Add([]byte(text), "rules[0]", "items[0]")
		f.Add([]byte(text), "to[1]", "")
	}
	f.Fuzz(func(t *testing.T, text []byte, first, second string) {
		u, err := Parse(text)
		if err != nil || len(u.roots) == 0 {
			return
		}
		r := u.roots[0]
		if len(r.Content) == 0 {
			return
		}
		at := r.Content[0]
		out, err := u.Remove([]Place{{at.Line, at.Column, first}, {at.Line, at.Column, second}})
		if err != nil {
			return
		}
		if _, err := Parse(out); err != nil {
			t.Fatalf("%q is left, which is not YAML: %v", out, err)
		}
		rest := text
		for _, c := range bytes.ReplaceAll(out, []byte(": []"), []byte(":")) {
			i := bytes.IndexByte(rest, c)
			if i < 0 {
				t.Fatalf("%q has more than %q", out, text)
			}
			rest = rest[i+1:]
		}
	})
}
