//go:build linux

package main

import (
	"bytes"
	"encoding/json"
	"fmt"
	"io/fs"
	"math/rand/v2"
	"net/netip"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	ciliumebpf "github.com/cilium/ebpf"
	"github.com/google/go-cmp/cmp"
	"golang.org/x/sys/unix"

	"github.com/trafficpolicy/trafficpolicy/backends/bundle"
	"github.com/trafficpolicy/trafficpolicy/backends/ebpf"
	"github.com/trafficpolicy/trafficpolicy/backends/ebpf/bpf"
	"github.com/trafficpolicy/trafficpolicy/compiler"
	"github.com/trafficpolicy/trafficpolicy/internal/loader"
	"github.com/trafficpolicy/trafficpolicy/internal/netlab"
	"github.com/trafficpolicy/trafficpolicy/internal/netns"
)

// ebpf returns the policy compiled for eBPF.
func (p policy) ebpf(t testing.TB) []byte {
	t.Helper()
	a, err := ebpf.Emit(p.program())
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

// newEBPFNode is a node that is left without pins. Its test runs beside others.
func newEBPFNode(t testing.TB, mode netlab.Mode) *node {
	if t, ok := t.(*testing.T); ok {
		t.Parallel()
	}
	n := newNode(t, mode)
	t.Cleanup(func() {
		n.run(0, "remove")
		if left := n.pins(); left != nil {
			t.Errorf("remove left pins: %v", left)
		}
	})
	return n
}

// pinFolder returns where the namespace's pins are.
func (n *node) pinFolder() string {
	n.t.Helper()
	var cookie uint64
	var boot string
	err := n.space.Do(func() (err error) {
		if cookie, err = netns.Cookie(); err == nil {
			boot, err = netns.BootID()
		}
		return err
	})
	if err != nil {
		n.t.Fatal(err)
	}
	return fmt.Sprintf("/sys/fs/bpf/trafficpolicy/netns-%d-%s", cookie, boot)
}

// pins lists what is pinned, below the folder.
func (n *node) pins() (list []string) {
	n.t.Helper()
	dir := n.pinFolder()
	filepath.WalkDir(dir, func(path string, d fs.DirEntry, err error) error {
		if err == nil && path != dir {
			list = append(list, strings.TrimPrefix(path, dir+"/"))
		}
		return nil
	})
	return list
}

// oneGeneration fails the test unless there is one instance, which holds one
// generation, and returns the instance's name.
func (n *node) oneGeneration(when string) string {
	n.t.Helper()
	name := ""
	for _, p := range n.pins() {
		if strings.HasPrefix(p, "new-") {
			n.t.Errorf("%s: %s is left", when, p)
		}
		if !strings.Contains(p, "/") && (strings.HasPrefix(p, "node-") || strings.HasPrefix(p, "pod-")) {
			if name != "" {
				n.t.Errorf("%s: instances %s and %s", when, name, p)
			}
			name = p
		}
	}
	m, err := ciliumebpf.LoadPinnedMap(filepath.Join(n.pinFolder(), name, bpf.MapInterfaces), nil)
	if err != nil {
		n.t.Fatalf("%s: %v", when, err)
	}
	defer m.Close()
	generation, count := uint32(0), 0
	var key bpf.InterfaceKey
	var value uint32
	for it := m.Iterate(); it.Next(&key, &value); count++ {
		if generation != 0 && key.Generation != generation {
			n.t.Errorf("%s: interfaces of generations %d and %d", when, generation, key.Generation)
		}
		generation = key.Generation
	}
	if count == 0 {
		n.t.Errorf("%s: no interfaces", when)
	}
	return name
}

// hooked returns what bpftool-like eyes see on the pods' interfaces: programs by
// TCX and clsact, and qdiscs.
func (n *node) hooked() string {
	n.t.Helper()
	var b strings.Builder
	for _, dev := range []string{"pod0", "pod1"} {
		out, err := n.space.Command(n.t.Context(), "", "tc", "qdisc", "show", "dev", dev)
		if err != nil {
			n.t.Fatal(err)
		}
		if strings.Contains(out, "clsact") {
			fmt.Fprintf(&b, "%s has clsact\n", dev)
		}
	}
	return b.String()
}

func TestEBPFApply(t *testing.T) {
	for _, mode := range []netlab.Mode{netlab.Routed, netlab.Bridged} {
		for _, hooks := range []string{"", "clsact"} {
			t.Run(mode.String()+hooks, func(t *testing.T) {
				n := newEBPFNode(t, mode)
				if hooks != "" {
					n.env = []string{"TRAFFICPOLICY_NO_TCX=1"}
				}
				out := n.apply(0, open.ebpf(t))
				if !strings.Contains(out.stdout, "is in force, 2 interfaces") || out.stderr != "" {
					t.Errorf("first apply: %+v", out)
				}
				n.wantPing("open", netlab.Answered)
				n.run(0, "status")
				if got := strings.Count(n.hooked(), "clsact"); got != map[string]int{"": 0, "clsact": 2}[hooks] {
					t.Errorf("%d interfaces have clsact", got)
				}
				n.apply(0, shut.ebpf(t))
				n.wantPing("shut", netlab.Silence)
				n.oneGeneration("shut")
				pins := n.pins()
				if out := n.apply(0, shut.ebpf(t)); !strings.Contains(out.stdout, "nothing changed") {
					t.Errorf("second apply: %+v", out)
				}
				if diff := cmp.Diff(pins, n.pins()); diff != "" {
					t.Errorf("the second apply changed pins:\n%s", diff)
				}
				n.run(0, "rollback")
				n.wantPing("rolled back", netlab.Answered)
				n.run(0, "rollback")
				n.wantPing("rolled forward", netlab.Silence)
				n.run(0, "status")
				n.run(0, "remove")
				n.wantPing("removed", netlab.Answered)
				if left := append(n.pins(), n.hooked()); len(left) > 1 || left[0] != "" {
					t.Errorf("remove left: %v", left)
				}
				n.wantNoState()
				n.run(1, "status")
				if out := n.run(0, "remove"); !strings.Contains(out.stdout, "nothing to remove") {
					t.Errorf("second remove: %+v", out)
				}
			})
		}
	}
}

func TestEBPFPodScope(t *testing.T) {
	n := newEBPFNode(t, netlab.Routed)
	p := shut
	p.pod = true
	out := n.apply(2, p.ebpf(t))
	if !strings.Contains(out.stderr, "pod default/a, whose address 10.20.0.10 is not in this network namespace") {
		t.Errorf("a pod's bundle in the node's namespace: %s", out.stderr)
	}
	n.space = n.lab.Pod("a").Namespace
	if out := n.apply(0, p.ebpf(t), "--node-addr", "192.168.10.11"); !strings.Contains(out.stdout, "1 interfaces") {
		t.Errorf("apply: %+v", out)
	}
	if got := n.ping(); got == netlab.Answered {
		t.Errorf("shut: %s", got)
	}
	if out := n.run(0, "status"); !strings.Contains(out.stdout, "pod default/a, backend ebpf, on node n1") || !strings.Contains(out.stdout, "on eth0") {
		t.Errorf("status: %s", out.stdout)
	}
	if out := n.apply(2, open.ebpf(t)); !strings.Contains(out.stderr, "scope pod is in force") {
		t.Errorf("a node's bundle where a pod's is in force: %s", out.stderr)
	}
	p.world = open.world
	n.apply(0, p.ebpf(t))
	n.wantPing("open", netlab.Answered)
	n.run(0, "remove")
	n.wantPing("removed", netlab.Answered)
}

// Dry-run changes nothing, and says what the kernel would refuse.
func TestEBPFDryRun(t *testing.T) {
	n := newEBPFNode(t, netlab.Routed)
	if out := n.apply(0, shut.ebpf(t), "--dry-run"); !strings.Contains(out.stdout, "would be loaded") {
		t.Errorf("%+v", out)
	}
	n.wantNoState()
	if left := n.pins(); left != nil {
		t.Errorf("dry run pinned %v", left)
	}
	n.apply(0, open.ebpf(t))
	n.apply(0, shut.ebpf(t), "--dry-run")
	n.wantPing("after a dry run", netlab.Answered)
	n.run(0, "status")
	if out := n.apply(2, shut.ebpf(t), "--max-connections", "5"); !strings.Contains(out.stderr, "--max-connections is for backend nftables") {
		t.Errorf("limit: %+v", out)
	}
}

// Counters go on for rules that keep their name, also in a larger instance, and
// begin anew for others.
func TestEBPFCounters(t *testing.T) {
	n := newEBPFNode(t, netlab.Routed)
	n.apply(0, open.ebpf(t))
	n.ping()
	const rule = "TrafficPolicy/default/p#egress[0]"
	count := func() (packets uint64) {
		var s loader.Stats
		if err := json.Unmarshal([]byte(n.run(0, "stats", "-o", "json").stdout), &s); err != nil {
			t.Fatal(err)
		}
		for _, r := range s.Rules {
			if r.Rule == rule {
				packets = r.Packets
			}
		}
		return packets
	}
	first := count()
	if first == 0 {
		t.Fatal("the rule has counted nothing")
	}
	small := n.oneGeneration("small")
	again := open
	again.rules = 3
	n.apply(0, again.ebpf(t))
	if got := count(); got != first || n.oneGeneration("again") != small {
		t.Errorf("after an apply the rule has counted %d, before %d", got, first)
	}
	again.rules = 3000 // more than the counters of an instance
	n.apply(0, again.ebpf(t))
	if got := count(); got != first || n.oneGeneration("large") == small {
		t.Errorf("in a larger instance the rule has counted %d, before %d", got, first)
	}
	n.ping()
	if got := count(); got <= first {
		t.Errorf("in a larger instance the rule does not count: %d", got)
	}
	other := open
	other.name = "q"
	n.apply(0, other.ebpf(t))
	n.apply(0, open.ebpf(t))
	if got := count(); got != 0 {
		t.Errorf("a rule that was gone has counted %d", got)
	}
}

// What is no bundle for this node never reaches the kernel.
func TestEBPFRefused(t *testing.T) {
	n := newEBPFNode(t, netlab.Routed)
	n.apply(0, shut.ebpf(t))
	good := open.ebpf(t)
	// hostile returns the bundle with another graph, and digests that fit it.
	hostile := func(change func(graph []byte)) []byte {
		c, err := bundle.Read(bytes.NewReader(good))
		if err != nil {
			t.Fatal(err)
		}
		change(c.Files[0].Data)
		var b bytes.Buffer
		if err := bundle.Write(&b, c.Manifest, c.Files); err != nil {
			t.Fatal(err)
		}
		return b.Bytes()
	}
	foreign := open
	foreign.node = "n2"
	for _, c := range []struct {
		name   string
		bundle []byte
		want   string
	}{
		{"empty", nil, "the input is empty"},
		{"half", good[:len(good)/2], "bundle: it ends"},
		{"trailing", append(bytes.Clone(good), 'x'), "bundle: "},
		{"node", foreign.ebpf(t), `bundle is for node "n2" and this is "n1"`},
		{"magic", hostile(func(g []byte) { g[0] ^= 1 }), "bundle: graph.bin"},
		{"size", hostile(func(g []byte) { g[4*ebpf.HeaderSize] = 0xff }), "bundle: graph.bin"},
		{"generation", hostile(func(g []byte) { g[4*ebpf.HeaderGeneration] = 1 }), "bundle: graph.bin"},
		{"interface", hostile(func(g []byte) { g[ebpf.SlotSize*2] = 3 }), "bundle: graph.bin"},
		{"reference out of the graph", hostile(func(g []byte) { g[4*ebpf.HeaderLocal4+2] = 0x40 }), "bundle: graph.bin"},
	} {
		out := n.apply(2, c.bundle)
		if !strings.Contains(out.stderr, c.want) || strings.Count(out.stderr, "\n") != 1 {
			t.Errorf("%s: %q, want one sentence with %q", c.name, out.stderr, c.want)
		}
	}
	n.wantPing("refused", netlab.Silence)
	n.run(0, "status")
}

// The kernel no longer holds what was applied.
func TestEBPFDrift(t *testing.T) {
	n := newEBPFNode(t, netlab.Routed)
	b := shut.ebpf(t)
	n.apply(0, b)
	edit := func(name string, change func(m *ciliumebpf.Map) error) func() error {
		return func() error {
			m, err := ciliumebpf.LoadPinnedMap(filepath.Join(n.pinFolder(), n.oneGeneration(name), name), nil)
			if err != nil {
				return err
			}
			defer m.Close()
			return change(m)
		}
	}
	for _, c := range []struct {
		name   string
		change func() error
		want   string
	}{
		{"graph", edit(bpf.MapArea, func(m *ciliumebpf.Map) error {
			var root bpf.Ctl
			edit(bpf.MapCtl, func(ctl *ciliumebpf.Map) error { return ctl.Lookup(uint32(0), &root) })()
			var line bpf.Line
			at := root.Root + 2
			if err := m.Lookup(at, &line); err != nil {
				return err
			}
			line[3] ^= 1
			return m.Put(at, &line)
		}), "graph"},
		{"link", func() error { return os.Remove(n.links()[0]) }, "the program is missing at"},
		{"interfaces", edit(bpf.MapInterfaces, func(m *ciliumebpf.Map) error { return m.Put(bpf.InterfaceKey{Generation: 1, Ifindex: 99}, uint32(0)) }), "the list of interfaces"},
		{"node", edit(bpf.MapNodes, func(m *ciliumebpf.Map) error {
			return m.Put(bpf.NodeKey{Generation: 1, Address: bpf.AddressOf(world)}, uint32(0))
		}), "addresses of the node"},
		{"ctl", edit(bpf.MapCtl, func(m *ciliumebpf.Map) error { return m.Put(uint32(0), &bpf.Ctl{Root: 1}) }), "is in force, not"},
		{"pins", func() error { return os.RemoveAll(n.pinFolder()) }, "are missing"},
	} {
		if err := c.change(); err != nil {
			t.Fatalf("%s: %v", c.name, err)
		}
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
		n.oneGeneration(c.name)
	}
	// An interface that goes is no drift, but a pod without an interface.
	if out, err := n.space.Command(t.Context(), "", "ip", "link", "del", "pod1"); err != nil {
		t.Fatal(out, err)
	}
	if out := n.run(1, "status"); strings.Contains(out.stdout, "DRIFT") || !strings.Contains(out.stdout, "default/b 10.20.0.20,fd00:20::20 UNATTACHED") {
		t.Errorf("status without pod1:\n%s", out.stdout)
	}
	n.apply(0, b)
	if links := n.links(); len(links) != 2 {
		t.Errorf("links: %v", links)
	}
}

// What is pinned in part cannot be mended, only removed, also where an apply was
// killed.
func TestEBPFDamaged(t *testing.T) {
	n := newEBPFNode(t, netlab.Routed)
	n.apply(0, shut.ebpf(t))
	if err := os.Remove(filepath.Join(n.pinFolder(), "shared", bpf.MapConns)); err != nil {
		t.Fatal(err)
	}
	if out := n.run(1, "status"); !strings.Contains(out.stdout, "DRIFT: what is pinned in") {
		t.Errorf("status: %+v", out)
	}
	if out := n.apply(2, open.ebpf(t)); !strings.Contains(out.stderr, "tploader remove clears what is pinned") {
		t.Errorf("apply: %+v", out)
	}
	n.wantPing("damaged", netlab.Silence)
	folders, _ := os.ReadDir(n.state)
	dir := filepath.Join(n.state, folders[0].Name())
	state, err := os.ReadFile(filepath.Join(dir, "state.json"))
	if err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(dir, "next.json"), state, 0o600); err != nil {
		t.Fatal(err)
	}
	n.run(2, "status")
	n.run(0, "remove")
	n.wantPing("removed", netlab.Answered)
	n.apply(0, shut.ebpf(t))
	n.wantPing("applied again", netlab.Silence)
	n.run(0, "status")
}

