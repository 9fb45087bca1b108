//go:build linux

package main

import (
	"bytes"
	"fmt"
	"io/fs"
	"math/rand/v2"
	"net/netip"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/trafficpolicy/trafficpolicy/internal/netlab"
)

// What is no bundle for this node never reaches the kernel.
func TestRefused(t *testing.T) {
	n := newNode(t, netlab.Routed)
	n.apply(0, shut.bundle(t))
	rules := n.nft("-s", "list", "ruleset")
	good := open.bundle(t)
	edit := func(old, with string) []byte {
		b := bytes.Replace(good, []byte(old), []byte(with), 1)
		if bytes.Equal(b, good) {
			t.Fatalf("the bundle has no %q", old)
		}
		return b
	}
	foreign := open
	foreign.node = "n2"
	for _, c := range []struct {
		name   string
		bundle []byte
		want   string
	}{
		{"empty", nil, "the input is empty"},
		{"text", []byte("apiVersion: v1\n"), "bundle: "},
		{"half", good[:len(good)/2], "bundle: it ends"},
		{"no end", good[:len(good)-1024], "bundle: "},
		{"trailing", append(bytes.Clone(good), 'x'), "bundle: "},
		{"tampered", edit("8.8.8.0", "9.9.9.0"), "bundle: "},
		{"schema", edit(`"schema": 1`, `"schema": 2`), "schema 2 and this program reads schema 1"},
		{"backend", edit(`"backend": "nftables"`, `"backend": "ebpf"`), "bundle: "},
		{"node", foreign.bundle(t), `bundle is for node "n2" and this is "n1"`},
	} {
		out := n.apply(2, c.bundle)
		if !strings.Contains(out.stderr, c.want) || strings.Count(out.stderr, "\n") != 1 {
			t.Errorf("%s: %q, want one sentence with %q", c.name, out.stderr, c.want)
		}
		if again := n.nft("-s", "list", "ruleset"); again != rules {
			t.Fatalf("%s: the ruleset changed", c.name)
		}
	}
	n.run(0, "status")
	n.run(2, "apply", "/nonexistent.tar")
	n.run(2, "apply", "a", "b")
	n.run(2, "apply", "--iface", "[", "x")
	n.run(2, "apply", "--node-addr", "10.0.0.0/8", "x")
	n.run(2, "apply", "--last", "x")
}

// The kernel no longer holds what was applied.
func TestDrift(t *testing.T) {
	n := newNode(t, netlab.Routed)
	b := shut.bundle(t)
	n.apply(0, b)
	prefix := n.prefix()
	for _, c := range []struct{ name, script, want string }{
		{"rule added", "insert rule inet trafficpolicy tp_prerouting accept", "chain tp_prerouting was changed"},
		{"element removed", "delete element inet trafficpolicy tp_from4 { 10.20.0.10 }", "map tp_from4 was changed"},
		{"chain added", "add chain inet trafficpolicy tp_extra", "chain tp_extra was added"},
		{"device chain removed", "", "is missing"},
		{"table removed", "delete table inet trafficpolicy", "table inet trafficpolicy is missing"},
		{"mark removed", "flush chain inet trafficpolicy tp_mark", "chain tp_mark was changed"},
	} {
		script := c.script
		if script == "" {
			script = "delete chain inet trafficpolicy " + n.deviceChain()
		}
		n.nft(script)
		out := n.run(1, "status")
		if !strings.Contains(out.stdout, "DRIFT: ") || !strings.Contains(out.stdout, c.want) {
			t.Errorf("%s: status lacks %q:\n%s", c.name, c.want, out.stdout)
		}
		out = n.apply(0, b)
		if !strings.Contains(out.stderr, "drift: ") {
			t.Errorf("%s: apply does not say what it mends: %+v", c.name, out)
		}
		n.run(0, "status")
		n.wantPing(c.name, netlab.Silence)
		if p := n.prefix(); p == prefix && c.name != "table removed" {
			t.Errorf("%s: mended in place", c.name)
		} else {
			prefix = p
		}
	}
	// An interface that goes takes its chain with it: that is no drift, but a pod
	// without an interface.
	if out, err := n.space.Command(t.Context(), "", "ip", "link", "del", "pod1"); err != nil {
		t.Fatal(out, err)
	}
	if out := n.run(1, "status"); strings.Contains(out.stdout, "DRIFT") || !strings.Contains(out.stdout, "default/b 10.20.0.20,fd00:20::20 UNATTACHED") {
		t.Errorf("status without pod1:\n%s", out.stdout)
	}
	n.apply(0, b)
	if rules := n.nft("list", "table", "inet", "trafficpolicy"); strings.Contains(rules, `"pod1"`) {
		t.Errorf("still attached to pod1:\n%s", rules)
	}
}

