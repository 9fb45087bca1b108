package compiler

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

// writeTree writes files below a new folder, makes it the working directory, so
// that names in findings are short, and returns it.
func writeTree(t *testing.T, files map[string]string) string {
	t.Helper()
	dir := t.TempDir()
	for name, text := range files {
		path := filepath.Join(dir, name)
		if err := os.MkdirAll(filepath.Dir(path), 0o777); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(path, []byte(text), 0o666); err != nil {
			t.Fatal(err)
		}
	}
	t.Chdir(dir)
	return dir
}

func tpYAML(name string, priority int) string {
	return fmt.Sprintf("apiVersion: network.alibabacloud.com/v1alpha1\nkind: TrafficPolicy\nmetadata: {name: %s}\nspec: {priority: %d, selector: {}}\n", name, priority)
}

func podYAML(name, ip string) string {
	return fmt.Sprintf("apiVersion: v1\nkind: Pod\nmetadata: {name: %s}\nstatus: {podIP: %s}\n", name, ip)
}

// summary is an Input as text: policies, pods, broken objects, what was skipped
// and findings with their file.
func summary(in *Input) string {
	var b strings.Builder
	for _, p := range in.Policies {
		fmt.Fprintf(&b, "%s priority %d\n", p.Ref(), p.Priority)
	}
	for _, p := range in.Inventory.Pods {
		fmt.Fprintf(&b, "pod %s %v\n", p.Ref(), p.IPs)
	}
	for _, o := range in.Inventory.Broken {
		fmt.Fprintf(&b, "broken %s at %s\n", o.Ref, o.Pos)
	}
	for _, kind := range slices.Sorted(maps.Keys(in.Skipped)) {
		fmt.Fprintf(&b, "skipped %d %s\n", in.Skipped[kind], kind)
	}
	for _, f := range in.Findings {
		fmt.Fprintf(&b, "%s: %s [%s]\n", f.Pos(), f.Message, f.Code)
	}
	return b.String()
}

