package space

import (
	"github.com/trafficpolicy/trafficpolicy/model"
)

// analyser goes through the prefixes of one family. Units are numbered in order;
// down the tree, above holds the lowest unit of the nodes around the current one
// at each slot; up the tree, each node returns pieces.
type analyser struct {
	*units
	list   *model.RuleList
	family model.Family
	tree   *tree
	above  *minTree
	alone  *minTree // empty between uses
	fates  []fate   // by unit
	live   []bool   // by rule
	rules  []ruleFate
	marks  []int            // of above, by node that is open
	holes  []address        // by node: the first address that no child holds, where there is one
	owns   [][]ownPiece     // by node: where each of its units is the first of them
	tiled  map[int32]pieces // by node whose children leave no address out: what they do
	nodeOf []int32          // by unit: the node of its first prefix, 0 without one
	atoms  atoms
	whole  pieces // what the whole space does

	ownMemory   arena[ownPiece]
	tiledMemory arena[piece]
	spans       []span     // scratch
	own         []ownPiece // scratch
}

// fate is what becomes of one unit.
type fate struct {
	live, seen bool
	packet     point // valid iff live or seen: one that it decides
	by         int32 // for a packet that is taken: the unit that takes it
}

// ruleFate is, of a rule that is not live, a packet that a unit of each action takes.
type ruleFate [2]fate

// point is a packet: the hole of a node and a slot, in the atoms of up to two units.
type point struct {
	node, slot int32
	in         [2]int32 // units plus one, 0 for none
}

func newAnalyser(list *model.RuleList, f model.Family, us *units) *analyser {
	a := &analyser{units: us, list: list, family: f}
	a.tree = newTree(blockUnits(list, f, us), f)
	a.above = newMinTree(a.axis.slots(), a.allow)
	a.alone = newMinTree(a.axis.slots(), a.allow)
	a.fates = make([]fate, len(us.of))
	a.live = make([]bool, len(list.Rules))
	a.rules = make([]ruleFate, len(list.Rules))
	a.holes = make([]address, len(a.tree.nodes))
	a.owns = make([][]ownPiece, len(a.tree.nodes))
	a.tiled = make(map[int32]pieces)
	a.nodeOf = make([]int32, len(us.of))
	for i := len(a.tree.nodes) - 1; i >= 0; i-- { // prefixes of a unit are sorted
		for _, u := range a.tree.nodes[i].rules {
			a.nodeOf[u] = int32(i)
		}
	}
	a.newAtoms()
	return a
}

// blockUnits returns each block and unit of the peers without an atom, sorted.
func blockUnits(list *model.RuleList, f model.Family, us *units) []blockRule {
	pairs := make([]blockRule, 0, len(us.of))
	for i := range us.of {
		p := &list.Rules[us.rule[i]].Peers[us.of[i].peer]
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
		for _, s := range a.spansOf(u) {
			a.above.lower(s, u)
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
		a.tiled[i] = pieces{a.tiledMemory.keep(p.list), p.at}
	}
	a.owns[i] = a.first(n.rules)
	p.apply(&a.tree.memory, a.owns[i], a.allow, a.win)
	for _, u := range n.rules {
		if r := a.rule[u]; !a.live[r] {
			a.bury(u, &a.rules[r], p)
		}
	}
}

// first returns where each unit of a node is the first of them.
func (a *analyser) first(units []int32) []ownPiece {
	own := a.own[:0]
	for _, u := range units {
		for _, s := range a.spansOf(u) {
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
	a.own = own
	a.alone.undo(0)
	sortPieces(own)
	return a.ownMemory.keep(own)
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
		a.live[a.rule[u]] = true
	}
}

// bury notes who takes the packets of unit u within a node whose subtree does p,
// where its rule has not been found live.
func (a *analyser) bury(u int32, r *ruleFate, p *pieces) {
	for _, s := range a.spansOf(u) {
		for q := range p.over(s) {
			if r[0].seen && r[1].seen {
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
	for b := range r {
		t := &r[b]
		if t.seen {
			continue
		}
		if low[b] < q.worst {
			// Some slot has a unit above that is before the worst below.
			*t = fate{seen: true, by: low[b], packet: point{node: q.at, slot: a.above.find(q.span, b, low[b])}}
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
