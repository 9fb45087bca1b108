package ebpf

import (
	"errors"
	"fmt"
)

// found is a search node that was checked: one leaf, or the leaves of a tree.
type found struct {
	first    int // word of the first leaf
	leaves   int
	keys     int // of a leaf; its Refs stand behind them
	capacity int // intervals of a leaf
	last     int // intervals of the last leaf; the others are full
}

// leaf returns the first word of leaf i and how many intervals it has.
func (c *checker) leaf(n *found, i int) (base, count int) {
	if count = n.capacity; i == n.leaves-1 {
		count = n.last
	}
	return n.first + leafWords*i, count
}

// lastOf returns the last value of interval j of the leaf at base.
func (c *checker) lastOf(n *found, base, j int) uint32 {
	if j == n.keys {
		return lastKey
	}
	return c.word(base + j)
}

// open takes the slots of search node r and checks its keys, but not what it
// leads to.
func (c *checker) open(r Ref) (n found, err error) {
	slots := LineSize / SlotSize
	n = found{first: slotWords * int(r.slot()), leaves: 1}
	switch k := r.kind(); {
	case k == KindSmall:
		n.keys, n.capacity, slots = smallKeys, smallKeys+1, 1
	case k == KindMedium:
		n.keys, n.capacity = mediumKeys, mediumKeys+1
	case k == KindLarge:
		n.keys, n.capacity, slots = lineKeys, lineKeys, 2*slots
	default:
		return c.tree(r, k-KindTree1+1)
	}
	if slots > 1 && r.slot()%2 != 0 {
		return n, errors.New("it does not begin a line")
	}
	if err := c.claim(r, int(r.slot()), slots); err != nil {
		return n, err
	}
	n.last, err = c.keys(n.first, &n)
	if err != nil {
		return n, err
	}
	return n, c.zero(n.first+n.keys+n.last, n.first+slots*slotWords)
}

// keys checks the keys of the last leaf, or of the only one, and returns how many
// intervals it has.
func (c *checker) keys(base int, n *found) (count int, err error) {
	keys, err := c.ascending(base, n.keys)
	if err != nil {
		return 0, err
	}
	if keys == n.capacity {
		return 0, fmt.Errorf("its last key is not %#x", uint32(lastKey))
	}
	return keys + 1, nil
}

// ascending checks a number of keys: they ascend, and those behind 0xffffffff are
// that too. It returns how many are less.
func (c *checker) ascending(at, n int) (count int, err error) {
	for count < n && c.word(at+count) != lastKey {
		if count > 0 && c.word(at+count) <= c.word(at+count-1) {
			return 0, errors.New("its keys do not ascend")
		}
		count++
	}
	for i := count; i < n; i++ {
		if c.word(at+i) != lastKey {
			return 0, errors.New("its keys do not ascend")
		}
	}
	return count, nil
}

// zero checks that the words from at up to end are not used.
func (c *checker) zero(at, end int) error {
	for ; at < end; at++ {
		if c.word(at) != 0 {
			return errors.New("it has something behind its last interval")
		}
	}
	return nil
}
