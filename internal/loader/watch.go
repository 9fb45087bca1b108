//go:build linux

package loader

import (
	"context"
	"time"

	"github.com/trafficpolicy/trafficpolicy/internal/place"
)

// Times of Watch: how long nothing must change before it looks, how long it looks
// away at most, and how long it rests between two looks, because looking itself
// can make the kernel ask its neighbours.
const (
	watchCalm  = 100 * time.Millisecond
	watchMost  = 30 * time.Second
	watchPause = time.Second
)

// Watch applies what is in force again whenever that would change something: pods'
// interfaces have appeared, or the kernel has lost what was applied. It returns
// when ctx ends. open opens a Loader for each look; report, if not nil, is told
// what was done.
func Watch(ctx context.Context, open func(context.Context) (*Loader, error), report func(*Result)) error {
	changes, err := place.WatchChanges(ctx)
	if err != nil {
		return err
	}
	for ctx.Err() == nil {
		if err := look(ctx, open, report); err != nil {
			return err
		}
		select {
		case <-ctx.Done():
		case <-time.After(watchPause):
		}
		changes.Wait(ctx, watchCalm, watchMost)
	}
	return nil
}

// look applies what is in force again.
func look(ctx context.Context, open func(context.Context) (*Loader, error), report func(*Result)) error {
	l, err := open(ctx)
	if err != nil {
		return err
	}
	defer l.Close()
	if l.state().Current == nil {
		return nil // somebody may apply something
	}
	res, err := l.Again(ctx, "", false)
	if err != nil {
		l.log("warning: %v", err) // the pods may be there at the next look
		return nil
	}
	if res.Changed && report != nil {
		report(res)
	}
	return nil
}
