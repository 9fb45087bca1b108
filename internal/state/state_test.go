//go:build linux

package state

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"golang.org/x/sys/unix"
)

var key = Key{Cookie: 7, Boot: "b1"}

func mustOpen(t *testing.T, path string, k Key) *Folder {
	t.Helper()
	f, err := Open(context.Background(), OpenOptions{Dir: path, Key: k, Create: true})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { f.Close() })
	return f
}

func record(apply uint64, bundle string) *Record {
	return &Record{
		Apply: apply, Backend: "nftables", Scope: "node", Name: "n1", Bundle: digest([]byte(bundle)),
		Applied: time.Date(2030, 1, 1, 0, 0, int(apply), 0, time.UTC),
	}
}

// commit makes bundle the one in force.
func commit(t *testing.T, f *Folder, bundle string) {
	t.Helper()
	apply := uint64(1)
	if f.State.Current != nil {
		apply = f.State.Current.Apply + 1
	}
	next := &State{MaxSequence: apply, Current: record(apply, bundle), Previous: f.State.Current}
	if err := f.Prepare(next, []byte(bundle), 4096); err != nil {
		t.Fatal(err)
	}
	if err := f.SetKernel(next.Current, []byte("kernel of "+bundle)); err != nil {
		t.Fatal(err)
	}
	if err := f.Commit(); err != nil {
		t.Fatal(err)
	}
}

func TestCommitKeepsTwoBundles(t *testing.T) {
	path := filepath.Join(t.TempDir(), "state")
	f := mustOpen(t, path, key)
	for _, b := range []string{"one", "two", "three"} {
		commit(t, f, b)
	}
	f.Close()
	f = mustOpen(t, path, key)
	if f.Next != nil || f.State.MaxSequence != 3 {
		t.Fatalf("next %v, sequence %d", f.Next, f.State.MaxSequence)
	}
	for want, r := range map[string]*Record{"three": f.State.Current, "two": f.State.Previous} {
		if got, err := f.Bundle(r); err != nil || string(got) != want {
			t.Errorf("bundle %q, %v; want %q", got, err, want)
		}
	}
	if got, err := f.Kernel(f.State.Current); err != nil || string(got) != "kernel of three" {
		t.Errorf("kernel %q, %v", got, err)
	}
	names, _ := f.dir.names()
	want := []string{"bundle-" + digest([]byte("three")), "bundle-" + digest([]byte("two")), "kernel-3.json", stateFile}
	if diff := cmp.Diff(want, names, cmp.Transformer("sort", sortStrings)); diff != "" {
		t.Errorf("files (-want +got):\n%s", diff)
	}
	for _, p := range []string{path, f.dir.path} {
		if info, err := os.Stat(p); err != nil || info.Mode().Perm() != 0o700 {
			t.Errorf("%s: %v, %v", p, info.Mode(), err)
		}
	}
}

func sortStrings(s []string) map[string]bool {
	m := map[string]bool{}
	for _, x := range s {
		m[x] = true
	}
	return m
}

// A writer that dies after Prepare leaves Next for whoever comes after.
func TestPreparedSurvives(t *testing.T) {
	path := filepath.Join(t.TempDir(), "state")
	f := mustOpen(t, path, key)
	commit(t, f, "one")
	next := &State{Current: record(2, "two"), Previous: f.State.Current}
	if err := f.Prepare(next, []byte("two"), 100); err != nil {
		t.Fatal(err)
	}
	f.Close()
	f = mustOpen(t, path, key)
	if f.State.Current.Apply != 1 || f.Next == nil || f.Next.Current.Apply != 2 {
		t.Fatalf("state %+v next %+v", f.State, f.Next)
	}
	if err := f.Abandon(); err != nil {
		t.Fatal(err)
	}
	f.Close()
	f = mustOpen(t, path, key)
	if f.State.Current.Apply != 1 || f.Next != nil {
		t.Fatalf("after Abandon: state %+v next %+v", f.State, f.Next)
	}
	if _, err := f.Bundle(next.Current); err == nil {
		t.Error("the abandoned bundle is still there")
	}
}

