package space

import (
	"net/netip"
	"slices"

	"go4.org/netipx"

	"github.com/trafficpolicy/trafficpolicy/model"
)

// Difference is a block of packets that two tables decide differently: every
// address from First to Last with every point of L4. A and B are the rules that
// decide Witness, the first packet of the block, on either side; elsewhere in
// the block other rules may, with the same outcome.
type Difference struct {
	First, Last netip.Addr
	L4          model.L4Range
	Kind        Kind
	A, B        int32
	Witness     Packet
}

// Prefixes returns the addresses of d as the fewest prefixes.
func (d *Difference) Prefixes() []netip.Prefix {
	return netipx.IPRangeFrom(d.First, d.Last).Prefixes()
}

// Kind tells differences apart, as the caller sees them. Blocks of different
// kinds are never merged.
type Kind int32

// Same is the Kind of no difference.
const Same Kind = 0

// Judge returns the kind of difference between rule a of one table and rule b of
// another. Either may be NoRule.
type Judge func(a, b int32) Kind

// Kinds of [Compare].
const (
	NewlyAllowed Kind = 1 + iota
	NewlyDenied
)

// Compare returns where list b decides otherwise than list a for some value of the
// atoms, with kinds NewlyAllowed and NewlyDenied; atoms of one name are one in
// both lists. A packet that different values decide both ways counts by its
// witness. Errors are those of [Flatten].
func Compare(a, b *model.RuleList, f model.Family) ([]Difference, error) {
	ta, err := Flatten(a, f)
	if err != nil {
		return nil, err
	}
	tb, err := Flatten(b, f)
	if err != nil {
		return nil, err
	}
	return CompareTables(ta, tb, verdicts(a, b)), nil
}

// verdicts judges rules of list a and of list b by their verdicts.
func verdicts(a, b *model.RuleList) Judge {
	return func(ra, rb int32) Kind {
		switch before, after := allows(a, ra), allows(b, rb); {
		case before == after:
			return Same
		case after:
			return NewlyAllowed
		}
		return NewlyDenied
	}
}

// allows returns the verdict of rule r of list.
func allows(list *model.RuleList, r int32) bool {
	if r == NoRule {
		return !list.Isolated
	}
	return list.Rules[r].Action.Allows()
}

// CompareTables returns where tables a and b of one family differ as judge sees
// it: disjoint blocks, sorted by address, then L4. A block goes on as far as
// addresses that follow one another have a difference of its kind on the same L4.
func CompareTables(a, b *Table, judge Judge) []Difference {
	c := comparer{a: a, b: b, judge: judge, known: newPairCache[[]model.L4Range](a), cells: newPairCache[[]diffCell](a), ifs: map[ifPair]int{}}
	var out []Difference
	var open []int // blocks that reach up to the current address
	ra, rb := a.Ranges(), b.Ranges()
	for i, j := 0, 0; i < len(ra) && j < len(rb); {
		first, last := later(ra[i].First, rb[j].First), earlier(ra[i].Last, rb[j].Last)
		out, open = extend(out, open, first, last, c.differ(pair{ra[i].Decision, rb[j].Decision}))
		if ra[i].Last == last {
			i++
		}
		if rb[j].Last == last {
			j++
		}
	}
	slices.SortFunc(out, func(x, y Difference) int {
		if o := x.First.Compare(y.First); o != 0 {
			return o
		}
		return int(x.L4.First) - int(y.L4.First)
	})
	return out
}

// extend lengthens open blocks that go on in cells, and opens the others.
func extend(out []Difference, open []int, first, last netip.Addr, cells []diffCell) ([]Difference, []int) {
	var next []int
	for _, d := range cells {
		// open is sorted by L4, as cells are.
		for len(open) > 0 && out[open[0]].L4.First < d.First {
			open = open[1:]
		}
		if len(open) > 0 && out[open[0]].L4 == d.L4Range && out[open[0]].Kind == d.kind {
			out[open[0]].Last = last
			next = append(next, open[0])
			continue
		}
		next = append(next, len(out))
		out = append(out, Difference{
			First: first, Last: last, L4: d.L4Range, Kind: d.kind, A: d.a, B: d.b,
			Witness: Packet{Addr: first, L4: d.First, In: d.in},
		})
	}
	return out, next
}

