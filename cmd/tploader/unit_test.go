//go:build linux

package main

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"

	"github.com/trafficpolicy/trafficpolicy/internal/netlab"
)

const unitFile = "../../deploy/tploader.service"

// readUnit returns the settings of a section, those that stand more than once joined.
func readUnit(t *testing.T, section string) map[string]string {
	t.Helper()
	text, err := os.ReadFile(unitFile)
	if err != nil {
		t.Fatal(err)
	}
	settings, in := map[string]string{}, ""
	for line := range strings.Lines(string(text)) {
		line = strings.TrimSpace(line)
		switch key, value, ok := strings.Cut(line, "="); {
		case line == "" || line[0] == '#':
		case line[0] == '[':
			in = strings.Trim(line, "[]")
		case !ok:
			t.Fatalf("line %q is no setting", line)
		case in == section:
			settings[key] = strings.TrimSpace(settings[key] + " " + value)
		}
	}
	return settings
}

// TestUnit: the unit that is shipped says what docs/tploader.md says of it, and systemd,
// where it is, finds nothing wrong with it.
func TestUnit(t *testing.T) {
	unit, service := readUnit(t, "Unit"), readUnit(t, "Service")
	for _, want := range []struct{ what, have, has string }{
		{"Before", unit["Before"], "kubelet.service"}, {"StartLimitIntervalSec", unit["StartLimitIntervalSec"], "0"},
		{"Type", service["Type"], "notify"}, {"Restart", service["Restart"], "always"}, {"ExecReload", service["ExecReload"], "-HUP"},
		{"StateDirectory", service["StateDirectory"], "trafficpolicy"}, {"NoNewPrivileges", service["NoNewPrivileges"], "yes"},
	} {
		if !slices.Contains(strings.Fields(want.have), want.has) {
			t.Errorf("%s=%s lacks %s", want.what, want.have, want.has)
		}
	}
	args := strings.Fields(service["ExecStart"])[1:]
	cmd := newCommand()
	found, rest, err := cmd.root().Find(args)
	if err != nil || found.Name() != "watch" {
		t.Fatalf("ExecStart: %v, %v", found, err)
	}
	if err := found.ParseFlags(rest); err != nil {
		t.Errorf("ExecStart: %v", err)
	}
	analyze, err := exec.LookPath("systemd-analyze")
	if err != nil {
		t.Skip("the rest needs systemd-analyze")
	}
	text, err := os.ReadFile(unitFile)
	if err != nil {
		t.Fatal(err)
	}
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	copied := filepath.Join(t.TempDir(), "tploader.service")
	if err := os.WriteFile(copied, []byte(strings.ReplaceAll(string(text), "/usr/local/bin/tploader", self)), 0o644); err != nil {
		t.Fatal(err)
	}
	if out, err := exec.Command(analyze, "verify", "--man=no", copied).CombinedOutput(); err != nil || strings.Contains(string(out), "tploader.service:") {
		t.Errorf("systemd-analyze verify: %v\n%s", err, out)
	}
}

// TestUnitCapabilities: with the capabilities of the unit, and no others, both backends do
// all that an agent does. There is no systemd to start the unit: setpriv does what its
// setting does.
func TestUnitCapabilities(t *testing.T) {
	setpriv, err := exec.LookPath("setpriv")
	if err != nil {
		t.Skip("needs setpriv (package util-linux)")
	}
	var caps []string
	for _, c := range strings.Fields(readUnit(t, "Service")["CapabilityBoundingSet"]) {
		caps = append(caps, "+"+strings.ToLower(strings.TrimPrefix(c, "CAP_")))
	}
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	onBackends(t, func(n *node, compile func(policy) []byte) {
		path := filepath.Join(t.TempDir(), "n1.tar")
		replace(t, path, compile(named("a.example")))
		w := n.watchAs(func(cmd *exec.Cmd) *exec.Cmd {
			as := exec.Command(setpriv, append([]string{"--no-new-privs", "--inh-caps", "-all", "--bounding-set", "-all," + strings.Join(caps, ","), self}, cmd.Args[1:]...)...)
			as.Env = cmd.Env
			return as
		}, path)
		w.sick("started", "1 of 1 domain names could not be asked for") // and nothing else
		if code, text := w.health(); strings.Count(text, "\n") != 1 {
			t.Errorf("health: %d %s", code, text)
		}
		n.wantPing("in force", netlab.Silence)
		n.run(0, "status")
		if err := w.end(syscall.SIGTERM); err != nil {
			t.Errorf("after SIGTERM: %v", err)
		}
		n.wantPing("still in force", netlab.Silence)
	})
}

// TestNotify: whoever started the agent is told when the policy is in force, not before.
func TestNotify(t *testing.T) {
	n := newNode(t, netlab.Routed)
	n.apply(0, shut.bundle(t))
	n.nft("delete table inet trafficpolicy") // as after a boot
	socket := filepath.Join(t.TempDir(), "notify")
	fd, err := syscall.Socket(syscall.AF_UNIX, syscall.SOCK_DGRAM|syscall.SOCK_CLOEXEC, 0)
	if err != nil {
		t.Fatal(err)
	}
	defer syscall.Close(fd)
	if err := syscall.Bind(fd, &syscall.SockaddrUnix{Name: socket}); err != nil {
		t.Fatal(err)
	}
	if err := syscall.SetsockoptTimeval(fd, syscall.SOL_SOCKET, syscall.SO_RCVTIMEO, &syscall.Timeval{Sec: 20}); err != nil {
		t.Fatal(err)
	}
	n.env = append(n.env, fmt.Sprintf("NOTIFY_SOCKET=%s", socket))
	n.watch()
	buf := make([]byte, 100)
	k, _, err := syscall.Recvfrom(fd, buf, 0)
	if err != nil || string(buf[:k]) != "READY=1" {
		t.Fatalf("%q, %v", buf[:max(k, 0)], err)
	}
	n.wantPing("ready", netlab.Silence)
}