// links returns the pins of links.
func (n *node) links() (list []string) {
	for _, p := range n.pins() {
		if strings.HasPrefix(p, "links/") {
			list = append(list, filepath.Join(n.pinFolder(), p))
		}
	}
	return list
}

// Loaders at one time take turns.
func TestEBPFAtOnce(t *testing.T) {
	n := newEBPFNode(t, netlab.Routed)
	var wg sync.WaitGroup
	for i := range 6 {
		b := open.ebpf(t)
		if i%2 == 1 {
			b = shut.ebpf(t)
		}
		wg.Go(func() {
			if out := runCommand(t, n.command("apply", "--node", "n1"), bytes.NewReader(b)); out.code != 0 {
				t.Errorf("%+v", out)
			}
		})
	}
	wg.Wait()
	n.run(0, "status")
	n.oneGeneration("at once")
}

func TestEBPFFullDisk(t *testing.T) {
	n := newEBPFNode(t, netlab.Routed)
	disk := t.TempDir()
	if err := unix.Mount("tmpfs", disk, "tmpfs", 0, "size=4m"); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { unix.Unmount(disk, unix.MNT_DETACH) })
	n.state = filepath.Join(disk, "state")
	t.Cleanup(func() { n.run(0, "remove") })
	n.apply(0, shut.ebpf(t))
	if err := os.WriteFile(filepath.Join(disk, "fill"), make([]byte, 3<<20+800<<10), 0o600); err != nil {
		t.Fatal(err)
	}
	big := open
	big.rules = 5000
	out := n.apply(2, big.ebpf(t))
	if !strings.Contains(out.stderr, "state directory: ") || !strings.Contains(out.stderr, "no space left on device") {
		t.Errorf("stderr: %s", out.stderr)
	}
	n.wantPing("disk full", netlab.Silence)
	n.run(0, "status")
	os.Remove(filepath.Join(disk, "fill"))
	n.apply(0, open.ebpf(t))
	n.wantPing("disk free again", netlab.Answered)
}

