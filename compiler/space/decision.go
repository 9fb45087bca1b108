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
	depth     []int // links of the Else chain, by decision
	byHash    map[uint64][]DecisionID
	seed      maphash.Seed
	cells     int // of all decisions
}

func newStore() *store {
	return &store{byHash: make(map[uint64][]DecisionID), seed: maphash.MakeSeed()}
}

// growth bounds chains: a decision takes over the cells of its Else unless these
// are more than growth times its own. So small decisions are written out, which
// makes equal ones meet, and along a chain the number of cells, which has 18
// bits, grows by the factor.
const growth = 8

// maxLayered bounds the links below a decision with a Before, which takes over nothing.
const maxLayered = 3

// put returns the decision of cells before rest.
func (s *store) put(cells []Cell, rest DecisionID) DecisionID {
	for rest != NoDecision && !coversAll(cells) {
		below := &s.decisions[rest]
		if below.Before != NoDecision || len(below.Cells) > growth*max(1, len(cells)) {
			break
		}
		cells, rest = overlay(cells, below.Cells), below.Else
	}
	return s.intern(Decision{NoDecision, cells, rest})
}

// intern returns the number of d, which is new if no equal one is kept. Numbers
// are in order of first use: the hash decides nothing that can be seen.
func (s *store) intern(d Decision) DecisionID {
	if coversAll(d.Cells) {
		d.Else = NoDecision
	}
	h := s.hash(&d)
	for _, id := range s.byHash[h] {
		if sameDecision(&s.decisions[id], &d) {
			return id
		}
	}
	id := DecisionID(len(s.decisions))
	d.Cells = slices.Clip(d.Cells)
	s.decisions = append(s.decisions, d)
	s.depth = append(s.depth, 0)
	if d.Else != NoDecision {
		s.depth[id] = s.depth[d.Else] + 1
	}
	s.byHash[h] = append(s.byHash[h], id)
	s.cells += len(d.Cells)
	return id
}

func (s *store) hash(d *Decision) uint64 {
	var h maphash.Hash
	h.SetSeed(s.seed)
	var b [16]byte
	for i := range d.Cells {
		c := &d.Cells[i]
		binary.LittleEndian.PutUint32(b[0:], uint32(c.First))
		binary.LittleEndian.PutUint32(b[4:], uint32(c.Last))
		binary.LittleEndian.PutUint32(b[8:], uint32(c.Rule))
		binary.LittleEndian.PutUint32(b[12:], uint32(len(c.If)))
		h.Write(b[:])
	}
	binary.LittleEndian.PutUint32(b[0:], uint32(d.Before))
	binary.LittleEndian.PutUint32(b[4:], uint32(d.Else))
	h.Write(b[:8])
	return h.Sum64()
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

// overlay returns upper's cells, and lower's where upper has none. The result may
// share memory with lower.
func overlay(upper, lower []Cell) []Cell {
	if len(upper) == 0 {
		return lower
	}
	out := make([]Cell, 0, len(upper)+len(lower))
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
			cells = overlay(cells, ds[b].Cells)
		}
		cells = overlay(cells, ds[id].Cells)
	}
	return cells
}
