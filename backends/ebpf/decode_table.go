package ebpf

import (
	"cmp"
	"encoding/binary"
	"errors"
	"net/netip"
	"slices"

	"github.com/trafficpolicy/trafficpolicy/compiler/space"
	"github.com/trafficpolicy/trafficpolicy/model"
)

// maxWritten bounds the ranges of addresses and the cells of one table: what a
// graph says in few nodes can be much to write down.
const maxWritten = 1 << 23

// Table returns what the graph decides from root on for peers of family f. Rules
// of its cells are indices in Tables.Deciders and never [space.NoRule]; conditions
// are the atoms "fqdn NAME". It returns an error for graphs that no compiler writes:
// a chain that leads on to a search, or too many ranges or cells to write down.
func (d *Decoded) Table(root Ref, f model.Family) (*space.Table, error) {
	left := maxWritten
	return d.table(root, f, &left, indexOf)
}

// indexOf returns the index of a terminal's decider.
func indexOf(r Ref) int32 { return int32(r.index()) }

// table is Table with at most so many ranges and cells, which it takes off. rule
// returns what stands in a cell for the terminal of a decider.
func (d *Decoded) table(root Ref, f model.Family, left *int, rule func(Ref) int32) (*space.Table, error) {
	t := &tabler{
		Decoded: d, family: f, left: left, rule: rule,
		known: map[Ref]space.DecisionID{}, firsts: map[Ref]space.DecisionID{}, ifs: map[uint32][]space.Conditional{},
	}
	t.table.Family = f
	t.levels = 1
	if f == model.IPv6 {
		t.levels = 4
	}
	t.addresses(root, 0, [4]uint32{})
	if t.err != nil {
		return nil, t.err
	}
	return space.FromRanges(f, t.ranges, t.table.Decisions), nil
}

type tabler struct {
	*Decoded
	family model.Family
	levels int // words of an address
	table  space.Table
	ranges []space.Range
	rule   func(Ref) int32
	known  map[Ref]space.DecisionID
	firsts map[Ref]space.DecisionID       // of first parts of sequences
	ifs    map[uint32][]space.Conditional // by chain
	left   *int                           // ranges and cells that may still be written
	err    error
}

// addresses adds the ranges of r, behind the words of an address that are known.
func (t *tabler) addresses(r Ref, level int, known [4]uint32) {
	switch {
	case t.err != nil:
		return
	case r.Terminal() || r.kind() >= KindChain || r.word() == WordL4:
		t.add(known, known, level, r)
		return
	case r.word() != WordPeer+level:
		t.err = errors.New("a search leaves out a word of the address")
		return
	}
	t.intervals(r, func(first, last uint32, r Ref) {
		from, to := known, known
		from[level], to[level] = first, last
		if r.Terminal() || r.kind() >= KindChain || r.word() == WordL4 {
			t.add(from, to, level+1, r)
			return
		}
		for x := uint64(first); x <= uint64(last) && t.err == nil; x++ {
			from[level] = uint32(x)
			t.addresses(r, level+1, from)
		}
	})
}

// add adds the range of addresses with the first words between from and to.
func (t *tabler) add(from, to [4]uint32, level int, r Ref) {
	if t.spend(); t.err != nil {
		return
	}
	for i := level; i < t.levels; i++ {
		from[i], to[i] = 0, 0xffffffff
	}
	id := t.decision(r)
	if n := len(t.ranges); n > 0 && t.ranges[n-1].Decision == id {
		t.ranges[n-1].Last = t.addr(to)
		return
	}
	t.ranges = append(t.ranges, space.Range{First: t.addr(from), Last: t.addr(to), Decision: id})
}

func (t *tabler) addr(w [4]uint32) netip.Addr {
	var b [16]byte
	for i, x := range w {
		binary.BigEndian.PutUint32(b[4*i:], x)
	}
	if t.family == model.IPv4 {
		return netip.AddrFrom4([4]byte(b[:4]))
	}
	return netip.AddrFrom16(b)
}

// intervals calls f with each interval of a search node.
func (t *tabler) intervals(r Ref, f func(first, last uint32, r Ref)) {
	slot, keys := r.slot(), lineKeys
	switch k := r.kind(); {
	case k == KindSmall:
		keys = smallKeys
	case k == KindMedium:
		keys = mediumKeys
	case k != KindLarge:
		slot = t.at(slot, rootKeys+k-KindTree1)
	}
	for first := uint32(0); ; slot += 4 { // the next leaf of a tree
		for i := range keys + 1 {
			if i == keys && keys == lineKeys {
				break // a leaf of as many intervals as keys
			}
			last := uint32(0xffffffff)
			if i < keys {
				last = t.at(slot, i)
			}
			f(first, last, Ref(t.at(slot, keys+i)))
			if last == 0xffffffff {
				return
			}
			first = last + 1
		}
	}
}

// decision returns the decision of r, behind the address.
func (t *tabler) decision(r Ref) space.DecisionID {
	if id, ok := t.known[r]; ok {
		return id
	}
	var d space.Decision
	if !r.Terminal() && r.kind() == KindSequence {
		d = t.sequence(r)
	} else {
		d = space.Decision{Before: space.NoDecision, Else: space.NoDecision}
		t.cells(&d, r, model.AllL4)
	}
	id := t.intern(d)
	t.known[r] = id
	return id
}

