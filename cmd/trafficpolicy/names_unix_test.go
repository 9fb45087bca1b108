//go:build !windows

package main

import (
	"bytes"
	"os"
	"strings"
	"testing"
)

// What a file is called can neither act on the terminal nor break a line.
func TestNamesOfFilesAreEscaped(t *testing.T) {
	t.Chdir(t.TempDir())
	const name = "a\x1b[31m\nb.yaml"
	if err := os.WriteFile(name, []byte(": ["), 0o644); err != nil {
		t.Skip(err)
	}
	if err := os.Symlink("gone\x1b", "dead\x1b\n.yaml"); err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct {
		args         []string
		stdout, want string // of stderr
	}{
		{[]string{"lint", name}, `a\x1b[31m\nb.yaml:1:`, ""},
		{[]string{"lint", name, "-o", "github"}, `file=a\x1b[31m\nb.yaml,`, ""},
		{[]string{"lint", name, "--fix"}, `a\x1b[31m\nb.yaml:1:`, "not fixed"},
		{[]string{"list", name}, "", `a\x1b[31m\nb.yaml:1:`},
		{[]string{"lint", "gone\x1b\n.yaml"}, "", `gone\x1b\n.yaml: no such file`},
		{[]string{"lint", "."}, "", `dead\x1b\n.yaml: no such file`},
		{[]string{"lint", "--resolve-file", "gone\x1b\n"}, "", `gone\x1b\n: no such file`},
	} {
		var stdout, stderr bytes.Buffer
		cmd := &command{Stdin: strings.NewReader(""), Stdout: &stdout, Stderr: &stderr, Getenv: os.Getenv}
		cmd.Main(c.args)
		if !strings.Contains(stdout.String(), c.stdout) || !strings.Contains(stderr.String(), c.want) {
			t.Errorf("%q: stdout %q, want %q, stderr %q, want %q", c.args, &stdout, c.stdout, &stderr, c.want)
		}
		if strings.ContainsRune(stdout.String()+stderr.String(), '\x1b') {
			t.Errorf("%q: an escape in %q %q", c.args, &stdout, &stderr)
		}
	}
}
