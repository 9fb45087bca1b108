package space

// secondTree holds the two lowest rules at each slot of an axis, as minTree holds
// the lowest: permanent tags, undo. It answers which rules are followed by a
// given one: come first where it would come second.
type secondTree struct {
	slots int32
	allow []bool // by rule
	open  []bool // by rule: those that search is to find
	nodes []secondNode
	log   []secondUndo
}

// secondNode covers a stretch of slots, as minNode does. Of the slots below, by what is known
// in this subtree: highest is the highest first rule; low is the lowest first
// rule that is open, of a deny (0) and of an allow (1); second is at least the
// highest second rule where the first is open.
type secondNode struct {
	tags        [2]int32 // the two lowest, ascending
	highest     int32
	low, second [2]int32
	deep        bool // some node below has a tag
}

type secondUndo struct {
	at  int32
	was secondNode
}

var blankSecond = secondNode{tags: [2]int32{none, none}, highest: none, low: [2]int32{none, none}, second: [2]int32{-1, -1}}

func newSecondTree(slots int32, allow, open []bool) *secondTree {
	t := &secondTree{slots: slots, allow: allow, open: open, nodes: make([]secondNode, 2*slots-1)}
	for i := range t.nodes {
		t.nodes[i] = blankSecond
	}
	return t
}

func (t *secondTree) mark() int { return len(t.log) }

func (t *secondTree) undo(mark int) {
	for i := len(t.log) - 1; i >= mark; i-- {
		t.nodes[t.log[i].at] = t.log[i].was
	}
	t.log = t.log[:mark]
}

// lowest2 returns the two lowest of a and b, which are ascending pairs.
func lowest2(a, b [2]int32) [2]int32 {
	if a[0] > b[0] {
		a, b = b, a
	}
	return [2]int32{a[0], min(a[1], b[0])}
}

// add puts rule v at each slot of s. No slot may have it yet.
func (t *secondTree) add(s span, v int32) { t.addAt(0, 0, t.slots, s, v) }

func (t *secondTree) addAt(at, lo, hi int32, s span, v int32) {
	n := &t.nodes[at]
	t.log = push(t.log, secondUndo{at, *n})
	if s.lo <= lo && hi <= s.hi {
		n.tags = lowest2(n.tags, [2]int32{v, none})
	} else {
		mid := (lo + hi) / 2
		if s.lo < mid {
			t.addAt(at+1, lo, mid, s, v)
		}
		if s.hi > mid {
			t.addAt(at+2*(mid-lo), mid, hi, s, v)
		}
	}
	t.sum(at, lo, hi)
}

// sum makes a node what its children and its tags say.
func (t *secondTree) sum(at, lo, hi int32) {
	n := &t.nodes[at]
	sum := blankSecond
	sum.tags = n.tags
	if hi-lo > 1 {
		l, r := &t.nodes[at+1], &t.nodes[at+2*((lo+hi)/2-lo)]
		sum.highest = max(l.highest, r.highest)
		for b := range sum.low {
			sum.low[b], sum.second[b] = min(l.low[b], r.low[b]), max(l.second[b], r.second[b])
		}
		sum.deep = l.deep || r.deep || l.tags[0] != none || r.tags[0] != none
	}
	t.over(&sum, n.tags)
	*n = sum
}

// over puts tags over all slots of n.
func (t *secondTree) over(n *secondNode, tags [2]int32) {
	first := tags[0]
	if first == none {
		return
	}
	for b := range n.low {
		if n.low[b] > first {
			n.low[b], n.second[b] = none, -1
		} else {
			n.second[b] = min(n.second[b], first)
		}
	}
	if n.highest > first {
		if t.open[first] {
			b := 0
			if t.allow[first] {
				b = 1
			}
			n.low[b] = min(n.low[b], first)
			n.second[b] = max(n.second[b], min(n.highest, tags[1]))
		}
		n.highest = first
	}
}

// search closes every open rule of action b that is first at a slot of s where v,
// which is not in the tree, is before the second.
func (t *secondTree) search(s span, v int32, b int) {
	t.searchAt(blankSecond.tags, 0, 0, t.slots, s, v, b)
}

func (t *secondTree) searchAt(above [2]int32, at, lo, hi int32, s span, v int32, b int) {
	n := t.nodes[at]
	t.over(&n, above)
	if n.low[b] >= v || n.second[b] <= v {
		return
	}
	tags := lowest2(above, t.nodes[at].tags)
	if !n.deep { // every slot below has these two
		if first := tags[0]; t.open[first] && t.allow[first] == (b == 1) && first < v && v < tags[1] {
			t.open[first] = false
			t.sum(at, lo, hi)
		}
		return
	}
	mid := (lo + hi) / 2
	if s.lo < mid {
		t.searchAt(tags, at+1, lo, mid, s, v, b)
	}
	if s.hi > mid {
		t.searchAt(tags, at+2*(mid-lo), mid, hi, s, v, b)
	}
	t.sum(at, lo, hi)
}
