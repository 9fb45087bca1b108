package synth_test

import (
	"bytes"
	"context"
	"encoding/json"
	"io"
	"iter"
	"net/netip"
	"slices"
	"strings"
	"testing"

	"github.com/trafficpolicy/trafficpolicy/compiler"
	"github.com/trafficpolicy/trafficpolicy/internal/synth"
	"github.com/trafficpolicy/trafficpolicy/model"
)

var smallFleet = synth.Sizes{Seed: 7, Nodes: 20, Namespaces: 6, Pods: 600, Services: 60, Policies: 90, Rules: 1500,
	LongestList: 1000, Enrolled: 85, Virtual: 20, DualStack: 50, Workloads: true}

type writer = func(io.Writer, iter.Seq[map[string]any]) error

// fleetText returns inventory and policies of a fleet.
func fleetText(t *testing.T, s synth.Sizes, write writer) (inventory, policies string) {
	t.Helper()
	f, err := synth.NewFleet(s)
	if err != nil {
		t.Fatal(err)
	}
	var i, p bytes.Buffer
	if err := write(&i, f.Inventory()); err != nil {
		t.Fatal(err)
	}
	if err := write(&p, f.Policies()); err != nil {
		t.Fatal(err)
	}
	return i.String(), p.String()
}

func loadFleet(t *testing.T, texts ...string) *compiler.Input {
	t.Helper()
	in := &compiler.Input{Inventory: &model.Inventory{}}
	for _, text := range texts {
		one, err := compiler.Load(context.Background(), compiler.LoadOptions{Inventory: []string{"-"}, Stdin: strings.NewReader(text)})
		if err != nil {
			t.Fatal(err)
		}
		in.Findings = append(in.Findings, one.Findings...)
		in.Policies = append(in.Policies, one.Policies...)
		if len(one.Inventory.Pods) > 0 {
			in.Inventory = one.Inventory
		}
	}
	return in
}

// A fleet without faults is read without a finding, and has what was asked for.
func TestFleet(t *testing.T) {
	for name, write := range map[string]writer{"JSON": synth.WriteJSON, "YAML": synth.WriteYAML} {
		t.Run(name, func(t *testing.T) {
			inventory, policies := fleetText(t, smallFleet, write)
			in := loadFleet(t, inventory, policies)
			for _, f := range in.Findings[:min(10, len(in.Findings))] {
				t.Errorf("%s: %s [%s]", f.Pos(), f.Message, f.Code)
			}
			rules := 0
			for _, p := range in.Policies {
				rules += len(p.Rules(model.Egress)) + len(p.Rules(model.Ingress))
			}
			inv := in.Inventory
			for _, c := range []struct {
				what      string
				got, want int
			}{
				{"nodes", len(inv.Nodes), 20}, {"namespaces", len(inv.Namespaces), 10}, {"pods", len(inv.Pods), 600},
				{"policies", len(in.Policies), 90}, {"rules", rules, 1500},
			} {
				if c.got != c.want {
					t.Errorf("%d %s, want %d", c.got, c.what, c.want)
				}
			}
			checkFleet(t, inv)
		})
	}
}

// checkFleet checks that addresses are of one pod each and within the ranges of
// its node, and that everything that a cluster can have is there.
func checkFleet(t *testing.T, inv *model.Inventory) {
	t.Helper()
	nodes := map[string]*model.Node{}
	ranged := 0
	for _, n := range inv.Nodes {
		nodes[n.Name] = n
		if len(n.PodCIDRs) == 2 {
			ranged++
		}
	}
	if ranged != 16 {
		t.Errorf("%d nodes have ranges of both families, want 16: the others are virtual", ranged)
	}
	owner := map[netip.Addr]string{}
	seen := map[string]int{}
	for _, p := range inv.Pods {
		n := nodes[p.NodeName]
		if n == nil {
			t.Fatalf("%s runs on %q, which is no node", p.Ref(), p.NodeName)
		}
		for key, is := range map[string]bool{"enrolled": p.Enrolled, "not enrolled": !p.Enrolled, "virtual": p.VirtualNode, "host": p.HostNetwork,
			"dual": len(p.IPs) == 2, "no address": len(p.IPs) == 0, "finished": p.Finished(), "deleting": p.Deleting, "acs": p.Labels.Has("alibabacloud.com/acs"), "bypass": len(p.Bypass) > 0} {
			if is {
				seen[key]++
			}
		}
		if p.HostNetwork {
			continue
		}
		for _, a := range p.IPs {
			if other := owner[a]; other != "" {
				t.Errorf("%s belongs to %s and %s", a, other, p.Ref())
			}
			owner[a] = p.Ref()
			if len(n.PodCIDRs) > 0 && !slices.ContainsFunc(n.PodCIDRs, func(c netip.Prefix) bool { return c.Contains(a) }) {
				t.Errorf("%s of %s is outside of %v of its node", a, p.Ref(), n.PodCIDRs)
			}
		}
	}
	for _, s := range inv.Services {
		switch {
		case s.Headless:
			seen["headless"]++
		case s.ExternalName != "":
			seen["external name"]++
		}
	}
	nobodys := 0
	for _, e := range inv.Endpoints {
		if seen["slice"]++; !e.Slice {
			seen["endpoints"]++
		}
		for _, set := range e.Subsets {
			for _, a := range set.Addrs {
				if owner[a] == "" {
					nobodys++
				}
			}
		}
	}
	if nobodys > 10 { // a pending pod has none yet
		t.Errorf("%d addresses of slices are no pod's", nobodys)
	}
	for _, key := range []string{"enrolled", "not enrolled", "virtual", "host", "dual", "finished", "acs", "bypass", "headless", "endpoints", "slice"} {
		if seen[key] == 0 {
			t.Errorf("nothing is %s", key)
		}
	}
}

