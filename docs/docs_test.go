package docs

import (
	"bytes"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/trafficpolicy/trafficpolicy/model"
)

// A fenced block marked "console" is a transcript: lines that begin with "$ "
// are run by bash in the repository's root with our binaries on PATH, and what
// they print, stdout and stderr as a terminal shows them, must follow. Blocks
// marked otherwise (sh, text, yaml) are not run.
const fence, mark, prompt = "```", "```console", "$ "

func TestExamples(t *testing.T) {
	root, err := filepath.Abs("..")
	if err != nil {
		t.Fatal(err)
	}
	bin := t.TempDir()
	build := exec.Command("go", "build", "-o", bin, "./cmd/trafficpolicy")
	build.Dir = root
	if out, err := build.CombinedOutput(); err != nil {
		t.Fatalf("build: %v\n%s", err, out)
	}
	pages, err := filepath.Glob("*.md")
	if err != nil {
		t.Fatal(err)
	}
	for _, page := range append(pages, "../README.md") {
		t.Run(filepath.Base(page), func(t *testing.T) {
			text, err := os.ReadFile(page)
			if err != nil {
				t.Fatal(err)
			}
			got := replay(t, root, bin, string(text))
			if got == string(text) {
				return
			}
			if os.Getenv("UPDATE") != "" {
				if err := os.WriteFile(page, []byte(got), 0o644); err != nil {
					t.Fatal(err)
				}
				return
			}
			t.Errorf("examples print something else now (-page +real); make golden rewrites them:\n%s", cmp.Diff(string(text), got))
		})
	}
}

// replay returns text with the output of every transcript as it is now.
func replay(t *testing.T, root, bin, text string) string {
	var out strings.Builder
	tmp := t.TempDir() // for what the commands of one page leave one another
	inside, skip := false, false
	for _, line := range strings.SplitAfter(text, "\n") {
		bare := strings.TrimRight(line, "\n")
		switch {
		case !inside:
			inside, skip = bare == mark, false
		case bare == fence:
			inside = false
		case strings.HasPrefix(bare, prompt):
			skip = true
			out.WriteString(line)
			out.WriteString(run(t, root, bin, tmp, strings.TrimPrefix(bare, prompt)))
			continue
		case skip:
			continue // output of the command above, as it was
		}
		out.WriteString(line)
	}
	return out.String()
}

func run(t *testing.T, root, bin, tmp, command string) string {
	t.Helper()
	cmd := exec.Command("bash", "-c", command)
	cmd.Dir = root
	cmd.Env = append(os.Environ(), "PATH="+bin+string(os.PathListSeparator)+os.Getenv("PATH"), "NO_COLOR=1", "COLUMNS=120", "TMPDIR="+tmp)
	var buf bytes.Buffer
	cmd.Stdout, cmd.Stderr = &buf, &buf
	if err := cmd.Run(); err != nil && cmd.ProcessState.ExitCode() < 0 {
		t.Errorf("%s: %v", command, err)
	}
	if buf.Len() > 0 && !strings.HasSuffix(buf.String(), "\n") {
		buf.WriteByte('\n')
	}
	return buf.String()
}

func TestMeaning(t *testing.T) {
	const want = "No packet can reach the rule, and all rules that take its packets decide the same."
	if got := Meaning("TP102"); got != want {
		t.Errorf("%q, want %q", got, want)
	}
	if got := Meaning("TP999"); got != "" {
		t.Errorf("a code without a page means %q", got)
	}
}

// TestChecksHasAPageForEveryCode: a code has a page, or stands in the table of
// those that no check reports yet.
func TestChecksHasAPageForEveryCode(t *testing.T) {
	for _, info := range model.Codes {
		page := Check(string(info.Code))
		if strings.Contains(checks, "\n| "+string(info.Code)+" "+info.Name+" | ") {
			if page != "" {
				t.Errorf("%s is reserved and has a page", info.Code)
			}
			continue
		}
		heading := "## " + string(info.Code) + " " + info.Name + "\n"
		for _, part := range []string{heading, "Default severity: " + info.Severity.String(), "**Meaning.**", "**Why it matters.**", "**How to mend it.**", mark} {
			if !strings.Contains(page, part) {
				t.Errorf("the page of %s has no %q", info.Code, part)
			}
		}
	}
}