func TestLoadInputs(t *testing.T) {
	broken := "apiVersion: network.alibabacloud.com/v1alpha1\nkind: TrafficPolicy\nmetadata: {name: a}\nspec: {priority: 0, selector: {}}\n"
	tests := []struct {
		name  string
		files map[string]string
		o     LoadOptions
		want  string
	}{
		{"files of a directory in order, others not", map[string]string{
			"d/b.yaml": tpYAML("b", 1), "d/a.yml": tpYAML("a", 1), "d/c/c.JSON": `{"kind":"ConfigMap","apiVersion":"v1"}`, "d/x.txt": "{", "d/README.md": "[",
		}, LoadOptions{Policies: []string{"d"}},
			"TrafficPolicy/default/a priority 1\nTrafficPolicy/default/b priority 1\nskipped 1 ConfigMap\n"},
		{"a policy yields to the one of -f, anything else to that of -i", map[string]string{
			"f.yaml": tpYAML("a", 1) + "---\n" + podYAML("p", "10.0.0.1"), "i.yaml": tpYAML("a", 2) + "---\n" + podYAML("p", "10.0.0.2"),
		}, LoadOptions{Policies: []string{"f.yaml"}, Inventory: []string{"i.yaml"}},
			"TrafficPolicy/default/a priority 1\npod default/p [10.0.0.2]\n"},
		{"what yields takes its findings along", map[string]string{
			"f.yaml": tpYAML("a", 1) + "---\n" + podYAML("p", "bad"), "i.yaml": broken + "---\n" + podYAML("p", "10.0.0.2"),
		}, LoadOptions{Policies: []string{"f.yaml"}, Inventory: []string{"i.yaml"}},
			"TrafficPolicy/default/a priority 1\npod default/p [10.0.0.2]\n"},
		{"a broken policy of -f is not replaced by that of -i", map[string]string{
			"f.yaml": broken, "i.yaml": tpYAML("a", 2),
		}, LoadOptions{Policies: []string{"f.yaml"}, Inventory: []string{"i.yaml"}},
			"f.yaml:4:18: priority 0 is out of range, want a number from 1 to 1000 [TP005]\n"},
		{"policies of -i count where -f has none of the name", map[string]string{
			"f.yaml": tpYAML("a", 1), "i.yaml": tpYAML("b", 2),
		}, LoadOptions{Policies: []string{"f.yaml"}, Inventory: []string{"i.yaml"}},
			"TrafficPolicy/default/a priority 1\nTrafficPolicy/default/b priority 2\n"},
		{"two of one name in -i", map[string]string{
			"f.yaml": "", "i.yaml": tpYAML("a", 1) + "---\n" + podYAML("p", "10.0.0.1"), "j.yaml": tpYAML("a", 2) + "---\n" + podYAML("p", "10.0.0.2"),
		}, LoadOptions{Policies: []string{"f.yaml"}, Inventory: []string{"i.yaml", "j.yaml"}},
			"TrafficPolicy/default/a priority 1\npod default/p [10.0.0.1]\nbroken Pod/default/p at j.yaml:6:1\n" +
				"j.yaml:1:1: TrafficPolicy/default/a is given twice with different content, at i.yaml:1:1 and at j.yaml:1:1, want one of them [TP009]\n" +
				"j.yaml:6:1: Pod/default/p is given twice with different content, at i.yaml:6:1 and at j.yaml:6:1, want one of them [TP009]\n"},
		{"equal copies count once", map[string]string{"a.yaml": tpYAML("a", 1), "b.yaml": "# a copy\n" + tpYAML("a", 1)},
			LoadOptions{Policies: []string{"a.yaml", "b.yaml", "a.yaml"}}, "TrafficPolicy/default/a priority 1\n"},
		{"equal broken copies have the findings of each", map[string]string{"a.yaml": broken, "b.yaml": broken},
			LoadOptions{Policies: []string{"a.yaml", "b.yaml", "a.yaml"}},
			"a.yaml:4:18: priority 0 is out of range, want a number from 1 to 1000 [TP005]\nb.yaml:4:18: priority 0 is out of range, want a number from 1 to 1000 [TP005]\n"},
		{"namespace of the command", map[string]string{"a.yaml": tpYAML("a", 1) + "---\n" + podYAML("p", "10.0.0.1")},
			LoadOptions{Policies: []string{"a.yaml"}, Namespace: "web"}, "TrafficPolicy/web/a priority 1\npod web/p [10.0.0.1]\n"},
		{"what is no object is skipped in a directory", map[string]string{
			"d/kustomization.yaml": "resources: [a.yaml]\n", "d/values.yaml": "ingress: {enabled: true}\n", "d/patch.yaml": "- op: add\n", "d/text.yaml": "text\n", "d/empty.yaml": "", "d/null.yaml": "null\n", "d/list.json": "[1]",
			"d/knative.yaml": "apiVersion: serving.knative.dev/v1\nkind: Service\nmetadata: {name: Not_a_Service}\n", "d/c.yaml": "apiVersion: v1\nkind: ConfigMap\nmetadata: {name: c}\n",
		}, LoadOptions{Policies: []string{"d"}}, "skipped 5 (no kind)\nskipped 1 ConfigMap\nskipped 1 Service\n"},
		{"and an error where it was named", map[string]string{"values.yaml": "ingress: {enabled: true}\n"},
			LoadOptions{Policies: []string{"values.yaml"}},
			"values.yaml:1:1: \"kind\" is missing in the object, want a kind such as \"TrafficPolicy\" [TP004]\n"},
		{"half a type is an error anywhere", map[string]string{"d/a.yaml": "kind: TrafficPolicy\n", "d/b.yaml": "apiVersion: network.alibabacloud.com/v1alpha1\nKind: TrafficPolicy\n"},
			LoadOptions{Policies: []string{"d"}},
			"d/a.yaml:1:1: \"apiVersion\" is missing in the object, want \"network.alibabacloud.com/v1alpha1\" for a policy [TP004]\n" +
				"d/b.yaml:1:1: \"kind\" is missing in the object, want a kind such as \"TrafficPolicy\" [TP004]\n"},
		{"a template of Helm", map[string]string{"d/a.yaml": "{{ if .Values.x }}\nkind: TrafficPolicy\n{{ end }}\n"},
			LoadOptions{Policies: []string{"d"}}, "d/a.yaml:2:1: not YAML: did not find expected <document start> [TP001]\n"},
		{"byte order mark, CRLF, comments, empty documents", map[string]string{
			"a.yaml": "\ufeff# head\r\n---\r\n---\r\n" + strings.ReplaceAll(tpYAML("a", 0), "\n", "\r\n") + "...\r\n# tail\r\n---\r\n",
			"b.yaml": "\ufeff" + tpYAML("b", 0) + "--- # next\n%not: a directive\n",
			"c.yaml": "%YAML 1.1\n# text\n---\n" + tpYAML("c", 1) + "...\n%YAML 1.1\n---\n" + tpYAML("d", 1),
			"d.json": "\ufeff{\"kind\": \"ConfigMap\", \"apiVersion\": \"v1\"}\r\n",
		}, LoadOptions{Policies: []string{"a.yaml", "b.yaml", "c.yaml", "d.json"}},
			"TrafficPolicy/default/c priority 1\nTrafficPolicy/default/d priority 1\nskipped 1 ConfigMap\n" +
				"a.yaml:7:18: priority 0 is out of range, want a number from 1 to 1000 [TP005]\n" +
				"b.yaml:4:18: priority 0 is out of range, want a number from 1 to 1000 [TP005]\n" +
				"b.yaml:6:1: not YAML: found unexpected non-alphabetical character [TP001]\n"},
		{"columns count characters, lines are those of an editor", map[string]string{
			"a.yaml": "# \u2028 \u0085\nx: {ä€𝄞: \"\u2028\", kind: 1}\n", "b.yaml": "apiVersion: v1\rkind: 1\n",
		}, LoadOptions{Policies: []string{"a.yaml", "b.yaml"}},
			"a.yaml:2:1: \"kind\" is missing in the object, want a kind such as \"TrafficPolicy\" [TP004]\n" +
				"b.yaml:1:22: \"kind\" is the integer 1, want a string (put it in quotes: \"1\") [TP003]\n"},
		{"a marker in a block scalar ends it, indented it does not", map[string]string{
			"a.yaml": "apiVersion: v1\nkind: ConfigMap\ndata:\n  a: |\n    ---\n    kind: TrafficPolicy\n  b: '\n  ---'\n---\n" + tpYAML("a", 1),
		}, LoadOptions{Policies: []string{"a.yaml"}}, "TrafficPolicy/default/a priority 1\nskipped 1 ConfigMap\n"},
		{"JSON: one after the other, with markers, in a YAML file", map[string]string{
			"a.yaml": `{"apiVersion":"network.alibabacloud.com/v1alpha1","kind":"TrafficPolicy","metadata":{"name":"a"},"spec":{"priority":1,"selector":{}}}` + "\n---\n" +
				`{"apiVersion":"network.alibabacloud.com/v1alpha1","kind":"TrafficPolicy","metadata":{"name":"b"},"spec":{"priority":1,"selector":{}}}`,
			"b.yaml": "{apiVersion: network.alibabacloud.com/v1alpha1, \"kind\": TrafficPolicy, metadata: {name: c}, spec: {priority: 1, selector: {}}} # flow style\n",
			"c.yaml": "{\"apiVersion\": \"network.alibabacloud.com/v1alpha1\", \"kind\": TrafficPolicy, metadata: {name: d}, spec: {priority: 1, selector: {}}}\n",
		}, LoadOptions{Policies: []string{"a.yaml", "b.yaml", "c.yaml"}},
			"TrafficPolicy/default/a priority 1\nTrafficPolicy/default/b priority 1\nTrafficPolicy/default/c priority 1\nTrafficPolicy/default/d priority 1\n"},
		{"lists in lists, kind behind the items", map[string]string{
			"a.json": `{"items":[{"apiVersion":"v1","items":[{"apiVersion":"v1","kind":"Pod","metadata":{"name":"p"}}],"kind":"List"},{"apiVersion":"v1","kind":"ConfigMapList","items":[{},{}]}],"kind":"List","apiVersion":"v1"}`,
			"b.yaml": "apiVersion: v1\nkind: List\nitems:\n- apiVersion: v1\n  kind: List\n  items:\n  - {apiVersion: v1, kind: Pod, metadata: {name: q}}\n- {apiVersion: v1, kind: List, items: null}\n- {apiVersion: v1, kind: List}\n",
		}, LoadOptions{Policies: []string{"a.json", "b.yaml"}}, "pod default/p []\npod default/q []\nskipped 2 ConfigMap\n"},
		{"items of a typed list have its type", map[string]string{
			"a.json": `{"apiVersion":"v1","kind":"PodList","items":[{"metadata":{"name":"a"}}]}`,
			"b.json": `{"apiVersion":"v1","items":[{"metadata":{"name":"b"}},{"apiVersion":"v1","kind":"Pod","metadata":{"name":"c"}}],"kind":"PodList"}`,
			"c.yaml": "apiVersion: v1\nkind: PodList\nitems: [{metadata: {name: d}}]\n",
			"d.json": `{"apiVersion":"network.alibabacloud.com/v1alpha1","kind":"TrafficPolicyList","metadata":{},"items":[{"metadata":{"name":"e"},"spec":{"priority":0,"selector":{}}}]}`,
		}, LoadOptions{Policies: []string{"a.json", "b.json", "c.yaml", "d.json"}},
			"pod default/a []\npod default/c []\npod default/b []\npod default/d []\nd.json:1:145: priority 0 is out of range, want a number from 1 to 1000 [TP005]\n"},
		{"items of what is no list are no objects", map[string]string{
			"a.json": `{"items":[{"apiVersion":"v1","kind":"Pod","metadata":{"name":"p"}},{"kind":"Pod"},{"apiVersion":"v1","kind":"ConfigMap"}],"kind":"Basket","apiVersion":"shop/v1"}`,
			"b.json": `{"apiVersion":"shop/v1","kind":"AllowList","spec":{}}`,
			"c.yaml": "apiVersion: shop/v1\nkind: AllowList\n",
		}, LoadOptions{Policies: []string{"a.json", "b.json", "c.yaml"}}, "skipped 2 AllowList\nskipped 1 Basket\n"},
		{"JSON: what comes before an error counts", map[string]string{
			"a.json": `{"apiVersion":"v1","kind":"List","items":[{"apiVersion":"v1","kind":"Pod","metadata":{"name":"p"}},` + "\n" + `{"apiVersion":"v1",`,
		}, LoadOptions{Policies: []string{"a.json"}}, "pod default/p []\na.json:2:20: not JSON: the text ends inside of a value [TP001]\n"},
		{"JSON: the same key twice", map[string]string{
			"a.json": `{"apiVersion":"v1","kind":"List","kind":"List","items":[],"items":[]}`,
			"b.json": `{"apiVersion":"v1","kind":"ConfigMap","data":{},"kind":"TrafficPolicy"}`,
		}, LoadOptions{Policies: []string{"a.json", "b.json"}},
			"a.json:1:34: duplicate key \"kind\", first on line 1 [TP001]\nb.json:1:49: duplicate key \"kind\", first on line 1 [TP001]\n"},
		{"standard input", nil, LoadOptions{Policies: []string{"-"}, Stdin: strings.NewReader(tpYAML("a", 0))},
			"<stdin>:4:18: priority 0 is out of range, want a number from 1 to 1000 [TP005]\n"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			writeTree(t, tt.files)
			in, err := Load(context.Background(), tt.o)
			if err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff(tt.want, filepath.ToSlash(summary(in))); diff != "" {
				t.Errorf("(-want +got):\n%s", diff)
			}
		})
	}
}

