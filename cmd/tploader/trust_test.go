//go:build linux

package main

import (
	"bytes"
	"crypto/ed25519"
	"fmt"
	"io"
	"net/netip"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/trafficpolicy/trafficpolicy/backends/bundle"
	"github.com/trafficpolicy/trafficpolicy/compiler"
	"github.com/trafficpolicy/trafficpolicy/internal/netlab"
)

// testKey is a pair of keys with the file of its public one.
type testKey struct {
	*bundle.Signer
	path string
	id   string
}

func newTestKey(t testing.TB, n byte) testKey {
	t.Helper()
	private := ed25519.NewKeyFromSeed(bytes.Repeat([]byte{n}, ed25519.SeedSize))
	public := private.Public().(ed25519.PublicKey)
	path := filepath.Join(t.TempDir(), "key.pub")
	if err := os.WriteFile(path, bundle.EncodePublicKey(public), 0o644); err != nil {
		t.Fatal(err)
	}
	return testKey{bundle.NewSigner(private), path, bundle.KeyID(public)[:16]}
}

// signed returns the bundle with the signatures of keys.
func signed(t testing.TB, data []byte, keys ...testKey) []byte {
	t.Helper()
	c, err := bundle.Read(bytes.NewReader(data))
	if err != nil {
		t.Fatal(err)
	}
	var signers []*bundle.Signer
	for _, k := range keys {
		signers = append(signers, k.Signer)
	}
	var b bytes.Buffer
	if err := bundle.Write(&b, c.Manifest, c.Files, signers...); err != nil {
		t.Fatal(err)
	}
	return b.Bytes()
}

// What is refused before anything on the node is looked at: no privileges needed.
func TestTrustedRefuses(t *testing.T) {
	one, two := newTestKey(t, 1), newTestKey(t, 2)
	plain := open.bundle(t)
	forged := signed(t, plain, one)
	at := bytes.Index(forged, []byte(`"sig": "`)) + 8
	forged[at] ^= 1
	dir := t.TempDir()
	file := func(name string, data []byte) string {
		path := filepath.Join(dir, name)
		if err := os.WriteFile(path, data, 0o644); err != nil {
			t.Fatal(err)
		}
		return path
	}
	if err := os.MkdirAll(filepath.Join(dir, "empty", ".hidden"), 0o755); err != nil {
		t.Fatal(err)
	}
	_, private, err := ed25519.GenerateKey(nil)
	if err != nil {
		t.Fatal(err)
	}
	text, err := bundle.EncodePrivateKey(private)
	if err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct {
		name string
		data []byte
		args []string
		want string
	}{
		{"unsigned", plain, []string{"--trusted", one.path}, "tploader: bundle: it is not signed, and only bundles that a trusted key has signed are taken"},
		{"another key", signed(t, plain, one), []string{"--trusted", two.path}, "tploader: bundle: it is signed by key " + one.id + ", which is not trusted (trusted: key " + two.id + ")"},
		{"forged", forged, []string{"--trusted", one.path}, "tploader: bundle: the signature of key " + one.id + " is wrong"},
		{"forged, another key trusted too", forged, []string{"--trusted", two.path, "--trusted", one.path}, "is wrong"},
		{"no keys", plain, []string{"--trusted", filepath.Join(dir, "empty")}, "tploader: trusted keys: " + filepath.Join(dir, "empty") + " holds no file"},
		{"nowhere", plain, []string{"--trusted", filepath.Join(dir, "nowhere")}, "tploader: trusted keys: stat "},
		{"private key", plain, []string{"--trusted", file("private.pem", text)}, "it holds a private key: give the public one"},
		{"no key", plain, []string{"--trusted", file("key.txt", []byte("secret\n"))}, "it holds no PEM block"},
		{"too large", plain, []string{"--trusted", file("large.pem", make([]byte, bundle.MaxKeyFile+1))}, "too large for a file of keys"},
		{"a directory with something else", plain, []string{"--trusted", dir}, "trusted keys: " + dir},
		{"both", plain, []string{"--trusted", one.path, "--unsigned"}, "--unsigned forgets the trusted keys"},
	} {
		out := runCommand(t, tploader(append([]string{"apply", "--dry-run", "--state-dir", filepath.Join(dir, "state")}, c.args...)...), bytes.NewReader(c.data))
		if out.code != 2 || !strings.Contains(out.stderr, c.want) || out.stdout != "" {
			t.Errorf("%s: %+v, want %q", c.name, out, c.want)
		}
	}
}

