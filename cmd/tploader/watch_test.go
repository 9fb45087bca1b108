//go:build linux

package main

import (
	"bytes"
	"context"
	"io"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/trafficpolicy/trafficpolicy/internal/netlab"
)

// watcher is a running tploader watch.
type watcher struct {
	*node
	cmd    *exec.Cmd
	socket string
	out    lines
	done   chan error
}

// lines is what a program has written so far.
type lines struct {
	mu sync.Mutex
	b  bytes.Buffer
}

func (l *lines) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.b.Write(p)
}

func (l *lines) String() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.b.String()
}

// watch starts a watch of node n1, which ends with the test.
func (n *node) watch(args ...string) *watcher {
	n.t.Helper()
	return n.watchAs(func(cmd *exec.Cmd) *exec.Cmd { return cmd }, args...)
}

// watchAs is watch with a command that wrap makes of it.
func (n *node) watchAs(wrap func(*exec.Cmd) *exec.Cmd, args ...string) *watcher {
	n.t.Helper()
	w := &watcher{node: n, socket: filepath.Join(n.t.TempDir(), "m.sock"), done: make(chan error, 1)}
	w.cmd = n.command(append([]string{"watch", "--node", "n1", "--resolver", "127.0.0.1:5353", "--metrics", "unix:" + w.socket}, args...)...)
	w.cmd = wrap(w.cmd)
	w.cmd.Stdout, w.cmd.Stderr = &w.out, &w.out
	if err := w.cmd.Start(); err != nil {
		n.t.Fatal(err)
	}
	go func() { w.done <- w.cmd.Wait() }()
	n.t.Cleanup(func() { w.end(syscall.SIGKILL) })
	return w
}

// end sends a signal and waits.
func (w *watcher) end(s syscall.Signal) error {
	w.cmd.Process.Signal(s)
	err := <-w.done
	w.done <- err
	return err
}

// health returns the code and text of /healthz, 0 while nobody answers.
func (w *watcher) health() (int, string) { return w.get("/healthz") }

func (w *watcher) get(path string) (int, string) {
	c := &http.Client{Transport: &http.Transport{DisableKeepAlives: true, DialContext: func(ctx context.Context, _, _ string) (net.Conn, error) {
		return new(net.Dialer).DialContext(ctx, "unix", w.socket)
	}}}
	resp, err := c.Get("http://agent" + path)
	if err != nil {
		return 0, err.Error()
	}
	defer resp.Body.Close()
	text, _ := io.ReadAll(resp.Body)
	return resp.StatusCode, string(text)
}

// until waits until ok.
func (w *watcher) until(what string, ok func() bool) {
	w.t.Helper()
	for end := time.Now().Add(10 * time.Second); !ok(); time.Sleep(20 * time.Millisecond) {
		if time.Now().After(end) {
			_, health := w.health()
			w.t.Fatalf("%s: not in time; health: %s\nit says:\n%s", what, health, w.out.String())
		}
	}
}

func (w *watcher) says(what string, times int) bool {
	return strings.Count(w.out.String(), what) == times
}

// healthy waits until all is well.
func (w *watcher) healthy(when string) {
	w.t.Helper()
	w.until(when, func() bool { code, _ := w.health(); return code == http.StatusOK })
}

// sick waits until health says something.
func (w *watcher) sick(when, want string) {
	w.t.Helper()
	w.until(when, func() bool {
		code, text := w.health()
		return code == http.StatusServiceUnavailable && strings.Contains(text, want)
	})
}

// replace puts a file in place as a careful writer does.
func replace(t *testing.T, path string, data []byte) {
	t.Helper()
	if err := os.WriteFile(path+".new", data, 0o600); err != nil {
		t.Fatal(err)
	}
	if err := os.Rename(path+".new", path); err != nil {
		t.Fatal(err)
	}
}

// at is the policy with a sequence, compiled.
func (p policy) at(t *testing.T, sequence uint64) []byte {
	p.sequence = sequence
	return p.bundle(t)
}