func TestFullDisk(t *testing.T) {
	if os.Geteuid() != 0 {
		t.Skip("mounting a tmpfs needs root")
	}
	path := t.TempDir()
	if err := unix.Mount("tmpfs", path, "tmpfs", 0, "size=256k"); err != nil {
		t.Skipf("mount tmpfs: %v", err)
	}
	defer unix.Unmount(path, unix.MNT_DETACH)
	f := mustOpen(t, filepath.Join(path, "state"), key)
	commit(t, f, "one")
	big := strings.Repeat("x", 512<<10)
	next := &State{Current: record(2, big), Previous: f.State.Current}
	if err := f.Prepare(next, []byte(big), 10); !errors.Is(err, unix.ENOSPC) {
		t.Fatalf("a bundle larger than the disk: %v", err)
	}
	small := &State{Current: record(2, "two"), Previous: f.State.Current}
	if err := f.Prepare(small, []byte("two"), 1<<20); !errors.Is(err, unix.ENOSPC) {
		t.Fatalf("a reserve larger than the disk: %v", err)
	}
	// What was reserved can be written and committed with no byte left.
	if err := f.Prepare(small, []byte("two"), 32<<10); err != nil {
		t.Fatal(err)
	}
	fill(filepath.Join(path, "fill"))
	if err := f.SetKernel(small.Current, []byte(strings.Repeat("k", 32<<10))); err != nil {
		t.Fatal(err)
	}
	if err := f.Commit(); err != nil {
		t.Fatal(err)
	}
	if got, err := f.Bundle(f.State.Current); err != nil || string(got) != "two" {
		t.Fatalf("%q, %v", got, err)
	}
}

func fill(path string) {
	f, err := os.Create(path)
	if err != nil {
		return
	}
	defer f.Close()
	for buf := make([]byte, 4096); err == nil; {
		_, err = f.Write(buf)
	}
}

func TestLinksAreNotFollowed(t *testing.T) {
	tmp := t.TempDir()
	secret := filepath.Join(tmp, "secret")
	if err := os.Mkdir(secret, 0o755); err != nil {
		t.Fatal(err)
	}
	link := filepath.Join(tmp, "link")
	if err := os.Symlink(secret, link); err != nil {
		t.Fatal(err)
	}
	o := OpenOptions{Dir: link, Key: key, Create: true}
	if _, err := Open(context.Background(), o); err == nil || !strings.Contains(err.Error(), "is a link") {
		t.Errorf("state directory that is a link: %v", err)
	}
	o.Dir = filepath.Join(tmp, "state")
	if err := os.Mkdir(o.Dir, 0o777); err != nil {
		t.Fatal(err)
	}
	folder := filepath.Join(o.Dir, key.folder())
	if err := os.Symlink(secret, folder); err != nil {
		t.Fatal(err)
	}
	if _, err := Open(context.Background(), o); err == nil || !strings.Contains(err.Error(), "is a link") {
		t.Errorf("folder that is a link: %v", err)
	}
	os.Remove(folder)
	f := mustOpen(t, o.Dir, key)
	victim := filepath.Join(secret, "victim")
	os.WriteFile(victim, []byte("whole"), 0o600)
	os.Symlink(victim, filepath.Join(folder, nextFile+".tmp"))
	if err := f.Prepare(&State{Current: record(1, "one")}, []byte("one"), 10); err == nil {
		t.Error("wrote through a link")
	}
	if got, _ := os.ReadFile(victim); string(got) != "whole" {
		t.Errorf("the link's target is now %q", got)
	}
}

func TestLock(t *testing.T) {
	path := filepath.Join(t.TempDir(), "state")
	f := mustOpen(t, path, key)
	told := 0
	o := OpenOptions{Dir: path, Key: key, Create: true, Wait: 100 * time.Millisecond, Waiting: func() { told++ }}
	if _, err := Open(context.Background(), o); err == nil || !strings.Contains(err.Error(), "another tploader") {
		t.Fatalf("second open: %v", err)
	}
	if told != 1 {
		t.Errorf("told %d times", told)
	}
	other := o
	other.Key.Cookie = 8
	g, err := Open(context.Background(), other)
	if err != nil {
		t.Fatalf("folder of another namespace: %v", err)
	}
	g.Close()
	// Erasing while somebody waits: the waiter gets a folder that exists.
	done := make(chan error, 1)
	o.Wait = 10 * time.Second
	go func() {
		g, err := Open(context.Background(), o)
		if err == nil {
			_, err = os.Stat(g.dir.path)
			g.Close()
		}
		done <- err
	}()
	time.Sleep(20 * time.Millisecond)
	if err := f.Erase(); err != nil {
		t.Fatal(err)
	}
	if err := <-done; err != nil {
		t.Fatal(err)
	}
}

