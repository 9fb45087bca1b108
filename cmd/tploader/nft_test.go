//go:build linux

package main

import (
	"bytes"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"github.com/trafficpolicy/trafficpolicy/internal/kerneltest"
	"github.com/trafficpolicy/trafficpolicy/internal/netlab"
)

// fakeNFT puts a script in front of the nft command and returns what PATH must
// be. NFT stands for the real one.
func fakeNFT(t testing.TB, dir, script string) string {
	t.Helper()
	real, err := exec.LookPath("nft")
	if err != nil {
		t.Fatal(err)
	}
	script = "#!/bin/sh\n" + strings.ReplaceAll(script, "NFT", real)
	if err := os.WriteFile(filepath.Join(dir, "nft"), []byte(script), 0o755); err != nil {
		t.Fatal(err)
	}
	return "PATH=" + dir + ":" + os.Getenv("PATH")
}

func TestNFTUnusable(t *testing.T) {
	n := newNode(t, netlab.Routed)
	n.apply(0, shut.bundle(t))
	b := open.bundle(t)
	for _, c := range []struct{ name, path, want string }{
		{"missing", "PATH=/nonexistent", "the nft command is not installed"},
		{"too old", fakeNFT(t, t.TempDir(), `echo "nftables v1.0.5 (Lester Gooch #4)"`), "nft 1.0.5 is too old, 1.0.6 or later is needed"},
		{"nonsense", fakeNFT(t, t.TempDir(), `echo hello`), `nft --version says "hello", which has no version`},
		{"no nf_tables", fakeNFT(t, t.TempDir(), `
			test "$1" = --version && exec NFT --version
			echo "netlink: Error: cache initialization failed: Invalid argument" >&2
			exit 1`), "this kernel has no nf_tables"},
		{"refuses", fakeNFT(t, t.TempDir(), `
			test "$1" != -f && exec NFT "$@"
			echo "/dev/stdin:1:1-2: Error: Could not process rule: Cannot allocate memory" >&2
			exit 1`), "Cannot allocate memory (what was in force still is)"},
	} {
		cmd := n.command("apply", "--node", "n1")
		cmd.Env = append(cmd.Env, c.path)
		out := runCommand(t, cmd, bytes.NewReader(b))
		if out.code != 2 || !strings.Contains(out.stderr, c.want) || strings.Count(out.stderr, "\n") != 1 {
			t.Errorf("%s: %+v, want one sentence with %q", c.name, out, c.want)
		}
		n.wantPing(c.name, netlab.Silence)
		n.run(0, "status")
	}
}

func TestNotPermitted(t *testing.T) {
	kerneltest.Require(t)
	cmd := tploader("status", "--state-dir", t.TempDir())
	cmd.SysProcAttr = &syscall.SysProcAttr{Credential: &syscall.Credential{Uid: 65534, Gid: 65534}}
	if out := runCommand(t, cmd, nil); out.code != 2 || !strings.Contains(out.stderr, "tploader needs root, or CAP_NET_ADMIN") {
		t.Errorf("%+v", out)
	}
}

func TestNetns(t *testing.T) {
	kerneltest.Require(t)
	for path, want := range map[string]string{
		"/run/netns/nonexistent": "no such file",
		"/dev/null":              "/dev/null is no network namespace",
		"/proc/self/ns/mnt":      "is no network namespace",
	} {
		if out := runCommand(t, tploader("--netns", path, "status"), nil); out.code != 2 || !strings.Contains(out.stderr, want) {
			t.Errorf("%s: %+v", path, out)
		}
	}
}

// TestKillAtEachStep kills the loader before and after each run of nft, and
// while nft goes on without it.
func TestKillAtEachStep(t *testing.T) {
	n := newNode(t, netlab.Routed)
	dir := t.TempDir()
	path := fakeNFT(t, dir, `
		n=$(($(cat `+dir+`/count) + 1))
		echo $n >`+dir+`/count
		read at how <`+dir+`/at
		test $n -eq $at && case $how in
		before) kill -9 $PPID; exit 1;;
		after) NFT "$@"; kill -9 $PPID; exit 1;;
		alone) kill -9 $PPID; sleep 0.1;;
		esac
		exec NFT "$@"`)
	bundles := [2][]byte{open.bundle(t), shut.bundle(t)}
	outcome := [2]netlab.Outcome{netlab.Answered, netlab.Silence}
	now := 0
	n.apply(0, bundles[now])
	said := map[string]int{}
	for at, killed := 1, true; killed; at++ {
		killed = false
		for _, how := range []string{"before", "after", "alone"} {
			os.WriteFile(filepath.Join(dir, "count"), []byte("0\n"), 0o600)
			os.WriteFile(filepath.Join(dir, "at"), fmt.Appendf(nil, "%d %s\n", at, how), 0o600)
			cmd := n.command("apply", "--node", "n1")
			cmd.Env = append(cmd.Env, path)
			next := 1 - now
			if out := runCommand(t, cmd, bytes.NewReader(bundles[next])); out.code != -1 {
				now = next
				break
			}
			killed = true
			step := fmt.Sprintf("killed %s run %d of nft", how, at)
			out := n.run(0, "status")
			for _, what := range []string{"waiting", "finished", "cleaned up"} {
				if strings.Contains(out.stderr, what) {
					said[what]++
				}
			}
			switch got := n.ping(); got {
			case outcome[now]:
			case outcome[next]:
				now = next
			default:
				t.Fatalf("%s: ping is %s", step, got)
			}
			n.prefix()
			// Status has left nothing to do.
			if out := n.run(0, "apply", "--last"); !strings.Contains(out.stdout, "nothing changed") {
				t.Errorf("%s: %+v", step, out)
			}
		}
	}
	if len(said) < 3 {
		t.Errorf("not every kind of recovery happened: %v", said)
	}
}