// TestWatchFile: a bundle that is new is applied, one that is broken, half written or
// old changes nothing and is said once.
func TestWatchFile(t *testing.T) {
	n := newNode(t, netlab.Routed)
	path := filepath.Join(t.TempDir(), "n1.tar")
	w := n.watch(path)
	w.sick("there is no bundle yet", "nothing is in force")
	whole := shut.at(t, 1)
	if err := os.WriteFile(path, whole[:len(whole)/2], 0o600); err != nil {
		t.Fatal(err)
	}
	w.sick("half a bundle", "the bundle to watch is not in force: bundle:")
	n.wantPing("half a bundle", netlab.Answered)
	if err := os.WriteFile(path, whole, 0o600); err != nil {
		t.Fatal(err)
	}
	w.healthy("the whole bundle")
	n.wantPing("the whole bundle", netlab.Silence)
	if !w.says(path+": bundle: ", 1) {
		t.Errorf("half a bundle is not said once:\n%s", w.out.String())
	}

	replace(t, path, open.at(t, 3))
	w.until("a newer one", func() bool { return n.ping() == netlab.Answered })
	replace(t, path, shut.at(t, 2))
	w.sick("an older one", "sequence 2")
	n.wantPing("an older one", netlab.Answered)
	replace(t, path, []byte("no bundle"))
	w.sick("no bundle", "not in force")
	n.wantPing("no bundle", netlab.Answered)
	// A link that is put elsewhere, as Kubernetes mounts do.
	elsewhere := filepath.Join(t.TempDir(), "n1.tar")
	replace(t, elsewhere, shut.at(t, 4))
	if err := os.Symlink(elsewhere, path+".link"); err != nil {
		t.Fatal(err)
	}
	if err := os.Rename(path+".link", path); err != nil {
		t.Fatal(err)
	}
	w.until("behind a link", func() bool { return n.ping() == netlab.Silence })
	w.healthy("behind a link")

	// What an operator does stays.
	n.run(0, "rollback")
	n.wantPing("rolled back", netlab.Answered)
	w.cmd.Process.Signal(syscall.SIGHUP)
	time.Sleep(1500 * time.Millisecond)
	n.wantPing("rolled back, and looked at again", netlab.Answered)
	w.end(syscall.SIGKILL)
	w = n.watch(path)
	w.healthy("started again")
	time.Sleep(time.Second)
	n.wantPing("rolled back, and the agent started again", netlab.Answered)
	replace(t, elsewhere, shut.at(t, 5))
	w.until("a newer one ends it", func() bool { return n.ping() == netlab.Silence })
	n.run(0, "remove")
	n.wantPing("removed", netlab.Answered)
	w.cmd.Process.Signal(syscall.SIGHUP)
	w.sick("removed", "nothing is in force")
	n.wantPing("removed, and looked at again", netlab.Answered)
	if err := w.end(syscall.SIGTERM); err != nil {
		t.Errorf("after SIGTERM: %v", err)
	}
}

// TestWatchDirectory: of many bundles the one for this node with the highest sequence
// is applied.
func TestWatchDirectory(t *testing.T) {
	n := newNode(t, netlab.Routed)
	dir := t.TempDir()
	other := shut
	other.node = "n2"
	replace(t, filepath.Join(dir, "n2.tar"), other.at(t, 9))
	replace(t, filepath.Join(dir, "index.json"), []byte("{}"))
	w := n.watch(dir)
	w.sick("none for this node", `there is no bundle for node "n1"`)
	replace(t, filepath.Join(dir, "n1.tar"), shut.at(t, 1))
	w.healthy("one for this node")
	n.wantPing("one for this node", netlab.Silence)
	replace(t, filepath.Join(dir, "a.tar"), open.at(t, 2))
	w.until("a newer one", func() bool { return n.ping() == netlab.Answered })
	replace(t, filepath.Join(dir, "n1.tar"), shut.at(t, 3))
	w.until("a newer one again", func() bool { return n.ping() == netlab.Silence })
	replace(t, filepath.Join(dir, "broken.tar"), []byte("x"))
	time.Sleep(time.Second)
	w.healthy("another file is broken")
	if err := w.end(syscall.SIGTERM); err != nil {
		t.Errorf("after SIGTERM: %v", err)
	}
	n.wantPing("without an agent", netlab.Silence)
	n.run(0, "status")
}

// TestWatchAlone: one agent keeps a namespace, others are told so.
func TestWatchAlone(t *testing.T) {
	n := newNode(t, netlab.Routed)
	n.apply(0, shut.bundle(t))
	w := n.watch()
	w.healthy("the first")
	if out := n.run(2, "watch", "--node", "n1"); !strings.Contains(out.stderr, "another agent keeps this network namespace") {
		t.Errorf("the second: %+v", out)
	}
	w.end(syscall.SIGKILL)
	w = n.watch()
	w.healthy("after the first was killed")
	// What drifts is mended, and told.
	n.nft("flush", "map", "inet", "trafficpolicy", "tp_from4")
	w.cmd.Process.Signal(syscall.SIGHUP)
	w.until("drift", func() bool {
		_, text := w.get("/metrics")
		return strings.Contains(text, "\ntrafficpolicy_drift_mended_total 1\n")
	})
	n.wantPing("mended", netlab.Silence)
}

