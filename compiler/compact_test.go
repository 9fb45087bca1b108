package compiler

import (
	"bufio"
	"bytes"
	"context"
	"crypto/sha256"
	"fmt"
	"os"
	"path/filepath"
	"reflect"
	"runtime"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"
	"k8s.io/apimachinery/pkg/util/validation"

	"github.com/trafficpolicy/trafficpolicy/internal/synth"
	"github.com/trafficpolicy/trafficpolicy/model"
)

// everything is an Input with what is not exported of it, for comparing.
type everything struct {
	Policies     []*model.Policy
	Inventory    *model.Inventory
	Findings     []model.Finding
	Files        int
	Skipped      map[string]int
	Copies       []string
	Suppressions []Suppression
	InInventory  map[string]bool
	OfInventory  map[findingKey]bool
}

func everythingOf(in *Input) everything {
	e := everything{in.Policies, in.Inventory, in.Findings, in.Files, in.Skipped, nil, in.Suppressions, map[string]bool{}, in.ofInventory}
	for _, c := range in.Copies {
		e.Copies = append(e.Copies, fmt.Sprintf("%s %s", c.Policy.Ref(), c.Pos))
	}
	for p := range in.inInventory {
		e.InInventory[p.Ref()+" "+p.Pos.String()] = true
	}
	return e
}

// sameInput reports a difference between two inputs, down to nil and empty.
func sameInput(t *testing.T, want, got *Input) {
	t.Helper()
	w, g := everythingOf(want), everythingOf(got)
	if reflect.DeepEqual(w, g) {
		return
	}
	diff := cmp.Diff(w, g, cmp.Exporter(func(reflect.Type) bool { return true }), cmpopts.EquateComparable())
	t.Errorf("inputs differ (-want +got):\n%s", diff[:min(len(diff), 4000)])
}

func mustLoad(t *testing.T, o LoadOptions) *Input {
	t.Helper()
	in, err := Load(context.Background(), o)
	if err != nil {
		t.Fatal(err)
	}
	return in
}

// compactOf returns the compact inventory of inputs in a file of a new folder.
func compactOf(t *testing.T, paths ...string) (file string, compact []byte) {
	t.Helper()
	_, compact, err := Snapshot(context.Background(), LoadOptions{Inventory: paths})
	if err != nil {
		t.Fatal(err)
	}
	file = filepath.Join(t.TempDir(), "cluster.tpi")
	if err := os.WriteFile(file, compact, 0o666); err != nil {
		t.Fatal(err)
	}
	return file, compact
}

// TestCompactIsExact: whatever a file holds, good or not, reading its compact form
// gives the same to the last finding, with every option that changes what is read.
func TestCompactIsExact(t *testing.T) {
	var files []string
	for _, pattern := range []string{"testdata/ok/*", "testdata/err/*[nl]", "../testdata/corpus/*", "../testdata/cluster/*", "../testdata/checks/*.yaml"} {
		found, err := filepath.Glob(pattern)
		if err != nil || len(found) == 0 {
			t.Fatalf("no files for %s: %v", pattern, err)
		}
		files = append(files, found...)
	}
	for _, file := range files {
		t.Run(filepath.Base(file), func(t *testing.T) {
			_, compact, err := Snapshot(context.Background(), LoadOptions{Inventory: []string{file}})
			if err != nil {
				if !strings.Contains(err.Error(), "not JSON: ") {
					t.Fatal(err)
				}
				return // its rest is not known
			}
			path := filepath.Join(t.TempDir(), "compact")
			if err := os.WriteFile(path, compact, 0o666); err != nil {
				t.Fatal(err)
			}
			for _, o := range []LoadOptions{{}, {Namespace: "other"}, {PoseidonVersion: "0.7.0"}} {
				text, copied := o, o
				text.Inventory, copied.Inventory = []string{file}, []string{path}
				sameInput(t, mustLoad(t, text), mustLoad(t, copied))
				text.Policies, copied.Policies = text.Inventory, copied.Inventory
				text.Inventory, copied.Inventory = nil, nil
				sameInput(t, mustLoad(t, text), mustLoad(t, copied))
			}
			if _, again := compactOf(t, path); !bytes.Equal(compact, again) {
				t.Error("the compact form of the compact form is another")
			}
		})
	}
}

