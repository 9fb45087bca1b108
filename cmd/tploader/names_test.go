//go:build linux

package main

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"maps"
	"net/netip"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/trafficpolicy/trafficpolicy/backends/bundle"
	"github.com/trafficpolicy/trafficpolicy/backends/ebpf"
	"github.com/trafficpolicy/trafficpolicy/backends/nftables"
	"github.com/trafficpolicy/trafficpolicy/compiler"
	"github.com/trafficpolicy/trafficpolicy/internal/learned"
	"github.com/trafficpolicy/trafficpolicy/internal/loader"
	"github.com/trafficpolicy/trafficpolicy/internal/netlab"
	"github.com/trafficpolicy/trafficpolicy/model"
)

// named is shut, but that names are allowed.
func named(names ...string) policy {
	p := shut
	p.names = names
	return p
}

// onBackends runs a test with bundles of each backend.
func onBackends(t *testing.T, f func(n *node, compile func(policy) []byte)) {
	for _, backend := range []string{bundle.NFTables, bundle.EBPF} {
		t.Run(backend, func(t *testing.T) {
			n := newEBPFNode(t, netlab.Routed)
			f(n, func(p policy) []byte {
				if backend == bundle.EBPF {
					return p.ebpf(t)
				}
				return p.bundle(t)
			})
		})
	}
}

// learn has names mean what is given, as an agent does.
func (n *node) learn(known loader.Known, changed ...string) {
	n.t.Helper()
	if err := n.space.Do(func() error { return learn(n.t.Context(), n.state, nil, known, changed) }); err != nil {
		n.t.Fatal(err)
	}
}

func learn(ctx context.Context, state string, cache *loader.Cache, known loader.Known, changed []string) error {
	l, err := backends.Open(ctx, loader.OpenOptions{StateDir: state, Cache: cache})
	if err != nil {
		return err
	}
	defer l.Close()
	return l.Learn(ctx, known, changed)
}

// TestLearn: what is learned is in force at once, lasts whatever is applied, and is no drift;
// that it is missing is.
func TestLearn(t *testing.T) {
	onBackends(t, func(n *node, compile func(policy) []byte) {
		n.apply(0, compile(named("a.example", "b.example")))
		n.wantPing("nothing learned", netlab.Silence)
		n.learn(loader.Known{"b.example": {world}, "c.example": {addrB[0]}})
		n.wantPing("learned", netlab.Answered)
		n.run(0, "status")
		if out := n.apply(0, compile(named("a.example", "b.example"))); !strings.Contains(out.stdout, "nothing changed") {
			t.Errorf("applied again: %+v", out)
		}
		n.apply(0, compile(named("b.example"))) // another generation
		n.wantPing("applied", netlab.Answered)
		n.run(0, "status")
		n.run(0, "rollback")
		n.wantPing("rolled back", netlab.Answered)
		n.learn(loader.Known{"a.example": {world}}, "a.example", "b.example")
		n.wantPing("from one name to another", netlab.Answered)
		n.learn(nil, "a.example")
		n.wantPing("gone", netlab.Silence)
		n.run(0, "status")

		// More than the tables of a small bundle have; a set of nftables takes 1,024.
		room := map[bool]int{false: 1024, true: 10000}[n.pins() != nil]
		many := make([]netip.Addr, 0, room+1)
		for i := range room - 1 {
			many = append(many, netip.AddrFrom4([4]byte{11, 0, byte(i >> 8), byte(i)}))
		}
		n.learn(loader.Known{"a.example": append(many, world)}, "a.example")
		n.wantPing("one of many", netlab.Answered)
		n.run(0, "status")
		if n.pins() == nil {
			many = append(many, world, netip.MustParseAddr("11.0.255.255"))
			err := n.space.Do(func() error { return learn(t.Context(), n.state, nil, loader.Known{"a.example": many}, nil) })
			if err == nil || !strings.Contains(err.Error(), "a.example has 1025 addresses of a family, and its set holds 1024") {
				t.Errorf("too many: %v", err)
			}
		}
		n.learn(nil)
		n.wantPing("none of many", netlab.Silence)
		n.run(0, "status")
	})
}

