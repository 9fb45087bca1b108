package compiler

import (
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/trafficpolicy/trafficpolicy/model"
)

func TestScanSuppressions(t *testing.T) {
	text := "# trafficpolicy:ignore TP104 whole policy\n" +
		"\n" +
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
		{"TP104", "whole policy", at(1, 1), 4},
		{"TP101", "two  words", at(5, 6), 5},
		{"TP102", "", at(6, 3), 8},
		{"TP103", "stacked", at(7, 3), 8},
		{"", "", at(10, 1), 10}, // nothing stands behind it
	}
	if d := cmp.Diff(want, scanSuppressions("p.yaml", []byte(text))); d != "" {
		t.Errorf("(-want +got):\n%s", d)
	}
}
