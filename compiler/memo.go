package compiler

import (
	"runtime"
	"sync"
)

// Memo keeps what backends make of the rule lists of one class, so that all
// programs that have the class share it. The zero value is ready to use, a nil
// Memo keeps nothing. It is safe for concurrent use.
type Memo struct{ entries sync.Map } // any to *memoEntry

type memoEntry struct {
	once  sync.Once
	value any
	err   error
}

// making bounds how much is made at a time, whoever asks for it: what is in the
// making takes several times the memory of what is kept.
var making = make(chan struct{}, runtime.GOMAXPROCS(0))

// Remember returns what m keeps under key, and calls build for it where that is
// nothing yet. Who asks for the same meanwhile waits. The types of keys are the
// backends' own. build must not ask for anything itself.
func Remember[T any](m *Memo, key any, build func() (T, error)) (T, error) {
	bounded := func() (T, error) {
		making <- struct{}{}
		defer func() { <-making }()
		return build()
	}
	if m == nil {
		return bounded()
	}
	kept, _ := m.entries.LoadOrStore(key, new(memoEntry))
	e := kept.(*memoEntry)
	e.once.Do(func() { e.value, e.err = bounded() })
	value, _ := e.value.(T)
	return value, e.err
}
