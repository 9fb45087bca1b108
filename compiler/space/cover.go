package space

import (
	"cmp"
	"math"
	"slices"

	"github.com/trafficpolicy/trafficpolicy/model"
)

// Bounds of the work for covers, in stretches looked at: of one region, and of a
// whole list. A cover that would need more is left incomplete; that takes
// thousands of rules.
const (
	maxRegionSteps = 1 << 14
	maxCoverSteps  = 1 << 22
)

// coverer finds, for rules that are dead, few live rules that match all their
// packets. Each rule that it names decides some of those packets.
type coverer struct {
	*analyser
	known map[region][]share
	steps int // left, of the list
	left  int // of the region

	memory arena[share] // of known
	shares []share      // scratch
}

// share is how much of a region a rule matches.
type share struct {
	rule int32
	size float64
}

// region is the addresses of a node on a stretch of the axis.
type region struct {
	node int32
	span
}

// cover appends to found rules that match the packets of units from to to, with how
// much of them they match; a rule may come up several times.
func (c *coverer) cover(found []share, from, to int32) []share {
	for u := from; u < to; u++ {
		atom := c.atomOf(u)
		for _, s := range c.spansOf(u) {
			if atom != "" {
				found = c.coverAtom(found, u, atom, s)
				continue
			}
			node := c.nodeOf[u]
			for _, p := range c.list.Rules[c.rule[u]].Peers[c.of[u].peer].Prefixes {
				if model.FamilyOf(p.Addr()) != c.family {
					continue
				}
				if b := toBlock(p); c.tree.nodes[node].block != b {
					node = c.find(b)
				}
				found = c.join(found, region{node, s})
			}
		}
	}
	return found
}

// coverAtom covers the packets of u, which are in its atom: by the first unit of
// the atom, or by what matches whether or not they are in it.
func (c *coverer) coverAtom(found []share, u int32, atom model.Atom, s span) []share {
	for _, e := range overlapping(c.atoms.first[atom], s) {
		t := e.span.and(s)
		taker := false
		for q := range c.whole.over(t) {
			taker = taker || e.unit < q.worst
		}
		if taker && e.unit != u {
			found = append(found, share{c.rule[e.unit], c.size(0, t)})
			continue
		}
		found = c.join(found, region{0, t})
	}
	return found
}

// join appends the cover of r to found. Regions recur: of many rules behind one.
func (c *coverer) join(found []share, r region) []share {
	known, ok := c.known[r]
	if !ok {
		c.left = min(c.steps, maxRegionSteps)
		c.steps -= c.left
		c.shares = c.region(c.shares[:0], r, true)
		known = c.memory.keep(c.shares)
		c.steps += c.left
		c.known[r] = known
	}
	return append(found, known...)
}

// chosen is a unit that covers part of a region.
type chosen struct {
	span
	unit int32
}

// region appends to found a cover of r: from its start on by the first unit that matches there, as far
// as that reaches; where children take every address before it, by them. With
// path, the units of the nodes around count too.
func (c *coverer) region(found []share, r region, path bool) []share {
	var few [16]chosen // nearly always enough
	by := few[:0]
	below := c.tiled[r.node]
	for pos := r.lo; pos < r.hi && c.left > 0; c.left-- {
		u, until := c.lowest(r.node, pos, path)
		worst := none
		for q := range below.over(span{pos, r.hi}) {
			worst, until = q.worst, min(until, q.hi)
			break
		}
		switch {
		case u < worst:
			reach := c.reach(u, pos).and(r.span)
			by = append(by, chosen{reach, u})
			pos = reach.hi
		case worst == none: // cannot be: the region is covered
			pos = until
		default:
			for n := r.node + 1; n < c.tree.nodes[r.node].end; n = c.tree.nodes[n].end {
				found = c.region(found, region{n, span{pos, min(until, r.hi)}}, false)
			}
			by = append(by, chosen{span{pos, min(until, r.hi)}, none})
			pos = min(until, r.hi)
		}
	}
	for _, x := range prune(by) {
		found = append(found, share{c.rule[x.unit], c.size(r.node, x.span)})
	}
	return found
}

// lowest returns the lowest unit of node n at slot, with path also of the nodes
// around it, and up to where that is so.
func (c *coverer) lowest(n, slot int32, path bool) (unit, until int32) {
	unit, until = none, c.axis.slots()
	for ; n >= 0; n = c.tree.nodes[n].parent {
		own := c.owns[n]
		i, _ := slices.BinarySearchFunc(own, slot, func(o ownPiece, slot int32) int { return cmp.Compare(o.hi, slot+1) })
		switch {
		case i == len(own):
		case own[i].lo > slot:
			until = min(until, own[i].lo)
		default:
			unit, until = min(unit, own[i].unit), min(until, own[i].hi)
		}
		if !path {
			break
		}
	}
	return unit, until
}

// reach returns the span of unit u that holds slot.
func (c *coverer) reach(u, slot int32) span {
	for _, s := range c.spansOf(u) {
		if s.lo <= slot && slot < s.hi {
			return s
		}
	}
	return span{}
}

// size returns how much of the space node n is on s.
func (c *coverer) size(n int32, s span) float64 {
	r := c.axis.points(s)
	return math.Ldexp(float64(r.Last-r.First)+1, -int(c.tree.nodes[n].bits))
}

// prune drops units that wider ones make superfluous. Units none stand for what
// children cover.
func prune(by []chosen) []chosen {
	const few = 64
	if len(by) > 1 && len(by) <= few {
		slices.SortStableFunc(by, func(x, y chosen) int {
			return cmp.Or(cmp.Compare(b2i(y.unit == none), b2i(x.unit == none)), cmp.Compare(y.hi-y.lo, x.hi-x.lo))
		})
		kept := by[:0] // of those before
		for _, x := range by {
			if !covered(x.span, kept) {
				kept = append(kept, x)
			}
		}
		by = kept
	}
	return slices.DeleteFunc(by, func(x chosen) bool { return x.unit == none })
}

func b2i(b bool) int {
	if b {
		return 1
	}
	return 0
}

// covered reports whether by holds every slot of s.
func covered(s span, by []chosen) bool {
	for again := true; again && s.lo < s.hi; {
		again = false
		for _, x := range by {
			if x.lo <= s.lo && s.lo < x.hi {
				s.lo, again = x.hi, true
			}
		}
	}
	return s.lo >= s.hi
}

// find returns the node of block b.
func (c *coverer) find(b block) int32 {
	i, _ := slices.BinarySearchFunc(c.tree.nodes, b, func(n node, b block) int { return n.block.compare(b) })
	return int32(i)
}

// settleCover makes r's Cover of what was found: the largest first, with one of
// another action. It changes found.
func (r *RuleAnalysis) settleCover(found []share, taker int32) {
	if taker != NoRule {
		found = append(found, share{rule: taker})
	}
	slices.SortStableFunc(found, func(x, y share) int { return cmp.Compare(x.rule, y.rule) })
	sums := found[:0]
	for _, s := range found {
		if n := len(sums); n > 0 && sums[n-1].rule == s.rule {
			sums[n-1].size += s.size
		} else {
			sums = append(sums, s)
		}
	}
	slices.SortStableFunc(sums, func(x, y share) int { return cmp.Compare(y.size, x.size) })
	n := min(len(sums), MaxCover)
	r.Cover, r.Omitted = make([]int32, n), len(sums)-n
	for i := range r.Cover {
		r.Cover[i] = sums[i].rule
	}
	if r.Omitted > 0 && taker != NoRule && !slices.Contains(r.Cover, taker) {
		r.Cover[n-1] = taker
	}
}
