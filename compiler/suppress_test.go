package compiler

import (
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/trafficpolicy/trafficpolicy/model"
)

func TestSuppressions(t *testing.T) {
	before := "# trafficpolicy:ignore TP104 ends the document\n"
	text := "---\n" +
		"# and a remark\n" +
		"apiVersion: x\r\n" +
		"ü: a # trafficpolicy:ignore TP101 two  words \r\n" +
		"  # trafficpolicy:ignore TP102\n" +
		"  # trafficpolicy:ignore TP103 stacked\n" +
		"  # with a remark\n" +
		"  - action: deny\n" +
		"  url: http://x#trafficpolicy:ignore TP101 no comment\n" +
		"  # trafficpolicy:ignore TP201 blank below\n" +
		"  \r\n" +
		"  - # trafficpolicy:ignore TP202 at the dash\n" +
		"    action: deny\n" +
		"  # trafficpolicy:ignore TP203 above the brace\n" +
		"  - {\n" +
		"    to: [{cidr: 10.0.0.0/8\n" +
		"    }]\n" +
		"  } # trafficpolicy:ignore TP301 at the end\n" +
		"#trafficpolicy:ignore\n" +
		"# trafficpolicy:ignored TP101 another word\n"
	at := func(line, column int) model.Pos { return model.Pos{File: "p.yaml", Line: line, Column: column} }
	want := []Suppression{
		{"TP104", "ends the document", at(1, 1), 0, true},
		{"TP101", "two  words", at(5, 6), 5, false},
		{"TP102", "", at(6, 3), 9, true},
		{"TP103", "stacked", at(7, 3), 9, true},
		{"TP201", "blank below", at(11, 3), 0, true},
		{"TP202", "at the dash", at(13, 5), 14, false},
		{"TP203", "above the brace", at(15, 3), 17, true},
		{"TP301", "at the end", at(19, 5), 17, false},
		{"", "", at(20, 1), 0, true}, // nothing stands behind it
	}
	s := suppressions{file: "p.yaml"}
	s.scan([]byte(before), 0)
	s.scan([]byte(text), 1)
	if d := cmp.Diff(want, s.found); d != "" {
		t.Errorf("(-want +got):\n%s", d)
	}
}
