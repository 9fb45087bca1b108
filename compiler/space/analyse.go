package space

import (
	"cmp"
	"slices"

	"github.com/trafficpolicy/trafficpolicy/model"
)

// analyser goes through the prefixes of one family. Units are numbered in order;
// down the tree, above holds the lowest unit of the nodes around the current one
// at each slot; up the tree, each node returns pieces.
type analyser struct {
	list   *model.RuleList
	family model.Family
	units  []unit
	allow  []bool // by unit
	axis   *axis
	tree   *tree
	above  *minTree
	alone  *minTree // empty between uses
	fates  []fate   // by unit
	rules  []ruleFate
	marks  []int            // of above, by node that is open
	holes  []address        // by node: the first address that no child holds, where there is one
	owns   [][]ownPiece     // by node: where each of its units is the first of them
	tiled  map[int32]pieces // by node whose children leave no address out: what they do
	atoms  atoms
	whole  pieces // what the whole space does
	spans  []span // scratch
}

// fate is what becomes of one unit.
type fate struct {
	live, seen bool
	packet     point // valid iff live or seen: one that it decides
	by         int32 // for a packet that is taken: the unit that takes it
}

// ruleFate is what becomes of one rule: whether it is live, and for each action
// a packet of the rule that a unit of it takes where the rule is dead.
type ruleFate struct {
	live  bool
	taken [2]fate
}

// point is a packet: the hole of a node and a slot, in up to two atoms.
type point struct {
	node, slot int32
	in         [2]model.Atom
}

func newAnalyser(list *model.RuleList, f model.Family, units []unit) *analyser {
	a := &analyser{list: list, family: f, units: units}
	sets := make([]model.L4Set, len(units))
	a.allow = make([]bool, len(units))
	for i := range units {
		sets[i], a.allow[i] = units[i].ports, units[i].allow
	}
	a.axis = newAxis(sets)
	a.tree = newTree(blockUnits(list, f, units), f)
	a.above = newMinTree(a.axis.slots(), a.allow)
	a.alone = newMinTree(a.axis.slots(), a.allow)
	a.fates = make([]fate, len(units))
	a.rules = make([]ruleFate, len(list.Rules))
	a.holes = make([]address, len(a.tree.nodes))
	a.owns = make([][]ownPiece, len(a.tree.nodes))
	a.tiled = make(map[int32]pieces)
	a.newAtoms()
	return a
}

// blockUnits returns each block and unit of the peers without an atom, sorted.
func blockUnits(list *model.RuleList, f model.Family, units []unit) []blockRule {
	pairs := make([]blockRule, 0, len(units))
	for i := range units {
		p := &list.Rules[units[i].rule].Peers[units[i].peer]
		if p.Atom != "" {
			continue
		}
		for _, prefix := range p.Prefixes {
			if model.FamilyOf(prefix.Addr()) == f {
				pairs = append(pairs, blockRule{toBlock(prefix), int32(i)})
			}
		}
	}
	return sortPairs(pairs)
}

// run settles the fate of every unit.
func (a *analyser) run() {
	a.whole = a.tree.walk(a.holes, a)
	a.judgeAtoms(&a.whole)
}

// enter puts the node's units before those above.
func (a *analyser) enter(i int32) {
	a.marks = append(a.marks, a.above.mark())
	n := &a.tree.nodes[i]
	if n.end == i+1 {
		return // nobody will ask
	}
	for _, u := range n.rules {
		for _, r := range a.units[u].ports {
			a.above.lower(a.axis.span(r), u)
		}
	}
}

// leave puts the node's units before what its children do, and notes what
// becomes of each.
func (a *analyser) leave(i int32, p *pieces) {
	n := &a.tree.nodes[i]
	a.above.undo(a.marks[len(a.marks)-1])
	a.marks = a.marks[:len(a.marks)-1]
	if p.at != i { // the children leave no address out
		a.tiled[i] = *p
	}
	a.owns[i] = a.first(n.rules)
	p.apply(a.owns[i], a.allow, a.win)
	for _, u := range n.rules {
		if r := &a.rules[a.units[u].rule]; !r.live {
			a.bury(u, r, p)
		}
	}
}

// first returns where each unit of a node is the first of them.
func (a *analyser) first(units []int32) []ownPiece {
	own := make([]ownPiece, 0, len(units))
	for _, u := range units {
		for _, r := range a.units[u].ports {
			s := a.axis.span(r)
			if len(units) == 1 {
				own = append(own, ownPiece{s, u})
				continue
			}
			a.spans = a.alone.above(a.spans, s, u, int(none))
			for _, w := range a.spans {
				own = append(own, ownPiece{w, u})
			}
			a.alone.lower(s, u)
		}
	}
	a.alone.undo(0)
	slices.SortFunc(own, func(x, y ownPiece) int { return cmp.Compare(x.lo, y.lo) })
	return own
}

// win notes that unit u wins in its node's subtree on s, at the hole of node at.
// It is live if no unit above takes all of s.
func (a *analyser) win(s span, u, at int32) {
	f := &a.fates[u]
	if f.live {
		return
	}
	if a.spans = a.above.above(a.spans, s, u, 0); len(a.spans) > 0 {
		*f = fate{live: true, packet: point{node: at, slot: a.spans[0].lo}}
		a.rules[a.units[u].rule].live = true
	}
}

// bury notes who takes the packets of unit u within a node whose subtree does p,
// where its rule has not been found live.
func (a *analyser) bury(u int32, r *ruleFate, p *pieces) {
	for _, ports := range a.units[u].ports {
		for q := range p.over(a.axis.span(ports)) {
			if r.taken[0].seen && r.taken[1].seen {
				return
			}
			a.take(r, &q)
		}
	}
}

// take notes which actions the winners on q have, those of the nodes above
// included.
func (a *analyser) take(r *ruleFate, q *piece) {
	low := a.above.low(q.span)
	for b := range r.taken {
		t := &r.taken[b]
		if t.seen {
			continue
		}
		if low[b] < q.worst {
			// Some slot has a unit above that is before the worst below.
			*t = fate{seen: true, by: low[b], packet: point{node: q.at, slot: a.slotOf(q.span, b, low[b])}}
			continue
		}
		if q.low[b] != none {
			if a.spans = a.above.above(a.spans, q.span, q.low[b], 0); len(a.spans) > 0 {
				*t = fate{seen: true, by: q.low[b], packet: point{node: q.lowAt[b], slot: a.spans[0].lo}}
				continue
			}
		}
		a.takeAtom(t, b, q)
	}
}

// slotOf returns the first slot of s where the lowest unit above is v, which is
// the lowest of action b there.
func (a *analyser) slotOf(s span, b int, v int32) int32 {
	for s.hi-s.lo > 1 {
		mid := (s.lo + s.hi) / 2
		if a.above.low(span{s.lo, mid})[b] == v {
			s.hi = mid
		} else {
			s.lo = mid
		}
	}
	return s.lo
}
