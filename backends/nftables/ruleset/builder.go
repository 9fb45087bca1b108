package ruleset

import (
	"encoding/binary"
	"hash/maphash"
	"slices"

	"github.com/trafficpolicy/trafficpolicy/backends/nftables/command"
	"github.com/trafficpolicy/trafficpolicy/compiler/space"
	"github.com/trafficpolicy/trafficpolicy/model"
)

// Bounds of what one list is written down as, beyond what any compiler writes.
const (
	maxCells = 1 << 23 // cells of all decisions, and conditions of all cells
	maxWork  = 1 << 28 // cells and ranges that are gone through
	// maxBehind is how many decisions stand behind one another: who reads them goes down
	// that far.
	maxBehind = 1 << 14
)

// builder writes down what one list decides. A decision of its table is partial
// until what follows it in the list is known: a point that no cell holds, or a
// cell with [space.NoRule], goes on to that.
type builder struct {
	d *decoder
	use
	decisions []space.Decision
	// returns says of each decision whether it holds points only to return.
	returns []bool
	behind  []int32 // of each decision, how many stand behind it
	byHash  map[uint64][]space.DecisionID
	seed    maphash.Seed
	buf     []byte

	verdicts map[command.Verdict]space.DecisionID
	chains   map[portChain]space.DecisionID
	portMaps map[string][]space.Cell
	composed map[[2]space.DecisionID]space.DecisionID

	// Where a list has domain names, the rule of a cell is an index in origins.
	segment int
	origins []origin
	marks   map[origin]int32
	conds   []conditions // by segment; one, of none, in a list without names

	cells, left int // of maxCells and maxWork
}

func newBuilder(d *decoder, u use) *builder {
	return &builder{
		d: d, use: u, cells: maxCells, left: maxWork, seed: maphash.MakeSeed(),
		byHash: map[uint64][]space.DecisionID{}, verdicts: map[command.Verdict]space.DecisionID{},
		chains: map[portChain]space.DecisionID{}, portMaps: map[string][]space.Cell{},
		composed: map[[2]space.DecisionID]space.DecisionID{}, marks: map[origin]int32{},
	}
}

// whole returns the decision of a rule at every point.
func (b *builder) whole(rule int32) space.DecisionID {
	return b.put([]space.Cell{{L4Range: model.AllL4, Rule: b.mark(rule)}}, space.NoDecision)
}

// growth bounds how many more cells a decision takes over than it has.
const growth = 8

// put returns the decision of cells, sorted and disjoint, before rest.
func (b *builder) put(cells []space.Cell, rest space.DecisionID) space.DecisionID {
	if len(cells) == 0 {
		return rest
	}
	for rest != space.NoDecision {
		below := &b.decisions[rest]
		if below.Before != space.NoDecision || len(below.Cells) > growth*len(cells) {
			break
		}
		cells, rest = b.overlay(cells, below.Cells), below.Else
	}
	return b.intern(space.Decision{Before: space.NoDecision, Cells: cells, Else: rest})
}

