package space

import (
	"math/bits"
	"slices"
)

// push appends x. It doubles the memory where append would add a quarter and so
// take five times as much altogether.
func push[T any](s []T, x T) []T {
	if len(s) == cap(s) {
		s = slices.Grow(s, max(16, len(s)))
	}
	return append(s, x)
}

// arena keeps copies of short slices, many in one piece of memory, the next one
// twice as large. The zero value is ready to use.
type arena[T any] struct {
	rest  []T
	chunk int
}

// keep returns a copy of s that lives as long as anybody holds it.
func (a *arena[T]) keep(s []T) []T {
	const first, most = 16, 4096
	n := len(s)
	switch {
	case n == 0:
		return nil
	case n > most/4:
		return slices.Clone(s)
	case n > len(a.rest):
		a.chunk = max(first, n, min(2*a.chunk, most))
		a.rest = make([]T, a.chunk)
	}
	out := a.rest[:n:n]
	a.rest = a.rest[n:]
	copy(out, s)
	return out
}

// recycler hands out slices and takes them back. The zero value is ready to use.
type recycler[T any] struct {
	free [32][][]T // by the power of two that their capacity reaches
}

// get returns an empty slice with room for n.
func (r *recycler[T]) get(n int) []T {
	if n == 0 {
		return nil
	}
	class := bits.Len(uint(n - 1))
	if free := r.free[class]; len(free) > 0 {
		last := len(free) - 1
		r.free[class] = free[:last]
		return free[last][:0]
	}
	return make([]T, 0, 1<<class)
}

// put takes back what get returned; nobody may hold it any more.
func (r *recycler[T]) put(s []T) {
	if n := cap(s); n > 0 {
		class := bits.Len(uint(n)) - 1
		r.free[class] = append(r.free[class], s)
	}
}