// TestLearnedDrift: who opens an address by hand, or takes one away, is found out.
func TestLearnedDrift(t *testing.T) {
	n := newNode(t, netlab.Routed)
	n.apply(0, named("a.example").bundle(t))
	n.learn(loader.Known{"a.example": {world}})
	set := ""
	for line := range strings.Lines(n.nft("list", "sets")) {
		if f := strings.Fields(line); len(f) > 1 && strings.Contains(f[1], "_name4_") {
			set = f[1]
		}
	}
	for _, verb := range []string{"delete", "add"} {
		a := map[string]string{"delete": world.String(), "add": "9.9.9.9"}[verb]
		n.nft(verb, "element", "inet", "trafficpolicy", set, "{", a, "}")
		if out := n.run(1, "status"); !strings.Contains(out.stdout, "DRIFT: addresses of a.example were changed") {
			t.Errorf("%s: %s", verb, out.stdout)
		}
		if out := n.run(0, "apply", "--last"); !strings.Contains(out.stderr, "addresses of a.example were changed") {
			t.Errorf("%s: %+v", verb, out)
		}
		n.run(0, "status")
		n.wantPing("mended", netlab.Answered)
		for line := range strings.Lines(n.nft("list", "sets")) {
			if f := strings.Fields(line); len(f) > 1 && strings.Contains(f[1], "_name4_") {
				set = f[1]
			}
		}
	}
	// What cannot be read means nothing, and is said.
	if err := os.WriteFile(filepath.Join(n.folder(), learned.FileName), []byte("{"), 0o600); err != nil {
		t.Fatal(err)
	}
	if out := n.run(0, "apply", "--last"); !strings.Contains(out.stderr, "cannot be read") {
		t.Errorf("damaged: %+v", out)
	}
	n.wantPing("damaged", netlab.Silence)
}

// TestEffects: what rules do to a name is read from either payload, also behind ports.
func TestEffects(t *testing.T) {
	https := model.L4Set{{First: model.L4Of(model.TCP, 443), Last: model.L4Of(model.TCP, 443)}}
	for _, backend := range []string{bundle.NFTables, bundle.EBPF} {
		p := shut.program()
		list := p.Classes[0].Egress
		ref := list.Rules[0].Ref
		list.Rules = nil
		for i, r := range []struct {
			action model.Action
			l4     model.L4Set
			names  []string
		}{
			{model.Deny, model.EveryL4, []string{"deny.example"}},
			{model.Allow, https, []string{"allow.example", "both.example"}},
			{model.Reject, https, []string{"reject.example"}},
			{model.Reject, model.EveryL4, []string{"both.example", "reject.example"}},
		} {
			ref.Index = i
			rule := model.ListRule{Ref: ref, Action: r.action, L4: r.l4}
			for _, n := range r.names {
				rule.Peers = append(rule.Peers, model.ListPeer{Atom: model.Atom("fqdn " + n)})
			}
			list.Rules = append(list.Rules, rule)
		}
		for _, n := range []string{"allow.example", "both.example", "deny.example", "reject.example"} {
			p.Names = append(p.Names, compiler.ProgramName{Name: n})
		}
		emit := nftables.Emit
		if backend == bundle.EBPF {
			emit = ebpf.Emit
		}
		a, err := emit(p)
		if err != nil {
			t.Fatal(err)
		}
		a.Manifest.Tool = "test"
		var text bytes.Buffer
		if err := bundle.Write(&text, a.Manifest, a.Files); err != nil {
			t.Fatal(err)
		}
		b, err := backends.Read(&text, nil)
		if err != nil {
			t.Fatal(err)
		}
		want := map[string]loader.Effect{
			"allow.example": loader.Allows, "both.example": loader.Allows | loader.Denies, "deny.example": loader.Denies, "reject.example": loader.Denies,
		}
		if got := b.Effects(); !maps.Equal(got, want) {
			t.Errorf("%s: %v, want %v", backend, got, want)
		}
		if got := b.NodeAddrs(); !slices.Equal(got, p.NodeAddrs) {
			t.Errorf("%s: addresses of the node %v, want %v", backend, got, p.NodeAddrs)
		}
	}
}

