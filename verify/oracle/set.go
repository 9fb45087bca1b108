package oracle

import "math/bits"

// set is a set of points of one space, a bit a point. All sets of a space have
// the same length. Operations return new sets.
type set []uint64

func newSet(points int) set { return make(set, (points+63)/64) }

func (s set) add(i int)      { s[i/64] |= 1 << (i % 64) }
func (s set) has(i int) bool { return s[i/64]&(1<<(i%64)) != 0 }

// first returns the lowest point of s, -1 where s is empty.
func (s set) first() int {
	for i, w := range s {
		if w != 0 {
			return i*64 + bits.TrailingZeros64(w)
		}
	}
	return -1
}

func (s set) empty() bool { return s.first() < 0 }

func (s set) or(t set) set    { return s.merge(t, func(a, b uint64) uint64 { return a | b }) }
func (s set) and(t set) set   { return s.merge(t, func(a, b uint64) uint64 { return a & b }) }
func (s set) minus(t set) set { return s.merge(t, func(a, b uint64) uint64 { return a &^ b }) }
func (s set) xor(t set) set   { return s.merge(t, func(a, b uint64) uint64 { return a ^ b }) }

func (s set) merge(t set, f func(a, b uint64) uint64) set {
	out := make(set, len(s))
	for i := range s {
		out[i] = f(s[i], t[i])
	}
	return out
}
