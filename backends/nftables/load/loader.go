//go:build linux

package load

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"os"
	"time"

	"github.com/trafficpolicy/trafficpolicy/backends/nftables"
	"github.com/trafficpolicy/trafficpolicy/internal/netns"
	"github.com/trafficpolicy/trafficpolicy/internal/state"
)

// OpenOptions say where a Loader works.
type OpenOptions struct {
	StateDir string
	// Create makes the state directory where it is missing.
	Create bool
	// Damaged opens a state folder that cannot be read as if it were empty.
	Damaged bool
	// Log, if not nil, gets progress and warnings, one line each.
	Log func(format string, args ...any)
}

// lockWait is how long one loader waits for another.
const lockWait = time.Minute

// Loader has the network namespace of the calling thread to itself.
type Loader struct {
	nft    *command
	folder *state.Folder // nil where nothing was ever applied
	lock   *os.File
	log    func(format string, args ...any)
	now    func() time.Time
}

// Open makes sure that nftables can be used, takes the namespace's lock, and
// finishes or undoes what a loader that was killed has left. Where there is no
// state and Create is not set, the Loader holds no lock.
func Open(ctx context.Context, o OpenOptions) (*Loader, error) {
	l := &Loader{log: o.Log, now: func() time.Time { return time.Now().UTC().Truncate(time.Second) }}
	if l.log == nil {
		l.log = func(string, ...any) {}
	}
	if !netns.CanAdmin() {
		return nil, errors.New("not permitted to change nftables (tploader needs root, or CAP_NET_ADMIN)")
	}
	var err error
	if l.nft, err = findNFT(ctx); err != nil {
		return nil, err
	}
	key, err := namespaceKey()
	if err != nil {
		return nil, err
	}
	l.folder, err = state.Open(ctx, state.OpenOptions{
		Dir: o.StateDir, Key: key, Create: o.Create, Damaged: o.Damaged, Wait: lockWait,
		Waiting: func() { l.log("another tploader is at work in this network namespace, waiting") },
	})
	if errors.Is(err, state.ErrNone) {
		return l, nil
	}
	if err != nil {
		return nil, err
	}
	if l.lock, err = l.folder.Lock(); err == nil {
		l.nft.lock = l.lock
		err = l.recover(ctx)
	}
	if err != nil {
		l.Close()
		return nil, err
	}
	return l, nil
}

// Close gives up the namespace.
func (l *Loader) Close() error {
	if l.folder == nil {
		return nil
	}
	return errors.Join(l.lock.Close(), l.folder.Close())
}

func namespaceKey() (k state.Key, err error) {
	if k.Cookie, err = netns.Cookie(); err == nil {
		k.Boot, err = netns.BootID()
	}
	return k, err
}

// state returns what is remembered, never nil.
func (l *Loader) state() *state.State {
	if l.folder == nil {
		return &state.State{}
	}
	return l.folder.State
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
	objects, err := l.nft.list(ctx, true)
	if err != nil {
		return false, err
	}
	m, ok := findMark(objects)
	r, current := l.folder.Next.Current, l.state().Current
	switch {
	case ok && m == (mark{r.Generation, r.Apply, r.Prefix}):
		return true, l.finish(ctx, cleanupScript(objects, r.Prefix, ""))
	case ok:
		err = l.nft.cleanup(ctx, cleanupScript(objects, m.prefix, ""))
	case current != nil: // somebody has removed the mark, or the table
		err = l.nft.cleanup(ctx, cleanupScript(objects, current.Prefix, ""))
	default:
		_, err = l.nft.deleteTable(ctx)
	}
	if err != nil {
		return false, fmt.Errorf("clean up: %w", err)
	}
	return false, l.folder.Abandon()
}

// finish is what follows a switch: what is no longer in force is deleted by the
// script cleanup, what the kernel holds is recorded, and the prepared state
// becomes the state.
func (l *Loader) finish(ctx context.Context, cleanup string) error {
	r := l.folder.Next.Current
	if err := l.nft.cleanup(ctx, cleanup); err != nil {
		return fmt.Errorf("generation %.12s is in force, but the objects before it could not be deleted: %w", r.Generation, err)
	}
	objects, err := l.nft.list(ctx, false)
	if err == nil {
		var text []byte
		if text, err = hold(l.nft.version, objects).encode(); err == nil {
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

// deleteTable deletes all of ours and reports whether there was anything.
func (c *command) deleteTable(ctx context.Context) (bool, error) {
	err := c.load(ctx, "delete table "+nftables.Table+"\n")
	if notFound(err) {
		return false, nil
	}
	return err == nil, err
}

func digest(data []byte) string {
	sum := sha256.Sum256(data)
	return hex.EncodeToString(sum[:])
}
