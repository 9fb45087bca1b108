package space

import "math"

// none is the value of a slot that no rule covers: behind every rule.
const none int32 = math.MaxInt32

// minTree holds the lowest rule at each slot of an axis: a segment tree with
// permanent tags. A tag speaks for all slots below its node and is never pushed
// down, so an update touches O(log slots) nodes and can be undone.
type minTree struct {
	slots int32
	allow []bool // by rule; nil where nobody asks
	nodes []minNode
	log   []undo
}

// minNode covers a power of two of slots. low and highest are of the values known
// in this subtree: the lowest of a deny (0) and of an allow (1), and the highest.
type minNode struct {
	tag, highest int32
	low          [2]int32
}

func (n *minNode) lowest() int32 { return min(n.low[0], n.low[1]) }

type undo struct {
	at  int32
	was minNode
}

func newMinTree(slots int32, allow []bool) *minTree {
	size := int32(1)
	for size < slots {
		size *= 2
	}
	t := &minTree{slots: size, allow: allow, nodes: make([]minNode, 2*size)}
	for i := range t.nodes {
		t.nodes[i] = minNode{none, none, [2]int32{none, none}}
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
func (t *minTree) lower(s span, v int32) { t.lowerAt(1, 0, t.slots, s, v) }

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
			t.lowerAt(2*at, lo, mid, s, v)
		}
		if s.hi > mid {
			t.lowerAt(2*at+1, mid, hi, s, v)
		}
	}
	t.sum(at, n)
	if *n != was {
		t.log = append(t.log, undo{at, was})
	}
}

// sum makes n's extremes those of its children, cut off by its tag.
func (t *minTree) sum(at int32, n *minNode) {
	n.low, n.highest = [2]int32{none, none}, none
	if at < t.slots {
		l, r := &t.nodes[2*at], &t.nodes[2*at+1]
		n.low[0], n.low[1] = min(l.low[0], r.low[0]), min(l.low[1], r.low[1])
		n.highest = max(l.highest, r.highest)
	}
	cut(&n.low, n.highest, n.tag, t)
	n.highest = min(n.highest, n.tag)
}

// cut makes low that of values of which none is above tag: those above become tag.
func cut(low *[2]int32, highest, tag int32, t *minTree) {
	if highest <= tag {
		return
	}
	for b := range low {
		if low[b] > tag {
			low[b] = none
		}
	}
	b := t.action(tag)
	low[b] = min(low[b], tag)
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
		out = t.aboveAt(out, most, 2*at, lo, mid, s, v)
	}
	if s.hi > mid {
		out = t.aboveAt(out, most, 2*at+1, mid, hi, s, v)
	}
	return out
}

// low returns the lowest value of a deny and of an allow among the values in s.
func (t *minTree) low(s span) [2]int32 {
	out := [2]int32{none, none}
	t.lowAt(&out, none, 1, 0, t.slots, s)
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
		low := n.low
		cut(&low, n.highest, above, t)
		out[0], out[1] = min(out[0], low[0]), min(out[1], low[1])
		return
	}
	above = min(above, n.tag)
	mid := (lo + hi) / 2
	if s.lo < mid {
		t.lowAt(out, above, 2*at, lo, mid, s)
	}
	if s.hi > mid {
		t.lowAt(out, above, 2*at+1, mid, hi, s)
	}
}

// between reports whether some slot of s has a value of action b that is greater
// than floor and less than ceil.
func (t *minTree) between(s span, b int, floor, ceil int32) bool {
	return t.betweenAt(none, 1, 0, t.slots, s, b, floor, ceil)
}

func (t *minTree) betweenAt(above, at, lo, hi int32, s span, b int, floor, ceil int32) bool {
	n := &t.nodes[at]
	low := n.low
	cut(&low, n.highest, above, t)
	switch {
	case low[b] >= ceil, min(n.highest, above) <= floor:
		return false
	case s.lo <= lo && hi <= s.hi && low[b] > floor:
		return true
	case n.lowest() >= above, at >= t.slots: // one value
		return low[b] > floor
	}
	above = min(above, n.tag)
	mid := (lo + hi) / 2
	return s.lo < mid && t.betweenAt(above, 2*at, lo, mid, s, b, floor, ceil) ||
		s.hi > mid && t.betweenAt(above, 2*at+1, mid, hi, s, b, floor, ceil)
}
