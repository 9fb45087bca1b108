//go:build linux

package load

import "context"

// Remove deletes the table and the state of this network namespace: all traffic
// is open from then on. It reports whether there was anything. The Loader is
// closed then.
func (l *Loader) Remove(ctx context.Context) (bool, error) {
	ctx = context.WithoutCancel(ctx)
	objects, err := l.nft.list(ctx, true)
	if err != nil {
		return false, err
	}
	if objects != nil {
		if err := l.nft.deleteTable(ctx); err != nil {
			return false, err
		}
	}
	if l.folder == nil {
		return objects != nil, nil
	}
	err = l.folder.Erase()
	l.lock.Close()
	l.folder = nil
	return true, err
}
