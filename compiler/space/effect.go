package space

import (
	"slices"

	"github.com/trafficpolicy/trafficpolicy/model"
)

// Idle reports, by index of rule, which rules are live and have no effect: without
// the rule every packet of the families has the same verdict, whatever the atoms
// are. a is the analysis of list for the same families.
//
// A packet that a rule decides passes, without it, to the next rule that matches:
// the rule has an effect where that one, or the default, decides otherwise.
func (a *Analysis) Idle(list *model.RuleList, families ...model.Family) []bool {
	e := effects{list: list, families: families, open: make([]bool, len(list.Rules)), allow: make([]bool, len(list.Rules))}
	for i := range a.Rules {
		e.open[i] = a.Rules[i].Live
	}
	e.close()
	return e.open
}

// close looks at every world that matters. A rule and the next one need at most
// one atom each, every other can be false: so these are the worlds in which no
// atom, one, or two hold every address and the others none.
func (e *effects) close() {
	list := e.list
	var atoms []model.Atom
	for i := range list.Rules {
		e.allow[i] = list.Rules[i].Action.Allows()
		for _, p := range list.Rules[i].Peers {
			if p.Atom != "" && !slices.Contains(atoms, p.Atom) {
				atoms = append(atoms, p.Atom)
			}
		}
	}
	e.world()
	for _, a := range atoms {
		e.world(a)
	}
	for i, a := range atoms {
		for _, b := range atoms[i+1:] {
			if e.meet(a, b) {
				e.world(a, b)
			}
		}
	}
}

// effects closes the rules that have an effect.
type effects struct {
	list     *model.RuleList
	families []model.Family
	open     []bool // by rule: live, and no effect found
	allow    []bool // by rule

	// Of one world and family:
	axis        *axis
	tree        *tree
	above       *minTree
	first, next *minTree // empty between uses
	around      *secondTree
	marks       [][2]int // of above and around, by node that is open
	spans       []span   // scratch

	firsts, seconds []ownPiece // scratch
}

// meet reports whether an open rule of one of the atoms may come before a rule of
// the other that decides otherwise.
func (e *effects) meet(a, b model.Atom) bool {
	for i := range e.list.Rules {
		if !e.open[i] {
			continue
		}
		for _, p := range e.list.Rules[i].Peers {
			if p.Atom == a && e.opposed(i, b) || p.Atom == b && e.opposed(i, a) {
				return true
			}
		}
	}
	return false
}

// opposed reports whether a rule of atom behind rule i decides otherwise.
func (e *effects) opposed(i int, atom model.Atom) bool {
	return slices.ContainsFunc(e.list.Rules[i+1:], func(r model.ListRule) bool {
		return r.Action.Allows() != e.allow[i] && slices.ContainsFunc(r.Peers, func(p model.ListPeer) bool { return p.Atom == atom })
	})
}

// world closes the rules that have an effect where the given atoms hold every
// address.
func (e *effects) world(atoms ...model.Atom) {
	for _, f := range e.families {
		if !slices.Contains(e.open, true) {
			return
		}
		e.axis = newAxis(ruleSets(e.list))
		e.tree = newTree(worldRules(e.list, f, atoms), f)
		e.above, e.first, e.next = newMinTree(e.axis.slots(), e.allow), newMinTree(e.axis.slots(), nil), newMinTree(e.axis.slots(), nil)
		e.around = newSecondTree(e.axis.slots(), e.allow, e.open)
		e.tree.walk(make([]address, len(e.tree.nodes)), e)
	}
}

// worldRules returns each block and rule, sorted. A rule's blocks are disjoint:
// of its peers that nest, the inner one adds nothing.
func worldRules(list *model.RuleList, f model.Family, atoms []model.Atom) []blockRule {
	pairs := make([]blockRule, 0, len(list.Rules))
	var own []blockRule
	for i := range list.Rules {
		own = own[:0]
		for _, p := range list.Rules[i].Peers {
			switch {
			case slices.Contains(atoms, p.Atom):
				own = append(own, blockRule{toBlock(f.All()), int32(i)})
			case p.Atom == "":
				for _, prefix := range p.Prefixes {
					if model.FamilyOf(prefix.Addr()) == f {
						own = append(own, blockRule{toBlock(prefix), int32(i)})
					}
				}
			}
		}
		for _, b := range sortPairs(own) {
			if n := len(pairs); n > 0 && pairs[n-1].rule == b.rule && pairs[n-1].contains(b.first) {
				continue
			}
			pairs = append(pairs, b)
		}
	}
	return sortPairs(pairs)
}

