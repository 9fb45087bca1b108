//go:build linux

package load

import (
	"net/netip"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/trafficpolicy/trafficpolicy/backends/bundle"
	graph "github.com/trafficpolicy/trafficpolicy/backends/ebpf"
	"github.com/trafficpolicy/trafficpolicy/backends/ebpf/bpf"
	"github.com/trafficpolicy/trafficpolicy/internal/loader"
	"github.com/trafficpolicy/trafficpolicy/internal/place"
)

var v4, v6, other = netip.MustParseAddr("10.0.0.1"), netip.MustParseAddr("fd00::1"), netip.MustParseAddr("10.0.0.2")

// A record has the interface where its address was found; an address that was not
// found is where the others of its pod are.
func TestInterfaceNumbers(t *testing.T) {
	tables := &graph.Tables{Scope: "node", Pods: []graph.Pod{
		{Ref: "a", Addrs: []graph.PodAddr{{Addr: v4, Record: 1}, {Addr: v6, Record: 0}}},
		{Ref: "b", Addrs: []graph.PodAddr{{Addr: other, Record: 2}}},
	}}
	b := &loader.Bundle{Payload: &graph.Graph{Tables: tables}}
	at := func(pod string, a netip.Addr, index int) place.Place {
		return place.Place{Pod: pod, Addr: a, Index: index}
	}
	for _, c := range []struct {
		name   string
		places []place.Place
		want   []uint32
	}{
		{"all", []place.Place{at("a", v4, 7), at("a", v6, 8), at("b", other, 9)}, []uint32{8, 7, 9}},
		{"one of two", []place.Place{at("a", v4, 7), at("a", v6, 0), at("b", other, 9)}, []uint32{7, 7, 9}},
		{"nowhere", []place.Place{at("a", v4, 7), at("a", v6, 7), at("b", other, 0)}, []uint32{7, 7, 0}},
		{"none", nil, []uint32{0, 0, 0}},
	} {
		if diff := cmp.Diff(c.want, interfaceNumbers(b, c.places)); diff != "" {
			t.Errorf("%s (-want +got):\n%s", c.name, diff)
		}
	}
	tables.Scope = "pod"
	if diff := cmp.Diff([]uint32{0, 0, 0}, interfaceNumbers(b, []place.Place{at("a", v4, 7)})); diff != "" {
		t.Errorf("pod scope (-want +got):\n%s", diff)
	}
}

// The first name of a chain that has an address decides, and deciders are counters.
func TestNameEntries(t *testing.T) {
	decider := func(verdict, index uint32) graph.Ref { return graph.Ref(1<<31 | verdict<<29 | index) }
	node := graph.Ref(0x1234)
	b := &loader.Bundle{
		Manifest: &bundle.Manifest{Names: []bundle.KnownName{
			{Name: "one.example", Addrs: []netip.Addr{v4, other}}, {Name: "two.example", Addrs: []netip.Addr{v4, v6}}, {Name: "void.example"},
		}},
		Payload: &graph.Graph{Tables: &graph.Tables{
			Deciders: []string{"000000000000000a", "000000000000000b"},
			Chains: [][]graph.Link{
				{{Name: "one.example", Ref: decider(0, 1)}, {Name: "two.example", Ref: node}},
				{{Name: "void.example", Ref: node}, {Name: "two.example", Ref: decider(1, 0)}},
			},
		}},
	}
	got := nameEntries(b, b.Meaning(nil), &graph.Placement{Generation: 5, Counters: []uint32{70, 80}})
	key := func(chain uint32, a netip.Addr) bpf.NameKey {
		return bpf.NameKey{Generation: 5, Chain: chain, Address: bpf.AddressOf(a)}
	}
	want := map[bpf.NameKey]uint32{
		key(0, v4): uint32(decider(0, 80)), key(0, other): uint32(decider(0, 80)), key(0, v6): uint32(node),
		key(1, v4): uint32(decider(1, 70)), key(1, v6): uint32(decider(1, 70)),
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
}
