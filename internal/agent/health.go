//go:build linux

package agent

import (
	"fmt"
	"strings"
	"sync"
	"time"

	"github.com/trafficpolicy/trafficpolicy/internal/loader"
	"github.com/trafficpolicy/trafficpolicy/internal/names"
	"github.com/trafficpolicy/trafficpolicy/internal/state"
)

// health is what an agent says of itself.
type health struct {
	mu sync.Mutex
	now
	lastWarning string
}

// now is what health knows at a moment.
type now struct {
	record     *state.Record // in force, nil if nothing is
	looked     time.Time     // last look at the node or apply
	took       time.Duration // a look of late
	err        error         // of the last look or apply
	applied    time.Time     // last apply that changed something
	drift      int           // differences that the last look has mended
	mended     uint64        // looks that mended some
	failures   uint64        // looks and applies that failed
	unattached []loader.PodStatus
	sourceErr  error // why the source is not in force
	names      int   // of the bundle in force
}

// looked notes what became of a look or an apply. res is nil where nothing was done.
func (h *health) looked(r *state.Record, res *loader.Result, err error, at time.Time) {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.record, h.now.looked, h.err = r, at, err
	if err != nil {
		h.failures++
		return
	}
	if h.unattached = nil; res == nil {
		h.drift = 0
		return
	}
	h.unattached, h.drift = res.Unattached, len(res.Drift)
	if res.Changed {
		h.applied = at
	}
	if h.drift > 0 {
		h.mended++
	}
}

// tookTo notes how long a look has taken.
func (h *health) tookTo(d time.Duration) {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.took = d
}

// source notes why the source is not in force, and reports whether that is news.
func (h *health) source(err error) bool {
	h.mu.Lock()
	defer h.mu.Unlock()
	was := h.sourceErr
	h.sourceErr = err
	return (was == nil) != (err == nil) || was != nil && was.Error() != err.Error()
}

func (h *health) setNames(n int) {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.names = n
}

// isNews reports whether a warning differs from the one before.
func (h *health) isNews(err error) bool {
	h.mu.Lock()
	defer h.mu.Unlock()
	news := h.lastWarning != err.Error()
	h.lastWarning = err.Error()
	return news
}

func (h *health) get() now {
	h.mu.Lock()
	defer h.mu.Unlock()
	return h.now
}

// late is after how many times as long as there should be no look at most an agent is
// taken to hang.
const late = 4

// problems returns why not all is as it should be, in sentences. t is of the learner, nil
// without one.
func (n *now) problems(t *names.Totals, at time.Time) []string {
	var list []string
	add := func(bad bool, format string, args ...any) {
		if bad {
			list = append(list, fmt.Sprintf(format, args...))
		}
	}
	add(n.record == nil && n.err == nil, "nothing is in force")
	add(n.err != nil, "the last look failed: %v", n.err)
	quiet := at.Sub(n.looked)
	add(quiet > late*max(lookMost, lookRest*n.took), "the last look was %s ago", quiet.Round(time.Second))
	add(n.sourceErr != nil, "the bundle to watch is not in force: %v", n.sourceErr)
	if len(n.unattached) > 0 {
		var pods []string
		for _, p := range n.unattached {
			pods = append(pods, p.Pod)
		}
		more := ""
		if len(pods) > 3 {
			more = fmt.Sprintf(" and %d more", len(pods)-3)
			pods = pods[:3]
		}
		add(true, "pods are not attached: %s%s", strings.Join(pods, ", "), more)
	}
	if t == nil {
		add(n.names > 0, "%d domain names are not kept: there is no resolver", n.names)
		return list
	}
	add(t.EnforceError != "", "addresses of names are not enforced: %s", t.EnforceError)
	add(t.Failing > 0, "%d of %d domain names could not be asked for last time", t.Failing, t.Names)
	add(t.Capped > 0, "%d addresses of names are left out by a limit", t.Capped)
	return list
}