// TestNamesVerb: names are printed with where their addresses are from.
func TestNamesVerb(t *testing.T) {
	n := newNode(t, netlab.Routed)
	n.run(2, "names")
	n.apply(0, named("a.example", "b.example").bundle(t))
	n.learn(loader.Known{"a.example": {world}})
	out := n.run(0, "names")
	want := "2 names, 1 addresses: NOT KEPT, no agent runs (tploader watch)\na.example\n  8.8.8.8 learned\nb.example\n  no address\n"
	if out.stdout != want {
		t.Errorf("%q, want %q", out.stdout, want)
	}
	if out := n.run(0, "status"); !strings.Contains(out.stdout, "2 domain names, 1 addresses (NOT KEPT: ") {
		t.Errorf("status: %s", out.stdout)
	}
	snapshot := strings.ReplaceAll(`{"version":1,"written":"NOW","names":[{"name":"a.example","addrs":[
	 {"addr":"8.8.8.8","record":"A","since":"NOW","seen":"NOW","expires":"NOW","inUse":true}]}]}`, "NOW", time.Now().UTC().Format(time.RFC3339))
	if err := os.WriteFile(filepath.Join(n.folder(), "agent.json"), []byte(`{"schema":1,"names":`+snapshot+`}`), 0o600); err != nil {
		t.Fatal(err)
	}
	if out := n.run(0, "names"); !strings.Contains(out.stdout, "  8.8.8.8 in use: in force for ") {
		t.Errorf("remembered: %s", out.stdout)
	}
	w := n.watch()
	w.until("an agent", func() bool { code, _ := w.health(); return code != 0 })
	if out := n.run(0, "status"); !strings.Contains(out.stdout, "2 domain names, 1 addresses\n") {
		t.Errorf("status: %s", out.stdout)
	}
	var r namesReport
	if err := json.Unmarshal([]byte(n.run(0, "names", "-o", "json").stdout), &r); err != nil {
		t.Fatal(err)
	}
	if !r.Kept || len(r.Names) != 2 || len(r.Names[0].Addresses) != 1 || r.Names[0].Addresses[0].From != "learned" {
		t.Errorf("%+v", r)
	}
}

// folder returns the folder of the node's namespace.
func (n *node) folder() string {
	n.t.Helper()
	all, err := filepath.Glob(filepath.Join(n.state, "netns-*"))
	if err != nil || len(all) != 1 {
		n.t.Fatalf("folders: %q, %v", all, err)
	}
	return all[0]
}

// TestWatchBoots: after a boot the agent puts in force what was, and names mean what they
// meant until resolvers have been asked.
func TestWatchBoots(t *testing.T) {
	onBackends(t, func(n *node, compile func(policy) []byte) {
		n.apply(0, compile(named("a.example")))
		n.learn(loader.Known{"a.example": {world}})
		w := n.watch()
		w.sick("no resolver answers", "1 of 1 domain names could not be asked for")
		w.end(syscall.SIGKILL)
		// Another boot: the kernel has nothing, the folder another name.
		name := filepath.Base(n.folder())
		if err := os.Rename(n.folder(), filepath.Join(n.state, "saved")); err != nil {
			t.Fatal(err)
		}
		n.run(0, "remove")
		n.wantPing("booted", netlab.Answered)
		boot := name[strings.Index(name[6:], "-")+7:]
		old := strings.Replace(name, boot, "00000000-0000-0000-0000-000000000000", 1)
		if err := os.Rename(filepath.Join(n.state, "saved"), filepath.Join(n.state, old)); err != nil {
			t.Fatal(err)
		}
		w = n.watch()
		w.until("in force again", func() bool { return w.says("is in force", 1) })
		b, err := os.ReadFile(filepath.Join(n.folder(), learned.FileName))
		if err != nil || !strings.Contains(string(b), world.String()) {
			t.Errorf("learned before: %s %v", b, err)
		}
		w.sick("no resolver answers", "1 of 1 domain names could not be asked for")
		n.wantPing("no resolver answers", netlab.Answered)
		n.run(0, "status")
	})
}

