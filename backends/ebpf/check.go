package ebpf

import (
	"encoding/binary"
	"fmt"

	"github.com/trafficpolicy/trafficpolicy/model"
)

// Graph is a graph that was checked, with its tables.
type Graph struct {
	Tables *Tables
	data   []byte
	// deciders marks the words that hold the terminal of a decider.
	deciders bitmap
	// actions of the deciders that some terminal names, by decider.
	actions []action
	// intervals of all search nodes that a walk can come to.
	intervals int
}

// action is a model.Action, or unused.
type action uint8

const unused = 0xff

// Action returns what decider i does; ok is false where nothing leads to it.
func (g *Graph) Action(i uint32) (a model.Action, ok bool) {
	return model.Action(g.actions[i]), g.actions[i] != unused
}

// Bytes returns the graph, which must not be changed.
func (g *Graph) Bytes() []byte { return g.data }

// Check reports whether a graph and its tables may be loaded:
//
//   - sizes, numbers and references are in range, nodes do not overlap, and what
//     they do not use is zero;
//   - keys ascend, the last interval ends at 0xffffffff, and a tree is what
//     searching its leaves alone would be;
//   - every walk ends, at a terminal that it may end at, after at most [MaxSteps]
//     nodes; words of an address are looked at in order, each at most once, then
//     the L4 point, and chains and sequences stand behind the address;
//   - each address of the tables, and no other, has a record, and that is its own;
//   - a decider has one verdict.
//
// It does not tell whether the graph means what policies say. It takes time and
// memory in proportion to the size of the arguments, whatever they hold. The Graph
// refers to both.
func Check(graph []byte, t *Tables) (*Graph, error) {
	records, err := t.check()
	if err != nil {
		return nil, fmt.Errorf("%s: %w", TablesFile, err)
	}
	c := &checker{data: graph, tables: t, records: records, actions: make([]action, len(t.Deciders))}
	for i := range c.actions {
		c.actions[i] = unused
	}
	if err := c.graph(); err != nil {
		return nil, fmt.Errorf("%s: %w", GraphFile, err)
	}
	return &Graph{Tables: t, data: graph, deciders: c.marked, actions: c.actions, intervals: c.intervals}, nil
}

// checker visits each node once.
type checker struct {
	data    []byte
	tables  *Tables
	records []record // of the tables
	placed  bool     // by a loader: indices in terminals are those of counters
	bound   uint32   // of the index in a terminal, exclusive
	owners  []Ref    // by slot: the node that begins there, or taken
	seen    []summary
	chains  []summary
	marked  bitmap
	actions []action
	// intervals of the search nodes so far.
	intervals int
}

// taken marks slots that no node may begin in. The zero Ref marks free ones.
const taken = NoRecord

func (c *checker) word(i int) uint32 { return binary.LittleEndian.Uint32(c.data[4*i:]) }

func (c *checker) slots() int { return len(c.data) / SlotSize }

// graph checks everything.
func (c *checker) graph() error {
	if err := c.header(); err != nil {
		return err
	}
	n := c.slots()
	c.owners, c.seen = make([]Ref, n), make([]summary, n)
	c.chains = make([]summary, len(c.tables.Chains))
	c.marked = newBitmap(len(c.data) / 4)
	c.owners[0], c.owners[1] = taken, taken
	first := c.word(HeaderRecords)
	if err := c.claim(taken, int(first), len(c.records)); err != nil {
		return fmt.Errorf("records: %w", err)
	}
	if err := c.locals(); err != nil {
		return err
	}
	for i := range c.records {
		if err := c.record(i, slotWords*(int(first)+i)); err != nil {
			return fmt.Errorf("record %d: %w", i, err)
		}
	}
	for i := range c.chains {
		if _, err := c.links(uint32(i), 0); err != nil {
			return fmt.Errorf("chain %d: %w", i, err)
		}
	}
	return nil
}

// header checks the header, and with it all sizes.
func (c *checker) header() error {
	switch n := len(c.data); {
	case n < headerWords*4 || n%LineSize != 0:
		return fmt.Errorf("its size of %d bytes is not a number of lines of %d", n, LineSize)
	case n > MaxSlots*SlotSize:
		return fmt.Errorf("its size of %d bytes is more than %d", n, MaxSlots*SlotSize)
	}
	flags, chains := uint32(0), uint32(len(c.tables.Chains))
	if c.tables.Scope == scopePod {
		flags = FlagPodScope
	}
	c.bound = c.word(HeaderDeciders)
	want := map[int]uint32{
		HeaderMagic: Magic, HeaderSize: uint32(c.slots()), HeaderFlags: flags, HeaderGeneration: 0,
		HeaderRecordsLen: uint32(len(c.records)), HeaderDeciders: uint32(len(c.tables.Deciders)), HeaderChains: chains,
	}
	for i := HeaderChains + 1; i < headerWords; i++ {
		want[i] = 0
	}
	if c.placed {
		delete(want, HeaderGeneration)
		delete(want, HeaderDeciders)
	}
	for i := range headerWords {
		if x, ok := want[i]; ok && c.word(i) != x {
			return fmt.Errorf("word %d of the header is %#x, not %#x", i, c.word(i), x)
		}
	}
	return nil
}

// record checks what an address is judged by. at is the record's first word.
func (c *checker) record(i, at int) error {
	if x := c.word(at + RecordInterface); x != 0 && !c.placed {
		return fmt.Errorf("it names interface %d", x)
	}
	if x := c.word(at + RecordPod); x != c.records[i].pod {
		return fmt.Errorf("it is of pod %d, not %d", x, c.records[i].pod)
	}
	for j := RecordIngress + 1; j < recordWords; j++ {
		if c.word(at+j) != 0 {
			return fmt.Errorf("word %d is not zero", j)
		}
	}
	allowed := wordSet(1<<WordPeer | 1<<WordL4)
	if c.records[i].family == model.IPv6 {
		allowed |= 1<<(WordPeer+1) | 1<<(WordPeer+2) | 1<<(WordPeer+3)
	}
	for _, j := range []int{RecordEgress, RecordIngress} {
		s, err := c.follow(at+j, 0)
		switch {
		case err != nil:
			return err
		case s.words&^allowed != 0:
			return fmt.Errorf("a walk looks at words %s, of which it has only %s", s.words, allowed)
		case s.ends&^hasSequence != endDecider:
			return fmt.Errorf("a walk can end at %s", s.ends&^endDecider)
		}
	}
	return nil
}

// claim takes slots for a node, or for what no node may be in.
func (c *checker) claim(r Ref, slot, n int) error {
	if slot < 0 || n > c.slots() || slot > c.slots()-n {
		return fmt.Errorf("slots %d to %d are outside of the graph", slot, slot+n-1)
	}
	for i := slot; i < slot+n; i++ {
		if c.owners[i] != 0 {
			return fmt.Errorf("slot %d is in two nodes", i)
		}
		c.owners[i] = taken
	}
	if n > 0 {
		c.owners[slot] = r
	}
	return nil
}