func (t *tabler) intern(d space.Decision) space.DecisionID {
	t.table.Decisions = append(t.table.Decisions, d)
	return space.DecisionID(len(t.table.Decisions) - 1)
}

// sequence returns the decision of a sequence: the first part is before it.
func (t *tabler) sequence(r Ref) space.Decision {
	before := t.first(Ref(t.at(r.slot(), 0)))
	id := t.decision(Ref(t.at(r.slot(), 1)))
	if d := t.table.Decisions[id]; d.Before == space.NoDecision {
		d.Before = before
		return d
	}
	return space.Decision{Before: before, Else: id}
}

// first returns the decision of the first part of a sequence, as cells alone. Many
// sequences have it in common.
func (t *tabler) first(r Ref) space.DecisionID {
	if id, ok := t.firsts[r]; ok {
		return id
	}
	d := space.Decision{Before: space.NoDecision, Else: space.NoDecision}
	switch {
	case r.Terminal() || r.kind() == KindChain:
		t.cells(&d, r, model.AllL4)
	default:
		// Searches below are written out: where this one ends at NoMatch, what they say
		// elsewhere does not count.
		t.intervals(r, func(first, last uint32, r Ref) {
			if model.L4(first) <= model.L4Last && t.err == nil {
				t.within(&d, r, model.L4Range{First: model.L4(first), Last: min(model.L4(last), model.L4Last)})
			}
		})
	}
	id := t.intern(d)
	t.firsts[r] = id
	return id
}

// within adds to the first part of a sequence what r decides on a stretch of the axis.
func (t *tabler) within(d *space.Decision, r Ref, on model.L4Range) {
	if r.Terminal() || r.kind() == KindChain {
		t.cells(d, r, on)
		return
	}
	cells := t.table.Decisions[t.first(r)].Cells
	i, _ := slices.BinarySearchFunc(cells, on.First, func(c space.Cell, at model.L4) int { return cmp.Compare(c.Last, at) })
	for ; i < len(cells) && cells[i].First <= on.Last && t.err == nil; i++ {
		c := cells[i]
		c.First, c.Last = max(c.First, on.First), min(c.Last, on.Last)
		t.append(d, c)
	}
}

// cells adds to d what r decides on a stretch of the axis: of the first part of a
// sequence a terminal or a chain alone. One search below is what d does where it has no
// cell; others are written out.
func (t *tabler) cells(d *space.Decision, r Ref, on model.L4Range) {
	switch {
	case t.err != nil:
	case r == NoMatch:
	case r.Terminal():
		t.append(d, space.Cell{L4Range: on, Rule: t.rule(r)})
	case r.kind() == KindChain:
		otherwise := Ref(t.at(r.slot(), 1))
		if !otherwise.Terminal() || otherwise == NoMatch {
			t.err = errors.New("a chain leads on to a search")
			return
		}
		t.append(d, space.Cell{L4Range: on, Rule: t.rule(otherwise), If: t.conditions(t.at(r.slot(), 0))})
	default:
		t.intervals(r, func(first, last uint32, r Ref) {
			if model.L4(first) <= model.L4Last {
				t.below(d, r, model.L4Range{First: model.L4(first), Last: min(model.L4(last), model.L4Last)})
			}
		})
	}
}

// below adds what an interval of a search leads to.
func (t *tabler) below(d *space.Decision, r Ref, on model.L4Range) {
	if r.Terminal() || r.kind() == KindChain {
		t.cells(d, r, on)
		return
	}
	id := t.decision(r)
	if d.Else == space.NoDecision || d.Else == id {
		d.Else = id
		return
	}
	for _, c := range t.table.Cells(id) {
		if c.First, c.Last = max(c.First, on.First), min(c.Last, on.Last); c.First <= c.Last {
			t.append(d, c)
		}
	}
}

// conditions returns the names of a chain with what they lead to.
func (t *tabler) conditions(chain uint32) []space.Conditional {
	if out, ok := t.ifs[chain]; ok {
		return out
	}
	var out []space.Conditional
	for _, l := range t.Tables.Chains[chain] {
		if _, _, ok := l.Ref.Decider(); !ok {
			t.err = errors.New("a chain leads on to a search")
			return nil
		}
		out = append(out, space.Conditional{Atom: model.Atom("fqdn " + l.Name), Rule: t.rule(l.Ref)})
	}
	t.ifs[chain] = out
	return out
}

// append appends c, or lengthens the cell before it, where that says the same.
func (t *tabler) append(d *space.Decision, c space.Cell) {
	if n := len(d.Cells); n > 0 {
		last := &d.Cells[n-1]
		same := last.Rule == c.Rule && len(last.If) == len(c.If) && (len(c.If) == 0 || &last.If[0] == &c.If[0])
		if same && last.Last+1 == c.First {
			last.Last = c.Last
			return
		}
	}
	if t.spend(); t.err == nil {
		d.Cells = append(d.Cells, c)
	}
}

// spend counts what is written.
func (t *tabler) spend() {
	if *t.left--; *t.left < 0 && t.err == nil {
		t.err = errors.New("it has too many ranges of addresses or ports to write down")
	}
}
