package verify

import "sync"

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