// Random worlds, beside policies of the command line and one another: objects yield,
// repeat and contradict as they do in texts.
func TestCompactOfWorlds(t *testing.T) {
	for seed := range uint64(60) {
		dir := writeTree(t, nil)
		write := func(name, text string) {
			if err := os.WriteFile(filepath.Join(dir, name), []byte(text), 0o666); err != nil {
				t.Fatal(err)
			}
		}
		c := synth.Small(seed)
		if seed%2 == 1 {
			c = synth.Dense(seed)
		}
		other := synth.Small(seed + 1000)
		write("a.yaml", c.InventoryYAML()+c.PolicyYAML())
		write("b.yaml", other.InventoryYAML())
		write("p.yaml", other.PolicyYAML())
		_, compact, err := Snapshot(context.Background(), LoadOptions{Inventory: []string{"a.yaml", "b.yaml"}})
		if err != nil {
			t.Fatal(err)
		}
		write("ab.tpi", string(compact))
		_, compact, err = Snapshot(context.Background(), LoadOptions{Inventory: []string{"b.yaml"}})
		if err != nil {
			t.Fatal(err)
		}
		write("b.tpi", string(compact))
		want := mustLoad(t, LoadOptions{Policies: []string{"p.yaml"}, Inventory: []string{"a.yaml", "b.yaml"}})
		sameInput(t, want, mustLoad(t, LoadOptions{Policies: []string{"p.yaml"}, Inventory: []string{"ab.tpi"}}))
		sameInput(t, want, mustLoad(t, LoadOptions{Policies: []string{"p.yaml"}, Inventory: []string{"a.yaml", "b.tpi"}}))
	}
}

// A cluster with faults in both forms, and pods with and without a namespace.
func TestCompactOfFleet(t *testing.T) {
	s := synth.DefaultSizes
	s.Pods, s.Nodes, s.Services, s.Policies, s.Rules, s.Faults, s.DualStack, s.Workloads = 800, 20, 80, 40, 400, 40_000, 50, true
	fleet, err := synth.NewFleet(s)
	if err != nil {
		t.Fatal(err)
	}
	writeTree(t, nil)
	for name, write := range map[string]func(*os.File) error{
		"c.json": func(f *os.File) error { return synth.WriteJSON(f, fleet.Inventory()) },
		"c.yaml": func(f *os.File) error { return synth.WriteYAML(f, fleet.Inventory()) },
		"p.json": func(f *os.File) error { return synth.WriteJSON(f, fleet.Policies()) },
	} {
		f, err := os.Create(name)
		if err != nil {
			t.Fatal(err)
		}
		if err := write(f); err != nil {
			t.Fatal(err)
		}
		f.Close()
	}
	for _, paths := range [][]string{{"c.json"}, {"c.yaml"}, {"c.json", "p.json"}} {
		file, _ := compactOf(t, paths...)
		want := mustLoad(t, LoadOptions{Inventory: paths})
		if len(want.Inventory.Broken) == 0 {
			t.Error("nothing is broken")
		}
		sameInput(t, want, mustLoad(t, LoadOptions{Inventory: []string{file}}))
	}
}

