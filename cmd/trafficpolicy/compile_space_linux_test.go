package main

import (
	"bytes"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"golang.org/x/sys/unix"
)

// TestCompileAllOutOfSpace runs out of disk in the middle of a run: the directory
// is what it was, and serves the next.
func TestCompileAllOutOfSpace(t *testing.T) {
	if os.Getuid() != 0 {
		t.Skip("needs root, to mount a file system of some kilobytes")
	}
	dir := t.TempDir()
	out := filepath.Join(dir, "out")
	if err := os.Mkdir(out, 0o755); err != nil {
		t.Fatal(err)
	}
	if err := unix.Mount("tmpfs", out, "tmpfs", 0, "size=192k"); err != nil {
		t.Skipf("mount a tmpfs: %v", err)
	}
	t.Cleanup(func() { unix.Unmount(out, 0) })
	putFiles(t, dir, watchFiles())
	run := func(args ...string) (int, string) {
		var stderr bytes.Buffer
		c := &command{Stdin: strings.NewReader(""), Stdout: &stderr, Stderr: &stderr, Getenv: os.Getenv}
		code := c.run(t.Context(), append([]string{"compile", "-i", filepath.Join(dir, "in"), "--all"}, args...))
		return code, stderr.String()
	}
	if code, text := run("--out-dir", out); code != exitOK {
		t.Fatalf("exit code %d: %s", code, text)
	}
	before := contents(t, out)

	// The bundle of a does not fit beside the old ones.
	if err := os.WriteFile(filepath.Join(out, "filler"), make([]byte, 4096), 0o644); err != nil {
		t.Fatal(err)
	}
	var pods strings.Builder
	for i := range 200 {
		pods.WriteString("---\n" + watchPod(fmt.Sprintf("p%d", i), "a", "web", fmt.Sprintf("10.1.0.%d", i)))
	}
	putFiles(t, dir, map[string]string{"in/more.yaml": pods.String()})
	code, text := run("--out-dir", out)
	if code != exitUsage || !strings.Contains(text, "output directory is as it was: ") || !strings.Contains(text, "no space left") {
		t.Errorf("exit code %d: %s", code, text)
	}
	if err := os.Remove(filepath.Join(out, "filler")); err != nil {
		t.Fatal(err)
	}
	if after := contents(t, out); len(after) != len(before) || after["a.tar"] != before["a.tar"] || after["index.json"] != before["index.json"] {
		t.Errorf("the directory is not what it was")
	}

	if err := os.Remove(filepath.Join(dir, "in/more.yaml")); err != nil {
		t.Fatal(err)
	}
	if code, text := run("--since", out); code != exitOK {
		t.Errorf("exit code %d: %s", code, text)
	}
}

func contents(t *testing.T, dir string) map[string]string {
	t.Helper()
	entries, err := os.ReadDir(dir)
	if err != nil {
		t.Fatal(err)
	}
	out := map[string]string{}
	for _, e := range entries {
		data, err := os.ReadFile(filepath.Join(dir, e.Name()))
		if err != nil {
			t.Fatal(err)
		}
		out[e.Name()] = string(data)
	}
	return out
}
