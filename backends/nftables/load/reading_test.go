//go:build linux

package load

import (
	"context"
	"errors"
	"fmt"
	"net/netip"
	"slices"
	"strings"
	"testing"

	"github.com/trafficpolicy/trafficpolicy/backends/bundle"
	"github.com/trafficpolicy/trafficpolicy/backends/nftables"
	"github.com/trafficpolicy/trafficpolicy/backends/nftables/ruleset"
	"github.com/trafficpolicy/trafficpolicy/compiler"
	"github.com/trafficpolicy/trafficpolicy/compiler/space"
	"github.com/trafficpolicy/trafficpolicy/internal/kerneltest"
	"github.com/trafficpolicy/trafficpolicy/internal/loader"
	"github.com/trafficpolicy/trafficpolicy/internal/netlab"
	"github.com/trafficpolicy/trafficpolicy/internal/state"
	"github.com/trafficpolicy/trafficpolicy/internal/synth"
)

// inForce is a bundle that a kernel was given as the loader does it.
type inForce struct {
	t       *testing.T
	space   *netlab.Namespace
	bundle  *bundle.Bundle
	applied *loader.Applied
}

// force gives the kernel a bundle.
func force(t *testing.T, n *netlab.Namespace, a *bundle.Bundle, r *state.Record) *inForce {
	t.Helper()
	pods, read, err := Backend{}.Read(a)
	if err != nil {
		t.Fatal(err)
	}
	b := &loader.Bundle{Manifest: &a.Manifest, Pods: pods, Payload: read}
	r.Generation, r.Scope, r.Name = strings.Repeat("ab", 32), string(a.Manifest.Scope), a.Manifest.Name
	x := &inForce{t, n, a, &loader.Applied{Record: r, Bundle: func() (*loader.Bundle, error) { return b, nil }}}
	err = n.Do(func() error {
		k, err := Backend{}.Open(t.Context(), &loader.Space{Log: t.Logf})
		if err != nil {
			return err
		}
		p, err := k.Plan(t.Context(), &loader.Change{Bundle: b, Record: r, Load: true})
		if err != nil {
			return err
		}
		return p.Switch(t.Context())
	})
	if err != nil {
		t.Fatal(err)
	}
	return x
}

// reading asks the kernel.
func (x *inForce) reading() (r *space.Reading, err error) {
	doErr := x.space.Do(func() error {
		var k loader.Kernel
		if k, err = (Backend{}).Open(x.t.Context(), &loader.Space{Log: x.t.Logf}); err == nil {
			r, err = k.(*kernel).Reading(x.t.Context(), x.applied)
		}
		return nil
	})
	if doErr != nil {
		x.t.Fatal(doErr)
	}
	return r, err
}

// same returns the first difference between two readings.
func same(a, b *space.Reading) error {
	if len(a.Subjects) != len(b.Subjects) || !slices.Equal(a.Nodes, b.Nodes) || !slices.Equal(a.Closed, b.Closed) || a.PodScope != b.PodScope {
		return fmt.Errorf("%d subjects, nodes %v, closed %v and %d, %v, %v", len(a.Subjects), a.Nodes, a.Closed, len(b.Subjects), b.Nodes, b.Closed)
	}
	judge := func(x, y int32) space.Kind {
		if x == space.NoRule || y == space.NoRule {
			return 1
		}
		p, q := a.Deciders[x], b.Deciders[y]
		if p.Rule != q.Rule || p.Action != q.Action || !slices.Equal(p.Policies, q.Policies) {
			return 1
		}
		return space.Same
	}
	for i := range a.Subjects {
		x, y := &a.Subjects[i], &b.Subjects[i]
		if x.Pod != y.Pod || x.Addr != y.Addr {
			return fmt.Errorf("subject %s %s and %s %s", x.Pod, x.Addr, y.Pod, y.Addr)
		}
		if d := append(space.CompareTables(x.Egress, y.Egress, judge), space.CompareTables(x.Ingress, y.Ingress, judge)...); len(d) > 0 {
			return fmt.Errorf("%s: %+v", x.Pod, d[0])
		}
	}
	for name, addrs := range a.Names {
		if !slices.Equal(addrs, b.Names[name]) {
			return fmt.Errorf("name %s: %v and %v", name, addrs, b.Names[name])
		}
	}
	return nil
}

