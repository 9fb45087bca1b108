//go:build linux

package agent

import (
	"bytes"
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"net/netip"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/trafficpolicy/trafficpolicy/backends/bundle"
	"github.com/trafficpolicy/trafficpolicy/internal/learned"
	"github.com/trafficpolicy/trafficpolicy/internal/loader"
	"github.com/trafficpolicy/trafficpolicy/internal/names"
	"github.com/trafficpolicy/trafficpolicy/internal/state"
)

func TestParseListen(t *testing.T) {
	for _, c := range []struct{ in, network, address string }{
		{"unix:/run/x.sock", "unix", "/run/x.sock"}, {"127.0.0.1:9", "tcp", "127.0.0.1:9"}, {"127.9.9.9:0", "tcp", "127.9.9.9:0"},
		{"[::1]:9", "tcp", "[::1]:9"}, {"[::ffff:127.0.0.1]:9", "tcp", "[::ffff:127.0.0.1]:9"},
		{"unix:x.sock", "", ""}, {"unix:", "", ""}, {"0.0.0.0:9", "", ""}, {"[::]:9", "", ""}, {"126.255.255.255:9", "", ""}, {"128.0.0.1:9", "", ""},
		{"[::2]:9", "", ""}, {"localhost:9", "", ""}, {"127.0.0.1", "", ""}, {"", "", ""},
	} {
		network, address, err := ParseListen(c.in)
		if network != c.network || address != c.address || (err == nil) != (c.network != "") {
			t.Errorf("%q: %q %q %v", c.in, network, address, err)
		}
	}
}

// What was before stays beside what is known, name by name.
func TestAdditive(t *testing.T) {
	one, two := netip.MustParseAddr("8.8.8.1"), netip.MustParseAddr("8.8.8.2")
	same := cmp.Comparer(func(a, b netip.Addr) bool { return a == b })
	known := learned.Known{"a": {two}, "b": {one}, "c": nil}
	var d additive
	d.set(learned.Known{"a": {one, two}, "b": {two}, "gone": {one}}, time.Time{})
	check := func(when string, want learned.Known) {
		t.Helper()
		if diff := cmp.Diff(want, d.with(known), same); diff != "" {
			t.Errorf("%s (-want +got):\n%s", when, diff)
		}
	}
	check("both", learned.Known{"a": {one, two}, "b": {one, two}, "c": nil})
	if changed, left := d.keep(map[string]bool{"b": true}); !changed || !left {
		t.Errorf("keep one: %t %t", changed, left)
	}
	check("one", learned.Known{"a": {two}, "b": {one, two}, "c": nil})
	if changed, left := d.keep(map[string]bool{"b": true}); changed || !left {
		t.Errorf("keep it: %t %t", changed, left)
	}
	if changed, left := d.keep(nil); !changed || left {
		t.Errorf("keep none: %t %t", changed, left)
	}
	check("none", known)
}

