//go:build linux

package bpflab

import (
	"bytes"
	"encoding/binary"
	"fmt"

	"github.com/cilium/ebpf"

	"github.com/trafficpolicy/trafficpolicy/backends/bundle"
	graph "github.com/trafficpolicy/trafficpolicy/backends/ebpf"
	"github.com/trafficpolicy/trafficpolicy/backends/ebpf/bpf"
)

// Machine is an instance of the programs that artifacts are put in force in, as a
// loader does it but at once, and without attaching anything.
type Machine struct {
	*bpf.Instance
	// Generation is of the graph in force, 0 before the first.
	Generation uint32
	half       uint32 // lines of half an area
}

// NewMachine loads the programs. Zero sizes of o have room for graphs of small tests.
func NewMachine(o bpf.Options) (*Machine, error) {
	o.Lines = max(o.Lines, 8192)
	o.Deciders = max(o.Deciders, 1024)
	if o.Conns == 0 {
		o.Conns = 65536
	}
	i, err := bpf.Load(o)
	if err != nil {
		return nil, err
	}
	return MachineOf(i, o.Lines), nil
}

// MachineOf returns a Machine of programs that somebody else has loaded, with an
// area of that many lines.
func MachineOf(i *bpf.Instance, lines uint32) *Machine {
	return &Machine{Instance: i, half: lines / 2}
}

// Install writes an artifact beside what is in force and switches. device says
// where the i-th pod of the artifact is. The number of a decider's counter is its
// index in the tables.
func (m *Machine) Install(a *bundle.Bundle, device func(ref string, i int) Device) (*graph.Tables, error) {
	g, err := graph.Read(a)
	if err != nil {
		return nil, err
	}
	tables := g.Tables
	m.Generation++
	place := &graph.Placement{Generation: m.Generation}
	for i, p := range tables.Pods {
		for range p.Addrs {
			place.Interfaces = append(place.Interfaces, device(p.Ref, i).Index)
		}
	}
	for i := range tables.Deciders {
		place.Counters = append(place.Counters, uint32(i))
	}
	for _, a := range tables.NodeAddrs {
		if err := m.Nodes.Put(bpf.NodeKey{Generation: m.Generation, Address: bpf.AddressOf(a)}, uint32(1)); err != nil {
			return nil, err
		}
	}
	placed, err := g.Place(place)
	if err != nil {
		return nil, err
	}
	if err := m.putNames(a, tables, place); err != nil {
		return nil, err
	}
	return tables, m.Write(placed)
}

// putNames enters the addresses that an artifact knows of its names.
func (m *Machine) putNames(a *bundle.Bundle, tables *graph.Tables, place *graph.Placement) error {
	for n, links := range tables.Chains {
		for i := len(links) - 1; i >= 0; i-- { // the first has the last word
			for _, k := range a.Manifest.Names {
				if k.Name != links[i].Name {
					continue
				}
				for _, known := range k.Addrs {
					key := bpf.NameKey{Generation: m.Generation, Chain: uint32(n), Address: bpf.AddressOf(known)}
					if err := m.Names.Put(key, uint32(place.Placed(&links[i]))); err != nil {
						return err
					}
				}
			}
		}
	}
	return nil
}

// Root returns the line where the header of the graph in force stands.
func (m *Machine) Root() uint32 { return m.Generation % 2 * m.half }

// Write puts a graph as it is in force.
func (m *Machine) Write(placed []byte) error {
	root := m.Root()
	n := len(placed) / graph.LineSize
	if uint32(n) > m.half {
		return fmt.Errorf("a graph of %d lines does not fit in %d", n, m.half)
	}
	keys, lines := make([]uint32, n), make([]bpf.Line, n)
	for i := range keys {
		keys[i] = root + uint32(i)
	}
	if err := binary.Read(bytes.NewReader(placed), binary.LittleEndian, lines); err != nil {
		return err
	}
	if _, err := m.Area.BatchUpdate(keys, lines, nil); err != nil {
		return err
	}
	return m.Ctl.Put(uint32(0), bpf.Ctl{Root: root})
}

// Forget empties the tables of connections and fragments.
func (m *Machine) Forget() {
	for _, table := range []*ebpf.Map{m.Conns, m.Opening} {
		empty[bpf.ConnKey, bpf.Conn](table)
	}
	empty[bpf.FragKey, bpf.Frag](m.Frags)
}

func empty[K, V any](m *ebpf.Map) {
	var key K
	var value V
	var keys []K
	for it := m.Iterate(); it.Next(&key, &value); {
		keys = append(keys, key)
	}
	for _, k := range keys {
		_ = m.Delete(k) // an LRU may have done so
	}
}
