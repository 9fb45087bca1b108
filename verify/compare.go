package verify

import (
	"fmt"
	"net/netip"
	"slices"

	"github.com/trafficpolicy/trafficpolicy/compiler/space"
	"github.com/trafficpolicy/trafficpolicy/model"
)

// label is what a comparison tells decisions apart by: rules of one label need
// not be told apart.
type label int32

// side is one of the two rule lists of a comparison, for one family.
type side struct {
	table *space.Table
	label func(rule int32) label // of a rule, or of space.NoRule
}

// verdictKind is how two decisions differ; the zero verdictKind is not at all.
type verdictKind uint8

const (
	opened verdictKind = 1 + iota // deny, then allow
	closed                        // allow, then deny
)

// comparison finds every packet that two rule lists decide differently, under
// every value of the atoms.
type comparison struct {
	a, b side
	// judge says how decisions of two labels differ.
	judge func(a, b label) verdictKind

	// firsts holds, by decision of a, the first decision of b that it met, and pairs
	// all other pairs that met: most meet one.
	firsts []firstPair
	pairs  map[[2]space.DecisionID][]*pairBlock
}

// firstPair is a decision, plus one, with what is different where it is met.
type firstPair struct {
	with   space.DecisionID
	blocks []*pairBlock
}

// maxBranches bounds the combinations of unresolved names that are looked at for
// one stretch of packets.
const maxBranches = 1 << 16

// pairBlock is what is different, in one way, at addresses where two decisions meet.
type pairBlock struct {
	kind          verdictKind
	when          condition
	l4            model.L4Set
	before, after []int32 // rules that decide, each once, in order
	key           string
	// in, a and b are a value of the atoms for which the first point of l4 is
	// different, and the rules that decide it.
	in   []model.Atom
	a, b int32
}

// run calls emit for each stretch of addresses with what is different there, in
// the order of addresses.
func (c *comparison) run(emit func(first, last netip.Addr, blocks []*pairBlock)) error {
	c.firsts = make([]firstPair, len(c.a.table.Decisions))
	c.pairs = map[[2]space.DecisionID][]*pairBlock{}
	ra, rb := c.a.table.Ranges(), c.b.table.Ranges()
	for len(ra) > 0 && len(rb) > 0 {
		first, last := ra[0].First, ra[0].Last
		if first.Less(rb[0].First) {
			first = rb[0].First
		}
		if rb[0].Last.Less(last) {
			last = rb[0].Last
		}
		blocks, err := c.differ(ra[0].Decision, rb[0].Decision)
		if err != nil {
			return err
		}
		if len(blocks) > 0 {
			emit(first, last, blocks)
		}
		if ra[0].Last == last {
			ra = ra[1:]
		}
		if rb[0].Last == last {
			rb = rb[1:]
		}
	}
	return nil
}

// differ returns how two decisions differ: one block for each kind and condition.
func (c *comparison) differ(a, b space.DecisionID) ([]*pairBlock, error) {
	key, first := [2]space.DecisionID{a, b}, &c.firsts[a]
	if first.with == b+1 {
		return first.blocks, nil
	}
	if blocks, ok := c.pairs[key]; ok {
		return blocks, nil
	}
	p := pairing{comparison: c}
	x, y := c.a.table.Cells(a), c.b.table.Cells(b)
	for at := model.L4(0); at <= model.L4Last; {
		cx, restX := cellAt(x, at)
		cy, restY := cellAt(y, at)
		last := min(cx.Last, cy.Last)
		if err := p.cells(model.L4Range{First: at, Last: last}, &cx, &cy); err != nil {
			return nil, err
		}
		x, y, at = restX, restY, last+1
	}
	for _, block := range p.order {
		block.finish()
	}
	if first.with == 0 {
		*first = firstPair{b + 1, p.order}
	} else {
		c.pairs[key] = p.order
	}
	return p.order, nil
}