// TestEBPFKill kills the loader at random moments while packets flow.
func TestEBPFKill(t *testing.T) {
	n := newEBPFNode(t, netlab.Routed)
	never := netip.MustParseAddr("9.9.9.9") // no rule matches it
	if err := n.lab.Outside.Own(never); err != nil {
		t.Fatal(err)
	}
	bundles := [2][]byte{}
	for i, p := range []policy{open, shut} {
		p.rules = 300
		bundles[i] = p.ebpf(t)
	}
	n.apply(0, bundles[0])
	start := time.Now()
	n.apply(0, bundles[1])
	n.apply(0, bundles[0])
	span := time.Since(start) / 2
	rounds, seed := 50, uint64(1)
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
		if got := n.ping(); got != netlab.Answered && got != netlab.Silence {
			t.Fatalf("%s: ping is %s", step, got)
		}
		n.run(0, "status")
		n.oneGeneration(step)
		n.apply(0, bundles[(i+1)%2])
		n.wantPing(step+", after apply", []netlab.Outcome{netlab.Answered, netlab.Silence}[(i+1)%2])
		n.oneGeneration(step)
	}
}

// TestEBPFKillGrowing kills it while it changes to a larger instance.
func TestEBPFKillGrowing(t *testing.T) {
	n := newEBPFNode(t, netlab.Routed)
	small, large := open.ebpf(t), shut
	large.rules = 3000
	rnd := rand.New(rand.NewPCG(1, 0))
	for i := range 10 {
		large := large.ebpf(t)
		if i%2 == 0 { // otherwise the very first apply is killed
			n.apply(0, small)
			n.ping()
		}
		delay := 100*time.Millisecond + time.Duration(rnd.Int64N(int64(700*time.Millisecond)))
		step := fmt.Sprintf("kill %d after %s", i, delay)
		cmd := n.command("apply", "--node", "n1")
		cmd.Stdin = bytes.NewReader(large)
		if err := cmd.Start(); err != nil {
			t.Fatal(err)
		}
		time.Sleep(delay)
		cmd.Process.Kill()
		cmd.Wait()
		out := runCommand(t, n.command("status"), nil)
		if out.code == 0 {
			n.oneGeneration(step)
		} else if i%2 == 0 || n.pins() != nil {
			t.Errorf("%s: %+v, pins %v", step, out, n.pins())
		}
		n.apply(0, large)
		n.wantPing(step, netlab.Silence)
		n.oneGeneration(step)
		n.run(0, "remove")
	}
}

