//go:build linux

package loader

import (
	"context"
	"errors"
)

// Remove deletes everything of ours in this network namespace, in the kernel and
// in the state directory: all traffic is open from then on. It reports whether
// there was anything. The Loader is closed then.
func (l *Loader) Remove(ctx context.Context) (bool, error) {
	ctx = context.WithoutCancel(ctx)
	ks, err := l.usable(ctx)
	if err != nil {
		return false, err
	}
	// What is in force must go, whatever else cannot be used here.
	for _, r := range l.mentioned() {
		if _, err := l.kernel(ctx, r); err != nil {
			return false, err
		}
	}
	found := false
	for _, k := range ks {
		any, err := k.Remove(ctx)
		if err != nil {
			return found, err
		}
		found = found || any
	}
	if l.folder == nil {
		return found, nil
	}
	err = errors.Join(l.folder.Erase(), closeFile(l.space.Lock))
	l.folder = nil
	return true, err
}

// mentioned returns the backends that the state speaks of.
func (l *Loader) mentioned() (names []string) {
	if r := l.state().Current; r != nil {
		names = append(names, r.Backend)
	}
	if l.folder != nil && l.folder.Next != nil {
		names = append(names, l.folder.Next.Current.Backend)
	}
	return names
}