// cellAt returns what cells, none of which ends before at, say of at: a cell, or
// the gap before the first. rest are the cells that do not end before that.
func cellAt(cells []space.Cell, at model.L4) (c space.Cell, rest []space.Cell) {
	for len(cells) > 0 && cells[0].Last < at {
		cells = cells[1:]
	}
	switch {
	case len(cells) == 0:
		return space.Cell{L4Range: model.L4Range{First: at, Last: model.L4Last}, Rule: space.NoRule}, nil
	case cells[0].First > at:
		return space.Cell{L4Range: model.L4Range{First: at, Last: cells[0].First - 1}, Rule: space.NoRule}, cells
	}
	return cells[0], cells
}

// pairing collects the blocks of one pair of decisions.
type pairing struct {
	*comparison
	blocks map[string]*pairBlock
	order  []*pairBlock
}

// cells compares two cells on r.
func (p *pairing) cells(r model.L4Range, x, y *space.Cell) error {
	if x.If == nil && y.If == nil {
		if k := p.judge(p.a.label(x.Rule), p.b.label(y.Rule)); k != 0 {
			p.add(r, k, condition{}, []int32{x.Rule}, []int32{y.Rule}, x, y)
		}
		return nil
	}
	bx, by := branches(x, p.a.label), branches(y, p.b.label)
	same := 0 // where both begin alike, an address is in one branch of both
	for same < min(len(bx), len(by)) && bx[same].label == by[same].label && slices.Equal(bx[same].in, by[same].in) && p.judge(bx[same].label, by[same].label) == 0 {
		same++
	}
	if (len(bx)-same)*(len(by)-same) > maxBranches {
		return fmt.Errorf("more than %d combinations of unresolved names decide %s: give their addresses by --resolve or an inventory", maxBranches, r)
	}
	for i := same; i < len(bx); i++ {
		for j := same; j < len(by); j++ {
			k := p.judge(bx[i].label, by[j].label)
			if k == 0 {
				continue
			}
			if when, ok := join(bx[:i+1], by[:j+1]); ok {
				p.add(r, k, when, bx[i].deciding(&when, by[j].in), by[j].deciding(&when, bx[i].in), x, y)
			}
		}
	}
	return nil
}

// branches returns a cell as branches, neighbours of one label joined.
func branches(c *space.Cell, of func(int32) label) []branch {
	var out []branch
	for _, cond := range c.If {
		l := of(cond.Rule)
		if n := len(out); n == 0 || out[n-1].label != l {
			out = append(out, branch{label: l})
		}
		b := &out[len(out)-1]
		b.in, b.names, b.rules = append(b.in, cond.Atom), append(b.names, cond.Atom), append(b.rules, cond.Rule)
	}
	l := of(c.Rule)
	if n := len(out); n > 0 && out[n-1].label == l {
		last := &out[n-1]
		last.in, last.rules = nil, append(last.rules, c.Rule)
	} else {
		out = append(out, branch{label: l, rules: []int32{c.Rule}})
	}
	for i := range out {
		slices.Sort(out[i].in)
	}
	return out
}

func (p *pairing) add(r model.L4Range, k verdictKind, when condition, before, after []int32, x, y *space.Cell) {
	key := string('0'+k) + when.String()
	b := p.blocks[key]
	if b == nil {
		if p.blocks == nil {
			p.blocks = map[string]*pairBlock{}
		}
		b = &pairBlock{kind: k, when: when, key: key, in: when.example()}
		b.a, b.b = decider(x, b.in), decider(y, b.in)
		p.blocks[key] = b
		p.order = append(p.order, b)
	}
	b.l4 = append(b.l4, r)
	b.before, b.after = append(b.before, before...), append(b.after, after...)
}

// finish puts a block's parts in order and completes its key: blocks of one key
// differ in addresses and rules alone.
func (b *pairBlock) finish() {
	b.l4 = model.NewL4Set(b.l4...)
	b.key = fmt.Sprintf("%s\x00%v", b.key, []model.L4Range(b.l4))
	for _, rules := range []*[]int32{&b.before, &b.after} {
		slices.Sort(*rules)
		*rules = slices.Compact(*rules)
	}
}

// decider returns the rule that decides an address that lies in exactly the
// atoms of in.
func decider(c *space.Cell, in []model.Atom) int32 {
	for _, cond := range c.If {
		if slices.Contains(in, cond.Atom) {
			return cond.Rule
		}
	}
	return c.Rule
}
