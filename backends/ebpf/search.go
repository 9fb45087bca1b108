package ebpf

const (
	lastKey   = 0xffffffff
	leafWords = 2 * LineSize / 4
	lineWords = LineSize / 4
	// maxIntervals is how many the deepest tree holds.
	maxIntervals = rootChildren * fanout * fanout * fanout * fanout * lineKeys
)

// interval is a stretch of a word. It begins behind the one before it, the first
// at zero.
type interval struct {
	last uint32 // inclusive
	ref  Ref
}

// join appends the interval up to last, or lengthens the one before, where that
// leads to the same.
func join(in []interval, last uint32, r Ref) []interval {
	if n := len(in); n > 0 && in[n-1].ref == r {
		in[n-1].last = last
		return in
	}
	return append(in, interval{last, r})
}

// search returns the node that looks up word in the intervals, of which the last
// ends at lastKey: the smallest kind that holds them, or what a single one leads to.
func (w *writer) search(word int, in []interval) Ref {
	if len(in) == 1 {
		return in[0].ref
	}
	switch n := len(in); {
	case n <= smallKeys+1:
		return w.flat(KindSmall, word, in, smallKeys, slotWords)
	case n <= mediumKeys+1:
		return w.flat(KindMedium, word, in, mediumKeys, lineWords)
	case n <= lineKeys:
		return w.flat(KindLarge, word, in, lineKeys, leafWords)
	}
	return w.tree(word, in)
}

// flat returns the node of so many keys before the Refs.
func (w *writer) flat(kind, word int, in []interval, keys, size int) Ref {
	var buf [leafWords]uint32
	fill(buf[:size], in, keys)
	return w.put(kind, word, buf[:size])
}

// fill writes the intervals as keys and Refs.
func fill(out []uint32, in []interval, keys int) {
	for i := range keys {
		out[i] = lastKey
	}
	for i, x := range in {
		if i < keys {
			out[i] = x.last
		}
		out[keys+i] = uint32(x.ref)
	}
}

// shape returns how many nodes each level below the root of a tree of n intervals
// has, the leaves last. All nodes of a level but its last are full.
func shape(n int) []int {
	levels := []int{(n + lineKeys - 1) / lineKeys}
	for levels[0] > rootChildren {
		levels = append([]int{(levels[0] + fanout - 1) / fanout}, levels...)
	}
	return levels
}

// tree returns the tree of more intervals than a leaf holds.
func (w *writer) tree(word int, in []interval) Ref {
	if len(in) > w.limits.intervals {
		w.fail(&LimitError{
			What: "intervals of addresses in one search", Max: w.limits.intervals,
			Hint: "join neighbouring prefixes of one decision, or use wider ones",
		})
		return NoRecord
	}
	levels := shape(len(in))
	kind := KindTree1 + len(levels) - 1
	flat := make([]uint32, 2*len(in))
	for i, x := range in {
		flat[i], flat[len(in)+i] = x.last, uint32(x.ref)
	}
	c := content{node(kind, word, 0), digest(flat)}
	if r, ok := w.known[c]; ok {
		return r
	}
	lines := 1 + levels[len(levels)-1] // a leaf has two
	for _, n := range levels {
		lines += n
	}
	slot := w.take(2 * lines)
	if w.err != nil {
		return NoRecord
	}
	w.nodes(slot, levels, in)
	r := node(kind, word, slot)
	w.known[c] = r
	return r
}

// nodes writes a tree: its root, then each level.
func (w *writer) nodes(slot uint32, levels []int, in []interval) {
	last := make([]uint32, levels[len(levels)-1]) // of each node of the level below
	out := w.words[slot*slotWords:]
	starts := make([]int, len(levels)) // in lines behind the root's
	for l, at := 0, 1; l < len(levels); l++ {
		starts[l] = at
		at += levels[l]
	}
	for i := range last {
		own := in[lineKeys*i : min(lineKeys*(i+1), len(in))]
		fill(out[lineWords*(starts[len(levels)-1]+2*i):], own, lineKeys)
		last[i] = own[len(own)-1].last
	}
	for l := len(levels) - 2; l >= 0; l-- {
		above := make([]uint32, levels[l])
		for i := range above {
			own := last[fanout*i : min(fanout*(i+1), len(last))]
			inner(out[lineWords*(starts[l]+i):][:lineKeys], own)
			above[i] = own[len(own)-1]
		}
		last = above
	}
	inner(out[:rootKeys], last)
	for l, at := range starts {
		out[rootKeys+l] = slot + 2*uint32(at)
	}
}

// inner writes the keys of a node whose children end at last. The last child
// needs none.
func inner(keys, last []uint32) {
	for i := range keys {
		keys[i] = lastKey
	}
	copy(keys, last[:len(last)-1])
}
