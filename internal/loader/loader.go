//go:build linux

package loader

import (
	"context"
	"errors"
	"fmt"
	"os"
	"time"

	"github.com/trafficpolicy/trafficpolicy/backends/bundle"
	"github.com/trafficpolicy/trafficpolicy/internal/netns"
	"github.com/trafficpolicy/trafficpolicy/internal/state"
)

// ErrNothing says that there is no bundle to report on.
var ErrNothing = errors.New("nothing is in force in this network namespace")

// OpenOptions say where a Loader works.
type OpenOptions struct {
	StateDir string
	// Create makes the state directory where it is missing.
	Create bool
	// Damaged opens a state folder that cannot be read as if it were empty, and goes
	// on where a change that was stopped cannot be ended.
	Damaged bool
	// Bundle, if not nil, is to be applied: its backend must be usable.
	Bundle *Bundle
	// Trusted, if not nil, are the keys of which one must have signed whatever is put
	// in force; otherwise it is those that the last apply was told. Unsigned forgets
	// these and asks for no signature.
	Trusted  *bundle.Keyring
	Unsigned bool
	// Cache, if not nil, has bundles that earlier Loaders have read.
	Cache *Cache
	// Log, if not nil, gets progress and warnings, one line each.
	Log func(format string, args ...any)
}

// lockWait is how long one loader waits for another.
const lockWait = time.Minute

// Loader has the network namespace of the calling thread to itself.
type Loader struct {
	backends Backends
	space    *Space
	kernels  map[string]Kernel // those in use, by name of the backend
	folder   *state.Folder     // nil where nothing was ever applied
	stateDir string
	trusted  *bundle.Keyring // as in OpenOptions
	unsigned bool
	cache    *Cache
	learned  Known // of folder; nil until it is read
	// learnedAt is when the folder was given learned.
	learnedAt time.Time
	now       func() time.Time
}

// Open makes sure that the backend in question can be used, takes the namespace's
// lock, and finishes or undoes what a loader that was killed has left. Where there
// is no state and Create is not set, the Loader holds no lock.
func (bs Backends) Open(ctx context.Context, o OpenOptions) (*Loader, error) {
	if !netns.CanAdmin() {
		return nil, errors.New("not permitted to change what packets meet (tploader needs root, or CAP_NET_ADMIN)")
	}
	space, err := newSpace(o.Log)
	if err != nil {
		return nil, err
	}
	l := &Loader{
		backends: bs, space: space, kernels: map[string]Kernel{}, cache: o.Cache,
		stateDir: o.StateDir, trusted: o.Trusted, unsigned: o.Unsigned,
		now: func() time.Time { return time.Now().UTC().Truncate(time.Second) },
	}
	if l.cache == nil {
		l.cache = NewCache()
	}
	if o.Bundle != nil {
		if _, err := l.kernel(ctx, o.Bundle.Manifest.Backend); err != nil {
			return nil, err
		}
	}
	l.folder, err = state.Open(ctx, state.OpenOptions{
		Dir: o.StateDir, Key: space.Key, Create: o.Create, Damaged: o.Damaged, Wait: lockWait,
		Waiting: func() { l.log("another tploader is at work in this network namespace, waiting") },
	})
	if errors.Is(err, state.ErrNone) {
		return l, nil
	}
	if err != nil {
		return nil, err
	}
	if space.Lock, err = l.folder.Lock(); err == nil {
		if err = l.recover(ctx); err != nil && o.Damaged {
			l.log("%v", err)
			err = nil
		}
	}
	if err != nil {
		l.Close()
		return nil, err
	}
	return l, nil
}

func newSpace(log func(string, ...any)) (*Space, error) {
	s := &Space{Log: log}
	if s.Log == nil {
		s.Log = func(string, ...any) {}
	}
	var err error
	if s.Key.Cookie, err = netns.Cookie(); err == nil {
		s.Key.Boot, err = netns.BootID()
	}
	return s, err
}

// Close gives up the namespace.
func (l *Loader) Close() error {
	if l.folder == nil {
		return nil
	}
	return errors.Join(closeFile(l.space.Lock), l.folder.Close())
}

func closeFile(f *os.File) error {
	if f == nil {
		return nil
	}
	return f.Close()
}

func (l *Loader) log(format string, args ...any) { l.space.Log(format, args...) }

// kernel returns a backend at work here.
func (l *Loader) kernel(ctx context.Context, name string) (Kernel, error) {
	if k := l.kernels[name]; k != nil {
		return k, nil
	}
	b, err := l.backends.find(name)
	if err != nil {
		return nil, fmt.Errorf("bundle in force: %w", err)
	}
	k, err := b.Open(ctx, l.space)
	if err != nil {
		return nil, err
	}
	l.kernels[name] = k
	return k, nil
}

// usable returns every backend that can be used here, for when no state says which
// counts; an error if none can.
func (l *Loader) usable(ctx context.Context) (ks []Kernel, err error) {
	var errs []error
	for _, b := range l.backends {
		k, err := l.kernel(ctx, b.Name())
		if err != nil {
			errs = append(errs, err)
			continue
		}
		ks = append(ks, k)
	}
	if ks == nil {
		return nil, errors.Join(errs...)
	}
	return ks, nil
}

// state returns what is remembered, never nil.
func (l *Loader) state() *state.State {
	if l.folder == nil {
		return &state.State{}
	}
	return l.folder.State
}

// earlier returns what was in force for a target in an earlier boot, nil without
// such. A dry run has no folder of its own to ask.
func (l *Loader) earlier(scope, name string) (*state.Past, error) {
	if l.folder == nil {
		return state.Earlier(l.stateDir, l.space.Key, scope, name)
	}
	return l.folder.Earlier(scope, name)
}

// Current returns the bundle in force.
func (l *Loader) Current() (*Bundle, error) {
	r := l.state().Current
	if r == nil {
		return nil, ErrNothing
	}
	return l.bundleOf(r)
}

// bundleOf returns the stored bundle of a record.
func (l *Loader) bundleOf(r *state.Record) (*Bundle, error) {
	return l.cache.get(r.Bundle, func() (*Bundle, error) { return l.backends.stored(l.folder.Bundle(r)) })
}

// Record returns what is in force, nil if nothing is.
func (l *Loader) Record() *state.Record { return l.state().Current }

// Agent takes, or keeps, the lock that one agent at a time has in a network namespace; see
// [state.Folder.Agent]. It returns ErrNothing where nothing was ever applied.
func (l *Loader) Agent(held *os.File) (*os.File, error) {
	if l.folder == nil {
		return nil, ErrNothing
	}
	return l.folder.Agent(held)
}

// HasAgent reports whether an agent keeps the network namespace.
func (l *Loader) HasAgent() bool { return l.folder != nil && l.folder.HasAgent() }

// applied returns a record with its bundle, nil for nil and for one of another
// backend.
func (l *Loader) applied(r *state.Record, backend string) *Applied {
	if r == nil || r.Backend != backend {
		return nil
	}
	return &Applied{r, func() (*Bundle, error) { return l.bundleOf(r) }, l.known()}
}