func TestEBPFLast(t *testing.T) {
	n := newEBPFNode(t, netlab.Routed)
	p := shut
	p.sequence = 7
	n.apply(0, p.ebpf(t), "--iface", "pod*")
	// Another boot: the kernel has nothing, the folder another name.
	if err := os.RemoveAll(n.pinFolder()); err != nil {
		t.Fatal(err)
	}
	folders, _ := os.ReadDir(n.state)
	name := folders[0].Name()
	boot := name[strings.Index(name[6:], "-")+7:]
	if err := os.Rename(filepath.Join(n.state, name), filepath.Join(n.state, strings.Replace(name, boot, "00000000-0000-0000-0000-000000000000", 1))); err != nil {
		t.Fatal(err)
	}
	n.wantPing("after a boot", netlab.Answered)
	n.run(1, "status")
	n.run(0, "apply", "--last", "--node", "n1")
	n.wantPing("applied again", netlab.Silence)
	n.run(0, "status")
	if out := n.apply(2, open.ebpf(t)); !strings.Contains(out.stderr, "one with 7 was in force") {
		t.Errorf("the boot lowered the sequence: %s", out.stderr)
	}
}

// What a pod's namespace has left is removed by the next that begins.
func TestEBPFSweep(t *testing.T) {
	if os.Getenv("TRAFFICPOLICY_NO_TCX") != "" {
		t.Skip("links alone tell that their interface is gone")
	}
	n := newEBPFNode(t, netlab.Routed)
	p := shut
	p.pod = true
	pod := *n
	pod.space = n.lab.Pod("a").Namespace
	pod.apply(0, p.ebpf(t))
	left := pod.pinFolder()
	if _, err := n.space.Command(t.Context(), "", "ip", "link", "del", "pod0"); err != nil {
		t.Fatal(err)
	}
	n.apply(0, shut.ebpf(t))
	if _, err := os.Stat(left); err == nil {
		t.Error("the pins of a pod that is gone are still there")
	}
}