// BenchmarkLearn: on a node with many names, how long it takes until one that has got
// another address means that (one), and until all are compared and half of them changed
// (all). What was read is kept, as an agent keeps it. apply-ms is what the first apply of the bundle
// took, and look-ms another, which finds nothing to do.
func BenchmarkLearn(b *testing.B) {
	for _, of := range []struct {
		backend string
		names   int
	}{{bundle.NFTables, 1000}, {bundle.EBPF, 1000}, {bundle.EBPF, 10000}} {
		backend := of.backend
		var list []string
		for i := range of.names {
			list = append(list, fmt.Sprintf("n%05d.example", i))
		}
		n := newEBPFNode(b, netlab.Routed)
		p := named(list...)
		data := p.bundle
		if backend == bundle.EBPF {
			data = p.ebpf
		}
		text := data(b)
		start := time.Now()
		n.apply(0, text)
		applied := time.Since(start)
		start = time.Now()
		n.apply(0, text)
		looked := time.Since(start)
		meaning := func(turn int) loader.Known {
			k := make(loader.Known, len(list))
			for i, name := range list {
				k[name] = []netip.Addr{netip.AddrFrom4([4]byte{11, byte(i >> 8), byte(i), 0}), netip.AddrFrom4([4]byte{11, byte(i >> 8), byte(i), byte(1 + turn*(i&1))})}
			}
			return k
		}
		run := func(name string, known func(i int) loader.Known, changed []string) {
			b.Run(fmt.Sprintf("%s/%d/%s", backend, of.names, name), func(b *testing.B) {
				cache := loader.NewCache()
				err := n.space.Do(func() error {
					if err := learn(b.Context(), n.state, cache, meaning(0), nil); err != nil {
						return err
					}
					for i := 0; b.Loop(); i++ {
						if err := learn(b.Context(), n.state, cache, known(i), changed); err != nil {
							return err
						}
					}
					return nil
				})
				if err != nil {
					b.Fatal(err)
				}
				b.ReportMetric(float64(applied.Milliseconds()), "apply-ms")
				b.ReportMetric(float64(looked.Milliseconds()), "look-ms")
			})
		}
		changing := list[len(list)/2:][:1]
		run("one", func(i int) loader.Known {
			k := meaning(0)
			k[changing[0]] = []netip.Addr{netip.AddrFrom4([4]byte{12, 0, 0, byte(i)})}
			return k
		}, changing)
		run("all", func(i int) loader.Known { return meaning(1 + i%2) }, nil)
	}
}

// TestLearnedOfAPod: what was learned, and is a pod's address when a new bundle comes, is not
// taken over, whether or not an agent runs.
func TestLearnedOfAPod(t *testing.T) {
	onBackends(t, func(n *node, compile func(policy) []byte) {
		p := named("a.example")
		p.pods = []compiler.ProgramPod{{Ref: "default/a", Addrs: addrA[:]}}
		n.apply(0, compile(p))
		n.learn(loader.Known{"a.example": {addrB[0], world}})
		has := func(when string, want int) {
			t.Helper()
			if out := n.run(0, "names"); strings.Count(out.stdout, "  "+addrB[0].String()+" ") != want {
				t.Errorf("%s: %s", when, out.stdout)
			}
			n.run(0, "verify") // asks the kernel
			n.wantPing(when, netlab.Answered)
		}
		has("no pod's yet", 1)
		n.apply(0, compile(named("a.example")))
		has("a pod's", 0)
		n.apply(0, compile(p))
		has("no pod's any more", 1)
	})
}

// TestWatchRefuses: what has become an address of the node is let go of without a new bundle, and
// what is too old at a restart goes although no resolver answers.
func TestWatchRefuses(t *testing.T) {
	n := newNode(t, netlab.Routed)
	n.apply(0, named("a.example").bundle(t))
	other := netip.MustParseAddr("8.8.8.9")
	n.learn(loader.Known{"a.example": {world, other}})
	w := n.watch()
	w.sick("no resolver answers", "1 of 1 domain names could not be asked for")
	has := func(a netip.Addr) bool { return strings.Contains(n.run(0, "names").stdout, "  "+a.String()+" ") }
	if !has(world) || !has(other) {
		t.Fatal(n.run(0, "names").stdout)
	}
	if err := n.lab.AddAddr("lo", netip.PrefixFrom(other, 32)); err != nil {
		t.Fatal(err)
	}
	w.cmd.Process.Signal(syscall.SIGHUP)
	w.until("the node's own", func() bool { return has(world) && !has(other) })
	n.wantPing("the other stays", netlab.Answered)
	if err := w.end(syscall.SIGTERM); err != nil { // it writes down what it remembers
		t.Fatal(err)
	}
	path := filepath.Join(n.folder(), learned.FileName)
	text, err := learned.Write(time.Now().Add(-61*time.Minute), learned.Known{"a.example": {world}})
	if err == nil {
		err = os.WriteFile(path, text, 0o600)
	}
	if err != nil {
		t.Fatal(err)
	}
	w = n.watch()
	w.until("too old", func() bool { return n.ping() == netlab.Silence })
}
