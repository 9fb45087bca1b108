package ebpf

import (
	"runtime"
	"sync/atomic"
)

// made is the piece of one job.
type made struct {
	piece *piece
	err   error
}

// pieceAll makes the pieces of jobs on every processor. next returns them in
// order; no more than a few wait for it, so that memory does not follow the number
// of jobs where nothing keeps the pieces. stop ends what still runs.
func pieceAll(jobs []job) (next func() (*piece, error), stop func()) {
	workers := min(runtime.GOMAXPROCS(0), len(jobs))
	results := make([]chan made, len(jobs))
	for i := range results {
		results[i] = make(chan made, 1)
	}
	room := make(chan struct{}, 2*workers) // held by each piece from its beginning until it was taken
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
				if i >= len(jobs) {
					return
				}
				p, err := jobs[i].result()
				results[i] <- made{p, err}
			}
		}()
	}
	taken := 0
	next = func() (*piece, error) {
		r := <-results[taken]
		taken++
		<-room
		return r.piece, r.err
	}
	return next, func() { close(done) }
}
