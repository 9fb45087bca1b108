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
	byHash    map[uint64][]DecisionID
	seed      maphash.Seed
}

func newStore() *store {
	return &store{byHash: make(map[uint64][]DecisionID), seed: maphash.MakeSeed()}
}

// A decision takes over the cells of its Else where these are few: at most
// smallElse, or growth times its own. So small decisions are written out, which
// makes equal ones meet, and along a chain the number of cells grows by the
// factor, which bounds its links (model.L4Last has 18 bits).
const (
	smallElse = 8
	growth    = 4
)

// put returns the decision of cells before rest.
func (s *store) put(cells []Cell, rest DecisionID) DecisionID {
	for rest != NoDecision && !coversAll(cells) {
		below := &s.decisions[rest]
		if len(below.Cells) > max(smallElse, growth*len(cells)) {
			break
		}
		cells, rest = overlay(cells, below.Cells), below.Else
	}
	if coversAll(cells) {
		rest = NoDecision
	}
	return s.intern(Decision{Cells: cells, Else: rest})
}

// intern returns the number of d, which is new if no equal one is kept. Numbers
// are in order of first use: the hash decides nothing that can be seen.
func (s *store) intern(d Decision) DecisionID {
	h := s.hash(&d)
	for _, id := range s.byHash[h] {
		if sameDecision(&s.decisions[id], &d) {
			return id
		}
	}
	id := DecisionID(len(s.decisions))
	s.decisions = append(s.decisions, Decision{slices.Clip(d.Cells), d.Else})
	s.byHash[h] = append(s.byHash[h], id)
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
	binary.LittleEndian.PutUint32(b[0:], uint32(d.Else))
	h.Write(b[:4])
	return h.Sum64()
}

func sameDecision(a, b *Decision) bool {
	return a.Else == b.Else && slices.EqualFunc(a.Cells, b.Cells, func(x, y Cell) bool {
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

// overlay returns upper's cells, and lower's where upper has none.
func overlay(upper, lower []Cell) []Cell {
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

// Cells returns what decision id says, with its Else chain followed: sorted,
// disjoint cells, neighbours that abut differ. No rule matches where none is.
func (t *Table) Cells(id DecisionID) []Cell {
	var cells []Cell
	for ; id != NoDecision; id = t.Decisions[id].Else {
		if cells == nil {
			cells = t.Decisions[id].Cells
			continue
		}
		cells = overlay(cells, t.Decisions[id].Cells)
	}
	return cells
}
