package verify

import (
	"fmt"
	"slices"
	"sync"
)

// once keeps a value that is made when it is first asked for. A failure is not
// kept. It is safe for concurrent use.
type once[T any] struct {
	mu    sync.Mutex
	made  bool
	value T
}

func (o *once[T]) get(make func() (T, error)) (T, error) {
	o.mu.Lock()
	defer o.mu.Unlock()
	if !o.made {
		v, err := make()
		if err != nil {
			return v, err
		}
		o.value, o.made = v, true
	}
	return o.value, nil
}

// warnings collects what could not be checked. It is safe for concurrent use.
type warnings struct {
	mu   sync.Mutex
	said map[string]bool
}

// warn notes what could not be checked and why.
func (a *Analysis) warn(format string, args ...any) {
	w := &a.warnings
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.said == nil {
		w.said = map[string]bool{}
	}
	w.said[fmt.Sprintf(format, args...)] = true
}

func (w *warnings) sorted() []string {
	w.mu.Lock()
	defer w.mu.Unlock()
	var out []string
	for s := range w.said {
		out = append(out, s)
	}
	slices.Sort(out)
	return out
}
