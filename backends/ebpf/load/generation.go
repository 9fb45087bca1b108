//go:build linux

package load

import (
	"fmt"
	"net/netip"
	"slices"
	"strconv"

	"github.com/trafficpolicy/trafficpolicy/backends/bundle"
	graph "github.com/trafficpolicy/trafficpolicy/backends/ebpf"
	"github.com/trafficpolicy/trafficpolicy/backends/ebpf/bpf"
	"github.com/trafficpolicy/trafficpolicy/internal/loader"
	"github.com/trafficpolicy/trafficpolicy/internal/place"
	"github.com/trafficpolicy/trafficpolicy/internal/state"
)

// generation is what an instance is told for a graph to be in force. It follows
// from the bundle, the record and the numbers of its counters.
type generation struct {
	number uint32
	graph  []byte // as programs walk it
	names  map[bpf.NameKey]uint32
	spare  int // how many names there should be room for
	nodes  map[bpf.NodeKey]uint32
	ifaces map[bpf.InterfaceKey]uint32
}

// newGeneration places a graph. interfaces are those of the graph's records.
func newGeneration(number uint32, c *loader.Change, interfaces, counters []uint32) (*generation, error) {
	b, r := c.Bundle, c.Record
	g := graphOf(b)
	p := &graph.Placement{Generation: number, Interfaces: interfaces, Counters: counters}
	placed, err := g.Place(p)
	if err != nil {
		return nil, fmt.Errorf("place the graph: %w", err)
	}
	gen := &generation{number: number, graph: placed, nodes: map[bpf.NodeKey]uint32{}, ifaces: map[bpf.InterfaceKey]uint32{}}
	gen.names, gen.spare = nameEntries(b, b.Meaning(c.Learned), p), roomForNames(b)
	nodes, err := nodeAddrs(b, r)
	if err != nil {
		return nil, err
	}
	for _, a := range nodes {
		gen.nodes[bpf.NodeKey{Generation: number, Address: bpf.AddressOf(a)}] = 0
	}
	for _, i := range r.Interfaces {
		gen.ifaces[bpf.InterfaceKey{Generation: number, Ifindex: uint32(i.Index)}] = 0
	}
	return gen, nil
}

// nodeAddrs returns the addresses that the node sends from: those of the inventory
// and of --node-addr and, on the node itself, those of its interfaces. Link-local
// addresses of IPv6 the programs tell by themselves.
func nodeAddrs(b *loader.Bundle, r *state.Record) ([]netip.Addr, error) {
	t := graphOf(b).Tables
	nodes := append(slices.Clone(t.NodeAddrs), r.Options.NodeAddrs...)
	if t.Scope == string(bundle.ScopePod) {
		return nodes, nil
	}
	own, err := loader.OwnAddrs()
	return append(nodes, own...), err
}

// interfaceNumbers returns the index of the interface of each record: where its
// address was found or, if only others of its pod were, where they are. In the
// pod's own namespace every interface but loopback is the pod's, and has none.
func interfaceNumbers(b *loader.Bundle, places []place.Place) []uint32 {
	t := graphOf(b).Tables
	at, of := map[netip.Addr]uint32{}, map[string]uint32{}
	for _, p := range places {
		if t.Scope == string(bundle.ScopeNode) && p.Index != 0 {
			at[p.Addr], of[p.Pod] = uint32(p.Index), uint32(p.Index)
		}
	}
	numbers := []uint32{}
	for _, p := range t.Pods {
		for _, a := range p.Addrs {
			for int(a.Record) >= len(numbers) {
				numbers = append(numbers, 0)
			}
			if numbers[a.Record] = at[a.Addr]; numbers[a.Record] == 0 {
				numbers[a.Record] = of[p.Ref]
			}
		}
	}
	return numbers
}

// sizes returns what an instance must hold: this generation beside one in force
// that needs what is taken.
func (g *generation) sizes(counters int, i *instance) (s sizes, err error) {
	s = sizes{
		lines: (len(g.graph) + graph.LineSize - 1) / graph.LineSize, counters: counters,
		names: len(g.names), nodes: len(g.nodes), ifaces: len(g.ifaces),
	}
	defer func() { s.names = max(s.names, g.spare) }()
	if i == nil {
		return s, nil
	}
	s.lines = max(s.lines, (len(i.graph())+graph.LineSize-1)/graph.LineSize)
	for _, c := range []struct {
		needed *int
		count  func() (int, error)
	}{
		{&s.names, func() (int, error) { return countEntries[bpf.NameKey, uint32](i.maps[bpf.MapNames]) }},
		{&s.nodes, func() (int, error) { return countEntries[bpf.NodeKey, uint32](i.maps[bpf.MapNodes]) }},
		{&s.ifaces, func() (int, error) { return countEntries[bpf.InterfaceKey, uint32](i.maps[bpf.MapInterfaces]) }},
	} {
		taken, err := c.count()
		if err != nil {
			return s, err
		}
		*c.needed += taken
	}
	return s, nil
}

// write tells an instance everything, so that only the flip is left to do.
func (g *generation) write(i *instance) error {
	if err := writeEntries(i.maps[bpf.MapNames], g.names); err != nil {
		return err
	}
	if err := writeEntries(i.maps[bpf.MapNodes], g.nodes); err != nil {
		return err
	}
	if err := writeEntries(i.maps[bpf.MapInterfaces], g.ifaces); err != nil {
		return err
	}
	i.write(g.graph)
	return nil
}

// purge deletes what is of other generations than the one with that number.
func (i *instance) purge(number uint32) error {
	if err := purge(i.maps[bpf.MapNames], func(k bpf.NameKey) bool { return k.Generation == number }); err != nil {
		return err
	}
	if err := purge(i.maps[bpf.MapNodes], func(k bpf.NodeKey) bool { return k.Generation == number }); err != nil {
		return err
	}
	return purge(i.maps[bpf.MapInterfaces], func(k bpf.InterfaceKey) bool { return k.Generation == number })
}

// prefix is what a record remembers the number of its generation by.
func prefix(number uint32) string { return strconv.FormatUint(uint64(number), 10) }