// TestWatchMetrics: what is served, and to whom.
func TestWatchMetrics(t *testing.T) {
	n := newNode(t, netlab.Routed)
	n.apply(0, shut.at(t, 7))
	n.ping()
	w := n.watch()
	w.healthy("started")
	code, text := w.get("/metrics")
	for _, want := range []string{
		"trafficpolicy_in_force 1", "trafficpolicy_healthy 1", "trafficpolicy_sequence 7", "trafficpolicy_drift 0", "trafficpolicy_unattached_pods 0",
		`trafficpolicy_in_force_info{backend="nftables",generation="`, `trafficpolicy_denied_packets_total{by="rule"} `, `trafficpolicy_dropped_packets_total{reason="spoofed"} 0`,
		`trafficpolicy_table_size{table="connections"} `, `trafficpolicy_table_entries{table="names"} 0`, "trafficpolicy_names 0", "trafficpolicy_kernel_read_success 1",
	} {
		if !strings.Contains(text, "\n"+want) {
			t.Errorf("%d, without %q:\n%s", code, want, text)
		}
	}
	if strings.Contains(text, `trafficpolicy_denied_packets_total{by="rule"} 0`) {
		t.Error("denied packets are not counted")
	}
	if code, _ := w.get("/"); code != http.StatusNotFound {
		t.Errorf("/: %d", code)
	}
	if info, err := os.Stat(w.socket); err != nil || info.Mode().Perm() != 0o600 {
		t.Errorf("socket: %v %v", info, err)
	}
	w.end(syscall.SIGKILL)
	again := n.watch("--metrics", "unix:"+w.socket) // the last one counts
	again.socket = w.socket
	again.healthy("where a killed one has left its socket")
	for _, at := range []string{"0.0.0.0:9", "[::]:9", "192.168.10.11:9", "localhost:9", "unix:m.sock", ":9", "unix:"} {
		if out := n.run(2, "watch", "--node", "n1", "--metrics", at); !strings.Contains(out.stderr, "--metrics: ") {
			t.Errorf("--metrics %s: %+v", at, out)
		}
	}
	file := filepath.Join(t.TempDir(), "file")
	replace(t, file, []byte("x"))
	if out := n.run(2, "watch", "--node", "n1", "--metrics", "unix:"+file); !strings.Contains(out.stderr, "is there and is no socket") {
		t.Errorf("a file where the socket should be: %+v", out)
	}
}

// TestWatchForged: after a boot a forged bundle of the highest sequence does not stand before
// one that is signed.
func TestWatchForged(t *testing.T) {
	n := newNode(t, netlab.Routed)
	one, dir := newTestKey(t, 1), t.TempDir()
	n.apply(0, signed(t, shut.at(t, 1), one), "--trusted", one.path)
	n.reboot()
	replace(t, filepath.Join(dir, "forged.tar"), open.at(t, 9))
	other := shut
	other.name = "q"
	replace(t, filepath.Join(dir, "n1.tar"), signed(t, other.at(t, 2), one))
	w := n.watch(dir)
	w.until("the last one, and the new one", func() bool { return w.says("is in force,", 2) })
	w.healthy("with a forged bundle beside")
	n.wantPing("with a forged bundle beside", netlab.Silence)
}

// TestWatchAnew: what is applied after a remove is kept as what it is, although it is the
// first of the namespace again.
func TestWatchAnew(t *testing.T) {
	n := newNode(t, netlab.Routed)
	n.apply(0, named("a.example").bundle(t))
	w := n.watch()
	w.sick("no resolver answers", "1 of 1 domain names could not be asked for")
	n.run(0, "remove", "--yes")
	n.apply(0, named("a.example", "b.example").bundle(t))
	w.cmd.Process.Signal(syscall.SIGHUP)
	w.sick("another bundle", "2 of 2 domain names could not be asked for")
}

// What --refuse takes: a CIDR, and not one of addresses that no packet has.
func TestWatchRefuseFlag(t *testing.T) {
	for cidr, ok := range map[string]bool{"10.0.0.0/8": true, "fd00::/8": true, "10.1.2.3/8": true, "10.0.0.1": false, "::ffff:10.0.0.0/104": false, "": false} {
		f := &watchFlags{refuse: []string{cidr}, resolvers: []string{"192.0.2.1"}, grace: time.Minute, stale: time.Minute}
		if _, err := f.options(); (err == nil) != ok {
			t.Errorf("%q: %v", cidr, err)
		}
	}
}