// Faults are as many as asked for, about, and of every kind; no policy is invalid.
func TestFleetFaults(t *testing.T) {
	s := smallFleet
	s.Faults = 100_000
	inventory, policies := fleetText(t, s, synth.WriteJSON)
	in := loadFleet(t, inventory, policies)
	kinds := map[string]int{}
	for _, o := range in.Inventory.Broken {
		kind, _, _ := strings.Cut(o.Ref, "/")
		kinds[kind]++
	}
	if n := kinds["Pod"]; n < 20 || n > 80 || kinds["Service"] == 0 || kinds["EndpointSlice"] == 0 {
		t.Errorf("%v are broken, want about 50 pods of 600, and as many of a hundred Services and slices", kinds)
	}
	if len(in.Policies) != s.Policies {
		t.Errorf("%d valid policies, want %d", len(in.Policies), s.Policies)
	}
	for _, want := range []string{`"gone-`, `"203.0.113.128/25"`, `7/24"`, `v1.18.8`} {
		if !strings.Contains(inventory+policies, want) {
			t.Errorf("there is no %s", want)
		}
	}
}

// The same sizes give the same bytes, another seed others.
func TestFleetIsDeterministic(t *testing.T) {
	i1, p1 := fleetText(t, smallFleet, synth.WriteJSON)
	i2, p2 := fleetText(t, smallFleet, synth.WriteJSON)
	if i1 != i2 || p1 != p2 {
		t.Error("two fleets of one seed differ")
	}
	other := smallFleet
	other.Seed++
	if i3, p3 := fleetText(t, other, synth.WriteJSON); i1 == i3 || p1 == p3 {
		t.Error("the seed makes no difference")
	}
	if !json.Valid([]byte(i1)) {
		t.Error("the inventory is not JSON")
	}
}

// Sizes that cannot be are refused, small ones are not.
func TestFleetSizes(t *testing.T) {
	edit := func(change func(*synth.Sizes)) synth.Sizes {
		s := smallFleet
		change(&s)
		return s
	}
	for _, c := range []struct {
		name string
		s    synth.Sizes
		ok   bool
	}{
		{"no node", edit(func(s *synth.Sizes) { s.Nodes = 0 }), false},
		{"one node", edit(func(s *synth.Sizes) { s.Nodes, s.Pods = 1, 100 }), true},
		{"all nodes virtual", edit(func(s *synth.Sizes) { s.Virtual = 100 }), true},
		{"no pods", edit(func(s *synth.Sizes) { s.Pods = 0 }), true},
		{"no policies", edit(func(s *synth.Sizes) { s.Policies = 0 }), true},
		{"a share above a hundred", edit(func(s *synth.Sizes) { s.Enrolled = 101 }), false},
		{"negative", edit(func(s *synth.Sizes) { s.Pods = -1 }), false},
		{"more pods than addresses", edit(func(s *synth.Sizes) { s.Pods = 20_000_000 }), false},
		{"more nodes than addresses", edit(func(s *synth.Sizes) { s.Nodes = 70_000 }), false},
	} {
		t.Run(c.name, func(t *testing.T) {
			if _, err := synth.NewFleet(c.s); (err == nil) != c.ok {
				t.Fatalf("error %v, want one: %v", err, !c.ok)
			} else if err != nil {
				return
			}
			inventory, policies := fleetText(t, c.s, synth.WriteJSON)
			if in := loadFleet(t, inventory, policies); len(in.Findings) > 0 || len(in.Policies) != c.s.Policies {
				t.Errorf("findings %v, %d policies", in.Findings[:min(3, len(in.Findings))], len(in.Policies))
			}
		})
	}
}

func BenchmarkFleet(b *testing.B) {
	for name, write := range map[string]writer{"json": synth.WriteJSON, "yaml": synth.WriteYAML} {
		b.Run(name, func(b *testing.B) {
			f, err := synth.NewFleet(synth.DefaultSizes)
			if err != nil {
				b.Fatal(err)
			}
			b.ReportAllocs()
			for b.Loop() {
				var n counter
				if err := write(&n, f.Inventory()); err != nil {
					b.Fatal(err)
				}
				b.SetBytes(int64(n))
			}
		})
	}
}

type counter int

func (c *counter) Write(p []byte) (int, error) { *c += counter(len(p)); return len(p), nil }
