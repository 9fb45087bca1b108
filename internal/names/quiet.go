package names

import "time"

// In each window of time at most quietMost lines of one kind are said, and how
// many were not.
const (
	quietWindow = time.Minute
	quietMost   = 10
)

// quiet is a log that does not repeat itself without end. It is not safe for
// concurrent use.
type quiet struct {
	log   func(format string, args ...any)
	kinds map[string]*quietKind
}

type quietKind struct {
	begin        time.Time // of the window
	said, unsaid int
}

func newQuiet(log func(format string, args ...any)) *quiet {
	return &quiet{log, map[string]*quietKind{}}
}

// say logs a line of a kind.
func (q *quiet) say(kind, format string, args ...any) {
	now := time.Now()
	k := q.kinds[kind]
	if k == nil {
		k = &quietKind{begin: now}
		q.kinds[kind] = k
	}
	q.turn(kind, k, now)
	if k.said >= quietMost {
		k.unsaid++
		return
	}
	k.said++
	q.log(format, args...)
}

// flush says how many lines were not said in windows that are over.
func (q *quiet) flush(now time.Time) {
	for kind, k := range q.kinds {
		q.turn(kind, k, now)
	}
}

func (q *quiet) turn(kind string, k *quietKind, now time.Time) {
	if now.Sub(k.begin) < quietWindow {
		return
	}
	if k.unsaid > 0 {
		q.log("%s: %d more like those above within %s", kind, k.unsaid, quietWindow)
	}
	*k = quietKind{begin: now}
}
