package ebpf

import (
	"runtime"
	"sync/atomic"

	"github.com/trafficpolicy/trafficpolicy/compiler/space"
)

// flattened is the table of one job.
type flattened struct {
	table *space.Table
	err   error
}

// flattenAll flattens the lists on every processor. next returns their tables in
// order; no more than a few wait for it, so that memory does not follow the number
// of jobs. stop ends what still runs.
func flattenAll(jobs []job) (next func() (*space.Table, error), stop func()) {
	workers := min(runtime.GOMAXPROCS(0), len(jobs))
	results := make([]chan flattened, len(jobs))
	for i := range results {
		results[i] = make(chan flattened, 1)
	}
	room := make(chan struct{}, 2*workers) // held by each table from its beginning until it was taken
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
				t, err := space.Flatten(jobs[i].list, jobs[i].key.Family)
				results[i] <- flattened{t, err}
			}
		}()
	}
	taken := 0
	next = func() (*space.Table, error) {
		r := <-results[taken]
		taken++
		<-room
		return r.table, r.err
	}
	return next, func() { close(done) }
}