// bundles returns the nftables bundles of a random cluster's nodes and some pods.
func bundles(t *testing.T, seed uint64, unknown bool) []*bundle.Bundle {
	t.Helper()
	c := synth.Small(seed)
	in, err := compiler.Load(t.Context(), compiler.LoadOptions{
		Inventory: []string{"-"}, Stdin: strings.NewReader(c.PolicyYAML() + c.InventoryYAML()),
	})
	if err != nil {
		t.Fatal(err)
	}
	o := compiler.CompileOptions{Options: compiler.Options{Resolve: c.Resolve, AllEnrolled: true}, AllowUnresolved: true, AllowEmpty: true, SkipBroken: true}
	comp := compiler.NewCompiler(in, o)
	var out []*bundle.Bundle
	add := func(target compiler.Target) {
		p, err := comp.Compile(context.Background(), target)
		if err != nil || len(p.Pods) == 0 {
			return
		}
		if unknown && target.Node != "" {
			p.UnknownDeny = &compiler.UnknownDeny{PodCIDRs: []netip.Prefix{synth.Block4, synth.Block6}}
		}
		a, err := nftables.Emit(p)
		if err != nil {
			t.Fatal(err)
		}
		out = append(out, a)
	}
	for _, n := range in.Inventory.Nodes {
		add(compiler.Target{Node: n.Name})
	}
	for _, p := range in.Inventory.Pods[:min(2, len(in.Inventory.Pods))] {
		add(compiler.Target{Pod: p.Ref()})
	}
	return out
}

// TestKernelReading: what the kernel lists is what the bundle decides.
func TestKernelReading(t *testing.T) {
	n := kerneltest.NewNamespace(t, "nft")
	for seed := range uint64(12) {
		for _, a := range bundles(t, seed, seed%3 == 0) {
			x := force(t, n, a, &state.Record{})
			want, err := nftables.Decode(a.Files, &a.Manifest)
			if err != nil {
				t.Fatalf("seed %d, %s: %v", seed, a.Manifest.Name, err)
			}
			got, err := x.reading()
			if err == nil {
				err = same(want, got)
			}
			if err != nil {
				t.Fatalf("seed %d, %s: %v", seed, a.Manifest.Name, err)
			}
			if err := n.NFT("delete table inet trafficpolicy"); err != nil {
				t.Fatal(err)
			}
		}
	}
}

// full is the state of a node on which everything of the loader's own is used.
func full(t *testing.T) *inForce {
	t.Helper()
	n := kerneltest.NewNamespace(t, "nft")
	var a *bundle.Bundle
	for seed := uint64(0); a == nil; seed++ {
		all := bundles(t, seed, false)
		if i := slices.IndexFunc(all, func(b *bundle.Bundle) bool { return len(b.Manifest.Names) > 0 && b.Manifest.Counts.Pods > 1 }); i >= 0 {
			a = all[i]
		}
	}
	pods, err := nftables.ReadPods(a.Files[3].Data)
	if err != nil {
		t.Fatal(err)
	}
	if out, err := n.Command(t.Context(), "", "ip", "link", "add", "tp0", "type", "veth", "peer", "name", "tp1"); err != nil {
		t.Fatalf("%v: %s", err, out)
	}
	return force(t, n, a, &state.Record{
		Options: state.Options{NodeAddrs: []netip.Addr{netip.MustParseAddr("192.0.2.1"), netip.MustParseAddr("2001:db8::1")}, MaxConnections: 100},
		Interfaces: []state.Interface{
			{Name: "tp0", Pod: pods.Pods[0].Ref},
			{Name: "tp1", Pod: pods.Pods[1].Ref, Bridge: "br0", MACs: []string{"02:00:00:00:00:01"}},
		},
	})
}

// TestKernelReadingOwn: what the loader itself fills is understood: devices, a
// bridge, a limit of connections, addresses of the node, and what it has learned.
func TestKernelReadingOwn(t *testing.T) {
	x := full(t)
	want, err := nftables.Decode(x.bundle.Files, &x.bundle.Manifest)
	if err != nil {
		t.Fatal(err)
	}
	want.Nodes = append(want.Nodes, x.applied.Record.Options.NodeAddrs...)
	slices.SortFunc(want.Nodes, netip.Addr.Compare)
	name := x.bundle.Manifest.Names[0]
	set := x.applied.Record.Prefix + "name4_" + name.ID
	if err := x.space.NFT("add element inet trafficpolicy " + set + " { 198.51.100.7 timeout 1h, 198.51.100.8 timeout 30s }"); err != nil {
		t.Fatal(err)
	}
	got, err := x.reading()
	if err == nil {
		err = same(want, got)
	}
	if err != nil {
		t.Fatal(err)
	}
	learned := []netip.Addr{netip.MustParseAddr("198.51.100.7"), netip.MustParseAddr("198.51.100.8")}
	if !slices.Equal(got.Learned[name.Name], learned) || len(got.Learned) != 1 {
		t.Errorf("learned %v, want %v of %s", got.Learned, learned, name.Name)
	}
	if out, err := x.space.Command(t.Context(), "", "ip", "link", "del", "tp0"); err != nil {
		t.Fatalf("%v: %s", err, out)
	}
	if _, err := x.reading(); err != nil {
		t.Errorf("behind a device that has gone: %v", err)
	}
}

