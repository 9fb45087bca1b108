package compiler

import (
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/trafficpolicy/trafficpolicy/model"
)

func TestSuppressions(t *testing.T) {
	before := "# trafficpolicy:ignore TP104 whole policy\n" +
		"\n"
	text := "---\n" +
		"# and a remark\n" +
		"apiVersion: x\r\n" +
		"ü: a # trafficpolicy:ignore TP101 two  words \r\n" +
		"  # trafficpolicy:ignore TP102\n" +
		"  # trafficpolicy:ignore TP103 stacked\n" +
		"  - action: deny\n" +
		"  url: http://x#trafficpolicy:ignore TP101 no comment\n" +
		"#trafficpolicy:ignore\n" +
		"# trafficpolicy:ignored TP101 another word\n"
	at := func(line, column int) model.Pos { return model.Pos{File: "p.yaml", Line: line, Column: column} }
	want := []Suppression{
		{"TP104", "whole policy", at(1, 1), 5},
		{"TP101", "two  words", at(6, 6), 6},
		{"TP102", "", at(7, 3), 9},
		{"TP103", "stacked", at(8, 3), 9},
		{"", "", at(11, 1), 11}, // nothing stands behind it
	}
	s := suppressions{file: "p.yaml"}
	s.scan([]byte(before), 0)
	s.scan([]byte(text), 2)
	if d := cmp.Diff(want, s.found); d != "" {
		t.Errorf("(-want +got):\n%s", d)
	}
}
