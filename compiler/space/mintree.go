package space

import "math"

// none is the value of a slot that no rule covers: behind every rule.
const none int32 = math.MaxInt32

// minTree holds the lowest rule at each slot of an axis: a segment tree with
// permanent tags. A tag speaks for all slots below its node and is never pushed
// down, so an update touches O(log slots) nodes and can be undone.
//
// Nodes stand in preorder: behind a node of n slots the tree of the first n/2 of
// them, 2(n/2)-1 nodes, then that of the others.
type minTree struct {
	slots int32
	allow []bool // by rule; nil where nobody asks
	nodes []minNode
	log   []undo
}

// minNode covers a stretch of slots. Of the values known in this subtree,
// low has the lowest of a deny (0) and of an allow (1), high at least the highest
// of each, -1 where there is none; highest counts slots without a rule too.
type minNode struct {
	tag, highest int32
	low, high    [2]int32
}

var blankMin = minNode{tag: none, highest: none, low: [2]int32{none, none}, high: [2]int32{-1, -1}}

func (n *minNode) lowest() int32 { return min(n.low[0], n.low[1]) }

type undo struct {
	at  int32
	was minNode
}

func newMinTree(slots int32, allow []bool) *minTree {
	t := &minTree{slots: slots, allow: allow, nodes: make([]minNode, 2*slots-1)}
	for i := range t.nodes {
		t.nodes[i] = blankMin
	}
	return t
}

// action returns 1 for an allow.
func (t *minTree) action(v int32) int {
	if t.allow != nil && t.allow[v] {
		return 1
	}
	return 0
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
func (t *minTree) lower(s span, v int32) { t.lowerAt(0, 0, t.slots, s, v) }

func (t *minTree) lowerAt(at, lo, hi int32, s span, v int32) {
	n := &t.nodes[at]
	if n.highest <= v {
		return // nothing below can change
	}
	was := *n
	if s.lo <= lo && hi <= s.hi {
		n.tag = v
	} else {
		mid := (lo + hi) / 2
		if s.lo < mid {
			t.lowerAt(at+1, lo, mid, s, v)
		}
		if s.hi > mid {
			t.lowerAt(at+2*(mid-lo), mid, hi, s, v)
		}
	}
	t.sum(at, lo, hi)
	if *n != was {
		t.log = push(t.log, undo{at, was})
	}
}

// sum makes a node's extremes those of its children, cut off by its tag.
func (t *minTree) sum(at, lo, hi int32) {
	n := &t.nodes[at]
	tag := n.tag
	*n = blankMin
	if hi-lo > 1 {
		l, r := &t.nodes[at+1], &t.nodes[at+2*((lo+hi)/2-lo)]
		for b := range n.low {
			n.low[b], n.high[b] = min(l.low[b], r.low[b]), max(l.high[b], r.high[b])
		}
		n.highest = max(l.highest, r.highest)
	}
	n.tag = tag
	t.cut(n, tag)
}

// cut makes n's extremes those of values of which none is above tag: those above
// become tag.
func (t *minTree) cut(n *minNode, tag int32) {
	if n.highest <= tag {
		return
	}
	n.highest = tag
	for b := range n.low {
		if n.low[b] > tag {
			n.low[b], n.high[b] = none, -1
		}
		n.high[b] = min(n.high[b], tag)
	}
	b := t.action(tag)
	n.low[b], n.high[b] = min(n.low[b], tag), tag
}

// above returns, in out's memory, the maximal stretches of s on which every
// value is greater than v, in order; it stops early once they are more than most.
func (t *minTree) above(out []span, s span, v int32, most int) []span {
	return t.aboveAt(out[:0], most, 0, 0, t.slots, s, v)
}

func (t *minTree) aboveAt(out []span, most int, at, lo, hi int32, s span, v int32) []span {
	n := &t.nodes[at]
	if n.highest <= v || len(out) > most {
		return out
	}
	if n.lowest() > v {
		from, to := max(lo, s.lo), min(hi, s.hi)
		if k := len(out); k > 0 && out[k-1].hi == from {
			out[k-1].hi = to
			return out
		}
		return append(out, span{from, to})
	}
	mid := (lo + hi) / 2
	if s.lo < mid {
		out = t.aboveAt(out, most, at+1, lo, mid, s, v)
	}
	if s.hi > mid {
		out = t.aboveAt(out, most, at+2*(mid-lo), mid, hi, s, v)
	}
	return out
}

// low returns the lowest value of a deny and of an allow among the values in s.
func (t *minTree) low(s span) [2]int32 {
	out := [2]int32{none, none}
	t.lowAt(&out, none, 0, 0, t.slots, s)
	return out
}

// lowAt lowers out by the values of s below node at. above is the lowest tag over it.
func (t *minTree) lowAt(out *[2]int32, above int32, at, lo, hi int32, s span) {
	n := &t.nodes[at]
	if n.lowest() >= above { // all of it is above's
		if above != none {
			b := t.action(above)
			out[b] = min(out[b], above)
		}
		return
	}
	if s.lo <= lo && hi <= s.hi {
		m := *n
		t.cut(&m, above)
		out[0], out[1] = min(out[0], m.low[0]), min(out[1], m.low[1])
		return
	}
	above = min(above, n.tag)
	mid := (lo + hi) / 2
	if s.lo < mid {
		t.lowAt(out, above, at+1, lo, mid, s)
	}
	if s.hi > mid {
		t.lowAt(out, above, at+2*(mid-lo), mid, hi, s)
	}
}

// find returns the first slot of s whose value is v, the lowest of action b in s.
func (t *minTree) find(s span, b int, v int32) int32 {
	return t.findAt(none, 0, 0, t.slots, s, b, v)
}

// findAt is find for the part of s below node at, -1 where it is not there.
func (t *minTree) findAt(above, at, lo, hi int32, s span, b int, v int32) int32 {
	n := t.nodes[at]
	oneValue := n.lowest() >= above || hi-lo == 1
	above = min(above, n.tag)
	t.cut(&n, above)
	switch {
	case n.low[b] > v:
		return -1
	case oneValue:
		return max(lo, s.lo)
	}
	mid := (lo + hi) / 2
	if s.lo < mid {
		if slot := t.findAt(above, at+1, lo, mid, s, b, v); slot >= 0 {
			return slot
		}
	}
	if s.hi > mid {
		return t.findAt(above, at+2*(mid-lo), mid, hi, s, b, v)
	}
	return -1
}

// between reports whether some slot of s has a value of action b that is greater
// than floor and less than ceil.
func (t *minTree) between(s span, b int, floor, ceil int32) bool {
	return t.betweenAt(none, 0, 0, t.slots, s, b, floor, ceil)
}

func (t *minTree) betweenAt(above, at, lo, hi int32, s span, b int, floor, ceil int32) bool {
	n := t.nodes[at]
	oneValue := n.lowest() >= above || hi-lo == 1
	above = min(above, n.tag)
	t.cut(&n, above)
	switch {
	case n.low[b] >= ceil, n.high[b] <= floor:
		return false
	case oneValue, s.lo <= lo && hi <= s.hi && n.low[b] > floor:
		return n.low[b] > floor
	}
	mid := (lo + hi) / 2
	return s.lo < mid && t.betweenAt(above, at+1, lo, mid, s, b, floor, ceil) ||
		s.hi > mid && t.betweenAt(above, at+2*(mid-lo), mid, hi, s, b, floor, ceil)
}
