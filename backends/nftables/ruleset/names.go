package ruleset

import (
	"fmt"
	"slices"
	"strings"

	"github.com/trafficpolicy/trafficpolicy/compiler/space"
	"github.com/trafficpolicy/trafficpolicy/model"
)

// origin is a rule that decides in a segment of a list: behind that many groups
// of domain names.
type origin struct {
	rule    int32
	segment int
}

// conditions are the domain names before a segment, as stretches of the axis that
// cover it, each with those that a packet's address may be one of there, in order.
type conditions []conditionSpan

type conditionSpan struct {
	model.L4Range
	// ifs has each atom once; seen are these atoms.
	ifs  []space.Conditional
	seen map[model.Atom]bool
}

// mark returns the rule of a cell of the segment at hand.
func (b *builder) mark(rule int32) int32 {
	if len(b.conds) == 1 {
		return rule
	}
	o := origin{rule, b.segment}
	i, ok := b.marks[o]
	if !ok {
		i = int32(len(b.origins))
		b.origins = append(b.origins, o)
		b.marks[o] = i
	}
	return i
}

// enter goes on to another segment, where the same verdicts have other conditions.
func (b *builder) enter(segment int) {
	if segment == b.segment {
		return
	}
	b.segment = segment
	clear(b.verdicts)
	clear(b.chains)
	clear(b.portMaps)
}

// segments numbers the segments of a list and notes the names before each.
func (b *builder) segments(c *chain, steps []step) error {
	b.conds = []conditions{{{L4Range: model.AllL4}}}
	if !slices.ContainsFunc(steps, func(s step) bool { return s.named() }) {
		return nil
	}
	b.conds = append(b.conds, nil) // so that rules are marked
	segment := 0
	at := b.conds[0]
	for i := range steps {
		s := &steps[i]
		if !s.named() {
			s.segment = segment
			continue
		}
		ifs, err := b.name(s)
		if err != nil {
			return b.d.t.fail(c, s.at, "%v", err)
		}
		at = b.extend(at, ifs)
		if b.spent() {
			return fmt.Errorf("chain %q: %w", c.name, errTooMuch)
		}
		if i+1 < len(steps) && !steps[i+1].named() {
			segment++
			b.conds = append(b.conds[:segment], slices.Clone(at))
		}
	}
	b.segment = -1 // what was noted of verdicts is of none
	return nil
}

// named is a domain name on a part of the axis, and the rule that it leads to.
type named struct {
	model.L4Range
	space.Conditional
}

// name returns what a step does with the addresses of its name.
func (b *builder) name(s *step) ([]named, error) {
	atom, err := b.d.atom(s.set, b.fam)
	if err != nil {
		return nil, err
	}
	id, err := b.verdict(&s.verdict)
	if err != nil {
		return nil, err
	}
	var out []named
	for _, c := range b.flat(id) {
		if c.Rule != space.NoRule {
			out = append(out, named{c.L4Range, space.Conditional{Atom: atom, Rule: b.origins[c.Rule].rule}})
		}
	}
	return out, nil
}

// extend adds a name behind conditions. Spans that are not cut go on in the same
// memory, which nobody else goes on in.
func (b *builder) extend(at conditions, names []named) conditions {
	out := make(conditions, 0, len(at)+2*len(names))
	b.left -= cap(out)
	for _, s := range at {
		i, _ := slices.BinarySearchFunc(names, s.First, func(n named, at model.L4) int { return int(n.Last) - int(at) })
		for ; i < len(names) && names[i].First <= s.Last; i++ {
			n := &names[i]
			if s.First < n.First {
				before := b.copied(&s)
				before.Last = n.First - 1
				out = append(out, before)
				s.First = n.First
			}
			if n.Last < s.Last {
				behind := b.copied(&s)
				behind.First = n.Last + 1
				s.Last = n.Last
				out = append(out, b.with(s, n.Conditional))
				s = behind
				continue
			}
			out = append(out, b.with(s, n.Conditional))
			s.First = s.Last + 1
			break
		}
		if s.First <= s.Last {
			out = append(out, s)
		}
	}
	return out
}

// copied returns a span in memory of its own.
func (b *builder) copied(s *conditionSpan) conditionSpan {
	out := conditionSpan{s.L4Range, slices.Clone(s.ifs), make(map[model.Atom]bool, len(s.seen))}
	for a := range s.seen {
		out.seen[a] = true
	}
	b.cells -= len(s.ifs)
	return out
}

// with returns a span with a condition more, unless one before it has its atom.
func (b *builder) with(s conditionSpan, c space.Conditional) conditionSpan {
	if s.seen[c.Atom] {
		return s
	}
	if s.seen == nil {
		s.seen = map[model.Atom]bool{}
	}
	s.seen[c.Atom] = true
	b.cells--
	s.ifs = append(s.ifs, c)
	return s
}

// atom returns the atom of a set of a domain name's addresses.
func (d *decoder) atom(set string, fam model.Family) (model.Atom, error) {
	if id, ok := strings.CutPrefix(d.role(set), "~name"+digit(fam)+"_"); ok {
		if domain, ok := d.key.Domains[id]; ok {
			return model.Atom("fqdn " + domain), nil
		}
	}
	return "", fmt.Errorf("set %q holds the addresses of no domain name that is known", set)
}

// conditions returns decisions and ranges with the names before each cell.
func (b *builder) conditions(ranges []space.Range) ([]space.Decision, []space.Range) {
	if len(b.conds) == 1 {
		return b.decisions, ranges
	}
	out := newBuilder(b.d, b.use)
	out.cells, out.left = b.cells, b.left
	known := map[space.DecisionID]space.DecisionID{space.NoDecision: space.NoDecision}
	var final func(id space.DecisionID) space.DecisionID
	final = func(id space.DecisionID) space.DecisionID {
		if to, ok := known[id]; ok || out.spent() {
			return to
		}
		d := b.decisions[id]
		to := out.intern(space.Decision{Before: final(d.Before), Cells: b.under(d.Cells), Else: final(d.Else)})
		out.left -= len(out.decisions[to].Cells)
		known[id] = to
		return to
	}
	ranges = out.everywhere(ranges, final)
	b.cells, b.left = out.cells, out.left
	return out.decisions, ranges
}

// under returns cells with the conditions of their segments.
func (b *builder) under(cells []space.Cell) []space.Cell {
	out := make([]space.Cell, 0, len(cells))
	for _, c := range cells {
		if c.Rule == space.NoRule {
			out = append(out, c)
			continue
		}
		o := b.origins[c.Rule]
		spans := b.conds[o.segment]
		i, _ := slices.BinarySearchFunc(spans, c.First, func(s conditionSpan, at model.L4) int { return int(s.Last) - int(at) })
		for ; i < len(spans) && spans[i].First <= c.Last; i++ {
			s := &spans[i]
			out = appendCell(out, space.Cell{
				L4Range: model.L4Range{First: max(c.First, s.First), Last: min(c.Last, s.Last)}, Rule: o.rule, If: slices.Clip(s.ifs),
			})
		}
	}
	return out
}
