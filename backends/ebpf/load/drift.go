//go:build linux

package load

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"maps"
	"net"
	"slices"

	"github.com/cilium/ebpf"

	graph "github.com/trafficpolicy/trafficpolicy/backends/ebpf"
	"github.com/trafficpolicy/trafficpolicy/backends/ebpf/bpf"
	"github.com/trafficpolicy/trafficpolicy/internal/loader"
)

// holding is what the kernel held when a record had just been put in force, as
// far as it does not follow from the record and its bundle.
type holding struct {
	Tags map[string]string `json:"tags"` // of the programs
}

// Holding returns the tags of the programs.
func (k *kernel) Holding(context.Context, *loader.Applied) ([]byte, error) {
	d, err := k.open()
	if err != nil {
		return nil, err
	}
	tags, err := d.tags()
	if err != nil {
		return nil, err
	}
	return json.Marshal(holding{tags})
}

// tags returns the digests that the kernel gives programs.
func (d *datapath) tags() (map[string]string, error) {
	tags := map[string]string{}
	for _, o := range []*objects{d.shared, d.inst.objects} {
		for name, p := range o.programs {
			info, err := p.Info()
			if err != nil {
				return nil, fmt.Errorf("program %s: %w", name, err)
			}
			tags[name] = info.Tag
		}
	}
	return tags, nil
}

// Drift compares the graph in force with that of the bundle, the maps around it
// and the programs with what they should be, and looks for them on interfaces.
func (k *kernel) Drift(_ context.Context, a *loader.Applied, held []byte) ([]string, error) {
	d, err := k.open()
	if err != nil {
		return []string{fmt.Sprintf("what is pinned in %s is not what was pinned: %v", k.dir, err)}, nil
	}
	if d == nil {
		return []string{"the programs and maps are missing"}, nil
	}
	if have := prefix(d.inst.generation()); have != a.Record.Prefix {
		return []string{fmt.Sprintf("graph %s is in force, not %s", have, a.Record.Prefix)}, nil
	}
	b, err := a.Bundle()
	if err != nil {
		return nil, err
	}
	drift, err := d.programDrift(held)
	if err != nil {
		return nil, err
	}
	for _, check := range []func(*loader.Applied, *loader.Bundle) ([]string, error){d.graphDrift, d.interfaceDrift} {
		found, err := check(a, b)
		if err != nil {
			return nil, err
		}
		drift = append(drift, found...)
	}
	slices.Sort(drift)
	return drift, nil
}

// programDrift compares programs with those recorded, and with what packets go on
// in.
func (d *datapath) programDrift(held []byte) ([]string, error) {
	var h holding
	if held == nil {
		return []string{"what the kernel should hold was not recorded"}, nil
	}
	if err := json.Unmarshal(held, &h); err != nil {
		return []string{fmt.Sprintf("record of what the kernel holds: %v", err)}, nil
	}
	tags, err := d.tags()
	if err != nil {
		return nil, err
	}
	var drift []string
	for name, tag := range tags {
		if h.Tags[name] != tag {
			drift = append(drift, fmt.Sprintf("program %s was changed", name))
		}
	}
	for i, name := range judgePrograms {
		var id uint32
		err := d.shared.maps[bpf.MapPrograms].Lookup(uint32(i), &id)
		if err != nil || ebpf.ProgramID(id) != programID(d.inst.programs[name]) {
			drift = append(drift, fmt.Sprintf("packets do not go on in program %s", name))
		}
	}
	return drift, nil
}

func programID(p *ebpf.Program) ebpf.ProgramID {
	info, err := p.Info()
	if err != nil {
		return 0
	}
	id, _ := info.ID()
	return id
}

// graphDrift reads the graph in force back and compares it and the maps that it
// needs with what the bundle says.
func (d *datapath) graphDrift(a *loader.Applied, b *loader.Bundle) ([]string, error) {
	ids, err := d.inst.ids()
	if err != nil {
		return nil, err
	}
	want := graphOf(b)
	counters := make([]uint32, len(want.Tables.Deciders))
	for i, id := range want.Tables.Deciders {
		n, ok := ids[idKey(id)]
		if !ok {
			return []string{"counters are missing"}, nil
		}
		counters[i] = n
	}
	have, placement, err := graph.Restore(bytes.Clone(d.inst.graph()), want.Tables, counters)
	if err != nil {
		return []string{err.Error()}, nil
	}
	var drift []string
	if !bytes.Equal(have, want.Bytes()) {
		drift = append(drift, "the graph in the kernel was changed")
	}
	gen, err := newGeneration(placement.Generation, b, a.Record, placement.Interfaces, counters)
	if err != nil {
		return nil, err
	}
	for _, c := range []struct {
		what string
		same func() (bool, error)
	}{
		{"addresses of domain names", func() (bool, error) { return sameEntries(d.inst.maps[bpf.MapNames], gen.names) }},
		{"addresses of the node", func() (bool, error) { return sameEntries(d.inst.maps[bpf.MapNodes], gen.nodes) }},
		{"the list of interfaces", func() (bool, error) { return sameEntries(d.inst.maps[bpf.MapInterfaces], gen.ifaces) }},
	} {
		same, err := c.same()
		if err != nil {
			return nil, err
		}
		if !same {
			drift = append(drift, c.what+" in the kernel were changed")
		}
	}
	return drift, nil
}

func sameEntries[K comparable](m *ebpf.Map, want map[K]uint32) (bool, error) {
	have, err := readMap[K, uint32](m)
	return maps.Equal(have, want), err
}

// interfaceDrift looks for the programs on the interfaces that are there.
func (d *datapath) interfaceDrift(a *loader.Applied, _ *loader.Bundle) ([]string, error) {
	all, err := d.hooks.list()
	if err != nil {
		return nil, err
	}
	type hook struct {
		index int
		side  side
	}
	have := map[hook]ebpf.ProgramID{}
	for _, h := range all {
		have[hook{h.index, h.side}] = h.prog
	}
	present, err := net.Interfaces()
	if err != nil {
		return nil, fmt.Errorf("list interfaces: %w", err)
	}
	var drift []string
	for _, i := range a.Record.Interfaces {
		if !slices.ContainsFunc(present, func(n net.Interface) bool { return n.Name == i.Name && n.Index == i.Index }) {
			continue // gone, or made anew: its pod is unattached
		}
		ethernet, err := d.hooks.ethernet(i.Index)
		if err != nil {
			continue
		}
		for _, s := range sides {
			if have[hook{i.Index, s}] != programID(d.program(s, ethernet)) {
				drift = append(drift, fmt.Sprintf("the program is missing at %s of interface %s", s, i.Name))
			}
		}
	}
	return drift, nil
}