// What cannot be read at all is an error, not a finding.
func TestLoadUnreadable(t *testing.T) {
	ctx := context.Background()
	writeTree(t, map[string]string{"a.yaml": tpYAML("a", 1), "d/b.yaml": tpYAML("b", 1)})
	if err := os.Symlink("gone", "d/c.yaml"); err != nil {
		t.Skip("no symbolic links:", err)
	}
	cancelled, cancel := context.WithCancel(ctx)
	cancel()
	tests := []struct {
		name string
		ctx  context.Context
		o    LoadOptions
		want string
	}{
		{"no such file", ctx, LoadOptions{Policies: []string{"gone.yaml"}}, "gone.yaml"},
		{"a link that leads nowhere", ctx, LoadOptions{Inventory: []string{"d"}}, "c.yaml"},
		{"standard input twice", ctx, LoadOptions{Policies: []string{"-"}, Inventory: []string{"-"}, Stdin: strings.NewReader("")}, "more than once"},
		{"no standard input", ctx, LoadOptions{Policies: []string{"-"}}, "there is none"},
		{"standard input breaks off", ctx, LoadOptions{Policies: []string{"-"}, Stdin: brokenPipe{}}, "broken pipe"},
		{"namespace", ctx, LoadOptions{Namespace: "a.b"}, `namespace "a.b" is not valid`},
		{"version", ctx, LoadOptions{PoseidonVersion: "new"}, `version "new" of Poseidon`},
		{"version of four", ctx, LoadOptions{PoseidonVersion: "0.7.1.2"}, "of Poseidon is none"},
		{"cancelled", cancelled, LoadOptions{Policies: []string{"a.yaml"}}, "context canceled"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			in, err := Load(tt.ctx, tt.o)
			if err == nil || in != nil || !strings.Contains(err.Error(), tt.want) {
				t.Errorf("got %v, want an error with %q", err, tt.want)
			}
		})
	}
	if _, err := Load(ctx, LoadOptions{Policies: []string{"gone.yaml"}}); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("%v is not fs.ErrNotExist", err)
	}
}