func TestErasedIsNone(t *testing.T) {
	path := filepath.Join(t.TempDir(), "state")
	o := OpenOptions{Dir: path, Key: key}
	if _, err := Open(context.Background(), o); !errors.Is(err, ErrNone) {
		t.Fatalf("no state directory: %v", err)
	}
	f := mustOpen(t, path, key)
	commit(t, f, "one")
	if err := f.Erase(); err != nil {
		t.Fatal(err)
	}
	if _, err := Open(context.Background(), o); !errors.Is(err, ErrNone) {
		t.Fatalf("after Erase: %v", err)
	}
	if left, _ := os.ReadDir(path); len(left) != 0 {
		t.Errorf("left: %v", left)
	}
}

func TestEarlierBoots(t *testing.T) {
	path := filepath.Join(t.TempDir(), "state")
	old := mustOpen(t, path, Key{1, "b0"})
	commit(t, old, "one")
	if err := old.SetLearned([]byte("learned")); err != nil {
		t.Fatal(err)
	}
	old.Close()
	f := mustOpen(t, path, key)
	p, err := f.Earlier("node", "n1")
	if err != nil || p == nil || string(p.Bundle) != "one" || string(p.Learned) != "learned" || p.Memory != nil {
		t.Fatalf("%+v %v", p, err)
	}
	if p, _ := f.Earlier("node", "n2"); p != nil {
		t.Errorf("another node's: %+v", p)
	}
	commit(t, f, "two")
	f.DropEarlier()
	if p, _ := f.Earlier("node", "n1"); p != nil {
		t.Errorf("still there after a commit: %+v", p)
	}
}

// TestEarlierOfTwo: a clock that was put back between two boots brings back neither an older
// bundle nor a lower sequence.
func TestEarlierOfTwo(t *testing.T) {
	put := func(t *testing.T, path, boot, bundle string, sequence uint64, seconds int) {
		f := mustOpen(t, path, Key{1, boot})
		defer f.Close()
		r := record(1, bundle)
		r.Applied = r.Applied.Add(time.Duration(seconds) * time.Second)
		if err := errors.Join(f.Prepare(&State{MaxSequence: sequence, Current: r}, []byte(bundle), 4096), f.Commit()); err != nil {
			t.Fatal(err)
		}
	}
	for _, c := range []struct {
		sequence uint64 // of the second boot; 5 of the first
		seconds  int    // from the one to the other
		want     string
	}{{6, 10, "second"}, {6, -10, "second"}, {5, 10, "second"}, {5, -10, "first"}} {
		path := filepath.Join(t.TempDir(), "state")
		put(t, path, "x1", "first", 5, 0)
		put(t, path, "x2", "second", c.sequence, c.seconds)
		p, err := mustOpen(t, path, key).Earlier("node", "n1")
		if err != nil || string(p.Bundle) != c.want {
			t.Errorf("%+v: %s, %v", c, p.Bundle, err)
		}
	}
}

func TestDamagedState(t *testing.T) {
	path := filepath.Join(t.TempDir(), "state")
	f := mustOpen(t, path, key)
	commit(t, f, "one")
	folder := f.dir.path
	f.Close()
	o := OpenOptions{Dir: path, Key: key}
	for _, text := range []string{"", "{", `{"schema": 99}`, `{"schema": 1, "current": {"bundle": "../../etc/passwd"}}`} {
		if err := os.WriteFile(filepath.Join(folder, stateFile), []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		if f, err := Open(context.Background(), o); err == nil {
			f.Close()
			t.Errorf("%q was taken", text)
		}
	}
	o.Damaged = true
	f, err := Open(context.Background(), o)
	if err != nil {
		t.Fatal(err)
	}
	f.Close()
}