// One broken pod among 50,000 costs one finding, at its place in the text.
func TestOneBrokenObject(t *testing.T) {
	writeTree(t, nil)
	var b strings.Builder
	b.WriteString("{\"apiVersion\": \"v1\", \"kind\": \"List\", \"items\": [\n")
	const pods = 50_000
	for i := range pods {
		comma := ","
		if i == pods-1 {
			comma = ""
		}
		ip := fmt.Sprintf("10.0.%d.%d", i/250, i%250)
		if i == 500 {
			ip = "10.0.0.256"
		}
		fmt.Fprintf(&b, "{\"apiVersion\": \"v1\", \"kind\": \"Pod\", \"metadata\": {\"name\": \"p%d\"}, \"status\": {\"podIP\": %q}}%s\n", i, ip, comma)
	}
	b.WriteString("]}\n")
	if err := os.WriteFile("c.json", []byte(b.String()), 0o666); err != nil {
		t.Fatal(err)
	}
	compact, _ := compactOf(t, "c.json")
	for _, path := range []string{"c.json", compact} {
		in := mustLoad(t, LoadOptions{Inventory: []string{path}})
		if len(in.Findings) != 1 || in.Findings[0].Pos().String() != "c.json:502:87" || !in.OfInventory(&in.Findings[0]) {
			t.Errorf("%s: findings %+v, want one at c.json:502:87", path, in.Findings)
		}
		if len(in.Inventory.Pods) != pods-1 || len(in.Inventory.Broken) != 1 || in.Inventory.Broken[0].Ref != "Pod/default/p500" {
			t.Errorf("%s: %d pods, broken %v", path, len(in.Inventory.Pods), in.Inventory.Broken)
		}
	}
}

// The compact form is found in directories, and known whatever its name is.
func TestCompactIsFound(t *testing.T) {
	writeTree(t, map[string]string{"src/pod.yaml": podYAML("p", "10.0.0.1"), "d/tp.yaml": tpYAML("a", 1)})
	_, compact := compactOf(t, "src/pod.yaml")
	for _, name := range []string{"d/x.tpi", "x.json"} {
		if err := os.WriteFile(name, compact, 0o666); err != nil {
			t.Fatal(err)
		}
	}
	want := "TrafficPolicy/default/a priority 1\npod default/p [10.0.0.1]\n"
	for _, o := range []LoadOptions{
		{Inventory: []string{"d"}}, {Policies: []string{"d"}}, {Policies: []string{"d/tp.yaml"}, Inventory: []string{"x.json"}},
		{Policies: []string{"d/tp.yaml"}, Inventory: []string{"-"}, Stdin: bytes.NewReader(compact)},
	} {
		in := mustLoad(t, o)
		if got := summary(in); got != want {
			t.Errorf("%+v:\n%s", o, got)
		}
		if in.Files != 2 || !in.Copied("src/pod.yaml") || in.Copied("d/tp.yaml") {
			t.Errorf("%+v: %d files, want pod.yaml and tp.yaml", o, in.Files)
		}
	}
}

// Lines of the files that a compact inventory names are shown if they are what it
// was made of, or were read themselves.
func TestCompactSourceLines(t *testing.T) {
	pod := podYAML("p", "10.0.0.1")
	writeTree(t, map[string]string{"pod.yaml": pod, "secret": "password\n", "tp.yaml": tpYAML("a", 1)})
	file, compact := compactOf(t, "pod.yaml")
	line := func(name string, o LoadOptions) string {
		text, ok := mustLoad(t, o).SourceLine(name, 1)
		if !ok {
			return "none"
		}
		return text
	}
	o := LoadOptions{Inventory: []string{file}}
	if got := line("pod.yaml", o); got != "apiVersion: v1" {
		t.Errorf("line of the file: %q", got)
	}
	forged := newCompactWriter()
	forged.file(&sourceFile{name: "secret"})
	text, err := forged.end()
	if err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile("forged.tpi", text, 0o666); err != nil {
		t.Fatal(err)
	}
	if got := line("secret", LoadOptions{Inventory: []string{"forged.tpi"}}); got != "none" {
		t.Errorf("line of a file that is somebody else's: %q", got)
	}
	if err := os.WriteFile("pod.yaml", []byte("# changed\n"+pod), 0o666); err != nil {
		t.Fatal(err)
	}
	if got := line("pod.yaml", o); got != "none" {
		t.Errorf("line of a file that has changed: %q", got)
	}
	if got := line("pod.yaml", LoadOptions{Policies: []string{"pod.yaml"}, Inventory: []string{file}}); got != "# changed" {
		t.Errorf("line of a file that was read too: %q", got)
	}
	stdin := LoadOptions{Policies: []string{"tp.yaml"}, Inventory: []string{"-"}, Stdin: bytes.NewReader(compact)}
	if got := line(StdinName, stdin); got != "none" {
		t.Errorf("line of standard input, which is a compact inventory: %q", got)
	}
}

