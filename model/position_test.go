package model

import "testing"

func TestPrintable(t *testing.T) {
	for text, want := range map[string]string{
		"a b/ü-策略\u3000.yaml": "a b/ü-策略\u3000.yaml",
		"\x1b[31mred.yaml":    `\x1b[31mred.yaml`,
		"two\nlines\r\t":      `two\nlines\r\t`,
		"\u202etxt.lmay":      `\u202etxt.lmay`,
		"\u009b1m\x7f":        `\u009b1m\x7f`,
		"\xff\xef\uFFFD":      `\xff\xef` + "\uFFFD",
		`C:\new\'q'`:          `C:\new\'q'`,
		"":                    "",
	} {
		if got := Printable(text); got != want {
			t.Errorf("%q: %q, want %q", text, got, want)
		}
		if got := (Pos{File: text, Line: 2, Column: 3}).String(); got != want+":2:3" {
			t.Errorf("%q: position %q, want %q", text, got, want+":2:3")
		}
	}
}