// One backend follows another without a moment in which neither is in force.
func TestExchange(t *testing.T) {
	n := newEBPFNode(t, netlab.Routed)
	never := netip.MustParseAddr("9.9.9.9")
	if err := n.lab.Outside.Own(never); err != nil {
		t.Fatal(err)
	}
	n.apply(0, shut.bundle(t))
	stop := n.flow(never)
	defer stop()
	for range 3 {
		n.apply(0, shut.ebpf(t))
		if rules := n.nft("list", "ruleset"); rules != "" {
			t.Errorf("nftables is left:\n%s", rules)
		}
		if out := n.run(0, "status"); !strings.Contains(out.stdout, "backend ebpf") {
			t.Errorf("status: %s", out.stdout)
		}
		n.apply(0, shut.bundle(t))
		if left := n.pins(); left != nil {
			t.Errorf("pins are left: %v", left)
		}
		n.run(0, "rollback")
		n.wantPing("rolled back", netlab.Silence)
		n.run(0, "status")
		n.run(0, "rollback")
		n.run(0, "status")
	}
}

// A connection from before the first apply goes on if the policy allows it, and
// is told in which direction it was opened by the kernel's table.
func TestEBPFTakeover(t *testing.T) {
	for _, scope := range []string{"node", "pod"} {
		t.Run(scope, func(t *testing.T) {
			n := newEBPFNode(t, netlab.Routed)
			p := open
			if scope == "pod" {
				p.pod = true
				n.space = n.lab.Pod("a").Namespace
			} else if err := n.space.NFT("table inet t { chain c { type filter hook prerouting priority -150; ct state new accept; }; }"); err != nil {
				t.Fatal(err)
			}
			if _, err := n.lab.Outside.Serve(7); err != nil {
				t.Fatal(err)
			}
			c, err := n.lab.Pod("a").Dial(addrA[0], netip.AddrPortFrom(world, 7), time.Second)
			if err != nil {
				t.Fatal(err)
			}
			defer c.Close()
			n.apply(0, p.ebpf(t))
			m, err := ciliumebpf.LoadPinnedMap(filepath.Join(n.pinFolder(), "shared", bpf.MapConns), nil)
			if err != nil {
				t.Fatal(err)
			}
			defer m.Close()
			port := c.LocalAddr().String()
			port = port[strings.LastIndexByte(port, ':')+1:]
			own, _ := strconv.Atoi(port)
			var conn bpf.Conn
			key := bpf.ConnKey{Local: bpf.AddressOf(addrA[0]), Peer: bpf.AddressOf(world), LocalPort: bpf.PortOf(uint16(own)), PeerPort: bpf.PortOf(7), Protocol: 6}
			if err := m.Lookup(key, &conn); err != nil {
				t.Fatalf("the connection is not known: %v", err)
			}
			if conn.Direction != bpf.Egress || conn.Stamp != 0 || conn.TCP != bpf.TCPOpen {
				t.Errorf("%+v", conn)
			}
			if _, err := c.Write([]byte("x")); err != nil {
				t.Error(err)
			}
			c.SetReadDeadline(time.Now().Add(2 * time.Second))
			if _, err := c.Read(make([]byte, 1)); err != nil {
				t.Errorf("the connection does not go on: %v", err)
			}
		})
	}
}

