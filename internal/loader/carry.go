//go:build linux

package loader

import (
	"context"
	"fmt"

	"github.com/trafficpolicy/trafficpolicy/internal/state"
)

// carryOut makes a change: it is written down, the kernel switches, what was in
// force is deleted. A signal does not stop it half way, and whatever kills it,
// recover knows from the kernel where it was.
func (l *Loader) carryOut(ctx context.Context, k Kernel, c *Change, p Plan, next *state.State) error {
	if err := ctx.Err(); err != nil {
		return err
	}
	ctx = context.WithoutCancel(ctx)
	if err := l.folder.Prepare(next, c.Bundle.data, p.HoldingSize()); err != nil {
		return err
	}
	err := p.Switch(ctx)
	if err == nil {
		if err = p.Clean(ctx); err != nil {
			return fmt.Errorf("generation %.12s is in force, but what was before it could not be deleted: %w", c.Record.Generation, err)
		}
		return l.finish(ctx, k, l.applied(c.Record, c.Record.Backend))
	}
	switched, undo := l.settle(ctx) // the switch may have failed after the kernel had done it
	switch {
	case switched:
		return undo
	case undo != nil:
		l.log("%v (the next tploader apply or status does it)", undo)
	}
	return fmt.Errorf("%w (what was in force still is)", err)
}

// recover ends an apply that was killed: if the kernel had switched it is
// carried through, else undone.
func (l *Loader) recover(ctx context.Context) error {
	next := l.folder.Next
	if next == nil {
		return nil
	}
	switched, err := l.settle(ctx)
	if switched {
		l.log("an earlier tploader was stopped after it had switched to generation %.12s: finished", next.Current.Generation)
	} else {
		l.log("an earlier tploader was stopped before it switched to generation %.12s: cleaned up", next.Current.Generation)
	}
	return err
}

// settle brings state and kernel together when something was prepared, and
// reports whether it is in force.
func (l *Loader) settle(ctx context.Context) (switched bool, err error) {
	r := l.folder.Next.Current
	k, err := l.kernel(ctx, r.Backend)
	if err != nil {
		return false, err
	}
	next := l.applied(r, r.Backend)
	switched, err = k.Settle(ctx, next, l.applied(l.state().Current, r.Backend))
	switch {
	case err != nil && switched:
		return true, fmt.Errorf("generation %.12s is in force, but what was before it could not be deleted: %w", r.Generation, err)
	case err != nil:
		return false, fmt.Errorf("clean up: %w", err)
	case switched:
		return true, l.finish(ctx, k, next)
	}
	return false, l.folder.Abandon()
}

// finish is what follows a switch: a backend that was in force before another
// is removed, what the kernel holds is recorded, and the prepared state becomes
// the state.
func (l *Loader) finish(ctx context.Context, k Kernel, a *Applied) error {
	r := a.Record
	err := l.replaced(ctx, r)
	if err == nil {
		var text []byte
		if text, err = k.Holding(ctx, a); err == nil {
			err = l.folder.SetKernel(r, text)
		}
	}
	if err == nil {
		err = l.folder.Commit()
	}
	if err != nil {
		return fmt.Errorf("generation %.12s is in force, but not recorded: %w (the next tploader apply or status does it)", r.Generation, err)
	}
	l.folder.DropEarlier()
	return nil
}

// replaced removes the backend in force, if r is of another. Until then packets
// must pass both.
func (l *Loader) replaced(ctx context.Context, r *state.Record) error {
	c := l.state().Current
	if c == nil || c.Backend == r.Backend {
		return nil
	}
	old, err := l.kernel(ctx, c.Backend)
	if err == nil {
		_, err = old.Remove(ctx)
	}
	if err != nil {
		return fmt.Errorf("remove backend %s: %w", c.Backend, err)
	}
	return nil
}