// Whatever comes in, the program that refuses it stays small: no privileges needed.
func TestHostileInput(t *testing.T) {
	one := newTestKey(t, 1)
	const most = 100_000_000
	whole := open.bundle(t)
	manifest := bytes.Index(whole, []byte("{\n"))
	brackets := bytes.Clone(whole[:manifest])
	copy(brackets[124:], "00400000000") // 64 MiB
	copy(brackets[148:], "        ")
	sum := 0
	for _, c := range brackets {
		sum += int(c)
	}
	copy(brackets[148:], fmt.Sprintf("%06o\x00 ", sum))
	for _, c := range []struct {
		name  string
		input [][]byte
		want  string
	}{
		{"zeros", [][]byte{make([]byte, most)}, "no tar archive"},
		{"zeros behind the end", [][]byte{whole, make([]byte, most)}, "something follows its end"},
		{"a manifest of brackets", [][]byte{brackets, bytes.Repeat([]byte("["), 64<<20)}, "does not begin with a schema"},
	} {
		for _, args := range [][]string{nil, {"--trusted", one.path}} {
			cmd := tploader(append([]string{"apply", "--dry-run", "--state-dir", filepath.Join(t.TempDir(), "state")}, args...)...)
			peak := filepath.Join(t.TempDir(), "peak")
			cmd.Env = append(cmd.Env, peakTo+"="+peak)
			var input []io.Reader
			for _, part := range c.input {
				input = append(input, bytes.NewReader(part))
			}
			out := runCommand(t, cmd, io.MultiReader(input...))
			want := c.want
			if args != nil && c.name == "zeros behind the end" {
				want = "it is not signed"
			}
			if out.code != 2 || !strings.Contains(out.stderr, want) {
				t.Errorf("%s %v: %+v, want %q", c.name, args, out, want)
			}
			if kib := peakOf(t, peak); kib > most/1024 {
				t.Errorf("%s %v: the program took %d KiB", c.name, args, kib)
			}
		}
	}
}

// TestTrusted does the same with both backends.
func TestTrusted(t *testing.T) {
	t.Run("nftables", func(t *testing.T) { trusted(t, newNode(t, netlab.Routed), policy.bundle) })
	t.Run("ebpf", func(t *testing.T) { trusted(t, newEBPFNode(t, netlab.Routed), policy.ebpf) })
}