func later(a, b netip.Addr) netip.Addr {
	if a.Less(b) {
		return b
	}
	return a
}

func earlier(a, b netip.Addr) netip.Addr {
	if b.Less(a) {
		return b
	}
	return a
}

// pair is a decision of each table.
type pair struct{ a, b DecisionID }

// pairCache holds what is known of pairs.
type pairCache[T any] struct {
	// first holds, by decision of a plus one, the first decision of b that it met
	// and rest all other pairs that met: most decisions meet one.
	first []firstPair[T]
	rest  map[pair]T
}

type firstPair[T any] struct {
	known bool
	with  DecisionID
	value T
}

func newPairCache[T any](a *Table) *pairCache[T] {
	return &pairCache[T]{make([]firstPair[T], len(a.Decisions)+1), make(map[pair]T)}
}

func (c *pairCache[T]) get(p pair) (T, bool) {
	if f := &c.first[p.a+1]; f.known && f.with == p.b {
		return f.value, true
	}
	value, ok := c.rest[p]
	return value, ok
}

func (c *pairCache[T]) put(p pair, value T) {
	if f := &c.first[p.a+1]; !f.known {
		*f = firstPair[T]{true, p.b, value}
	} else {
		c.rest[p] = value
	}
}

// diffCell is a stretch on which a pair differs.
type diffCell struct {
	model.L4Range
	kind Kind
	a, b int32
	in   []model.Atom
}

type comparer struct {
	a, b  *Table
	judge Judge
	known *pairCache[[]model.L4Range]
	cells *pairCache[[]diffCell]
	ifs   map[ifPair]int // what alike said
}

// differ returns where the decisions of p differ, neighbours of one kind merged.
func (c *comparer) differ(p pair) []diffCell {
	if out, ok := c.cells.get(p); ok {
		return out
	}
	look := c.suspect(p)
	if c.judge(NoRule, NoRule) != Same {
		look = model.EveryL4 // wherever no rule matches
	}
	var out []diffCell
	x, y := c.a.decision(p.a), c.b.decision(p.b)
	for _, r := range look {
		c.each(&x, &y, r, func(r model.L4Range, x, y *Cell) {
			d := c.outcome(x, y)
			d.L4Range = r
			if n := len(out); d.kind != Same && n > 0 && out[n-1].Last+1 == r.First && out[n-1].kind == d.kind {
				out[n-1].Last = r.Last
			} else if d.kind != Same {
				out = append(out, d)
			}
		})
	}
	c.cells.put(p, out)
	return out
}

// each goes through r in stretches on which both decisions have one cell.
func (c *comparer) each(x, y *Decision, r model.L4Range, f func(r model.L4Range, x, y *Cell)) {
	for at := r.First; at <= r.Last; {
		p, q := c.a.at(x, at), c.b.at(y, at)
		last := min(p.Last, q.Last, r.Last)
		f(model.L4Range{First: at, Last: last}, &p, &q)
		at = last + 1
	}
}

// suspect returns, sorted and disjoint, where the decisions of p may differ; where
// it has nothing, they do not, and neither holds a point that the other lacks.
// What they share by Before and Else is looked at once.
func (c *comparer) suspect(p pair) []model.L4Range {
	if p.a == NoDecision && p.b == NoDecision {
		return nil
	}
	if out, ok := c.known.get(p); ok {
		return out
	}
	x, y := c.a.decision(p.a), c.b.decision(p.b)
	look := slices.Clone(c.suspect(pair{x.Else, y.Else}))
	for _, cells := range [][]Cell{x.Cells, y.Cells} {
		for i := range cells {
			look = append(look, cells[i].L4Range)
		}
	}
	// Where what comes before is alike, it is alike whatever the rest says.
	out := slices.Clone(c.suspect(pair{x.Before, y.Before}))
	x.Before, y.Before = NoDecision, NoDecision
	for _, r := range model.NewL4Set(look...) {
		c.each(&x, &y, r, func(r model.L4Range, x, y *Cell) {
			lacks := (x.Rule == NoRule) != (y.Rule == NoRule) || (x.If == nil) != (y.If == nil)
			if lacks || c.outcome(x, y).kind != Same {
				out = append(out, r)
			}
		})
	}
	out = model.NewL4Set(out...)
	c.known.put(p, out)
	return out
}

