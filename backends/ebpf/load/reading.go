//go:build linux

package load

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"maps"
	"net/netip"
	"slices"

	graph "github.com/trafficpolicy/trafficpolicy/backends/ebpf"
	"github.com/trafficpolicy/trafficpolicy/backends/ebpf/bpf"
	"github.com/trafficpolicy/trafficpolicy/compiler/space"
	"github.com/trafficpolicy/trafficpolicy/internal/loader"
)

// Reading walks the graph in force as it stands in memory, with the addresses of
// domain names and of the node that programs find in their maps. Numbers of the
// generation and of counters are the loader's.
func (k *kernel) Reading(_ context.Context, a *loader.Applied) (*space.Reading, error) {
	d, err := k.open()
	if err != nil {
		return nil, err
	}
	if d == nil {
		return nil, fmt.Errorf("the programs and maps are missing: %w", loader.ErrNothing)
	}
	b, err := a.Bundle()
	if err != nil {
		return nil, err
	}
	if have := prefix(d.inst.generation()); have != a.Record.Prefix {
		return nil, fmt.Errorf("graph %s is in force, not %s", have, a.Record.Prefix)
	}
	tables := graphOf(b).Tables
	counters, err := d.inst.numbersOf(tables.Deciders)
	if err != nil {
		return nil, err
	}
	dec, placed, err := graph.DecodePlaced(bytes.Clone(d.inst.graph()), tables, counters)
	if err != nil {
		return nil, err
	}
	r, err := dec.Reading(b.Manifest)
	if err != nil {
		return nil, err
	}
	if r.Names, err = d.inst.namesIn(b.Meaning(a.Learned), tables, placed); err != nil {
		return nil, err
	}
	r.Nodes, err = d.inst.nodesOf(placed.Generation)
	return r, err
}

// numbersOf returns the numbers of the deciders' counters.
func (i *instance) numbersOf(deciders []string) ([]uint32, error) {
	ids, err := i.ids()
	if err != nil {
		return nil, err
	}
	counters := make([]uint32, len(deciders))
	for j, id := range deciders {
		n, ok := ids[idKey(id)]
		if !ok {
			return nil, errors.New("counters are missing")
		}
		counters[j] = n
	}
	return counters, nil
}

// nodesOf returns the addresses of the node that a generation knows.
func (i *instance) nodesOf(generation uint32) ([]netip.Addr, error) {
	entries, err := readMap[bpf.NodeKey, uint32](i.maps[bpf.MapNodes])
	if err != nil {
		return nil, err
	}
	var list []netip.Addr
	for k := range entries {
		if k.Generation == generation {
			list = append(list, k.Address.Addr())
		}
	}
	slices.SortFunc(list, netip.Addr.Compare)
	return list, nil
}

// namesIn returns the addresses that domain names have, where they are to have those
// that are known.
func (i *instance) namesIn(known map[string][]netip.Addr, t *graph.Tables, p *graph.Placement) (map[string][]netip.Addr, error) {
	entries, err := readMap[bpf.NameKey, uint32](i.maps[bpf.MapNames])
	if err != nil {
		return nil, err
	}
	maps.DeleteFunc(entries, func(k bpf.NameKey, _ uint32) bool { return k.Generation != p.Generation })
	return namesOf(entries, known, t, p)
}