type brokenPipe struct{}

func (brokenPipe) Read([]byte) (int, error) { return 0, errors.New("broken pipe") }

// Links are followed as a mounted ConfigMap needs it, each file once, and loops end.
func TestLoadLinks(t *testing.T) {
	writeTree(t, map[string]string{"d/..2026/a.yaml": tpYAML("a", 1), "other/b.yaml": tpYAML("b", 1), "d/sub/c.yaml": tpYAML("c", 1)})
	for link, to := range map[string]string{"d/..data": "..2026", "d/a.yaml": "..data/a.yaml", "d/sub/up": "..", "d/self": ".", "d/other": "../other", "d/gone.txt": "nowhere"} {
		if err := os.Symlink(to, link); err != nil {
			t.Skip("no symbolic links:", err)
		}
	}
	in, err := Load(context.Background(), LoadOptions{Policies: []string{"d"}})
	if err != nil {
		t.Fatal(err)
	}
	if got, want := summary(in), "TrafficPolicy/default/a priority 1\nTrafficPolicy/default/b priority 1\nTrafficPolicy/default/c priority 1\n"; got != want || in.Files != 3 {
		t.Errorf("%d files:\n%swant 3:\n%s", in.Files, got, want)
	}
}

func TestSourceLine(t *testing.T) {
	writeTree(t, map[string]string{"a.yaml": "\ufeffone\r\ntwo\nthree"})
	in, err := Load(context.Background(), LoadOptions{Policies: []string{"-"}, Stdin: strings.NewReader("kind: x\nlast\n")})
	if err != nil {
		t.Fatal(err)
	}
	tests := []struct {
		file string
		line int
		want string
		ok   bool
	}{
		{"a.yaml", 1, "one", true}, {"a.yaml", 2, "two", true}, {"a.yaml", 3, "three", true}, {"a.yaml", 4, "", false}, {"a.yaml", 0, "", false},
		{StdinName, 1, "kind: x", true}, {StdinName, 2, "last", true}, {StdinName, 3, "", false}, {"gone.yaml", 1, "", false}, {".", 1, "", false},
	}
	for _, tt := range tests {
		if got, ok := in.SourceLine(tt.file, tt.line); got != tt.want || ok != tt.ok {
			t.Errorf("SourceLine(%q, %d) = %q, %v, want %q, %v", tt.file, tt.line, got, ok, tt.want, tt.ok)
		}
	}
	long, err := Load(context.Background(), LoadOptions{Policies: []string{"-"}, Stdin: strings.NewReader("# " + strings.Repeat("x", maxStdinKept))})
	if err != nil {
		t.Fatal(err)
	}
	if _, ok := long.SourceLine(StdinName, 1); ok {
		t.Error("a large standard input was kept")
	}
}

// Findings of broken inventory objects are told from those of policies.
func TestOfInventory(t *testing.T) {
	writeTree(t, map[string]string{
		"i.yaml": podYAML("p", "bad") + "---\n" + strings.Replace(tpYAML("a", 1), "name: a", "name: A", 1) + "---\n" + podYAML("q", "10.0.0.1") + "---\n" + podYAML("q", "10.0.0.2") + "---\n" + "[\n",
	})
	in, err := Load(context.Background(), LoadOptions{Inventory: []string{"i.yaml"}})
	if err != nil {
		t.Fatal(err)
	}
	var got []string
	for i := range in.Findings {
		f := &in.Findings[i]
		got = append(got, fmt.Sprint(f.Line, " ", f.Code, " ", in.OfInventory(f)))
	}
	want := []string{"4 TP003 true", "8 TP003 false", "16 TP009 true", "21 TP001 false"}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
}