// What is written for a version of the format stays: give another number to one
// that is written otherwise.
func TestCompactFormat(t *testing.T) {
	const want = "version 1: e59fc9511a48d9df647bc1fcd0814760f02a100ed51eea7218abf8cebc580938"
	_, compact := compactOf(t, "../testdata/cluster/small.yaml", "testdata/ok/anchors.yaml", "testdata/err/kinds.yaml")
	if got := fmt.Sprintf("version %d: %x", compactVersion, sha256.Sum256(compact)); got != want {
		t.Errorf("%s, want %s", got, want)
	}
}

// What is not as it was written is an error that says what to do, not a finding.
func TestCompactDamaged(t *testing.T) {
	_, good := compactOf(t, "../testdata/cluster/small.yaml")
	change := func(at int, to byte) []byte {
		b := bytes.Clone(good)
		b[at] = to
		return b
	}
	tests := []struct {
		name string
		text []byte
		want string
	}{
		{"cut off in the end mark", good[:len(good)-1], "is cut off: it ends after"},
		{"cut off behind the last block", good[:len(good)-5], "is cut off: it ends after"},
		{"cut off in a block", good[:len(good)/2], "is cut off: it ends after"},
		{"cut off in the head", good[:6], "is cut off: it ends after 6 bytes"},
		{"a byte is another", change(len(good)/2, good[len(good)/2]^1), "does not have the checksum"},
		{"a sum is another", change(len(good)-1, good[len(good)-1]^1), "does not have the checksum"},
		{"line ends", bytes.Replace(bytes.Clone(good), []byte("\r\n"), []byte("\n"), 1), "as if it were text"},
		{"another version", change(8, 2), "has version 2 of the format, this trafficpolicy reads version 1"},
		{"a version without end", append(append(bytes.Clone(good[:8]), bytes.Repeat([]byte{0xff}, 10)...), good[9:]...), "there is no number"},
		{"more behind the end", append(bytes.Clone(good), 'x'), "is followed by something else"},
		{"two of them", slices.Concat(good, good), "is followed by something else"},
		{"a block that is longer than the file", append(bytes.Clone(good[:9]), 0x80, 0x80, 0x80, 0x20, 'x'), "is cut off: it ends after 14 bytes"},
		{"a block that is too large", append(bytes.Clone(good[:9]), 0xff, 0xff, 0xff, 0xff, 0x7f), "has 34359738367 bytes, more than 67108864"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			var before, after runtime.MemStats
			runtime.ReadMemStats(&before)
			in, err := Load(context.Background(), LoadOptions{Inventory: []string{"-"}, Stdin: bytes.NewReader(tt.text)})
			if runtime.ReadMemStats(&after); after.TotalAlloc-before.TotalAlloc > 5<<20 { // of which a buffer has 1 MB
				t.Errorf("took %d bytes for a text of %d", after.TotalAlloc-before.TotalAlloc, len(tt.text))
			}
			if err == nil || !strings.Contains(err.Error(), tt.want) || !strings.Contains(err.Error(), "trafficpolicy inventory") {
				t.Errorf("error %v, input %v, want one with %q", err, in != nil, tt.want)
			}
		})
	}
	buffer := bufio.NewReaderSize(nil, sniffSize)
	for i := 4; i < len(good); i++ { // before, it is not known for what it is
		if _, err := readText(t, buffer, change(i, good[i]^0x20)); err == nil {
			t.Errorf("byte %d changed: no error", i)
		}
		if _, err := readText(t, buffer, good[:i]); err == nil {
			t.Errorf("cut off after %d bytes: no error", i)
		}
	}
}

