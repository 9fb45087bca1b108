package ebpf

import (
	"encoding/binary"
	"fmt"
	"slices"
)

// Placement is what a loader fills in.
type Placement struct {
	Generation uint32
	// Interfaces are the indices of the pods' interfaces by record, zero where
	// there is none.
	Interfaces []uint32
	// Counters are the indices of counters by decider, all different.
	Counters []uint32
}

// Place returns a copy of the graph as an eBPF program walks it. The indices in
// its terminals are those of counters, and the header's number of deciders is
// their exclusive bound.
func (g *Graph) Place(p *Placement) ([]byte, error) {
	if len(p.Interfaces) != len(g.records()) || len(p.Counters) != len(g.Tables.Deciders) {
		return nil, fmt.Errorf("%d interfaces and %d counters are given for %d records and %d deciders",
			len(p.Interfaces), len(p.Counters), len(g.records()), len(g.Tables.Deciders))
	}
	bound, err := counterBound(p.Counters)
	if err != nil {
		return nil, err
	}
	out := editable{slices.Clone(g.data)}
	out.put(HeaderGeneration, p.Generation)
	out.put(HeaderDeciders, bound)
	for i, at := range g.records() {
		out.put(at+RecordInterface, p.Interfaces[i])
	}
	g.deciders.each(func(at int) {
		r := Ref(out.word(at))
		out.put(at, uint32(terminal(r.verdict(), p.Counters[r.index()])))
	})
	return out.data, nil
}

// counterBound returns the exclusive bound of counters, and an error where two are
// the same or do not fit in a terminal.
func counterBound(counters []uint32) (uint32, error) {
	if len(counters) == 0 {
		return 0, nil
	}
	sorted := slices.Sorted(slices.Values(counters))
	for i := 1; i < len(sorted); i++ {
		if sorted[i] == sorted[i-1] {
			return 0, fmt.Errorf("two deciders have counter %d", sorted[i])
		}
	}
	last := sorted[len(sorted)-1]
	if last >= indexMask {
		return 0, fmt.Errorf("counter %d does not fit in a terminal", last)
	}
	return last + 1, nil
}

// Placed returns what link l of a chain leads to in a placed graph.
func (p *Placement) Placed(l *Link) Ref {
	if _, i, ok := l.Ref.Decider(); ok {
		return terminal(l.Ref.verdict(), p.Counters[i])
	}
	return l.Ref
}

// records returns the first word of each record.
func (g *Graph) records() []int {
	d := editable{g.data}
	out := make([]int, d.word(HeaderRecordsLen))
	for i := range out {
		out[i] = slotWords * (int(d.word(HeaderRecords)) + i)
	}
	return out
}

// Restore is the inverse of Place, for a graph that was read back from a kernel:
// it returns the graph and what a loader had filled in. t are the tables that it
// was loaded with, counters what their deciders were given. It fails where the
// result cannot be that graph; what it returns is for [Check] to judge.
func Restore(placed []byte, t *Tables, counters []uint32) ([]byte, *Placement, error) {
	g, p, err := restore(placed, t, counters)
	if err != nil {
		return nil, nil, err
	}
	return g.data, p, nil
}

// DecodePlaced is [Decode] for a graph that was read back from a kernel, as
// [Restore] takes it. It takes a decider with two verdicts too, which no compiler
// writes: memory can be changed to that, and then it is to be seen what for.
func DecodePlaced(placed []byte, t *Tables, counters []uint32) (*Decoded, *Placement, error) {
	g, p, err := restore(placed, t, counters)
	if err != nil {
		return nil, nil, err
	}
	return &Decoded{g}, p, nil
}

// restore returns a graph without the actions of its deciders.
func restore(placed []byte, t *Tables, counters []uint32) (*Graph, *Placement, error) {
	if len(counters) != len(t.Deciders) {
		return nil, nil, fmt.Errorf("%d counters are given for %d deciders", len(counters), len(t.Deciders))
	}
	records, err := t.check()
	if err != nil {
		return nil, nil, fmt.Errorf("%s: %w", TablesFile, err)
	}
	c := &checker{data: placed, tables: t, records: records, placed: true}
	if err := c.graph(); err != nil {
		return nil, nil, fmt.Errorf("graph in the kernel: %w", err)
	}
	decider := make(map[uint32]uint32, len(counters))
	for i, n := range counters {
		decider[n] = uint32(i)
	}
	out := editable{slices.Clone(placed)}
	p := &Placement{Generation: out.word(HeaderGeneration), Counters: counters}
	out.put(HeaderGeneration, 0)
	out.put(HeaderDeciders, uint32(len(counters)))
	for i := range records {
		at := slotWords*(int(out.word(HeaderRecords))+i) + RecordInterface
		p.Interfaces = append(p.Interfaces, out.word(at))
		out.put(at, 0)
	}
	c.marked.each(func(at int) {
		r := Ref(out.word(at))
		i, ok := decider[r.index()]
		if !ok && err == nil {
			err = fmt.Errorf("graph in the kernel: counter %d is of no decider", r.index())
		}
		out.put(at, uint32(terminal(r.verdict(), i)))
	})
	if err != nil {
		return nil, nil, err
	}
	return &Graph{Tables: t, data: out.data, deciders: c.marked}, p, nil
}

// editable is a graph of one's own.
type editable struct{ data []byte }

func (e *editable) word(i int) uint32   { return binary.LittleEndian.Uint32(e.data[4*i:]) }
func (e *editable) put(i int, x uint32) { binary.LittleEndian.PutUint32(e.data[4*i:], x) }