// What no answer may open goes, and what is too old does although resolvers fail, but for
// names that rules only deny.
func TestAdditiveEnds(t *testing.T) {
	one, two := netip.MustParseAddr("8.8.8.1"), netip.MustParseAddr("8.8.8.2")
	same := cmp.Comparer(func(a, b netip.Addr) bool { return a == b })
	l, err := names.New(names.Config{Resolvers: []netip.AddrPort{netip.MustParseAddrPort("192.0.2.1:53")}, Enforce: func(context.Context, names.Known) error { return nil }})
	if err != nil {
		t.Fatal(err)
	}
	a := &Agent{names: l}
	a.effects.Store(&map[string]loader.Effect{"allow": loader.Allows, "both": loader.Allows | loader.Denies, "deny": loader.Denies})
	for _, c := range []struct {
		left time.Duration
		want learned.Known
	}{
		{time.Minute, learned.Known{"allow": {one}, "both": {one}, "deny": {one}}},
		{0, learned.Known{"deny": {one}}},
	} {
		before := learned.Known{"allow": {one, two}, "both": {one}, "deny": {one, two}}
		a.additive.set(before, time.Now().Add(c.left))
		if !a.additive.drop(func(a netip.Addr) bool { return a == two }) || a.additive.drop(func(netip.Addr) bool { return false }) {
			t.Error("what is dropped and what is not is told wrongly")
		}
		if !a.keepBefore(map[string]bool{"allow": true, "both": true, "deny": true}) {
			t.Error("nothing is left")
		}
		if diff := cmp.Diff(c.want, a.additive.before, same); diff != "" {
			t.Errorf("%s left (-want +got):\n%s", c.left, diff)
		}
	}
	remembered := map[string][]names.Remembered{"a": {{Addr: one}}, "b": {{Addr: two}}}
	got := notRemembered(learned.Known{"a": {one, two}, "b": {two}, "c": {one}}, remembered)
	if diff := cmp.Diff(learned.Known{"a": {two}, "c": {one}}, got, same); diff != "" {
		t.Errorf("not remembered (-want +got):\n%s", diff)
	}
}

// What no trusted key has signed takes no memory, however large it is, and a bundle that was
// dealt with is not read.
func TestSourceRead(t *testing.T) {
	path := filepath.Join(t.TempDir(), "n1.tar")
	write(t, path, "n1", 1)
	data, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	s := newSource(path, "n1")
	if b, digest, err := s.read(nil, path, fmt.Sprintf("%x", sha256.Sum256(data))); b != nil || err != nil || digest == "" {
		t.Errorf("dealt with: %v %q %v", b, digest, err)
	}
	if _, _, err := s.read(nil, path, "another"); err == nil || !strings.Contains(err.Error(), "it is for backend ebpf") {
		t.Errorf("not dealt with: %v", err)
	}
	s.trust(&bundle.Keyring{})
	for name, size := range map[string]int64{"unsigned": 512 << 20, "endless": 8 << 40} {
		if err := os.Truncate(path, size); err != nil {
			t.Skip(err) // a file system without holes
		}
		var before, after runtime.MemStats
		runtime.ReadMemStats(&before)
		start := time.Now()
		_, _, err := s.read(nil, path, "another")
		runtime.ReadMemStats(&after)
		if err == nil || !strings.Contains(err.Error(), "it is not signed") {
			t.Errorf("%s: %v", name, err)
		}
		if n := after.TotalAlloc - before.TotalAlloc; n > 1<<20 || time.Since(start) > time.Second {
			t.Errorf("%s: refused with %d bytes of memory and in %s", name, n, time.Since(start))
		}
	}
	if _, _, err := s.read(nil, t.TempDir(), ""); err == nil || !strings.Contains(err.Error(), "is no regular file") {
		t.Errorf("a directory: %v", err)
	}
}

