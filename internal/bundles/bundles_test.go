package bundles

import (
	"bytes"
	"encoding/json"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

func TestFileName(t *testing.T) {
	long := strings.Repeat("a", 200)
	for node, want := range map[string]string{
		"node-a":                   "node-a.tar",
		"cn-hangzhou.192.168.0.10": "cn-hangzhou.192.168.0.10.tar",
		"10.0.0.1":                 "10.0.0.1.tar",
		"a_b":                      "a_b.tar",
		"A":                        "%41.tar",
		".new":                     "%2enew.tar",
		"..":                       "%2e..tar",
		"../../etc/passwd":         "%2e.%2f..%2fetc%2fpasswd.tar",
		"":                         ".tar",
		"a%41":                     "a%2541.tar",
		"é":                        "%c3%a9.tar",
		"con":                      "%63on.tar",
		"con.x":                    "%63on.x.tar",
		"com1":                     "%63om1.tar",
		"com":                      "com.tar",
		"coma":                     "coma.tar",
		"nul-1":                    "nul-1.tar",
		long:                       long + ".tar",
	} {
		if got := FileName(node); got != want {
			t.Errorf("FileName(%q) = %q, want %q", node, got, want)
		}
	}
	a, b := FileName(long+"a"), FileName(long+"b")
	if a == b || len(a) != 204 || !strings.Contains(a, "~") {
		t.Errorf("names of long nodes: %q, %q", a, b)
	}
}

// TestIndexText holds that what is written by hand is what encoding/json writes, and
// reads back.
func TestIndexText(t *testing.T) {
	for _, x := range []Index{
		{},
		{Tool: "t", Backend: "ebpf", Sequence: 1<<64 - 1, Nodes: []Entry{
			{Node: "a", File: "a.tar", Size: 1, SHA256: "s", Generation: "g", Sequence: 1<<64 - 1, Pods: 2, Classes: 3, Warnings: 4},
			{Node: "b\"\\\n<é\x00\xff", File: FileName("b\"\\\n<é\x00\xff")},
		}},
		{Since: "d", Nodes: []Entry{{Node: "a", File: "a.tar"}}, Removed: []string{"x", "y"}},
	} {
		got, err := x.encode()
		if err != nil {
			t.Fatal(err)
		}
		x.Nodes = append([]Entry{}, x.Nodes...)
		var want bytes.Buffer
		e := json.NewEncoder(&want)
		e.SetEscapeHTML(false)
		e.SetIndent("", "  ")
		if err := e.Encode(x); err != nil {
			t.Fatal(err)
		}
		if string(got) != want.String() {
			t.Errorf("%s\nwant\n%s", got, want.String())
		}
	}
}

func TestReadIndexRefuses(t *testing.T) {
	for text, want := range map[string]string{
		`{`:                      "unexpected EOF",
		`{"schema": 2}`:          "schema 2 is not 1",
		`{"schema": 1}}`:         "something follows it",
		`{"name": "my web app"}`: "unknown field",
		`{"schema": 1, "nodes": [{"node": "a", "file": "../a.tar"}]}`:                              "is not the name of a bundle",
		`{"schema": 1, "nodes": [{"node": "b", "file": "b.tar"}, {"node": "a", "file": "a.tar"}]}`: "out of order",
	} {
		dir := t.TempDir()
		if err := os.WriteFile(filepath.Join(dir, IndexName), []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
		if _, _, err := ReadIndex(dir); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: error %v, want %q", text, err, want)
		}
		if u, err := Begin(dir); err == nil {
			u.Close()
			t.Errorf("%s: an update began", text)
		}
	}
}

// put puts bundles of the given contents by node and commits.
func put(t *testing.T, u *Update, contents map[string]string) {
	t.Helper()
	if err := u.Commit(t.Context(), stage(t, u, contents)); err != nil {
		t.Fatal(err)
	}
}

func stage(t *testing.T, u *Update, contents map[string]string) *Index {
	t.Helper()
	x := &Index{}
	for node, content := range contents {
		if same, err := u.Holds(node, []byte(content)); err != nil {
			t.Fatal(err)
		} else if !same {
			if err := u.Put(node, []byte(content)); err != nil {
				t.Fatal(err)
			}
		}
		x.Nodes = append(x.Nodes, Entry{Node: node, File: FileName(node), Size: int64(len(content)), SHA256: Digest([]byte(content))})
	}
	SortEntries(x.Nodes)
	return x
}

func begin(t *testing.T, dir string) *Update {
	t.Helper()
	u, err := Begin(dir)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { u.Close() })
	return u
}

