package space

import (
	"cmp"
	"iter"
	"math"
	"slices"
)

// piece is what the rules within a subtree of the prefix tree do on a stretch of
// the axis. At each address of the subtree the lowest unit that the subtree has
// for it wins locally.
type piece struct {
	span
	// worst is the latest unit that wins locally at any address, none where some
	// address has none; at is the node whose hole is such an address.
	worst, at int32
	// low is the lowest unit of a deny (0) and of an allow (1) that wins locally
	// at any address, lowAt the node whose hole is such an address.
	low, lowAt [2]int32
}

// pieces is what a subtree does: sorted, disjoint pieces. Where there is none, no
// unit of the subtree matches, and the hole of node at will do as an address.
type pieces struct {
	list []piece
	at   int32
}

// blank returns the piece that stands where there is none.
func blank(s span, at int32) piece {
	return piece{span: s, worst: none, at: at, low: [2]int32{none, none}}
}

// add appends q, merged with the piece before it where they abut and agree.
func (p *pieces) add(q piece) {
	if q == blank(q.span, p.at) {
		return
	}
	if n := len(p.list); n > 0 && p.list[n-1].hi == q.lo {
		last := &p.list[n-1]
		joined := q
		if joined.span = last.span; joined == *last {
			last.hi = q.hi
			return
		}
	}
	p.list = append(p.list, q)
}

// cursor reads pieces in order.
type cursor struct {
	rest []piece
	at   int32
}

// read returns the piece at pos, and where it ends or the next begins.
func (c *cursor) read(pos int32) (p piece, until int32) {
	for len(c.rest) > 0 && c.rest[0].hi <= pos {
		c.rest = c.rest[1:]
	}
	switch {
	case len(c.rest) == 0:
		return blank(span{}, c.at), math.MaxInt32
	case c.rest[0].lo > pos:
		return blank(span{}, c.at), c.rest[0].lo
	}
	return c.rest[0], c.rest[0].hi
}

// over returns what p says of each stretch of s, in order.
func (p *pieces) over(s span) iter.Seq[piece] {
	return func(yield func(piece) bool) {
		i, _ := slices.BinarySearchFunc(p.list, s.lo, func(q piece, lo int32) int { return cmp.Compare(q.hi, lo+1) })
		c := cursor{p.list[i:], p.at}
		for pos := s.lo; pos < s.hi; {
			q, until := c.read(pos)
			q.span = span{pos, min(until, s.hi)}
			if !yield(q) {
				return
			}
			pos = q.hi
		}
	}
}

// end returns the slot behind the last piece.
func (p *pieces) end() int32 {
	if n := len(p.list); n > 0 {
		return p.list[n-1].hi
	}
	return 0
}

// merge returns what two subtrees beside one another do, and takes their memory.
func merge(m *recycler[piece], a, b pieces) pieces {
	out := pieces{list: m.get(2 * (len(a.list) + len(b.list))), at: a.at}
	x, y := cursor{a.list, a.at}, cursor{b.list, b.at}
	for pos, end := int32(0), max(a.end(), b.end()); pos < end; {
		p, pe := x.read(pos)
		q, qe := y.read(pos)
		until := min(pe, qe)
		if q.worst > p.worst {
			p.worst, p.at = q.worst, q.at
		}
		for i := range p.low {
			if q.low[i] < p.low[i] {
				p.low[i], p.lowAt[i] = q.low[i], q.lowAt[i]
			}
		}
		p.span = span{pos, until}
		out.add(p)
		pos = until
	}
	m.put(a.list)
	m.put(b.list)
	return out
}

// open makes p that of a node whose children leave an address out.
func (p *pieces) open(at int32) {
	q := pieces{list: p.list[:0], at: at}
	for _, x := range p.list {
		x.worst, x.at = none, at
		q.add(x)
	}
	*p = q
}

// ownPiece is where one of a node's units is the first of them.
type ownPiece struct {
	span
	unit int32
}

// apply puts a node's own units before what its subtree does. win is called for
// each stretch on which a unit wins at some address, the hole of node at.
func (p *pieces) apply(m *recycler[piece], own []ownPiece, allow []bool, win func(s span, unit, at int32)) {
	if len(own) == 0 {
		return
	}
	out := pieces{list: m.get(len(p.list) + 2*len(own)), at: p.at}
	c := cursor{p.list, p.at}
	end := max(p.end(), own[len(own)-1].hi)
	for pos := int32(0); pos < end; {
		q, until := c.read(pos)
		for len(own) > 0 && own[0].hi <= pos {
			own = own[1:]
		}
		switch {
		case len(own) == 0:
		case own[0].lo > pos:
			until = min(until, own[0].lo)
		default:
			until = min(until, own[0].hi)
			q.before(own[0].unit, allow)
			if q.worst == own[0].unit {
				win(span{pos, until}, q.worst, q.at)
			}
		}
		q.span = span{pos, until}
		out.add(q)
		pos = until
	}
	m.put(p.list)
	*p = out
}

// before puts unit o, which matches at every address, before what q says.
func (q *piece) before(o int32, allow []bool) {
	if q.worst < o {
		return // others take every address
	}
	q.worst = o
	for i := range q.low {
		if q.low[i] > o {
			q.low[i] = none
			q.lowAt[i] = 0
		}
	}
	i := 0
	if allow[o] {
		i = 1
	}
	if o < q.low[i] {
		q.low[i], q.lowAt[i] = o, q.at
	}
}
