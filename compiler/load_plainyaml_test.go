package compiler

import (
	"bufio"
	"bytes"
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"go.yaml.in/yaml/v3"

	"github.com/trafficpolicy/trafficpolicy/internal/synth"
	"github.com/trafficpolicy/trafficpolicy/internal/synth/scale"
	"github.com/trafficpolicy/trafficpolicy/model"
)

// checkPlainYAML holds that a text that is read is read as the parser reads it,
// values, kinds, tags, styles and places, and reports whether it is.
func checkPlainYAML(t *testing.T, text string) bool {
	t.Helper()
	if _, what := badText([]byte(text)); what != "" || strings.Contains(text, "\r") || oddBreaks([]byte(text)) != nil {
		return false // nobody asks
	}
	got, ok := parsePlainYAML([]byte(text))
	if !ok {
		return false
	}
	want, err := parseYAML([]byte(text))
	if err != nil || len(want) != 1 {
		t.Errorf("%q is read, the parser says %d documents, %v", text, len(want), err)
		return true
	}
	if diff := differentNode(got.Content[0], want[0].Content[0]); diff != "" {
		t.Errorf("%q: %s", text, diff)
	}
	return true
}

// differentNode says where two trees differ, comments left aside.
func differentNode(got, want *yaml.Node) string {
	say := func(n *yaml.Node) string {
		return fmt.Sprintf("%d:%d kind %d style %d tag %s value %q, %d in it, anchor %q", n.Line, n.Column, n.Kind, n.Style, n.Tag, n.Value, len(n.Content), n.Anchor)
	}
	if say(got) != say(want) {
		return "got " + say(got) + ", want " + say(want)
	}
	for i := range got.Content {
		if diff := differentNode(got.Content[i], want.Content[i]); diff != "" {
			return diff
		}
	}
	return ""
}

// plainTexts are documents, and whether they are read.
var plainTexts = []struct {
	text string
	ok   bool
}{
	{"a: b\n", true},
	{"---\na: b", true},
	{"# c\n\na: b # c\n  # c: d\nc: d\n", true},
	{"a:\n  b:\n    c: 1\n  d: x y z\ne: true\n", true},
	{"a:\n- b: 1\n  c: 2\n-   d: 3\n    e: 4\n- f\n-\n  g: h\nz: w\n", true},
	{"a:\n  - b\n  - {c: d, e: [f, g], h: {}, i: []}\n  # c\n  - \"q: r # s\"\n  - 'q' # c\n", true},
	{"- a: [1, 0x1, 1.5, null, 2001-01-01, 1e3, 08, 0o7, .5, .inf]\n", true},
	{"a: 10.0.0.0/8\nb: 2001:db8::/32\nc: http://x/y\nd: a#b\ne: 1.2.3.4\nf: 99999999999999999999\n", true},
	{"a: b c: d\n", false},
	{"{a: b}\n", false},
	{"a: b: c\n", false},
	{"a: b\n  c\n", false},
	{"a: b\n  c: d\n", false},
	{"a:\nb: c\n", false},
	{"a:\n  b\n", false},
	{" a: b\nc: d\n", false},
	{"a:\n    b: c\n  d: e\n", false},
	{"a: |\n  b\n", false},
	{"a: &x b\nc: *x\n", false},
	{"a: !!str b\n", false},
	{"a: \"b\\n\"\n", false},
	{"a: 'b''c'\n", false},
	{"a: \"b\n  c\"\n", false},
	{"a: {b: c,\n  d: e}\n", false},
	{"a: {b, c}\n", false},
	{"a: {b: c,}\n", false},
	{"a: {b: }\n", false},
	{"a: {b: \"c\"d}\n", false},
	{"a: \"b\"c\n", false},
	{"a: \"b\"#c\n", false},
	{"a: é\n", false},
	{"a:\tb\n", false},
	{"a: b\n---\nc: d\n", false},
	{"%YAML 1.1\n---\na: b\n", false},
	{"\"a\": b\n", false},
	{"? a\n: b\n", false},
	{"- - a\n", false},
	{"a: -1\n", false},
	{"a: ::1\n", false},
	{"a: 1::\n", false},
	{"a: ~\n", false},
	{"<<: a\n", false},
	{"a\n", false},
	{"", false},
	{"# c\n", false},
	{"a: b\n- c\n", false},
	{"- a\nb: c\n", false},
	{"... 0: 0", false},
}

