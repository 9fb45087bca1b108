//go:build linux

package load

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"net"
	"net/netip"
	"os"
	"slices"
	"strconv"
	"strings"

	"github.com/cilium/ebpf"

	"github.com/trafficpolicy/trafficpolicy/backends/bundle"
	graph "github.com/trafficpolicy/trafficpolicy/backends/ebpf"
	"github.com/trafficpolicy/trafficpolicy/backends/ebpf/bpf"
	"github.com/trafficpolicy/trafficpolicy/internal/loader"
	"github.com/trafficpolicy/trafficpolicy/internal/state"
)

// holding is what the kernel held when a record had just been put in force.
type holding struct {
	Tags  map[string]string `json:"tags"`  // of the programs
	Graph string            `json:"graph"` // digest of the graph in force
	Nodes []netip.Addr      `json:"nodes"` // addresses of the node, sorted
}

// Holding describes programs, graph and what belongs to it.
func (k *kernel) Holding(context.Context, *loader.Applied) ([]byte, error) {
	d, err := k.open()
	if err != nil {
		return nil, err
	}
	if d == nil {
		return nil, errors.New("the programs and maps are missing")
	}
	h, err := d.hold()
	if err != nil {
		return nil, err
	}
	return json.Marshal(h)
}

func (d *datapath) hold() (*holding, error) {
	h := &holding{Tags: map[string]string{}, Graph: digest(d.inst.graph())}
	for _, o := range []*objects{d.shared, d.inst.objects} {
		for name, p := range o.programs {
			info, err := programInfo(p)
			if err != nil {
				return nil, fmt.Errorf("program %s: %w", name, err)
			}
			h.Tags[name] = info.tag
		}
	}
	var err error
	if h.Nodes, err = d.inst.nodes(); err != nil {
		return nil, err
	}
	return h, nil
}

func digest(b []byte) string {
	sum := sha256.Sum256(b)
	return hex.EncodeToString(sum[:])
}

// nodes returns the addresses of the node that the instance knows.
func (i *instance) nodes() ([]netip.Addr, error) {
	entries, err := readMap[bpf.NodeKey, uint32](i.maps[bpf.MapNodes])
	list := make([]netip.Addr, 0, len(entries))
	for k := range entries {
		list = append(list, k.Address.Addr())
	}
	slices.SortFunc(list, netip.Addr.Compare)
	return list, err
}

// Drift compares what the kernel holds with what it held, looks for the programs
// on interfaces, and whether the node has got other addresses.
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
	if held == nil {
		return []string{"what the kernel should hold was not recorded"}, nil
	}
	was := new(holding)
	if err := json.Unmarshal(held, was); err != nil {
		return []string{fmt.Sprintf("record of what the kernel holds: %v", err)}, nil
	}
	now, err := d.hold()
	if err != nil {
		return nil, err
	}
	drift := now.compare(was)
	for _, check := range []func(*loader.Applied) ([]string, error){d.entryDrift, d.nameDrift, d.listDrift, d.interfaceDrift} {
		found, err := check(a)
		if err != nil {
			return nil, err
		}
		drift = append(drift, found...)
	}
	moved, err := addressDrift(a.Record, now.Nodes)
	if err != nil {
		return nil, err
	}
	drift = append(drift, moved...)
	slices.Sort(drift)
	return drift, nil
}

// compare returns how h differs from what was.
func (h *holding) compare(was *holding) (drift []string) {
	for name, tag := range h.Tags {
		if was.Tags[name] != tag {
			drift = append(drift, fmt.Sprintf("program %s was changed", name))
		}
	}
	if h.Graph != was.Graph {
		drift = append(drift, "the graph was changed")
	}
	if !slices.Equal(h.Nodes, was.Nodes) {
		drift = append(drift, "addresses of the node were changed")
	}
	return drift
}

// entryDrift looks for what packets go on in.
func (d *datapath) entryDrift(*loader.Applied) (drift []string, err error) {
	for i, name := range judges(d.inst.raw()) {
		var id uint32
		err := d.shared.maps[bpf.MapPrograms].Lookup(uint32(i), &id)
		if err != nil || ebpf.ProgramID(id) != programID(d.inst.programs[name]) {
			drift = append(drift, fmt.Sprintf("packets do not go on in program %s", name))
		}
	}
	return drift, nil
}

