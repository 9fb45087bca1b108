//go:build linux

package loader

import (
	"context"
	"errors"
	"fmt"

	"github.com/trafficpolicy/trafficpolicy/internal/state"
)

// ErrNever says that there is nothing that Again could apply.
var ErrNever = errors.New("no bundle was ever in force")

// Rollback puts the bundle in force that was before the present one, with the
// flags that it was applied with. The present one is then the one before, so a
// second Rollback takes the first back. Its signature is checked by the keys that
// are trusted now. What sequence Apply asks for stays.
func (l *Loader) Rollback(ctx context.Context) (*Result, error) {
	s := l.state()
	if s.Previous == nil {
		return nil, errors.New("there is no bundle before the one in force")
	}
	b, err := l.bundleOf(s.Previous)
	if err != nil {
		return nil, err
	}
	if err := l.trustStored(b, s.Previous.Name); err != nil {
		return nil, err
	}
	return l.put(ctx, b, ApplyOptions{Options: s.Previous.Options, Node: s.Previous.Name}, s.Current)
}

// Again applies the bundle in force once more, with its flags; where nothing is
// in force, what was for that node in the last boot. Its signature is checked. It
// returns an error that wraps ErrNever if there is neither.
func (l *Loader) Again(ctx context.Context, node string, dryRun bool) (*Result, error) {
	b, r, err := l.last(node)
	if err != nil {
		return nil, err
	}
	if err := l.trustStored(b, node); err != nil {
		return nil, err
	}
	return l.put(ctx, b, ApplyOptions{Options: r.Options, Node: r.Name, DryRun: dryRun}, nil)
}

func (l *Loader) last(node string) (*Bundle, *state.Record, error) {
	if r := l.state().Current; r != nil {
		b, err := l.bundleOf(r)
		return b, r, err
	}
	p, err := l.earlier("node", node)
	if err != nil {
		return nil, nil, err
	}
	if p == nil {
		return nil, nil, fmt.Errorf("%w for node %q", ErrNever, node)
	}
	b, err := l.backends.stored(p.Bundle, nil)
	return b, p.State.Current, err
}