func TestEBPFUnattached(t *testing.T) {
	n := newEBPFNode(t, netlab.Routed)
	p := shut
	p.pods = []compiler.ProgramPod{
		{Ref: "default/a", Addrs: addrA[:]},
		{Ref: "default/elsewhere", Addrs: []netip.Addr{netip.MustParseAddr("10.30.0.1")}},
	}
	out := n.apply(0, p.ebpf(t))
	if !strings.Contains(out.stderr, "warning: pod default/elsewhere: address 10.30.0.1 is ") {
		t.Errorf("stderr: %s", out.stderr)
	}
	if out := n.run(1, "status"); strings.Count(out.stdout, "UNATTACHED") != 1 {
		t.Errorf("status:\n%s", out.stdout)
	}
	n.apply(0, shut.ebpf(t), "--iface", "pod0")
	if links := n.links(); len(links) != 2 {
		t.Errorf("links: %v", links)
	}
	n.run(1, "status")
	n.apply(0, shut.ebpf(t))
	if links := n.links(); len(links) != 4 {
		t.Errorf("links: %v", links)
	}
	n.run(0, "status")
}

// Watch attaches to a pod's interface when it appears.
func TestWatch(t *testing.T) {
	for _, backend := range []string{bundle.NFTables, bundle.EBPF} {
		t.Run(backend, func(t *testing.T) {
			n := newEBPFNode(t, netlab.Routed)
			b := shut.bundle(t)
			if backend == bundle.EBPF {
				b = shut.ebpf(t)
			}
			ip := func(args ...string) {
				t.Helper()
				if _, err := n.space.Command(t.Context(), "", "ip", args...); err != nil {
					t.Fatal(err)
				}
			}
			ip("route", "del", "10.20.0.20")
			ip("-6", "route", "del", "fd00:20::20")
			n.apply(0, b)
			n.run(1, "status")
			cmd := n.command("watch")
			var stdout, stderr bytes.Buffer
			cmd.Stdout, cmd.Stderr = &stdout, &stderr
			if err := cmd.Start(); err != nil {
				t.Fatal(err)
			}
			time.Sleep(300 * time.Millisecond)
			ip("route", "add", "10.20.0.20", "dev", "pod1")
			ip("-6", "route", "add", "fd00:20::20", "dev", "pod1")
			attached := false
			for end := time.Now().Add(20 * time.Second); !attached && time.Now().Before(end); time.Sleep(100 * time.Millisecond) {
				attached = runCommand(t, n.command("status"), nil).code == 0
			}
			if !attached {
				t.Errorf("not attached: %s", n.run(1, "status").stdout)
			}
			cmd.Process.Signal(interrupt)
			if err := cmd.Wait(); err != nil {
				t.Errorf("after Ctrl-C: %v: %s", err, stderr.String())
			}
			if !strings.Contains(stdout.String(), "2 interfaces") {
				t.Errorf("stdout: %s", stdout.String())
			}
		})
	}
}

