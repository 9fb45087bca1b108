package simulate

import (
	"math/rand/v2"
	"testing"
	"unicode/utf8"
)

// plainSeeds are lines of JSON, the first of which fromPlainJSON reads.
var plainSeeds = []struct {
	text string
	ok   bool
}{
	{`{"src":"a/b","dst":"c","proto":"tcp","port":80}`, true},
	{`{ "dst" : "c" ,	"src": " a/b ", "port":"080" , "proto":6}`, true},
	{`{"src":""}`, true},
	{`{"src":"é","port":0}`, true},
	{`{}`, false},
	{`{"src":"a","src":"b"}`, false},
	{`{"src":"a","src":""}`, false},
	{`{"src":"a\n"}`, false},
	{"{\"src\":\"a\nb\"}", false},
	{`{"src":"a","dst":null}`, false},
	{`{"src":"a","port":080}`, false},
	{`{"src":"a","port":-1}`, false},
	{`{"src":"a","port":1.0}`, false},
	{`{"src":"a","port":1e2}`, false},
	{`{"src":"a",}`, false},
	{`{"src":"a"`, false},
	{`{"src":"a"}}`, false},
	{`{"src":"a"} {}`, false},
	{`{"src" "a"}`, false},
	{`{"Src":"a"}`, false},
	{`{"src":["a"]}`, false},
	{`["src"]`, false},
}

func TestPlainJSON(t *testing.T) {
	for _, tt := range plainSeeds {
		if ok := checkPlainJSON(t, tt.text); ok != tt.ok {
			t.Errorf("%s is read: %v, want %v", tt.text, ok, tt.ok)
		}
	}
	rng := rand.New(rand.NewPCG(1, 7))
	for range 200_000 { // a byte or two of a good text changed
		text := []byte(plainSeeds[rng.IntN(4)].text)
		for range 1 + rng.IntN(2) {
			text[rng.IntN(len(text))] = "{}\":,\\ 0123abc\t\n"[rng.IntN(16)]
		}
		checkPlainJSON(t, string(text))
	}
}

func FuzzPlainJSON(f *testing.F) {
	for _, s := range plainSeeds {
		f.Add(s.text)
	}
	f.Fuzz(func(t *testing.T, text string) { checkPlainJSON(t, text) })
}

// checkPlainJSON holds that what is read is what encoding/json reads, and reports
// whether it is.
func checkPlainJSON(t *testing.T, text string) bool {
	t.Helper()
	if !utf8.ValidString(text) {
		return false // nobody asks
	}
	var got, want rawFlow
	if !got.fromPlainJSON(text) {
		return false
	}
	if err := want.fromJSON(text); err != nil || got != want {
		t.Errorf("%q is read as %q, by encoding/json as %q, %v", text, got, want, err)
	}
	return true
}