// prefix returns that of the objects in the kernel, and fails the test if there
// are objects of two generations.
func (n *node) prefix() string {
	n.t.Helper()
	prefix := ""
	for line := range strings.Lines(n.nft("-t", "list", "table", "inet", "trafficpolicy")) {
		f := strings.Fields(line)
		if len(f) != 3 || f[2] != "{" || len(f[1]) < 16 || f[1][15] != '_' {
			continue
		}
		if p := f[1][:16]; prefix == "" {
			prefix = p
		} else if p != prefix {
			n.t.Fatalf("objects of %s and %s", prefix, p)
		}
	}
	return prefix
}

func (n *node) deviceChain() string {
	n.t.Helper()
	for line := range strings.Lines(n.nft("-t", "list", "table", "inet", "trafficpolicy")) {
		if f := strings.Fields(line); len(f) == 3 && strings.HasPrefix(f[1], "tp_dev_") {
			return f[1]
		}
	}
	n.t.Fatal("no chain on an interface")
	return ""
}

// Loaders at one time take turns.
func TestAtOnce(t *testing.T) {
	n := newNode(t, netlab.Routed)
	var wg sync.WaitGroup
	for i := range 6 {
		b := open.bundle(t)
		if i%2 == 1 {
			b = shut.bundle(t)
		}
		wg.Go(func() {
			if out := runCommand(t, n.command("apply", "--node", "n1"), bytes.NewReader(b)); out.code != 0 {
				t.Errorf("%+v", out)
			}
		})
	}
	wg.Wait()
	n.run(0, "status")
	n.prefix()
}

func TestFullDisk(t *testing.T) {
	n := newNode(t, netlab.Routed)
	disk := t.TempDir()
	if err := unix.Mount("tmpfs", disk, "tmpfs", 0, "size=4m"); err != nil {
		t.Fatal(err)
	}
	defer unix.Unmount(disk, unix.MNT_DETACH)
	n.state = filepath.Join(disk, "state")
	n.apply(0, shut.bundle(t))
	if err := os.WriteFile(filepath.Join(disk, "fill"), make([]byte, 3<<20+512<<10), 0o600); err != nil {
		t.Fatal(err)
	}
	big := open
	big.rules = 3000
	out := n.apply(2, big.bundle(t))
	if !strings.Contains(out.stderr, "state directory: ") || !strings.Contains(out.stderr, "no space left on device") {
		t.Errorf("stderr: %s", out.stderr)
	}
	n.wantPing("disk full", netlab.Silence)
	n.run(0, "status")
	os.Remove(filepath.Join(disk, "fill"))
	n.apply(0, open.bundle(t))
	n.wantPing("disk free again", netlab.Answered)
}

// TestKill kills the loader at random moments while packets flow. Pod a may
// always reach 8.8.8.8 or never, as old and new policy say in turn; b's
// neighbour is denied by both, and no packet of it may ever pass.
func TestKill(t *testing.T) {
	n := newNode(t, netlab.Routed)
	never := netip.MustParseAddr("9.9.9.9") // no rule matches it
	if err := n.lab.Outside.Own(never); err != nil {
		t.Fatal(err)
	}
	bundles := [2][]byte{}
	for i, p := range []policy{open, shut} {
		p.rules = 300
		bundles[i] = p.bundle(t)
	}
	start := time.Now()
	n.apply(0, bundles[0])
	span := time.Since(start)
	rounds, seed := 30, uint64(1)
	if f, err := strconv.Atoi(os.Getenv("TRAFFICPOLICY_SOAK")); err == nil && f > 1 {
		rounds *= f
		seed = uint64(time.Now().UnixNano())
	}
	rnd := rand.New(rand.NewPCG(seed, 0))
	stop := n.flow(never)
	defer stop()
	for i := range rounds {
		delay := time.Duration(rnd.Int64N(int64(span)))
		step := fmt.Sprintf("seed %d, kill %d after %s", seed, i, delay)
		cmd := n.command("apply", "--node", "n1")
		cmd.Stdin = bytes.NewReader(bundles[(i+1)%2])
		if err := cmd.Start(); err != nil {
			t.Fatal(err)
		}
		time.Sleep(delay)
		cmd.Process.Kill()
		cmd.Wait()
		killed := n.ping()
		if killed != netlab.Answered && killed != netlab.Silence {
			t.Fatalf("%s: ping is %s", step, killed)
		}
		n.run(0, "status")
		n.prefix()
		n.apply(0, bundles[(i+1)%2])
		n.wantPing(step+", after apply", []netlab.Outcome{netlab.Answered, netlab.Silence}[(i+1)%2])
		n.prefix()
	}
}

