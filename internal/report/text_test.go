package report

import (
	"bytes"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/trafficpolicy/trafficpolicy/model"
)

func TestText(t *testing.T) {
	t.Chdir(t.TempDir())
	source := "spec:\n\taction: 'al low' # tab\n  to: [{cidr: 10.0.0.300/8}, x]\r\nname: \"a\\\"b\" c\nbell: \a\x1b[31mred\n\n策略: {é: e\u0301, 名: \"全角\" }\n"
	if err := os.WriteFile("p.yaml", []byte(source), 0o600); err != nil {
		t.Fatal(err)
	}
	at := func(line, column int) model.Finding {
		return model.NewFinding(model.InvalidValue, model.Pos{File: "p.yaml", Line: line, Column: column}, "m")
	}
	full := at(3, 15)
	full.Rule, full.Suggestion = "TrafficPolicy/a/p#egress[0]", "write this\nor that"
	full.Related = []model.Related{
		{Policy: "TrafficPolicy/a/p", Rule: "TrafficPolicy/a/p#egress[1]", File: "p.yaml", Line: 1, Column: 1, Message: "decides first"},
		{Policy: "TrafficPolicy/a/q", File: "q.yaml", Line: 2, Column: 3, Message: "of equal priority"},
	}
	full.RelatedOmitted = 2
	full.Witness = &model.Witness{Src: "a?app=x", Dst: "10.0.0.0", Proto: "TCP", Port: 0}
	icmp := at(0, 0)
	icmp.File, icmp.Severity = "", model.Info
	icmp.Witness = &model.Witness{Src: "a?app=x", Dst: "10.0.0.0", Proto: "ICMP"}
	for _, c := range []struct {
		name string
		f    model.Finding
		want string
	}{
		{"everything", full, `p.yaml:3:15: error: m [TP003]
 3 |   to: [{cidr: 10.0.0.300/8}, x]
   |               ^~~~~~~~~~~~
   = rule: TrafficPolicy/a/p#egress[0]
   = related: p.yaml:1:1: TrafficPolicy/a/p#egress[1]: decides first
   = related: q.yaml:2:3: TrafficPolicy/a/q: of equal priority
   = related: and 2 more
   = packet: a?app=x to 10.0.0.0, TCP 0
   = help: write this
           or that
`},
		{"nowhere", icmp, "info: m [TP003]\n  = packet: a?app=x to 10.0.0.0, ICMP\n"},
		{"a key", at(1, 1), "p.yaml:1:1: error: m [TP003]\n 1 | spec:\n   | ^~~~\n"},
		{"quoted, behind a tab", at(2, 10), "p.yaml:2:10: error: m [TP003]\n 2 | \taction: 'al low' # tab\n   | \t        ^~~~~~~~\n"},
		{"an escaped quote", at(4, 7), "p.yaml:4:7: error: m [TP003]\n 4 | name: \"a\\\"b\" c\n   |       ^~~~~~\n"},
		{"last of a line", at(3, 30), "p.yaml:3:30: error: m [TP003]\n 3 |   to: [{cidr: 10.0.0.300/8}, x]\n   |                              ^\n"},
		{"control characters", at(5, 1), "p.yaml:5:1: error: m [TP003]\n 5 | bell: \ufffd\ufffd[31mred\n   | ^~~~\n"},
		{"behind the line", at(1, 6), "p.yaml:1:6: error: m [TP003]\n"},
		{"an empty line", at(6, 1), "p.yaml:6:1: error: m [TP003]\n"},
		{"wide", at(7, 16), "p.yaml:7:16: error: m [TP003]\n 7 | 策略: {é: e\u0301, 名: \"全角\" }\n   |                  ^~~~~~\n"},
		{"of two characters", at(7, 9), "p.yaml:7:9: error: m [TP003]\n 7 | 策略: {é: e\u0301, 名: \"全角\" }\n   |           ^\n"},
		{"behind the file", at(8, 1), "p.yaml:8:1: error: m [TP003]\n"},
		{"no column", at(1, 0), "p.yaml:1: error: m [TP003]\n"},
	} {
		var b bytes.Buffer
		if err := Text(&b, []model.Finding{c.f}, TextOptions{}); err != nil {
			t.Fatal(err)
		}
		if diff := cmp.Diff(c.want+"\n", b.String()); diff != "" {
			t.Errorf("%s (-want +got):\n%s", c.name, diff)
		}
	}
}

// JSON has whole clusters in one line: the subject is shown with what is near it.
func TestTextLongLine(t *testing.T) {
	path := filepath.Join(t.TempDir(), "p.json")
	line := strings.Repeat("x", 1000) + "SUBJECT," + strings.Repeat("y", 1000)
	if err := os.WriteFile(path, []byte(line), 0o600); err != nil {
		t.Fatal(err)
	}
	var s sources
	for _, column := range []int{1, 1001, 1500, len(line)} {
		text, marks, ok := s.excerpt(model.Pos{File: path, Line: 1, Column: column})
		if !ok || len(text) > maxExcerpt+6 {
			t.Fatalf("column %d: %d characters", column, len(text))
		}
		at := strings.IndexByte(marks, '^')
		if text[at] != line[column-1] {
			t.Errorf("column %d: the mark is under %q, want %q", column, text[at], line[column-1])
		}
		if column == 1001 && text[at:at+len("SUBJECT")] != "SUBJECT" {
			t.Errorf("the mark is under %q", text[at:])
		}
		if len(marks) > len(text) {
			t.Errorf("column %d: marks go on behind the line", column)
		}
	}
}

func TestTextColor(t *testing.T) {
	f := model.NewFinding(model.InvalidValue, model.Pos{File: "gone.yaml", Line: 1, Column: 1}, "m")
	var b bytes.Buffer
	if err := Text(&b, []model.Finding{f}, TextOptions{Color: true}); err != nil {
		t.Fatal(err)
	}
	if want := "\x1b[1mgone.yaml:1:1\x1b[0m: \x1b[1;31merror\x1b[0m: m [TP003]\n\n"; b.String() != want {
		t.Errorf("%q, want %q", b.String(), want)
	}
}