// A text that ends in the middle is no inventory.
func TestSnapshotOfHalfAText(t *testing.T) {
	writeTree(t, map[string]string{"half.json": `{"kind": "List", "apiVersion": "v1", "items": [{"kind": "Namespace", "apiVersion": "v1", "metadata": {"name": "a"}},`})
	_, compact, err := Snapshot(context.Background(), LoadOptions{Inventory: []string{"half.json"}})
	if compact != nil || err == nil || !strings.Contains(err.Error(), "half.json:1:117: not JSON: the text ends inside of a value") {
		t.Errorf("error %v", err)
	}
}

func TestIsSubdomain(t *testing.T) {
	const alphabet = "a9-._A"
	check := func(s string) {
		if got, want := isSubdomain(s), len(validation.IsDNS1123Subdomain(s)) == 0; got != want {
			t.Errorf("isSubdomain(%q) = %v, want %v", s, got, want)
		}
	}
	var all func(s string, n int)
	all = func(s string, n int) {
		if check(s); n > 0 {
			for _, c := range alphabet {
				all(s+string(c), n-1)
			}
		}
	}
	all("", 5)
	for _, n := range []int{252, 253, 254} {
		check(strings.Repeat("a", n))
	}
	check("a\u00e4")
}

// FuzzCompact: whatever the bytes are, reading them ends with an error or with what
// a compact inventory can be made of again, which then says the same.
func FuzzCompact(f *testing.F) {
	for _, file := range []string{"../testdata/cluster/small.yaml", "../testdata/corpus/layered-policies.yaml", "testdata/ok/anchors.yaml", "testdata/err/kinds.yaml", "testdata/err/merge.yaml"} {
		_, compact, err := Snapshot(context.Background(), LoadOptions{Inventory: []string{file}})
		if err != nil {
			f.Fatal(err)
		}
		f.Add(compactPayload(f, compact))
	}
	buffer := bufio.NewReaderSize(nil, sniffSize)
	f.Fuzz(func(t *testing.T, payload []byte) {
		l, err := readPayload(t, buffer, payload)
		if err != nil {
			if !strings.Contains(err.Error(), "compact inventory") {
				t.Fatal(err)
			}
			return
		}
		if len(l.objects) > len(payload) {
			t.Errorf("%d objects of %d bytes", len(l.objects), len(payload))
		}
		w := newCompactWriter()
		w.all(l)
		text, err := w.end()
		if err != nil {
			t.Fatal(err)
		}
		again, err := readText(t, buffer, text)
		if err != nil {
			t.Fatal(err)
		}
		if !reflect.DeepEqual(everythingOf(l.finish()), everythingOf(again.finish())) {
			t.Error("what is written again says something else")
		}
	})
}

// readPayload reads one block with the sums that it needs, which no fuzzer finds.
func readPayload(t *testing.T, buffer *bufio.Reader, payload []byte) (*loader, error) {
	t.Helper()
	w := newCompactWriter()
	w.block = payload
	text, err := w.end()
	if err != nil {
		t.Skip()
	}
	return readText(t, buffer, text)
}

// readText reads a compact inventory with a buffer that is kept, since a new one is
// large.
func readText(t *testing.T, buffer *bufio.Reader, text []byte) (*loader, error) {
	t.Helper()
	l, err := newLoader(LoadOptions{})
	if err != nil {
		t.Fatal(err)
	}
	l.snapshot, l.buffer = true, buffer
	return l, l.stream(context.Background(), &source{document: &document{file: "in"}, path: "in"}, bytes.NewReader(text))
}

// compactPayload returns what the blocks of a compact inventory hold.
func compactPayload(tb testing.TB, compact []byte) []byte {
	tb.Helper()
	blocks := &compactBlocks{r: bufio.NewReader(bytes.NewReader(compact))}
	if err := blocks.head(); err != nil {
		tb.Fatal(err)
	}
	var payload []byte
	for {
		block, err := blocks.next()
		if err != nil {
			tb.Fatal(err)
		}
		if block == "" {
			return payload
		}
		payload = append(payload, block...)
	}
}
