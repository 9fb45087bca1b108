package space

import (
	"encoding/binary"
	"hash/maphash"
	"slices"

	"github.com/trafficpolicy/trafficpolicy/model"
)

// store keeps each decision once.
type store struct {
	decisions []Decision
	depth     []int8 // links of the Else chain, by decision
	byHash    map[uint64]DecisionID
	collides  []DecisionID // by decision: another one of its hash, NoDecision for none
	seed      maphash.Seed
	cells     int // of all decisions

	memory  arena[Cell] // of decisions
	buf     []byte      // scratch
	scratch [2][]Cell   // of overlays, in turn
}

func newStore() *store {
	return &store{byHash: make(map[uint64]DecisionID), seed: maphash.MakeSeed()}
}

// growth bounds chains: a decision takes over the cells of its Else unless these
// are more than growth times its own. So small decisions are written out, which
// makes equal ones meet, and along a chain the number of cells, which has 18
// bits, grows by the factor.
const growth = 8

// maxLayered bounds the links below a decision with a Before, which takes over nothing.
const maxLayered = 3

// put returns the decision of cells before rest. It keeps a copy of cells.
func (s *store) put(cells []Cell, rest DecisionID) DecisionID {
	for rest != NoDecision && !coversAll(cells) {
		below := &s.decisions[rest]
		if below.Before != NoDecision || len(below.Cells) > growth*max(1, len(cells)) {
			break
		}
		s.scratch[0] = overlay(s.scratch[0][:0], cells, below.Cells)
		s.scratch[0], s.scratch[1] = s.scratch[1], s.scratch[0]
		cells, rest = s.scratch[1], below.Else
	}
	return s.intern(Decision{NoDecision, cells, rest})
}

// intern returns the number of d, which is new if no equal one is kept; then its
// cells are copied. Numbers are in order of first use: the hash decides nothing
// that can be seen.
func (s *store) intern(d Decision) DecisionID {
	if coversAll(d.Cells) {
		d.Else = NoDecision
	}
	h := s.hash(&d)
	first, ok := s.byHash[h]
	if !ok {
		first = NoDecision
	}
	for id := first; id != NoDecision; id = s.collides[id] {
		if sameDecision(&s.decisions[id], &d) {
			return id
		}
	}
	id, depth := DecisionID(len(s.decisions)), int8(0)
	if d.Else != NoDecision {
		depth = s.depth[d.Else] + 1
	}
	d.Cells = s.memory.keep(d.Cells)
	s.decisions = push(s.decisions, d)
	s.depth, s.collides = push(s.depth, depth), push(s.collides, first)
	s.byHash[h] = id
	s.cells += len(d.Cells)
	return id
}

func (s *store) hash(d *Decision) uint64 {
	b := s.buf[:0]
	for i := range d.Cells {
		c := &d.Cells[i]
		b = binary.LittleEndian.AppendUint32(b, uint32(c.First))
		b = binary.LittleEndian.AppendUint32(b, uint32(c.Last))
		b = binary.LittleEndian.AppendUint32(b, uint32(c.Rule))
		b = binary.LittleEndian.AppendUint32(b, uint32(len(c.If)))
	}
	b = binary.LittleEndian.AppendUint32(b, uint32(d.Before))
	b = binary.LittleEndian.AppendUint32(b, uint32(d.Else))
	s.buf = b
	return maphash.Bytes(s.seed, b)
}

func sameDecision(a, b *Decision) bool {
	return a.Before == b.Before && a.Else == b.Else && slices.EqualFunc(a.Cells, b.Cells, func(x, y Cell) bool {
		return x.L4Range == y.L4Range && sameOutcome(&x, &y)
	})
}

func coversAll(cells []Cell) bool {
	next := model.L4(0)
	for i := range cells {
		if cells[i].First != next {
			return false
		}
		next = cells[i].Last + 1
	}
	return next > model.L4Last
}

// overlay appends to out upper's cells, and lower's where upper has none.
func overlay(out, upper, lower []Cell) []Cell {
	next := model.L4(0) // first point not yet decided
	fill := func(end model.L4) {
		for len(lower) > 0 && lower[0].First < end {
			c := lower[0]
			c.First, c.Last = max(c.First, next), min(c.Last, end-1)
			if c.First <= c.Last {
				out = appendCell(out, c)
			}
			if lower[0].Last >= end {
				break // the rest of it stands behind the upper cell
			}
			lower = lower[1:]
		}
	}
	for _, c := range upper {
		fill(c.First)
		out = appendCell(out, c)
		next = c.Last + 1
	}
	fill(model.L4Last + 1)
	return out
}

// Cells returns what decision id says, with Before and Else followed: sorted,
// disjoint cells, neighbours that abut differ. No rule matches where none is.
func (t *Table) Cells(id DecisionID) []Cell { return resolve(t.Decisions, id) }

func resolve(ds []Decision, id DecisionID) []Cell {
	var cells []Cell
	for ; id != NoDecision; id = ds[id].Else {
		if b := ds[id].Before; b != NoDecision {
			cells = below(cells, ds[b].Cells)
		}
		cells = below(cells, ds[id].Cells)
	}
	return cells
}

// below returns upper before lower. The result may share memory with lower.
func below(upper, lower []Cell) []Cell {
	switch {
	case len(upper) == 0:
		return lower
	case len(lower) == 0:
		return upper
	}
	return overlay(make([]Cell, 0, len(upper)+len(lower)), upper, lower)
}