// TestKernelReadingChanged: what somebody changes is refused, or read as it is now.
func TestKernelReadingChanged(t *testing.T) {
	x := full(t)
	want, err := x.reading()
	if err != nil {
		t.Fatal(err)
	}
	pods, err := nftables.ReadPods(x.bundle.Files[3].Data)
	if err != nil {
		t.Fatal(err)
	}
	p, a := x.applied.Record.Prefix, pods.Pods[0].Addrs[0]
	from := "tp_from4"
	if a.Is6() {
		from = "tp_from6"
	}
	listed, err := x.space.Command(t.Context(), "", "nft", "-s", "-nn", "list", "table", "inet", "trafficpolicy")
	if err != nil {
		t.Fatal(err)
	}
	const it = " inet trafficpolicy "
	for _, c := range []string{
		"add rule" + it + "tp_forward accept",
		"insert rule" + it + "tp_prerouting ip saddr 10.0.0.0/26 accept",
		"insert rule" + it + p + "check_from4 accept",
		"flush chain" + it + p + "self_e4",
		"flush chain" + it + p + "broken",
		"flush chain" + it + p + "src_0",
		"flush chain" + it + "tp_output",
		"flush chain" + it + "tp_limit_in",
		"flush chain" + it + "tp_bridge",
		"flush chain" + it + deviceChain("tp0"),
		"flush map" + it + "tp_if",
		"flush map" + it + "tp_oif",
		"flush map" + it + "tp_mac",
		"flush map" + it + "tp_to4; flush map" + it + "tp_to6",
		"flush set" + it + "tp_pods4; flush set" + it + "tp_pods6",
		"flush set" + it + p + "self4; flush set" + it + p + "self6",
		"flush set" + it + p + "node4; flush set" + it + p + "node6",
		"delete element" + it + from + " { " + a.String() + " }",
		"add chain" + it + "tp_extra { type filter hook input priority 0; policy drop; }",
		"add chain" + it + "tp_forward { policy drop; }",
		"add table inet trafficpolicy { flags dormant; }",
		"flush chain" + it + "tp_mark",
	} {
		if err := x.space.NFT(c + "\n"); err != nil {
			t.Fatalf("%s: %v", c, err)
		}
		if got, err := x.reading(); err == nil && same(want, got) == nil {
			t.Errorf("%s: read as before", c)
		}
		if err := x.space.NFT("delete table inet trafficpolicy\n" + listed); err != nil {
			t.Fatalf("put back: %v", err)
		}
	}
	if err := x.space.NFT("add chain" + it + "tp_of_somebody\nadd rule" + it + "tp_of_somebody accept\n"); err != nil {
		t.Fatal(err)
	}
	if got, err := x.reading(); err != nil || same(want, got) != nil {
		t.Errorf("with a chain that no packet reaches: %v", err)
	}
	if err := x.space.NFT("delete table inet trafficpolicy\n"); err != nil {
		t.Fatal(err)
	}
	if _, err := x.reading(); !errors.Is(err, loader.ErrNothing) {
		t.Errorf("no table: %v", err)
	}
}

// FuzzReading: what a kernel never holds is an error, never a panic.
func FuzzReading(f *testing.F) {
	f.Add(listing)
	f.Add("table inet trafficpolicy {\n\tmap tp_from4 {\n\t\ttype ipv4_addr : verdict\n\t\telements = { 10.0.0.0/31 : goto tp_x, * : drop }\n\t}\n\n" +
		"\tchain tp_x {\n\t\ttype filter hook input priority filter + 10; policy accept;\n\t\tct state 0x1 meta l4proto != { 6, 17 } ct status ! 0x10 reject with icmpx 3\n\t}\n}\n")
	f.Fuzz(func(t *testing.T, text string) {
		objects, err := parseListing(text)
		if err != nil {
			return
		}
		var all []ruleset.Object
		for _, o := range objects {
			all = append(all, ruleset.Object{Kind: o.kind, Name: o.name, Body: o.body})
		}
		table, err := ruleset.FromListing(all)
		if err != nil {
			return
		}
		r, err := table.Decode(&ruleset.Key{Prefix: "tp_aaaaaaaaaaaa_"})
		if (r == nil) == (err == nil) {
			t.Errorf("reading %v, error %v", r, err)
		}
	})
}