func TestProblems(t *testing.T) {
	at := time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC)
	well := func() now { return now{record: &state.Record{}, looked: at} }
	for _, c := range []struct {
		name   string
		change func(*now, *names.Totals)
		want   string
	}{
		{"well", func(*now, *names.Totals) {}, ""},
		{"nothing", func(n *now, _ *names.Totals) { n.record = nil }, "nothing is in force"},
		{"failed", func(n *now, _ *names.Totals) { n.err = errors.New("x") }, "the last look failed: x"},
		{"not late", func(n *now, _ *names.Totals) { n.looked = at.Add(-late * lookMost) }, ""},
		{"late", func(n *now, _ *names.Totals) { n.looked = at.Add(-late*lookMost - time.Second) }, "the last look was 2m1s ago"},
		{"slow", func(n *now, _ *names.Totals) { n.looked, n.took = at.Add(-late*lookMost-time.Second), 10*time.Second }, ""},
		{"source", func(n *now, _ *names.Totals) { n.sourceErr = errors.New("x") }, "the bundle to watch is not in force: x"},
		{"pods", func(n *now, _ *names.Totals) {
			n.unattached = []loader.PodStatus{{Pod: "a"}, {Pod: "b"}, {Pod: "c"}, {Pod: "d"}}
		}, "pods are not attached: a, b, c and 1 more"},
		{"enforce", func(_ *now, t *names.Totals) { t.EnforceError = "x" }, "addresses of names are not enforced: x"},
		{"failing", func(_ *now, t *names.Totals) { t.Failing, t.Names = 1, 2 }, "1 of 2 domain names could not be asked for last time"},
		{"capped", func(_ *now, t *names.Totals) { t.Capped = 3 }, "3 addresses of names are left out by a limit"},
	} {
		n, totals := well(), &names.Totals{}
		c.change(&n, totals)
		if got := strings.Join(n.problems(totals, at), "; "); got != c.want {
			t.Errorf("%s: %q, want %q", c.name, got, c.want)
		}
	}
	n := well()
	n.names = 2
	if got := strings.Join(n.problems(nil, at), "; "); got != "2 domain names are not kept: there is no resolver" {
		t.Errorf("without a resolver: %q", got)
	}
}

// write puts a bundle of a node into a directory.
func write(t *testing.T, path, node string, sequence uint64) {
	t.Helper()
	m := bundle.Manifest{
		Tool: "test", Backend: bundle.EBPF, Scope: bundle.ScopeNode, Name: node, Node: node, Sequence: sequence,
		Rules: []bundle.Rule{}, Defaults: []bundle.Default{}, Names: []bundle.KnownName{},
	}
	var b bytes.Buffer
	if err := bundle.Write(&b, m, []bundle.File{{Name: "x", Data: []byte(path)}}); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(path, b.Bytes(), 0o600); err != nil {
		t.Fatal(err)
	}
}

// Of a directory the bundle of this node with the highest sequence is picked, whatever the
// files are called.
func TestPick(t *testing.T) {
	dir := t.TempDir()
	s := newSource(dir, "n1")
	check := func(when, want string) {
		t.Helper()
		got, err := s.pick()
		if got != "" {
			got = filepath.Base(got)
		}
		if err != nil {
			got = "error"
		}
		if got != want {
			t.Errorf("%s: %q, want %q (%v)", when, got, want, err)
		}
	}
	check("nothing", "")
	write(t, filepath.Join(dir, "n2.tar"), "n2", 9)
	check("of another node", "")
	write(t, filepath.Join(dir, "n1.tar"), "n1", 3)
	write(t, filepath.Join(dir, "z.tar"), "n1", 2)
	check("the newer", "n1.tar")
	write(t, filepath.Join(dir, "z.tar"), "n1", 4)
	check("the newer now", "z.tar")
	write(t, filepath.Join(dir, "n1.tar"), "n1", 4)
	check("two of one age", "z.tar")
	write(t, filepath.Join(dir, ".hidden.tar"), "n1", 8)
	write(t, filepath.Join(dir, "n1.tar.new"), "n1", 8)
	check("files that are no bundles yet", "z.tar")
	if err := os.WriteFile(filepath.Join(dir, "broken.tar"), []byte("x"), 0o600); err != nil {
		t.Fatal(err)
	}
	check("a broken one beside", "z.tar")
	for _, f := range []string{"z.tar", "n1.tar"} {
		if err := os.Remove(filepath.Join(dir, f)); err != nil {
			t.Fatal(err)
		}
	}
	check("only a broken one", "error")
	s = newSource(filepath.Join(dir, "gone"), "n1")
	check("no directory", "")
	before, err := newSource(dir, "n1").state()
	if err != nil {
		t.Fatal(err)
	}
	write(t, filepath.Join(dir, "n2.tar"), "n2", 10)
	if after, err := newSource(dir, "n1").state(); err != nil || after == before {
		t.Errorf("a file that was written does not show: %v", err)
	}
}