// flow sends a stream of requests from pod a to dst, which no policy allows; the
// function it returns fails the test if one arrived.
func (n *node) flow(dst netip.Addr) (stop func()) {
	n.t.Helper()
	s, err := n.lab.Outside.Serve(7)
	if err != nil {
		n.t.Fatal(err)
	}
	quit, done := make(chan struct{}), make(chan int)
	go func() {
		answered := 0
		for {
			select {
			case <-quit:
				done <- answered
				return
			default:
			}
			if out, _ := n.lab.Pod("a").UDP(addrA[0], netip.AddrPortFrom(dst, 7)); out == netlab.Answered {
				answered++
			}
		}
	}()
	return func() {
		n.t.Helper()
		close(quit)
		if answered := <-done; answered > 0 {
			n.t.Errorf("%d packets passed that both policies deny", answered)
		}
		s.Close()
	}
}

// A pod's chain on an interface whose name no chain could have.
func TestOddInterfaceName(t *testing.T) {
	n := newNode(t, netlab.Routed)
	if _, err := n.space.Command(t.Context(), "", "ip", "link", "set", "pod0", "down"); err != nil {
		t.Fatal(err)
	}
	for _, args := range [][]string{
		{"link", "set", "pod0", "name", "b-c.d@e="},
		{"link", "set", "b-c.d@e=", "up"},
		{"route", "add", "10.20.0.10", "dev", "b-c.d@e="},
		{"route", "replace", "fd00:20::10", "dev", "b-c.d@e="},
	} {
		if _, err := n.space.Command(t.Context(), "", "ip", args...); err != nil {
			t.Fatal(err)
		}
	}
	n.apply(0, open.bundle(t))
	n.run(0, "status")
	n.wantPing("odd name", netlab.Answered)
}

// What the state directory holds is not for others.
func TestStateIsPrivate(t *testing.T) {
	n := newNode(t, netlab.Routed)
	n.apply(0, open.bundle(t))
	err := filepath.WalkDir(n.state, func(path string, d fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		if info, err := d.Info(); err != nil || info.Mode().Perm()&0o077 != 0 {
			t.Errorf("%s: %v, %v", path, info.Mode(), err)
		}
		return nil
	})
	if err != nil {
		t.Error(err)
	}
}

func TestLast(t *testing.T) {
	n := newNode(t, netlab.Routed)
	n.run(2, "apply", "--last", "--node", "n1")
	p := shut
	p.sequence = 7
	n.apply(0, p.bundle(t), "--iface", "pod*")
	name := n.reboot()
	n.wantPing("after a boot", netlab.Answered)
	n.run(1, "status")
	n.run(2, "apply", "--last", "--node", "n2")
	n.run(0, "apply", "--last", "--node", "n1")
	n.wantPing("applied again", netlab.Silence)
	n.run(0, "status")
	if folders, _ := os.ReadDir(n.state); len(folders) != 1 || folders[0].Name() != name {
		t.Errorf("folders: %v", folders)
	}
	if out := n.apply(2, open.bundle(t)); !strings.Contains(out.stderr, "one with 7 was in force") {
		t.Errorf("the boot lowered the sequence: %s", out.stderr)
	}
}

// reboot takes from the kernel what the nftables backend has put there, gives the
// state folder the name that one of an earlier boot has, and returns the one it had.
func (n *node) reboot() string {
	n.t.Helper()
	n.nft("delete table inet trafficpolicy")
	folders, err := os.ReadDir(n.state)
	if err != nil || len(folders) == 0 {
		n.t.Fatalf("state directory: %v, %v", folders, err)
	}
	name := folders[0].Name()
	boot := name[strings.Index(name[6:], "-")+7:]
	if err := os.Rename(filepath.Join(n.state, name), filepath.Join(n.state, strings.Replace(name, boot, "00000000-0000-0000-0000-000000000000", 1))); err != nil {
		n.t.Fatal(err)
	}
	return name
}