// enter puts the node's rules among those around.
func (e *effects) enter(i int32) {
	e.marks = append(e.marks, [2]int{e.above.mark(), e.around.mark()})
	n := &e.tree.nodes[i]
	if n.end == i+1 {
		return // nobody will ask
	}
	for _, r := range n.rules {
		for _, ports := range e.list.Rules[r].L4 {
			s := e.axis.span(ports)
			e.above.lower(s, r)
			e.around.add(s, r)
		}
	}
}

// leave looks at the packets that node i's rules win or come second for.
func (e *effects) leave(i int32, below *pieces) {
	n := len(e.marks) - 1
	e.above.undo(e.marks[n][0])
	e.around.undo(e.marks[n][1])
	e.marks = e.marks[:n]
	firsts, seconds := e.two(e.tree.nodes[i].rules)
	for _, o := range firsts {
		b := 1 - e.action(o.unit)
		for q := range below.over(o.span) {
			if q.worst < o.unit {
				continue
			}
			// Where q.worst is from, the rule is before all that the children have.
			e.around.search(q.span, o.unit, b)
			if e.open[o.unit] {
				e.follow(q, o.unit, b, seconds)
			}
		}
	}
	below.apply(&e.tree.memory, firsts, e.allow, func(span, int32, int32) {})
}

func (e *effects) action(r int32) int { return b2i(r != none && e.allow[r]) }

// follow closes rule r, which is before all that the node's children have on q, if
// some rule of action b comes next, of those around, the node's own, or the
// children's at the address that q.worst is from.
func (e *effects) follow(q piece, r int32, b int, seconds []ownPiece) {
	for pos := q.lo; pos < q.hi; {
		next, until := none, q.hi
		if own := overlapping(seconds, span{pos, q.hi}); len(own) > 0 && own[0].lo <= pos {
			next, until = own[0].unit, min(q.hi, own[0].hi)
		} else if len(own) > 0 {
			until = own[0].lo
		}
		s := span{pos, until}
		next = min(next, q.worst)
		// Where no rule around is before next, next is second; it may be none.
		e.spans = e.above.above(e.spans, s, next-1, 0)
		if len(e.spans) > 0 && e.action(next) == b || e.above.between(s, b, r, next) {
			e.open[r] = false
			return
		}
		pos = until
	}
}

// two returns where each of a node's rules is the first of them, and where it is
// the second. They are good until the next call.
func (e *effects) two(rules []int32) (firsts, seconds []ownPiece) {
	firsts, seconds = e.firsts[:0], e.seconds[:0]
	for _, r := range rules {
		for _, ports := range e.list.Rules[r].L4 {
			s := e.axis.span(ports)
			if len(rules) == 1 {
				firsts = append(firsts, ownPiece{s, r})
				continue
			}
			pos := s.lo
			e.spans = append(e.first.above(e.spans, s, r, int(none)), span{s.hi, s.hi})
			for _, free := range e.spans {
				if pos < free.lo {
					seconds = e.second(seconds, span{pos, free.lo}, r)
				}
				if free.lo < free.hi {
					firsts = append(firsts, ownPiece{free, r})
				}
				pos = free.hi
			}
			e.first.lower(s, r)
		}
	}
	e.first.undo(0)
	e.next.undo(0)
	sortPieces(firsts)
	sortPieces(seconds)
	e.firsts, e.seconds = firsts, seconds
	return firsts, seconds
}

// second appends the parts of s that have no second rule yet: r is it.
func (e *effects) second(seconds []ownPiece, s span, r int32) []ownPiece {
	for _, free := range e.next.above(nil, s, r, int(none)) {
		seconds = append(seconds, ownPiece{free, r})
	}
	e.next.lower(s, r)
	return seconds
}
