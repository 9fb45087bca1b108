//go:build linux

package load

import (
	"context"
	"fmt"

	"github.com/trafficpolicy/trafficpolicy/internal/state"
)

// carryOut makes a change: it is written down, the objects are created, the
// switch is made, the rest is deleted. A signal does not stop it half way, and
// whatever kills it, recover knows from the kernel's mark where it was.
func (l *Loader) carryOut(ctx context.Context, c *change, b *Bundle) error {
	if err := ctx.Err(); err != nil {
		return err
	}
	ctx = context.WithoutCancel(ctx)
	next := &state.State{
		MaxSequence: max(c.maxSequence, c.record.Sequence),
		Current:     c.record, Previous: c.previous,
	}
	if err := l.folder.Prepare(next, b.data, holdingSize(c.skeleton, c.objects, c.dispatch)); err != nil {
		return err
	}
	err := l.switchTo(ctx, c)
	if err == nil {
		cleanup := ""
		if c.load {
			cleanup = cleanupScript(c.found, c.record.Prefix, c.objects)
		}
		return l.finish(ctx, cleanup)
	}
	switched, undo := l.settle(ctx) // nft may have failed after the kernel had done it
	switch {
	case switched:
		return undo
	case undo != nil:
		l.log("%v (the next tploader apply or status does it)", undo)
	}
	return fmt.Errorf("%w (what was in force still is)", err)
}

func (l *Loader) switchTo(ctx context.Context, c *change) error {
	if c.load {
		if err := l.nft.load(ctx, c.skeleton); err != nil {
			return fmt.Errorf("load the skeleton: %w", err)
		}
		if err := l.nft.load(ctx, c.objects); err != nil {
			return fmt.Errorf("load generation %.12s: %w", c.record.Generation, err)
		}
	}
	if err := l.nft.load(ctx, c.dispatch); err != nil {
		return fmt.Errorf("switch to generation %.12s: %w", c.record.Generation, err)
	}
	return nil
}
