//go:build linux

package main

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"net/netip"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/trafficpolicy/trafficpolicy/backends/bundle"
	"github.com/trafficpolicy/trafficpolicy/backends/nftables"
	"github.com/trafficpolicy/trafficpolicy/compiler"
	"github.com/trafficpolicy/trafficpolicy/internal/kerneltest"
	"github.com/trafficpolicy/trafficpolicy/internal/netlab"
	"github.com/trafficpolicy/trafficpolicy/model"
)

// TestMain lets this test binary stand in for the program: with asMain set it
// is tploader.
func TestMain(m *testing.M) {
	if os.Getenv(asMain) != "" {
		code := newCommand().Main(os.Args[1:])
		if path := os.Getenv(peakTo); path != "" {
			// What getrusage(2) says would count the process that this one was forked from.
			status, err := os.ReadFile("/proc/self/status")
			if err == nil {
				err = os.WriteFile(path, status, 0o600)
			}
			if err != nil {
				panic(err)
			}
		}
		os.Exit(code)
	}
	os.Exit(m.Run())
}

// With asMain set the test program is tploader; peakTo is a file for the status of
// the process in its end, which has the most memory that it took.
const (
	asMain = "TPLOADER_TEST_MAIN"
	peakTo = "TPLOADER_TEST_PEAK"
)

// peakOf returns the most memory that a process took which wrote its status to path, in KiB.
func peakOf(t testing.TB, path string) (kib int) {
	t.Helper()
	status, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	_, rest, ok := strings.Cut(string(status), "VmHWM:")
	if _, err := fmt.Sscan(rest, &kib); !ok || err != nil {
		t.Fatalf("no VmHWM in %s: %v", status, err)
	}
	return kib
}

// tploader returns the program as a command.
func tploader(args ...string) *exec.Cmd {
	cmd := exec.Command("/proc/self/exe", args...)
	cmd.Env = append(os.Environ(), asMain+"=1")
	return cmd
}

// output of one run.
type ran struct {
	code           int
	stdout, stderr string
}

func runCommand(t testing.TB, cmd *exec.Cmd, stdin io.Reader) ran {
	t.Helper()
	var stdout, stderr bytes.Buffer
	cmd.Stdin, cmd.Stdout, cmd.Stderr = stdin, &stdout, &stderr
	err := cmd.Run()
	if exit := (*exec.ExitError)(nil); err != nil && !errors.As(err, &exit) {
		t.Fatal(err)
	}
	return ran{cmd.ProcessState.ExitCode(), stdout.String(), stderr.String()}
}

// node is a node of the lab with a state directory.
type node struct {
	t     testing.TB
	lab   *netlab.Node
	space *netlab.Namespace // where tploader works: the node's or a pod's
	state string
	env   []string // of tploader, besides what this process has
}

var (
	addrA = [2]netip.Addr{netip.MustParseAddr("10.20.0.10"), netip.MustParseAddr("fd00:20::10")}
	addrB = [2]netip.Addr{netip.MustParseAddr("10.20.0.20"), netip.MustParseAddr("fd00:20::20")}
	world = netip.MustParseAddr("8.8.8.8")
)

func newNode(t testing.TB, mode netlab.Mode) *node {
	t.Helper()
	kerneltest.Require(t)
	spec := netlab.Spec{
		Mode:  mode,
		Addrs: []netip.Addr{netip.MustParseAddr("192.168.10.11"), netip.MustParseAddr("fd00:10::11")},
		Pods:  []netlab.PodSpec{{Name: "a", Addrs: addrA[:]}, {Name: "b", Addrs: addrB[:]}},
	}
	if mode == netlab.Bridged {
		spec.Bridge = []netip.Prefix{netip.MustParsePrefix("10.20.0.1/24"), netip.MustParsePrefix("fd00:20::1/64")}
		spec.RealNeighbours = true
	}
	n := &node{t: t, lab: kerneltest.NewNode(t, spec), state: filepath.Join(t.TempDir(), "state")}
	if err := n.lab.Outside.Own(world); err != nil {
		t.Fatal(err)
	}
	n.space = n.lab.Namespace
	return n
}

// run runs a verb in the node's namespace and fails the test unless it exits
// with code.
func (n *node) run(code int, args ...string) ran { return n.pipe(code, nil, args...) }

func (n *node) pipe(code int, stdin []byte, args ...string) ran {
	n.t.Helper()
	out := runCommand(n.t, n.command(args...), bytes.NewReader(stdin))
	if out.code != code {
		n.t.Fatalf("tploader %s: exit code %d, want %d\nstdout: %s\nstderr: %s", strings.Join(args, " "), out.code, code, out.stdout, out.stderr)
	}
	return out
}

func (n *node) command(args ...string) *exec.Cmd {
	cmd := tploader(append([]string{"--netns", n.space.Path(), "--state-dir", n.state}, args...)...)
	cmd.Env = append(cmd.Env, n.env...)
	return cmd
}

func (n *node) apply(code int, b []byte, args ...string) ran {
	n.t.Helper()
	return n.pipe(code, b, append([]string{"apply", "--node", "n1"}, args...)...)
}

