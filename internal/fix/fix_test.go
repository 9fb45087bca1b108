package fix

import (
	"bytes"
	"context"
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/trafficpolicy/trafficpolicy/compiler"
	"github.com/trafficpolicy/trafficpolicy/verify"
)

const redundant = `apiVersion: network.alibabacloud.com/v1alpha1
kind: TrafficPolicy
metadata: {name: NAME, namespace: a}
spec:
  priority: 100
  selector: {}
  egress:
    rules:
    - action: allow
      to: [{cidr: 10.0.0.0/8}]
    - action: allow # redundant
      to: [{cidr: 10.1.0.0/16}]
`

var mended = redundant[:strings.Index(redundant, "    - action: allow # redundant")]

func named(name, text string) string { return strings.ReplaceAll(text, "NAME", name) }

// tree writes files below a new working directory.
func tree(t *testing.T, files map[string]string) {
	t.Helper()
	t.Chdir(t.TempDir())
	for name, text := range files {
		if err := os.MkdirAll(filepath.Dir(name), 0o777); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(name, []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
	}
}

func read(t *testing.T, path string) string {
	t.Helper()
	text, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	return string(text)
}

// plan makes the plan for policies at paths, with the default report.
func plan(ctx context.Context, o compiler.Options, paths ...string) (*Plan, error) {
	return planOf(ctx, compiler.LoadOptions{Policies: paths}, o)
}

func planOf(ctx context.Context, load compiler.LoadOptions, o compiler.Options) (*Plan, error) {
	in, err := compiler.Load(ctx, load)
	if err != nil {
		return nil, err
	}
	lint := func(ctx context.Context, in *compiler.Input) (*verify.Report, error) {
		return verify.Lint(ctx, in, verify.LintOptions{Options: o})
	}
	r, err := lint(ctx, in)
	if err != nil {
		return nil, err
	}
	return Make(ctx, in, r, Options{Load: load, Compile: o, Report: lint, Copies: true})
}

func mustPlan(t *testing.T, paths ...string) *Plan {
	t.Helper()
	p, err := plan(t.Context(), compiler.Options{}, paths...)
	if err != nil {
		t.Fatal(err)
	}
	return p
}

func TestWriteFollowsLinksAndKeepsModes(t *testing.T) {
	tree(t, map[string]string{"real/p.yaml": named("p", redundant), "links/x": ""})
	if err := os.Symlink("../real/p.yaml", "links/p.yaml"); err != nil {
		t.Skip(err)
	}
	if err := os.Chmod("real/p.yaml", 0o640); err != nil {
		t.Fatal(err)
	}
	p := mustPlan(t, "links", "real")
	if len(p.Files) != 1 || p.Files[0].Path != filepath.Join("links", "p.yaml") || len(p.Removed) != 1 || len(p.Kept) != 0 {
		t.Fatalf("%+v", p)
	}
	if err := p.Write(); err != nil {
		t.Fatal(err)
	}
	if d := cmp.Diff(named("p", mended), read(t, "real/p.yaml")); d != "" {
		t.Errorf("(-want +got):\n%s", d)
	}
	link, err := os.Lstat("links/p.yaml")
	if err != nil || link.Mode()&os.ModeSymlink == 0 {
		t.Errorf("the link is %v, %v", link, err)
	}
	file, err := os.Stat("real/p.yaml")
	if err != nil || file.Mode().Perm() != 0o640 {
		t.Errorf("mode %v, %v, want 0640", file.Mode(), err)
	}
	left, err := filepath.Glob("real/*")
	hidden, err2 := filepath.Glob("real/.*")
	if len(left)+len(hidden) != 1 || err != nil || err2 != nil {
		t.Errorf("left behind: %v %v", left, hidden)
	}
}

// What was changed meanwhile, or cannot be written, keeps all files from being changed.
func TestWriteAllOrNothing(t *testing.T) {
	for _, c := range []struct {
		name string
		act  func() error
		want string
	}{
		{"changed meanwhile", func() error { return os.WriteFile("q.yaml", []byte("# mine\n"), 0o644) }, "q.yaml: it was changed meanwhile"},
		{"gone", func() error { return os.Remove("q.yaml") }, "nothing was changed: q.yaml"},
	} {
		t.Run(c.name, func(t *testing.T) {
			tree(t, map[string]string{"p.yaml": named("p", redundant), "q.yaml": named("q", redundant)})
			p := mustPlan(t, "p.yaml", "q.yaml")
			if err := c.act(); err != nil {
				t.Fatal(err)
			}
			err := p.Write()
			if err == nil || !strings.Contains(err.Error(), c.want) {
				t.Errorf("error %v, want one with %q", err, c.want)
			}
			if got := read(t, "p.yaml"); got != named("p", redundant) {
				t.Errorf("p.yaml is\n%s", got)
			}
			if rest, _ := filepath.Glob(".*"); len(rest) > 0 {
				t.Errorf("left behind: %v", rest)
			}
		})
	}
}

// Where one file cannot be replaced, those before it get their text back.
func TestUndo(t *testing.T) {
	tree(t, map[string]string{"p.yaml": named("p", mended), "q.yaml": named("q", redundant)})
	p := &Plan{}
	for _, name := range []string{"p", "q"} {
		info, err := os.Stat(name + ".yaml")
		if err != nil {
			t.Fatal(err)
		}
		p.Files = append(p.Files, File{Path: name + ".yaml", Old: []byte(named(name, redundant)), New: []byte(named(name, mended)), real: name + ".yaml", info: info})
	}
	failed := errors.New("no space")
	if err := p.undo(1, failed); !errors.Is(err, failed) || !strings.HasPrefix(err.Error(), "nothing was changed") {
		t.Errorf("%v", err)
	}
	if got := read(t, "p.yaml"); got != named("p", redundant) {
		t.Errorf("p.yaml is\n%s", got)
	}
	if err := os.Remove("p.yaml"); err != nil {
		t.Fatal(err)
	}
	p.Files[0].real = filepath.Join("gone", "p.yaml")
	if err := p.undo(1, failed); !errors.Is(err, failed) || !strings.Contains(err.Error(), "p.yaml is changed already") {
		t.Errorf("%v", err)
	}
}

// What cannot be edited stays, and is named; the rest is mended.
func TestKept(t *testing.T) {
	for _, c := range []struct{ name, text, want string }{
		{"anchor", strings.Replace(named("q", redundant), "to: [", "to: &nets [", 1), "q.yaml stays as it is: line 10 has an anchor or an alias of one"},
		{"lone CR", strings.Replace(named("q", redundant), "# redundant\n", "\r", 1), "q.yaml stays as it is: some of its lines end in a lone CR"},
		{"one family", strings.Replace(named("q", redundant), "[{cidr: 10.0.0.0/8}]", "[{cidr: 0.0.0.0/0}]", 1) + "    - action: allow\n      to: [{fqdn: x.example}]\n",
			"q.yaml:13:7: TrafficPolicy/a/q#egress[2] stays, it is dead for IPv4 alone"},
	} {
		t.Run(c.name, func(t *testing.T) {
			tree(t, map[string]string{"p.yaml": strings.Replace(named("p", redundant), "selector: {}", "selector: {matchLabels: {of: p}}", 1), "q.yaml": strings.Replace(c.text, "selector: {}", "selector: {matchLabels: {of: q}}", 1)})
			p := mustPlan(t, "p.yaml", "q.yaml")
			if len(p.Kept) != 1 || !strings.Contains(p.Kept[0], c.want) {
				t.Errorf("%q, want %q", p.Kept, c.want)
			}
			if len(p.Removed) == 0 || p.Removed[0].Pos.File != "p.yaml" {
				t.Errorf("removed %v, want what is dead in p.yaml", p.Removed)
			}
		})
	}
}

func TestReadOnly(t *testing.T) {
	tree(t, map[string]string{"p.yaml": named("p", redundant)})
	if err := os.Chmod("p.yaml", 0o444); err != nil {
		t.Fatal(err)
	}
	if p := mustPlan(t, "."); len(p.Files) != 0 || len(p.Kept) != 1 || p.Kept[0] != "p.yaml stays as it is: it is read-only" {
		t.Errorf("%+v", p)
	}
}

// A policy of the inventory stays, also where it is a copy.
func TestInventoryStays(t *testing.T) {
	tree(t, map[string]string{"p.yaml": named("p", redundant), "cluster.yaml": named("p", redundant) + "---\n" + named("q", redundant)})
	p, err := planOf(t.Context(), compiler.LoadOptions{Policies: []string{"p.yaml"}, Inventory: []string{"cluster.yaml"}}, compiler.Options{})
	if err != nil {
		t.Fatal(err)
	}
	if len(p.Files) != 1 || p.Files[0].Path != "p.yaml" || len(p.Kept) != 1 || p.Kept[0] != "TrafficPolicy/a/q is of the inventory, which stays as it is" {
		t.Errorf("%+v", p)
	}
}

func TestInvalid(t *testing.T) {
	tree(t, map[string]string{"p.yaml": named("p", redundant), "q.yaml": strings.Replace(named("q", redundant), "priority: 100", "priority: 0", 1)})
	if _, err := plan(t.Context(), compiler.Options{}, "."); !errors.Is(err, ErrInvalid) {
		t.Errorf("error %v, want ErrInvalid", err)
	}
}

// What is not proven is not done: the file that is edited says something else than
// the one that was judged.
func TestNotProven(t *testing.T) {
	tree(t, map[string]string{"p.yaml": named("p", redundant)})
	load := compiler.LoadOptions{Policies: []string{"p.yaml"}}
	in, err := compiler.Load(t.Context(), load)
	if err != nil {
		t.Fatal(err)
	}
	lint := func(ctx context.Context, in *compiler.Input) (*verify.Report, error) {
		return verify.Lint(ctx, in, verify.LintOptions{})
	}
	r, err := lint(t.Context(), in)
	if err != nil {
		t.Fatal(err)
	}
	lives := strings.Replace(named("p", redundant), "10.0.0.0/8", "10.0.0.0/9", 1)
	if err := os.WriteFile("p.yaml", []byte(lives), 0o644); err != nil {
		t.Fatal(err)
	}
	_, err = Make(t.Context(), in, r, Options{Load: load, Report: lint})
	const want = "it is not proven that no verdict changes: egress, 10.128.0.0 TCP 0: decided by TrafficPolicy/a/p#egress[0], and would be by no rule"
	if err == nil || !strings.Contains(err.Error(), want) {
		t.Errorf("error %v, want one with %q", err, want)
	}
	if got := read(t, "p.yaml"); got != lives {
		t.Errorf("p.yaml is\n%s", got)
	}
}

// The patch is what git and patch make the files of.
func TestPatch(t *testing.T) {
	crlf := strings.ReplaceAll(named("q", redundant), "\n", "\r\n")
	files := map[string]string{
		"p.yaml":          strings.TrimSuffix(named("p", redundant), "\n"),
		"sub/q.yaml":      crlf,
		"with space.yaml": named("r", redundant),
		"ü\"\\.yaml":      named("s", redundant),
	}
	for _, apply := range [][]string{{"git", "apply", "--unsafe-paths"}, {"patch", "-p1", "--binary"}} {
		t.Run(apply[0], func(t *testing.T) {
			program, err := exec.LookPath(apply[0])
			if err != nil {
				t.Skip(err)
			}
			tree(t, files)
			if err := os.Symlink("p.yaml", "a-link.yaml"); err != nil {
				t.Skip(err)
			}
			p := mustPlan(t, ".")
			if len(p.Files) != len(files) {
				t.Fatalf("%d files change, want %d: %q", len(p.Files), len(files), p.Kept)
			}
			var patch bytes.Buffer
			if err := p.WritePatch(&patch, "."); err != nil {
				t.Fatal(err)
			}
			cmd := exec.Command(program, apply[1:]...)
			text := patch.String()
			cmd.Stdin = &patch
			if out, err := cmd.CombinedOutput(); err != nil {
				t.Fatalf("%v: %s\n%s", err, out, text)
			}
			for i := range p.Files {
				if got := read(t, p.Files[i].Path); got != string(p.Files[i].New) {
					t.Errorf("%s is\n%s\nwant\n%s", p.Files[i].Path, got, p.Files[i].New)
				}
			}
		})
	}
}

func TestPatchName(t *testing.T) {
	for path, want := range map[string]string{
		"/w/d/p.yaml":   "p.yaml",
		"/w/d/e/p.yaml": "e/p.yaml",
		"/w/p.yaml":     "w/p.yaml",
		"/w/dd/p.yaml":  "w/dd/p.yaml",
	} {
		if got := patchName("/w/d", path); got != want {
			t.Errorf("%s: %s, want %s", path, got, want)
		}
	}
}

// Of equal policies the first that was read stays.
func TestCopies(t *testing.T) {
	p := named("p", mended)
	labelled := strings.Replace(p, "namespace: a}", "namespace: a, labels: {x: z}}", 1)
	tree(t, map[string]string{"1.yaml": "# one\n" + p, "2.yaml": "# licence\n\n" + p, "3.yaml": labelled, "4.yaml": p + "---\n" + p})
	plan := mustPlan(t, ".")
	want := map[string]string{"2.yaml": "# licence\n", "4.yaml": ""}
	for i := range plan.Files {
		f := &plan.Files[i]
		if !f.Empty() {
			t.Errorf("%s still holds something", f.Path)
		}
		if d := cmp.Diff(want[f.Path], string(f.New)); d != "" {
			t.Errorf("%s (-want +got):\n%s", f.Path, d)
		}
		delete(want, f.Path)
	}
	if len(want) > 0 || len(plan.Kept) != 1 || plan.Kept[0] != "3.yaml:1:1: the copy of TrafficPolicy/a/p stays: its metadata, or how values are written, is not the same" {
		t.Errorf("unchanged: %v, kept %q", want, plan.Kept)
	}
}

// A copy that stays loses what the policy does, or the policy keeps it too: were
// they different, they would be invalid.
func TestCopiesThatStay(t *testing.T) {
	p, q := named("p", redundant), named("p", mended)
	label := func(text string) string {
		return strings.Replace(text, "namespace: a}", "namespace: a, labels: {x: z}}", 1)
	}
	anchored := func(text string) string { return strings.Replace(text, "priority: 100", "priority: &n 100", 1) }
	for _, c := range []struct {
		name    string
		files   map[string]string
		want    map[string]string // of the files that change
		removed int
		kept    string
	}{
		{"labelled", map[string]string{"1.yaml": p, "2.yaml": "\n" + label(p)}, map[string]string{"1.yaml": q, "2.yaml": "\n" + label(q)}, 2,
			"the copy of TrafficPolicy/a/p stays"},
		{"labelled in one file", map[string]string{"1.yaml": p + "---\n" + label(p)}, map[string]string{"1.yaml": q + "---\n" + label(q)}, 2,
			"the copy of TrafficPolicy/a/p stays"},
		{"a third goes", map[string]string{"1.yaml": p, "2.yaml": label(p), "3.yaml": p}, map[string]string{"1.yaml": q, "2.yaml": label(q), "3.yaml": ""}, 3,
			"the copy of TrafficPolicy/a/p stays"},
		{"copy with an anchor", map[string]string{"1.yaml": p, "2.yaml": anchored(p), "3.yaml": named("other", redundant)},
			map[string]string{"3.yaml": named("other", mended)}, 1, "1.yaml:11:7: TrafficPolicy/a/p#egress[1] stays, as it does in the copy"},
		{"first with an anchor", map[string]string{"1.yaml": anchored(p), "2.yaml": label(p)}, nil, 0, "1.yaml stays as it is"},
	} {
		t.Run(c.name, func(t *testing.T) {
			tree(t, c.files)
			plan := mustPlan(t, ".")
			got := map[string]string{}
			for _, f := range plan.Files {
				got[f.Path] = string(f.New)
			}
			if c.want == nil {
				c.want = map[string]string{}
			}
			if d := cmp.Diff(c.want, got); d != "" {
				t.Errorf("(-want +got):\n%s", d)
			}
			if len(plan.Removed) != c.removed {
				t.Errorf("removed %+v, want %d", plan.Removed, c.removed)
			}
			if kept := strings.Join(plan.Kept, "\n"); !strings.Contains(kept, c.kept) {
				t.Errorf("kept %q, want %q", kept, c.kept)
			}
		})
	}
}

// Two hard links are two files that say the same, and stay so.
func TestHardLinks(t *testing.T) {
	tree(t, map[string]string{"1.yaml": named("p", redundant)})
	if err := os.Link("1.yaml", "2.yaml"); err != nil {
		t.Skip(err)
	}
	p := mustPlan(t, ".")
	if err := p.Write(); err != nil {
		t.Fatal(err)
	}
	for _, name := range []string{"1.yaml", "2.yaml"} {
		if d := cmp.Diff(named("p", mended), read(t, name)); d != "" {
			t.Errorf("%s (-want +got):\n%s", name, d)
		}
	}
}
