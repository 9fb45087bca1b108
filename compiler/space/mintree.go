package space

import "math"

// none is the value of a slot that no rule covers: behind every rule.
const none int32 = math.MaxInt32

// minTree holds the lowest rule at each slot of an axis: a segment tree with
// permanent tags. A tag speaks for all slots below its node and is never pushed
// down, so an update touches O(log slots) nodes and can be undone.
type minTree struct {
	slots int32
	nodes []minNode
	log   []undo
}

// minNode covers a power of two of slots. lowest and highest are the extremes,
// over the slots below, of the values known in this subtree.
type minNode struct{ tag, lowest, highest int32 }

type undo struct {
	at  int32
	was minNode
}

func newMinTree(slots int32) *minTree {
	size := int32(1)
	for size < slots {
		size *= 2
	}
	t := &minTree{slots: size, nodes: make([]minNode, 2*size)}
	for i := range t.nodes {
		t.nodes[i] = minNode{none, none, none}
	}
	return t
}

// mark returns a state that undo can go back to.
func (t *minTree) mark() int { return len(t.log) }

// undo takes back every update since mark.
func (t *minTree) undo(mark int) {
	for i := len(t.log) - 1; i >= mark; i-- {
		t.nodes[t.log[i].at] = t.log[i].was
	}
	t.log = t.log[:mark]
}

// lower puts rule v at each slot of s whose value is greater.
func (t *minTree) lower(s span, v int32) { t.lowerAt(1, 0, t.slots, s, v) }

func (t *minTree) lowerAt(at, lo, hi int32, s span, v int32) {
	n := &t.nodes[at]
	if n.highest <= v {
		return // nothing below can change
	}
	was := *n
	if s.lo <= lo && hi <= s.hi {
		n.tag = v
		n.lowest = min(n.lowest, v)
		n.highest = v
	} else {
		mid := (lo + hi) / 2
		if s.lo < mid {
			t.lowerAt(2*at, lo, mid, s, v)
		}
		if s.hi > mid {
			t.lowerAt(2*at+1, mid, hi, s, v)
		}
		l, r := &t.nodes[2*at], &t.nodes[2*at+1]
		n.lowest = min(n.tag, l.lowest, r.lowest)
		n.highest = min(n.tag, max(l.highest, r.highest))
	}
	if *n != was {
		t.log = append(t.log, undo{at, was})
	}
}

// above returns, in out's memory, the maximal stretches of s on which every
// value is greater than v, in order; it stops early once they are more than most.
func (t *minTree) above(out []span, s span, v int32, most int) []span {
	return t.aboveAt(out[:0], most, 1, 0, t.slots, s, v)
}

func (t *minTree) aboveAt(out []span, most int, at, lo, hi int32, s span, v int32) []span {
	n := &t.nodes[at]
	if n.highest <= v || len(out) > most {
		return out
	}
	if n.lowest > v {
		from, to := max(lo, s.lo), min(hi, s.hi)
		if k := len(out); k > 0 && out[k-1].hi == from {
			out[k-1].hi = to
			return out
		}
		return append(out, span{from, to})
	}
	mid := (lo + hi) / 2
	if s.lo < mid {
		out = t.aboveAt(out, most, 2*at, lo, mid, s, v)
	}
	if s.hi > mid {
		out = t.aboveAt(out, most, 2*at+1, mid, hi, s, v)
	}
	return out
}