func TestEBPFMonitor(t *testing.T) {
	n := newEBPFNode(t, netlab.Routed)
	n.apply(0, shut.ebpf(t))
	n.ping() // before monitor, so not for it
	n.wantEvent()
	n.wantEvent()
}

// What is pinned is not for others, whatever the file system lets them do.
func TestEBPFPinsArePrivate(t *testing.T) {
	n := newEBPFNode(t, netlab.Routed)
	n.apply(0, open.ebpf(t))
	dir := n.pinFolder()
	for _, d := range []string{dir, filepath.Dir(dir)} {
		if info, err := os.Stat(d); err != nil || info.Mode().Perm() != 0o700 {
			t.Errorf("%s: %v, %v", d, info.Mode(), err)
		}
	}
	if !slices.ContainsFunc(n.pins(), func(p string) bool { return p == "shared/"+bpf.MapConns }) {
		t.Errorf("pins: %v", n.pins())
	}
}

// Two cannot read the events, and who reads them is told when there are none any
// more.
func TestEBPFMonitorEnds(t *testing.T) {
	n := newEBPFNode(t, netlab.Routed)
	if out := n.run(2, "monitor"); !strings.Contains(out.stderr, "nothing is in force") {
		t.Errorf("nothing in force: %+v", out)
	}
	n.apply(0, shut.ebpf(t))
	cmd := n.command("monitor")
	var stderr bytes.Buffer
	cmd.Stderr = &stderr
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	n.wantLocked(filepath.Join(n.pinFolder(), "shared"), cmd.Process.Pid)
	if out := n.run(2, "monitor", "--count", "1"); !strings.Contains(out.stderr, "somebody does already") {
		t.Errorf("the second: %+v", out)
	}
	n.run(0, "remove")
	if err := cmd.Wait(); err == nil || !strings.Contains(stderr.String(), "were removed") {
		t.Errorf("after remove: %v, %s", err, stderr.String())
	}
}

// wantLocked waits until process pid has the lock of a folder.
func (n *node) wantLocked(dir string, pid int) {
	n.t.Helper()
	var of unix.Stat_t
	if err := unix.Stat(dir, &of); err != nil {
		n.t.Fatal(err)
	}
	// A line of /proc/locks: 1: FLOCK ADVISORY WRITE PID MAJOR:MINOR:INODE 0 EOF
	held := regexp.MustCompile(fmt.Sprintf(`FLOCK +ADVISORY +WRITE +%d +[0-9a-f:]+:%d `, pid, of.Ino))
	for end := time.Now().Add(10 * time.Second); time.Now().Before(end); time.Sleep(20 * time.Millisecond) {
		locks, err := os.ReadFile("/proc/locks")
		if err != nil {
			n.t.Fatal(err)
		}
		if held.Match(locks) {
			return
		}
	}
	n.t.Fatalf("process %d does not lock %s", pid, dir)
}
