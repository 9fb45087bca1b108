//go:build linux

package load

import "context"

// Remove deletes the table and the state of this network namespace: all traffic
// is open from then on. It reports whether there was anything. The Loader is
// closed then.
func (l *Loader) Remove(ctx context.Context) (bool, error) {
	ctx = context.WithoutCancel(ctx)
	found, err := l.nft.deleteTable(ctx)
	if err != nil || l.folder == nil {
		return found, err
	}
	err = l.folder.Erase()
	l.lock.Close()
	l.folder = nil
	return true, err
}
