package ruleset

import (
	"os"
	"strings"
	"testing"
)

// TestFixedInDocs: the forms of chains are those that docs/artifact.md has.
func TestFixedInDocs(t *testing.T) {
	page, err := os.ReadFile("../../../docs/artifact.md")
	if err != nil {
		t.Fatal(err)
	}
	_, forms, _ := strings.Cut(fixedText, "\n\n")
	if !strings.Contains(string(page), "```text\n"+forms+"```\n") {
		t.Error("docs/artifact.md lacks the forms in fixed.txt")
	}
}

// TestForms: every form of fixed.txt can be read, in each kind of artifact.
func TestForms(t *testing.T) {
	for _, c := range []struct {
		pod, script bool
		forms       int
	}{{false, false, 36}, {false, true, 37}, {true, false, 28}, {true, true, 28}} {
		d := &decoder{t: newTable(), prefix: "tp_0123456789ab_", pod: c.pod, lines: map[string][]line{}, ended: map[string]bool{}}
		d.readForms(c.script)
		if len(d.forms) != c.forms {
			t.Errorf("pod %t, script %t: %d forms, want %d", c.pod, c.script, len(d.forms), c.forms)
		}
		for role, f := range d.forms {
			if len(f.lines) == 0 {
				t.Errorf("%s has no rules", role)
			}
			for _, l := range f.lines {
				if to := l.to; strings.HasPrefix(to, "~") && d.forms[to] == nil {
					t.Errorf("%s leads to %s, which has no form", role, to)
				}
				if strings.ContainsAny(l.text(), "NC") {
					t.Errorf("%s: %q is of no family", role, l.text())
				}
			}
		}
	}
}
