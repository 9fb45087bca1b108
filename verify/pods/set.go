package pods

import (
	"encoding/binary"
	"slices"
)

// set is a set of small numbers. Two that are used together have one length.
type set []uint64

func newSet(n int) set { return make(set, (n+63)/64) }

// fullSet returns the set of the numbers below n.
func fullSet(n int) set {
	s := newSet(n)
	for i := range n {
		s.add(i)
	}
	return s
}

func (s set) add(i int) { s[i/64] |= 1 << (i % 64) }

// join adds the numbers of t to s.
func (s set) join(t set) {
	for i, w := range t {
		s[i] |= w
	}
}

func (s set) plus(t set) set {
	out := slices.Clone(s)
	out.join(t)
	return out
}

func (s set) minus(t set) set {
	out := make(set, len(s))
	for i, w := range s {
		out[i] = w &^ t[i]
	}
	return out
}

func (s set) and(t set) set {
	out := make(set, len(s))
	for i, w := range s {
		out[i] = w & t[i]
	}
	return out
}

func (s set) meets(t set) bool {
	for i, w := range s {
		if w&t[i] != 0 {
			return true
		}
	}
	return false
}

// within reports whether t has all numbers of s.
func (s set) within(t set) bool {
	for i, w := range s {
		if w&^t[i] != 0 {
			return false
		}
	}
	return true
}

// spell makes a key of s.
func (s set) spell() string {
	b := make([]byte, 0, 8*len(s))
	for _, w := range s {
		b = binary.LittleEndian.AppendUint64(b, w)
	}
	return string(b)
}