// files returns the contents of a directory; old times are marked.
func files(t *testing.T, dir string) map[string]string {
	t.Helper()
	entries, err := os.ReadDir(dir)
	if err != nil {
		t.Fatal(err)
	}
	out := map[string]string{}
	for _, e := range entries {
		if e.IsDir() {
			out[e.Name()] = "directory"
			continue
		}
		data, err := os.ReadFile(filepath.Join(dir, e.Name()))
		if err != nil {
			t.Fatal(err)
		}
		info, err := e.Info()
		if err != nil {
			t.Fatal(err)
		}
		text := string(data)
		if e.Name() == IndexName {
			text = "index"
		}
		if info.ModTime().Equal(time.Unix(1, 0)) {
			text += " (old)"
		}
		out[e.Name()] = text
	}
	return out
}

// age makes all files of a directory old.
func age(t *testing.T, dir string) {
	t.Helper()
	for name := range files(t, dir) {
		if err := os.Chtimes(filepath.Join(dir, name), time.Unix(1, 0), time.Unix(1, 0)); err != nil {
			t.Fatal(err)
		}
	}
}

func wantFiles(t *testing.T, dir string, want map[string]string) {
	t.Helper()
	got := files(t, dir)
	for name, content := range want {
		if got[name] != content {
			t.Errorf("%s is %q, want %q", name, got[name], content)
		}
		delete(got, name)
	}
	for name := range got {
		t.Errorf("%s is there", name)
	}
}

func TestUpdate(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "new", "out")
	u := begin(t, dir)
	put(t, u, map[string]string{"a": "1", "b": "1", "c": "1"})
	if err := u.Close(); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(dir, "notes.tar"), []byte("mine"), 0o644); err != nil {
		t.Fatal(err)
	}
	age(t, dir)

	// One is the same, one changes, one goes; what the index does not name stays.
	u = begin(t, dir)
	put(t, u, map[string]string{"a": "1", "b": "2"})
	wantFiles(t, dir, map[string]string{"a.tar": "1 (old)", "b.tar": "2", "notes.tar": "mine (old)", "index.json": "index", ".new": "directory"})
	age(t, dir)

	// The same again touches nothing, the index neither; further commits can follow.
	put(t, u, map[string]string{"a": "1", "b": "2"})
	u.Close()
	wantFiles(t, dir, map[string]string{"a.tar": "1 (old)", "b.tar": "2 (old)", "notes.tar": "mine (old)", "index.json": "index (old)"})

	// What is not committed changes nothing.
	u = begin(t, dir)
	stage(t, u, map[string]string{"a": "3", "d": "3"})
	if _, err := Begin(dir); err == nil || !strings.Contains(err.Error(), "another run") {
		t.Errorf("a second update: error %v", err)
	}
	u.Close()
	wantFiles(t, dir, map[string]string{"a.tar": "1 (old)", "b.tar": "2 (old)", "notes.tar": "mine (old)", "index.json": "index (old)"})

	// What is discarded is not committed with what follows.
	u = begin(t, dir)
	stage(t, u, map[string]string{"a": "4"})
	if err := u.Discard(); err != nil {
		t.Fatal(err)
	}
	put(t, u, map[string]string{"a": "1", "b": "5"})
	u.Close()
	wantFiles(t, dir, map[string]string{"a.tar": "1 (old)", "b.tar": "5", "notes.tar": "mine (old)", "index.json": "index"})

	// A bundle that is not what the index says is written again.
	if err := os.WriteFile(filepath.Join(dir, "b.tar"), []byte("6"), 0o644); err != nil {
		t.Fatal(err)
	}
	u = begin(t, dir)
	put(t, u, map[string]string{"a": "1", "b": "5"})
	u.Close()
	wantFiles(t, dir, map[string]string{"a.tar": "1 (old)", "b.tar": "5", "notes.tar": "mine (old)", "index.json": "index"})
}

