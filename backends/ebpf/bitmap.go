package ebpf

import "math/bits"

// bitmap is a set of small numbers.
type bitmap []uint64

func newBitmap(n int) bitmap { return make(bitmap, (n+63)/64) }

func (b bitmap) set(i int) { b[i/64] |= 1 << (i % 64) }

// each calls f with the members in ascending order.
func (b bitmap) each(f func(i int)) {
	for i, x := range b {
		for ; x != 0; x &= x - 1 {
			f(64*i + bits.TrailingZeros64(x))
		}
	}
}