// nft runs nft in the namespace.
func (n *node) nft(args ...string) string {
	n.t.Helper()
	out, err := n.space.Command(n.t.Context(), "", "nft", args...)
	if err != nil {
		n.t.Fatal(err)
	}
	return out
}

// ping says what becomes of an echo request from pod a to the world.
func (n *node) ping() netlab.Outcome {
	n.t.Helper()
	out, err := n.lab.Pod("a").Ping(addrA[0], world)
	if err != nil {
		n.t.Fatal(err)
	}
	return out
}

// policy is what the bundles of these tests are made from: pod a may reach the
// world or not.
type policy struct {
	name     string
	world    model.Action
	sequence uint64
	node     string // default n1
	pod      bool   // pod scope, for pod a
	pods     []compiler.ProgramPod
	rules    int // more rules that no packet matches
	// names are domain names that pod a may reach whatever else is said, a hundred in a
	// rule; sorted.
	names []string
}

func prefixes(list ...string) []model.ListPeer {
	peer := model.ListPeer{}
	for _, s := range list {
		peer.Prefixes = append(peer.Prefixes, netip.MustParsePrefix(s))
	}
	return []model.ListPeer{peer}
}

func (p policy) program() *compiler.Program {
	tp := &model.Policy{Kind: model.TrafficPolicy, Namespace: "default", Name: p.name, Priority: 100}
	list := func(d model.Direction, rules ...model.ListRule) *model.RuleList {
		for i := range rules {
			rules[i].Ref = model.RuleRef{Policy: tp, Direction: d, Index: i}
			rules[i].L4 = model.EveryL4
		}
		return &model.RuleList{Direction: d, Isolated: true, Rules: rules}
	}
	var egress []model.ListRule
	for some := range slices.Chunk(p.names, 100) {
		r := model.ListRule{Action: model.Allow}
		for _, n := range some {
			r.Peers = append(r.Peers, model.ListPeer{Atom: model.Atom("fqdn " + n)})
		}
		egress = append(egress, r)
	}
	egress = append(egress, []model.ListRule{
		{Action: p.world, Peers: prefixes("8.8.8.0/24", "2001:db8::/64")},
		{Action: model.Allow, Peers: prefixes("10.20.0.0/24", "fd00:20::/64")},
	}...)
	for i := range p.rules {
		a := netip.AddrFrom4([4]byte{10, 99, byte(i >> 8), byte(i)})
		egress = append(egress, model.ListRule{Action: model.Deny, Peers: prefixes(a.String() + "/32")})
	}
	prog := &compiler.Program{
		Target: compiler.Target{Node: "n1"}, NodeName: "n1",
		NodeAddrs: []netip.Addr{netip.MustParseAddr("192.168.10.11")},
		Pods:      p.pods,
		Classes: []compiler.ProgramClass{{
			Policies: []*model.Policy{tp},
			Egress:   list(model.Egress, egress...),
			Ingress:  list(model.Ingress, model.ListRule{Action: model.Allow, Peers: prefixes("0.0.0.0/0", "::/0")}),
		}},
	}
	for _, n := range p.names {
		prog.Names = append(prog.Names, compiler.ProgramName{Name: n})
	}
	if prog.Pods == nil {
		prog.Pods = []compiler.ProgramPod{{Ref: "default/a", Addrs: addrA[:]}, {Ref: "default/b", Addrs: addrB[:]}}
	}
	if p.node != "" {
		prog.Target.Node, prog.NodeName = p.node, p.node
	}
	if p.pod {
		prog.Target = compiler.Target{Pod: "default/a"}
		prog.Pods = prog.Pods[:1]
		prog.PodAddrs = prog.Pods[0].Addrs
	}
	return prog
}

// bundle returns the policy compiled.
func (p policy) bundle(t testing.TB) []byte {
	t.Helper()
	a, err := nftables.Emit(p.program())
	if err != nil {
		t.Fatal(err)
	}
	a.Manifest.Sequence, a.Manifest.Tool = p.sequence, "test"
	var b bytes.Buffer
	if err := bundle.Write(&b, a.Manifest, a.Files); err != nil {
		t.Fatal(err)
	}
	return b.Bytes()
}

var (
	open = policy{name: "p", world: model.Allow}
	shut = policy{name: "p", world: model.Deny}
)

const interrupt = syscall.SIGINT

func sameAddr(a, b netip.Addr) bool { return a == b }

// probeWait is how long a connection may take.
const probeWait = 300 * time.Millisecond

func (n *node) wantPing(when string, want netlab.Outcome) {
	n.t.Helper()
	if got := n.ping(); got != want {
		n.t.Errorf("%s: ping is %s, want %s", when, got, want)
	}
}

// wantNoState makes sure that nothing is left in the state directory.
func (n *node) wantNoState() {
	n.t.Helper()
	if left, err := os.ReadDir(n.state); err == nil && len(left) > 0 {
		n.t.Errorf("left in the state directory: %v", left)
	}
}
