//go:build linux

package load

import (
	"fmt"
	"maps"
	"math/rand/v2"
	"net/netip"
	"slices"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/trafficpolicy/trafficpolicy/backends/bundle"
	graph "github.com/trafficpolicy/trafficpolicy/backends/ebpf"
	"github.com/trafficpolicy/trafficpolicy/backends/ebpf/bpf"
	"github.com/trafficpolicy/trafficpolicy/internal/loader"
)

// chains of three names that lead to two deciders.
func nameChains() (*graph.Tables, *graph.Placement) {
	first, second := graph.Ref(1<<31), graph.Ref(1<<31|1<<29|1)
	return &graph.Tables{
		Deciders: []string{"000000000000000a", "000000000000000b"},
		Chains: [][]graph.Link{
			{{Name: "x", Ref: first}, {Name: "y", Ref: second}},
			{{Name: "z", Ref: first}, {Name: "x", Ref: first}},
			{{Name: "y", Ref: second}},
		},
	}, &graph.Placement{Generation: 3, Counters: []uint32{70, 80}}
}

func entriesOf(names map[string][]netip.Addr, t *graph.Tables, p *graph.Placement) map[bpf.NameKey]uint32 {
	m := &bundle.Manifest{}
	for _, n := range slices.Sorted(maps.Keys(names)) {
		m.Names = append(m.Names, bundle.KnownName{Name: n, Addrs: names[n]})
	}
	b := &loader.Bundle{Manifest: m, Payload: &graph.Graph{Tables: t}}
	return nameEntries(b, b.Meaning(nil), p)
}

// Whatever names mean, what is read back has the same entries, and where they are
// what they are to be it is just that.
func TestNamesOf(t *testing.T) {
	tables, p := nameChains()
	pool := []netip.Addr{v4, v6, other}
	equal := 0
	for seed := range uint64(2000) {
		rng := rand.New(rand.NewPCG(seed, 1))
		draw := func() map[string][]netip.Addr {
			names := map[string][]netip.Addr{}
			for _, n := range []string{"x", "y", "z"} {
				names[n] = nil
				for _, a := range pool {
					if rng.IntN(2) == 0 {
						names[n] = append(names[n], a)
					}
				}
				slices.SortFunc(names[n], netip.Addr.Compare)
			}
			return names
		}
		names, wanted := draw(), draw()
		entries := entriesOf(names, tables, p)
		got, err := namesOf(entries, wanted, tables, p)
		if err != nil {
			t.Fatalf("seed %d: %v", seed, err)
		}
		if d := cmp.Diff(entries, entriesOf(got, tables, p)); d != "" {
			t.Fatalf("seed %d: %v read as %v: %s", seed, names, got, d)
		}
		if maps.Equal(entries, entriesOf(wanted, tables, p)) {
			equal++
			if d := cmp.Diff(wanted, got, cmp.Comparer(func(a, b netip.Addr) bool { return a == b })); d != "" {
				t.Fatalf("seed %d: %v read as %v", seed, wanted, got)
			}
		}
	}
	if equal < 3 {
		t.Errorf("%d cases with the entries that are wanted, want more", equal)
	}
}

func TestNamesOfRefuses(t *testing.T) {
	tables, p := nameChains()
	wanted := map[string][]netip.Addr{"x": {v4}, "y": nil, "z": nil}
	for name, change := range map[string]func(m map[bpf.NameKey]uint32, k bpf.NameKey){
		"a chain that is not there": func(m map[bpf.NameKey]uint32, k bpf.NameKey) { k.Chain = 3; m[k] = 0 },
		"a reference of no link":    func(m map[bpf.NameKey]uint32, k bpf.NameKey) { m[k]++ },
		"one of two chains":         func(m map[bpf.NameKey]uint32, k bpf.NameKey) { delete(m, k) },
	} {
		m := entriesOf(wanted, tables, p)
		if len(m) != 2 {
			t.Fatal(m)
		}
		change(m, bpf.NameKey{Generation: p.Generation, Chain: 0, Address: bpf.AddressOf(v4)})
		if got, err := namesOf(m, wanted, tables, p); err == nil && name != "one of two chains" {
			t.Errorf("%s: %v", name, got)
		} else if err == nil { // z alone leads there
			if fmt.Sprint(got["z"]) != fmt.Sprint([]netip.Addr{v4}) || got["x"] != nil {
				t.Errorf("%s: %v", name, got)
			}
		}
	}
}
