package canon

import (
	"bytes"
	"encoding/json"
	"net/netip"
	"strings"
	"testing"
	"unicode/utf8"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"
)

// sample has every kind of value.
type sample struct {
	Text  string       `json:"text"`
	Maybe string       `json:"maybe,omitempty"`
	Int   int64        `json:"int"`
	Uint  uint32       `json:"uint"`
	Addr  netip.Addr   `json:"addr"`
	List  []string     `json:"list"`
	Deep  [][]element  `json:"deep"`
	Addrs []netip.Addr `json:"addrs"`
}

type element struct {
	Name string `json:"name"`
}

func encode(t testing.TB, s *sample) []byte {
	t.Helper()
	var b bytes.Buffer
	e := json.NewEncoder(&b)
	e.SetEscapeHTML(false)
	e.SetIndent("", "  ")
	if err := e.Encode(s); err != nil {
		t.Fatal(err)
	}
	return b.Bytes()
}

func decode(text []byte) (s sample, err error) {
	err = Read(text, func(r *Reader) {
		s.Text = r.String("text")
		if r.Has("maybe") {
			if s.Maybe = r.String("maybe"); s.Maybe == "" {
				r.Fail("it is empty")
			}
		}
		s.Int, s.Uint, s.Addr = r.Int("int"), uint32(r.Uint("uint", 32)), r.Addr("addr")
		s.List, s.Deep, s.Addrs = []string{}, [][]element{}, []netip.Addr{}
		r.List("list", func() { s.List = append(s.List, r.String("")) })
		r.List("deep", func() {
			inner := []element{}
			r.List("", func() {
				var e element
				r.Object("", func() { e.Name = r.String("name") })
				inner = append(inner, e)
			})
			s.Deep = append(s.Deep, inner)
		})
		r.List("addrs", func() { s.Addrs = append(s.Addrs, r.Addr("")) })
	})
	return s, err
}

func samples() []*sample {
	v4, v6 := netip.MustParseAddr("10.0.0.1"), netip.MustParseAddr("fd00::1")
	return []*sample{
		{Addr: v4, List: []string{}, Deep: [][]element{}, Addrs: []netip.Addr{}},
		{
			Text: "quote \" back \\ tab \t <&> ü \u2028 \x7f", Maybe: "here", Int: -1 << 63, Uint: 1<<32 - 1, Addr: v6,
			List: []string{"", "a,", "]", "{", "b"},
			Deep: [][]element{{}, {{"x"}}, {{"y"}, {""}}}, Addrs: []netip.Addr{v4, v6},
		},
	}
}

func TestRoundTrip(t *testing.T) {
	addrs := cmp.Comparer(func(a, b netip.Addr) bool { return a == b })
	for i, want := range samples() {
		got, err := decode(encode(t, want))
		if err != nil {
			t.Errorf("sample %d: %v\n%s", i, err, encode(t, want))
			continue
		}
		if d := cmp.Diff(want, &got, addrs, cmpopts.EquateEmpty()); d != "" {
			t.Errorf("sample %d: (-want +got)\n%s", i, d)
		}
	}
}

func TestRefuses(t *testing.T) {
	whole := string(encode(t, samples()[1]))
	change := func(old, new string) string {
		if strings.Count(whole, old) != 1 {
			t.Fatalf("%q stands %d times", old, strings.Count(whole, old))
		}
		return strings.Replace(whole, old, new, 1)
	}
	for name, tt := range map[string]struct{ text, want string }{
		"empty":               {"", `line 1: it is not what`},
		"no newline":          {strings.TrimSuffix(whole, "\n"), "line 34: it is not"},
		"two newlines":        {whole + "\n", "something follows its end"},
		"twice":               {whole + whole, "something follows its end"},
		"a comma at the end":  {strings.TrimSuffix(whole, "\n") + ",\n", "something follows its end"},
		"a list":              {"[\n]\n", "line 1: it is not"},
		"unknown field":       {change("  \"int\"", "  \"more\": 1,\n  \"int\""), `line 4: field "int" should stand here`},
		"missing field":       {change("  \"uint\": 4294967295,\n", ""), `line 5: field "uint" should stand here`},
		"field twice":         {change("  \"uint\": 4294967295,\n", "  \"uint\": 4294967295,\n  \"uint\": 4294967295,\n"), `line 6: field "addr"`},
		"empty and optional":  {change(`"maybe": "here"`, `"maybe": ""`), "line 3: it is empty"},
		"no comma":            {change("\"here\",", "\"here\""), `line 4: field "int" should stand here`},
		"comma before an end": {change("    \"b\"\n", "    \"b\",\n"), "line 13: it is not"},
		"indent":              {change("  \"int\"", "   \"int\""), `line 4: field "int"`},
		"space":               {change(`"int": `, `"int":  `), "no whole number"},
		"plus":                {change(": 4294967295", ": +4294967295"), "no number of 32 bits"},
		"too large":           {change(": 4294967295", ": 4294967296"), "no number of 32 bits"},
		"float":               {change(": 4294967295", ": 4294967295.0"), "no number of 32 bits"},
		"zero":                {change(": -9223372036854775808", ": 09"), "no whole number"},
		"string for number":   {change(": -9223372036854775808", `: "1"`), "no whole number"},
		"null":                {change("\"here\"", "null"), "no string as it should be"},
		"other escape":        {change(`\t`, `\u0009`), "no string as it should be"},
		"slash":               {change("<", `\u003c`), "no string as it should be"},
		"half a string":       {change("\"here\",", "\"here,"), "no string as it should be"},
		"address":             {change(`"addr": "fd00::1"`, `"addr": "fd00:0::1"`), "no IP address as it should be"},
		"no address":          {change(`"addr": "fd00::1"`, `"addr": ""`), "no IP address as it should be"},
		"empty object":        {change("      {\n        \"name\": \"x\"\n      }\n", "      {}\n"), "it is not what should stand here"},
		"list on a line":      {change("    [\n      {\n        \"name\": \"x\"\n      }\n    ],\n", "    [{\"name\": \"x\"}],\n"), "it is not what should stand here"},
		"null for a list":     {change("    [],\n", "    null,\n"), "it is not what should stand here"},
		"carriage return":     {strings.ReplaceAll(whole, "\n", "\r\n"), "line 1: it is not"},
	} {
		_, err := decode([]byte(tt.text))
		if err == nil || !strings.Contains(err.Error(), tt.want) {
			t.Errorf("%s: error %v, want %q", name, err, tt.want)
		}
	}
}

// FuzzRead holds that what was read is what would be written of it.
func FuzzRead(f *testing.F) {
	for _, s := range samples() {
		f.Add(encode(f, s))
	}
	f.Fuzz(func(t *testing.T, in []byte) {
		s, err := decode(in)
		if err != nil {
			return
		}
		if !utf8.Valid(in) {
			t.Fatalf("%q was read", in)
		}
		if again := encode(t, &s); !bytes.Equal(again, in) {
			t.Fatalf("read %q, written %q", in, again)
		}
	})
}