// outcome judges two cells under every value of their atoms, and returns a value
// under which they differ. The two rules that decide need at most one atom each;
// all others can be false.
func (c *comparer) outcome(x, y *Cell) diffCell {
	if k := c.judge(x.Rule, y.Rule); k != Same {
		return diffCell{kind: k, a: x.Rule, b: y.Rule}
	}
	// Where both lists begin alike, an address in one of those atoms is decided alike.
	same := c.alike(x.If, y.If)
	if same == len(x.If) && same == len(y.If) {
		return diffCell{}
	}
	p, q := newConditional(x, same), newConditional(y, same)
	for _, cond := range slices.Concat(p.If, q.If) {
		if d := c.under(p, q, cond.Atom); d.kind != Same {
			return d
		}
	}
	// Where both sides have the same atoms in the same order, they decide by the same
	// atom wherever an address is in several, and each alone was judged. Otherwise they
	// can decide by one each, and what a judge says of these two follows from nothing:
	// rules that conflict are each no conflict with the lack of a rule.
	if sameAtoms(p.If, q.If) {
		return diffCell{}
	}
	for i := range p.If {
		for j := range q.If {
			if d := c.under(p, q, p.If[i].Atom, q.If[j].Atom); d.kind != Same {
				return d
			}
		}
	}
	return diffCell{}
}

// under judges two cells for an address in exactly these atoms.
func (c *comparer) under(p, q *conditional, in ...model.Atom) diffCell {
	d := diffCell{a: p.first(in), b: q.first(in)}
	if d.kind = c.judge(d.a, d.b); d.kind != Same {
		d.in = slices.Clone(in)
	}
	return d
}

// ifPair is a list of conditions of each table, by where it begins: lists are shared.
type ifPair struct {
	a, b *Conditional
	n    int
}

// alike returns how many conditions two lists have in common from the first on: the
// same atoms in the same order, with rules that are judged alike.
func (c *comparer) alike(x, y []Conditional) int {
	n := min(len(x), len(y))
	if n == 0 {
		return 0
	}
	key := ifPair{&x[0], &y[0], n}
	if same, ok := c.ifs[key]; ok {
		return same
	}
	same := 0
	for same < n && x[same].Atom == y[same].Atom && c.judge(x[same].Rule, y[same].Rule) == Same {
		same++
	}
	c.ifs[key] = same
	return same
}

// conditional is what a cell says of addresses that are in none of its first atoms.
type conditional struct {
	*Cell
	If []Conditional
	at map[model.Atom]int // index in If
}

func newConditional(c *Cell, without int) *conditional {
	p := &conditional{c, c.If[without:], make(map[model.Atom]int, len(c.If)-without)}
	for i := range p.If {
		p.at[p.If[i].Atom] = i
	}
	return p
}

// place returns where an atom stands, behind all if it is none of them.
func (p *conditional) place(atom model.Atom) int {
	if i, ok := p.at[atom]; ok {
		return i
	}
	return len(p.If)
}

func sameAtoms(x, y []Conditional) bool {
	return slices.EqualFunc(x, y, func(a, b Conditional) bool { return a.Atom == b.Atom })
}

// first returns the rule that decides for an address in exactly these atoms.
func (p *conditional) first(in []model.Atom) int32 {
	first := len(p.If)
	for _, atom := range in {
		first = min(first, p.place(atom))
	}
	if first < len(p.If) {
		return p.If[first].Rule
	}
	return p.Rule
}