func TestPlainYAML(t *testing.T) {
	for _, tt := range plainTexts {
		if ok := checkPlainYAML(t, tt.text); ok != tt.ok {
			t.Errorf("%q is read: %v, want %v", tt.text, ok, tt.ok)
		}
	}
}

// TestPlainYAMLOfCorpora holds it on every document of the tests, and that nearly
// all of those that people write are read.
func TestPlainYAMLOfCorpora(t *testing.T) {
	n, read := 0, 0
	for _, dir := range []string{"testdata", "../testdata"} {
		filepath.WalkDir(dir, func(path string, d os.DirEntry, err error) error {
			if err != nil || filepath.Ext(path) != ".yaml" {
				return err
			}
			text, err := os.ReadFile(path)
			if err != nil {
				return err
			}
			for _, doc := range documents(t, text) {
				if n++; checkPlainYAML(t, doc) {
					read++
				}
			}
			return nil
		})
	}
	if n < 100 || read < n/2 {
		t.Errorf("of %d documents %d are read", n, read)
	}
	for seed := range uint64(300) {
		c := synth.Small(seed)
		for _, doc := range append(documents(t, []byte(c.PolicyYAML())), documents(t, []byte(c.InventoryYAML()))...) {
			checkPlainYAML(t, doc)
		}
	}
}

func documents(t *testing.T, text []byte) (out []string) {
	s := yamlSplitter{r: bufio.NewReader(bytes.NewReader(text))}
	for {
		more, err := s.next()
		if err != nil {
			t.Fatal(err)
		}
		if s.content {
			out = append(out, string(s.text))
		}
		if !more {
			return out
		}
	}
}

// TestPlainYAMLChanged holds it on texts with a byte or a few changed, taken out or
// put in.
func TestPlainYAMLChanged(t *testing.T) {
	rng := rand.New(rand.NewPCG(1, 8))
	const bytes = "  \n\n-:#{}[],\"'|>&*!%@`?~.ab0/\t=<"
	read := 0
	for range 100_000 {
		text := []byte(plainTexts[rng.IntN(8)].text)
		for range 1 + rng.IntN(3) {
			at, c := rng.IntN(len(text)), bytes[rng.IntN(len(bytes))]
			switch rng.IntN(3) {
			case 0:
				text[at] = c
			case 1:
				text = append(text[:at], text[at+1:]...)
			case 2:
				text = append(text[:at], append([]byte{c}, text[at:]...)...)
			}
			if len(text) == 0 {
				break
			}
		}
		if len(text) > 0 && checkPlainYAML(t, string(text)) {
			read++
		}
		if t.Failed() {
			return
		}
	}
	if read < 10_000 {
		t.Errorf("%d are read, want more", read)
	}
}

func FuzzPlainYAML(f *testing.F) {
	for _, tt := range plainTexts {
		f.Add(tt.text)
	}
	f.Fuzz(func(t *testing.T, text string) { checkPlainYAML(t, text) })
}

// BenchmarkPlainYAML is one document of 10,000 rules, read by hand and by the parser.
func BenchmarkPlainYAML(b *testing.B) {
	var text bytes.Buffer
	if err := scale.WriteYAML(&text, []*model.Policy{scale.Policy(scale.Dense(10_000))}); err != nil {
		b.Fatal(err)
	}
	for _, bb := range []struct {
		name string
		read func([]byte) bool
	}{
		{"plain", func(text []byte) bool { _, ok := parsePlainYAML(text); return ok }},
		{"parser", func(text []byte) bool { _, err := parseYAML(text); return err == nil }},
	} {
		b.Run(bb.name, func(b *testing.B) {
			b.SetBytes(int64(text.Len()))
			b.ReportAllocs()
			for b.Loop() {
				if !bb.read(text.Bytes()) {
					b.Fatal("not read")
				}
			}
		})
	}
}