func trusted(t *testing.T, n *node, compile func(policy, testing.TB) []byte) {
	one, two := newTestKey(t, 1), newTestKey(t, 2)
	at := func(p policy, sequence uint64, keys ...testKey) []byte {
		p.sequence = sequence
		return signed(t, compile(p, t), keys...)
	}
	refused := func(data []byte, want string, args ...string) {
		t.Helper()
		if out := n.apply(2, data, args...); !strings.Contains(out.stderr, want) {
			t.Errorf("%s: want %q", out.stderr, want)
		}
	}
	// A signature that nobody asks for does no harm; from --trusted on one is asked for.
	n.apply(0, at(open, 1, two))
	n.apply(0, at(open, 5, one), "--trusted", one.path)
	refused(at(shut, 6), "it is not signed")
	refused(at(shut, 6, two), "it is signed by key "+two.id)
	n.wantPing("refused", netlab.Answered)
	if out := n.run(0, "status"); !strings.Contains(out.stdout, "trusted: key "+one.id) || strings.Contains(out.stdout, two.id) {
		t.Errorf("status:\n%s", out.stdout)
	}
	if out := n.run(0, "status", "-o", "json"); !strings.Contains(out.stdout, `"trusted": [`) {
		t.Errorf("status:\n%s", out.stdout)
	}
	n.apply(0, at(shut, 6, one))
	n.wantPing("signed by the remembered key", netlab.Silence)

	// Replay: what is in force may come again, an older one may not, and neither may
	// the payload in force with another manifest.
	n.apply(0, at(shut, 6, one))
	refused(at(open, 5, one), "sequence 5 and one with 6 was in force")
	refused(at(shut, 5, one), "sequence 5 and one with 6 was in force")

	// Rotation: both keys are trusted, then the old one goes.
	n.apply(0, at(open, 7, two), "--trusted", one.path, "--trusted", two.path)
	n.run(0, "rollback")
	n.wantPing("rolled back", netlab.Silence)
	refused(at(open, 6, one), "one with 7 was in force")
	n.run(0, "rollback")
	if out := n.apply(0, at(open, 7, two), "--trusted", two.path); strings.Contains(out.stdout, "nothing changed") {
		t.Errorf("other keys are a change: %s", out.stdout)
	}
	if out := n.apply(0, at(open, 7, two), "--trusted", two.path); !strings.Contains(out.stdout, "nothing changed") {
		t.Errorf("the same keys are none: %s", out.stdout)
	}
	out := n.run(2, "rollback")
	if !strings.Contains(out.stderr, "stored bundle: it is signed by key "+one.id) {
		t.Errorf("rollback to a bundle of a key that is no longer trusted: %s", out.stderr)
	}
	n.wantPing("not rolled back", netlab.Answered)
	if out := n.run(2, "apply", "--last", "--trusted", one.path); !strings.Contains(out.stderr, "stored bundle: it is signed by key "+two.id) {
		t.Errorf("--last with another key: %s", out.stderr)
	}
	n.run(0, "apply", "--last")
	n.run(0, "rollback", "--trusted", one.path) // the operator says so
	n.wantPing("rolled back by order", netlab.Silence)
	n.run(0, "apply", "--unsigned", "--last")
	n.apply(0, at(open, 7))
	n.wantPing("unsigned, as told", netlab.Answered)
}

// Sequence and keys outlive a boot, and a verb that is not told them.
func TestTrustedBoot(t *testing.T) {
	n := newNode(t, netlab.Routed)
	one := newTestKey(t, 1)
	p := shut
	p.sequence = 7
	n.apply(0, signed(t, p.bundle(t), one), "--trusted", one.path)
	n.reboot()
	if out := n.apply(2, p.bundle(t), "--dry-run"); !strings.Contains(out.stderr, "it is not signed") {
		t.Errorf("a dry run after the boot forgot the keys: %s", out.stderr)
	}
	p.sequence = 6
	if out := n.apply(2, signed(t, p.bundle(t), one), "--dry-run"); !strings.Contains(out.stderr, "one with 7 was in force") {
		t.Errorf("a dry run after the boot forgot the sequence: %s", out.stderr)
	}
	n.run(0, "apply", "--last", "--node", "n1", "--dry-run")
	// A bundle says itself that it is of a pod, whose address may be the node's.
	pod := open
	pod.pod, pod.pods = true, []compiler.ProgramPod{{Ref: "default/a", Addrs: []netip.Addr{netip.MustParseAddr("192.168.10.11")}}}
	if out := n.apply(2, pod.bundle(t)); !strings.Contains(out.stderr, "it is not signed") {
		t.Errorf("a pod's bundle in the node's namespace after the boot: %s", out.stderr)
	}
	p.sequence = 8
	if out := n.apply(2, p.bundle(t)); !strings.Contains(out.stderr, "it is not signed") {
		t.Errorf("the boot forgot the keys: %s", out.stderr)
	}
	n.run(0, "apply", "--last", "--node", "n1")
	if out := n.apply(2, p.bundle(t)); !strings.Contains(out.stderr, "it is not signed") {
		t.Errorf("--last forgot the keys: %s", out.stderr)
	}
	n.run(0, "remove")
	n.apply(0, p.bundle(t))
}