// TestUpdateAfterCrash: a run that was killed leaves what it had not put in place.
func TestUpdateAfterCrash(t *testing.T) {
	dir := t.TempDir()
	u := begin(t, dir)
	stage(t, u, map[string]string{"a": "1"})
	u.lock.Close()
	u = begin(t, dir)
	put(t, u, map[string]string{"b": "2"})
	u.Close()
	wantFiles(t, dir, map[string]string{"b.tar": "2", "index.json": "index"})
}

// TestCommitFails: the index stays the old one, and each bundle is whole.
func TestCommitFails(t *testing.T) {
	dir := t.TempDir()
	u := begin(t, dir)
	put(t, u, map[string]string{"a": "1", "b": "1"})
	x := stage(t, u, map[string]string{"a": "2", "b": "2"})
	if err := os.Remove(filepath.Join(dir, "b.tar")); err != nil {
		t.Fatal(err)
	}
	if err := os.Mkdir(filepath.Join(dir, "b.tar"), 0o755); err != nil { // no file can be renamed over it
		t.Fatal(err)
	}
	err := u.Commit(t.Context(), x)
	if err == nil || !strings.Contains(err.Error(), "1 of 2 bundles are in place") {
		t.Errorf("error %v", err)
	}
	old, _, err := ReadIndex(dir)
	if err != nil || old.Find("a").SHA256 != Digest([]byte("1")) {
		t.Errorf("index %+v, %v", old, err)
	}
	u.Close()
	wantFiles(t, dir, map[string]string{"a.tar": "2", "b.tar": "directory", "index.json": "index"})
}

func TestBase(t *testing.T) {
	dir := t.TempDir()
	if _, err := OpenBase(dir); err == nil || !strings.Contains(err.Error(), "has no index.json") {
		t.Errorf("no index: error %v", err)
	}
	u := begin(t, dir)
	put(t, u, map[string]string{"a": "1", "b": "1", "c": "1"})
	if err := os.Remove(filepath.Join(dir, "b.tar")); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(dir, "c.tar"), []byte("2"), 0o644); err != nil {
		t.Fatal(err)
	}
	base, err := OpenBase(dir)
	if err != nil {
		t.Fatal(err)
	}
	for _, tt := range []struct {
		node, content string
		want          bool
	}{
		{"a", "1", true}, {"a", "2", false}, {"a", "11", false},
		{"b", "1", true}, {"b", "2", false}, // by the index
		{"c", "1", false}, {"c", "2", true}, // by the file
		{"d", "1", false},
	} {
		if got, err := base.Holds(tt.node, []byte(tt.content)); err != nil || got != tt.want {
			t.Errorf("Holds(%s, %s) = %v, %v, want %v", tt.node, tt.content, got, err, tt.want)
		}
	}
	put(t, u, nil)
	x := &Index{Since: "x"}
	if err := u.Commit(t.Context(), x); err != nil {
		t.Fatal(err)
	}
	if _, err := OpenBase(dir); err == nil || !strings.Contains(err.Error(), "only what changed") {
		t.Errorf("a partial directory: error %v", err)
	}
}

// TestBeginFails: what cannot be written to is said once, and is left unlocked.
func TestBeginFails(t *testing.T) {
	dir := t.TempDir()
	path := filepath.Join(dir, IndexName)
	if err := os.WriteFile(path, []byte("{}"), 0o644); err != nil {
		t.Fatal(err)
	}
	old := filepath.Join(dir, stagingName, "a.tar")
	if err := os.Mkdir(filepath.Dir(old), 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(old, nil, 0o644); err != nil {
		t.Fatal(err)
	}
	if _, err := Begin(dir); err == nil || strings.Contains(err.Error(), "\n") {
		t.Errorf("error %v, want one line", err)
	}
	if _, err := os.Stat(old); err != nil {
		t.Errorf("a directory that is none of ours was changed: %v", err)
	}
	if err := os.Remove(path); err != nil {
		t.Fatal(err)
	}
	begin(t, dir).Close()
}