// overlay returns upper's cells, and lower's where upper has none.
func (b *builder) overlay(upper, lower []space.Cell) []space.Cell {
	b.left -= len(upper) + len(lower)
	out := make([]space.Cell, 0, len(upper)+len(lower))
	next := model.L4(0) // first point not yet decided
	fill := func(end model.L4) {
		for len(lower) > 0 && lower[0].First < end {
			c := lower[0]
			c.First, c.Last = max(c.First, next), min(c.Last, end-1)
			if c.First <= c.Last {
				out = appendCell(out, c)
			}
			if lower[0].Last >= end {
				return // the rest of it stands behind the upper cell
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

// appendCell appends c, or lengthens the cell before it, where that says the same.
func appendCell(out []space.Cell, c space.Cell) []space.Cell {
	if n := len(out); n > 0 {
		if last := &out[n-1]; last.Last+1 == c.First && last.Rule == c.Rule && sameIf(last.If, c.If) {
			last.Last = c.Last
			return out
		}
	}
	return append(out, c)
}

// sameIf reports whether conditions are the same ones; they are kept once.
func sameIf(a, b []space.Conditional) bool {
	return len(a) == len(b) && (len(a) == 0 || &a[0] == &b[0])
}

// intern returns the number of d, which is new if no equal decision is kept.
func (b *builder) intern(d space.Decision) space.DecisionID {
	if coversAll(d.Cells) {
		d.Else = space.NoDecision
	}
	b.left -= len(d.Cells)
	h := b.hash(&d)
	for _, id := range b.byHash[h] {
		x := &b.decisions[id]
		if x.Before == d.Before && x.Else == d.Else && slices.EqualFunc(x.Cells, d.Cells, func(a, c space.Cell) bool {
			return a.L4Range == c.L4Range && a.Rule == c.Rule && sameIf(a.If, c.If)
		}) {
			return id
		}
	}
	id := space.DecisionID(len(b.decisions))
	b.decisions = append(b.decisions, d)
	b.returns = append(b.returns, d.Else != space.NoDecision && b.returns[d.Else] ||
		slices.ContainsFunc(d.Cells, func(c space.Cell) bool { return c.Rule == space.NoRule }))
	behind := int32(0)
	if d.Else != space.NoDecision {
		behind = b.behind[d.Else] + 1
	}
	b.behind = append(b.behind, behind)
	b.byHash[h] = append(b.byHash[h], id)
	if b.cells -= len(d.Cells); behind > maxBehind {
		b.left = -1
	}
	return id
}

func (b *builder) hash(d *space.Decision) uint64 {
	buf := b.buf[:0]
	for i := range d.Cells {
		c := &d.Cells[i]
		buf = binary.LittleEndian.AppendUint32(buf, uint32(c.First))
		buf = binary.LittleEndian.AppendUint32(buf, uint32(c.Last))
		buf = binary.LittleEndian.AppendUint32(buf, uint32(c.Rule))
		buf = binary.LittleEndian.AppendUint32(buf, uint32(len(c.If)))
	}
	buf = binary.LittleEndian.AppendUint32(buf, uint32(d.Before))
	buf = binary.LittleEndian.AppendUint32(buf, uint32(d.Else))
	b.buf = buf
	return maphash.Bytes(b.seed, buf)
}

func coversAll(cells []space.Cell) bool {
	next := model.L4(0)
	for i := range cells {
		if cells[i].First != next {
			return false
		}
		next = cells[i].Last + 1
	}
	return next > model.L4Last
}

// spent reports whether more was written or gone through than any compiler makes
// necessary. What is written then is of no use.
func (b *builder) spent() bool { return b.left < 0 || b.cells < 0 }

// then returns decision id where it decides, and rest elsewhere.
func (b *builder) then(id, rest space.DecisionID) space.DecisionID {
	if id == space.NoDecision || rest == space.NoDecision || b.spent() {
		return max(id, rest) // NoDecision is -1
	}
	key := [2]space.DecisionID{id, rest}
	if out, ok := b.composed[key]; ok {
		return out
	}
	d := b.decisions[id]
	var out space.DecisionID
	switch {
	case b.returns[id]:
		out = b.put(b.passed(b.flat(id), rest), rest)
	case d.Before == space.NoDecision:
		out = b.put(d.Cells, b.then(d.Else, rest))
	default:
		out = b.intern(space.Decision{Before: d.Before, Cells: d.Cells, Else: b.then(d.Else, rest)})
	}
	b.composed[key] = out
	return out
}

// flat returns all cells of a decision.
func (b *builder) flat(id space.DecisionID) []space.Cell {
	var cells []space.Cell
	for ; id != space.NoDecision && !b.spent(); id = b.decisions[id].Else {
		d := &b.decisions[id]
		if d.Before != space.NoDecision {
			cells = b.overlay(cells, b.decisions[d.Before].Cells)
		}
		cells = b.overlay(cells, d.Cells)
	}
	return cells
}

// passed returns cells with what rest decides in place of those that return.
func (b *builder) passed(cells []space.Cell, rest space.DecisionID) []space.Cell {
	below := b.flat(rest)
	var out []space.Cell
	for _, c := range cells {
		if c.Rule != space.NoRule {
			out = appendCell(out, c)
			continue
		}
		i, _ := slices.BinarySearchFunc(below, c.First, func(x space.Cell, at model.L4) int { return int(x.Last) - int(at) })
		for ; i < len(below) && below[i].First <= c.Last; i++ {
			x := below[i]
			x.First, x.Last = max(x.First, c.First), min(x.Last, c.Last)
			out = appendCell(out, x)
		}
	}
	b.left -= len(out)
	return out
}

// before returns decision id before rest as then does, so that many decisions can
// share id.
func (b *builder) before(id, rest space.DecisionID) space.DecisionID {
	if id == space.NoDecision {
		return rest
	}
	d := &b.decisions[id]
	if d.Before != space.NoDecision || d.Else != space.NoDecision || len(d.Cells) <= growth || b.returns[id] {
		return b.then(id, rest)
	}
	behind := space.Decision{Before: space.NoDecision, Else: rest}
	if rest != space.NoDecision {
		if r := b.decisions[rest]; r.Before == space.NoDecision {
			behind = r
		}
	}
	behind.Before = id
	return b.intern(behind)
}