// nameDrift compares the table of names with what they mean.
func (d *datapath) nameDrift(a *loader.Applied) ([]string, error) {
	want, ok, err := d.inst.wantedNames(a)
	if err != nil {
		return nil, err
	}
	if !ok {
		return []string{"counters are missing"}, nil
	}
	have, err := readMap[bpf.NameKey, uint32](d.inst.maps[bpf.MapNames])
	if err != nil || maps.Equal(have, want) {
		return nil, err
	}
	return []string{"addresses of domain names were changed"}, nil
}

// listDrift compares the list of interfaces that are judged.
func (d *datapath) listDrift(a *loader.Applied) ([]string, error) {
	want := map[bpf.InterfaceKey]uint32{}
	for _, i := range a.Record.Interfaces {
		want[bpf.InterfaceKey{Generation: d.inst.generation(), Ifindex: uint32(i.Index)}] = 0
	}
	have, err := readMap[bpf.InterfaceKey, uint32](d.inst.maps[bpf.MapInterfaces])
	if err != nil || maps.Equal(have, want) {
		return nil, err
	}
	return []string{"the list of interfaces was changed"}, nil
}

// addressDrift looks for addresses that the node has got since.
func addressDrift(r *state.Record, known []netip.Addr) ([]string, error) {
	if r.Scope != string(bundle.ScopeNode) {
		return nil, nil
	}
	own, err := loader.OwnAddrs()
	if err != nil {
		return nil, err
	}
	for _, a := range own {
		if _, ok := slices.BinarySearchFunc(known, a, netip.Addr.Compare); !ok {
			return []string{fmt.Sprintf("the node has the address %s, and had not", a)}, nil
		}
	}
	return nil, nil
}

// info is what the kernel says of a program.
type info struct {
	id  ebpf.ProgramID
	tag string // digest of its instructions
}

// programInfo asks for a program's id and tag alone: for the library's Info the
// kernel copies all instructions.
func programInfo(p *ebpf.Program) (i info, err error) {
	text, err := os.ReadFile(fmt.Sprintf("/proc/self/fdinfo/%d", p.FD()))
	if err != nil {
		return i, err
	}
	for line := range strings.Lines(string(text)) {
		key, value, _ := strings.Cut(strings.TrimSpace(line), ":")
		switch value = strings.TrimSpace(value); key {
		case "prog_tag":
			i.tag = value
		case "prog_id":
			n, err := strconv.ParseUint(value, 10, 32)
			if err != nil {
				return i, err
			}
			i.id = ebpf.ProgramID(n)
		}
	}
	return i, nil
}

// programID returns a program's id, 0 where it cannot be had.
func programID(p *ebpf.Program) ebpf.ProgramID {
	i, err := programInfo(p)
	if err != nil {
		return 0
	}
	return i.id
}

// Inspect reads the graph in force back and compares it with that of the bundle.
func (k *kernel) Inspect(_ context.Context, a *loader.Applied) ([]string, error) {
	d, err := k.open()
	if err != nil || d == nil {
		return nil, err
	}
	b, err := a.Bundle()
	if err != nil {
		return nil, err
	}
	ids, err := d.inst.ids()
	if err != nil {
		return nil, err
	}
	want := graphOf(b)
	counters, ok := countersOf(want.Tables.Deciders, ids)
	if !ok {
		return []string{"counters are missing"}, nil
	}
	have, _, err := graph.Restore(bytes.Clone(d.inst.graph()), want.Tables, counters)
	if err != nil {
		return []string{err.Error()}, nil
	}
	if !bytes.Equal(have, want.Bytes()) {
		return []string{"the graph is not that of the bundle"}, nil
	}
	return nil, nil
}

// interfaceDrift looks for the programs on the interfaces that are there.
func (d *datapath) interfaceDrift(a *loader.Applied) ([]string, error) {
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
