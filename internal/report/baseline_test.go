package report

import (
	"bytes"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

func TestBaseline(t *testing.T) {
	fs := append(sample(), sample()[0])
	var buf bytes.Buffer
	if err := NewBaseline(fs).Write(&buf); err != nil {
		t.Fatal(err)
	}
	want := `{"version": 1, "findings": [
  {"code":"TP001","about":"c.yaml","count":1},
  {"code":"TP101","about":"TrafficPolicy/default/agent#egress[3]","count":2},
  {"code":"TP202","about":"TrafficPolicy/default/b","count":1}
]}
`
	if d := cmp.Diff(want, buf.String()); d != "" {
		t.Fatalf("(-want +got):\n%s", d)
	}
	b, err := ReadBaseline(&buf)
	if err != nil {
		t.Fatal(err)
	}
	moved := append(fs, fs[0]) // one more than the baseline counts
	for i := range moved {
		moved[i].Line += 100
	}
	kept, held := b.Filter(moved)
	if held != 4 || len(kept) != 1 || kept[0].Code != "TP101" {
		t.Errorf("held %d and kept %v, want 4 held and the third TP101 kept", held, kept)
	}
	if kept, _ := b.Filter(nil); kept == nil {
		t.Error("no findings must be an empty list, which is [] in JSON")
	}
}

func TestReadBaselineRefuses(t *testing.T) {
	for _, text := range []string{"", "[]", `{"version": 2, "findings": []}`, `{"version": 1, "finding": []}`} {
		if _, err := ReadBaseline(strings.NewReader(text)); err == nil {
			t.Errorf("%q is read as a baseline", text)
		}
	}
}
