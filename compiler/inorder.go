package compiler

import (
	"runtime"
	"sync/atomic"
)

// InOrder calls build with 0 to n-1 on every processor. next returns the results
// in order; no more than a few wait for it, so that memory does not follow n where
// nothing else keeps them. stop ends what still runs; next is not called after it.
func InOrder[T any](n int, build func(i int) (T, error)) (next func() (T, error), stop func()) {
	type result struct {
		value T
		err   error
	}
	workers := min(runtime.GOMAXPROCS(0), n)
	results := make([]chan result, n)
	for i := range results {
		results[i] = make(chan result, 1)
	}
	room := make(chan struct{}, 2*workers) // held by each result from its beginning until it was taken
	done := make(chan struct{})
	var begun atomic.Int64
	for range workers {
		go func() {
			for {
				select {
				case room <- struct{}{}:
				case <-done:
					return
				}
				i := int(begun.Add(1)) - 1
				if i >= n {
					return
				}
				value, err := build(i)
				results[i] <- result{value, err}
			}
		}()
	}
	taken := 0
	next = func() (T, error) {
		r := <-results[taken]
		taken++
		<-room
		return r.value, r.err
	}
	return next, func() { close(done) }
}
