//go:build linux

package agent

import (
	"context"
	"errors"
	"fmt"
	"net/netip"
	"os"
	"sync"
	"sync/atomic"
	"time"

	"github.com/coreos/go-systemd/v22/daemon"
	"go4.org/netipx"

	"github.com/trafficpolicy/trafficpolicy/internal/loader"
	"github.com/trafficpolicy/trafficpolicy/internal/names"
	"github.com/trafficpolicy/trafficpolicy/internal/place"
)

// Options say what an agent keeps. Backends, Open.StateDir and Node must be given.
type Options struct {
	Backends loader.Backends
	// Open is how Loaders are opened, but for Create and Cache. Its Log gets the agent's
	// own progress and warnings too, and must be given.
	Open loader.OpenOptions
	// Node is the name of this node.
	Node string
	// Source is a bundle, or a directory of bundles, that may be replaced at any time;
	// empty for none.
	Source string
	// Apply are the flags that new bundles are applied with. If it has none, those of the
	// bundle in force are kept.
	Apply loader.ApplyOptions
	// Resolvers are asked for the addresses of domain names. NoResolver says why there
	// are none.
	Resolvers  []netip.AddrPort
	NoResolver error
	// Grace and Stale are those of [names.Config].
	Grace, Stale time.Duration
	// Refused are addresses that no answer may open, beside those that the bundle and the
	// node show.
	Refused []netip.Prefix
	// Listen is where health and metrics are, as [ParseListen] takes it; empty for nowhere.
	Listen string
	// Refresh, if not nil, has the agent look at everything now, whenever it sends.
	Refresh <-chan os.Signal
	// Report is told what was applied.
	Report func(*loader.Result)
}

// Times of an agent: how often it looks at the source, how long nothing must change on
// the node before it looks at the pods, for how long it looks away at most, and how long
// it rests between two looks, because looking itself can make the kernel ask its
// neighbours.
const (
	sourcePeriod = 500 * time.Millisecond
	// sourceRest is how many times as long as a look at the source took it rests.
	sourceRest = 20
	lookCalm   = 100 * time.Millisecond
	lookMost   = 30 * time.Second
	lookPause  = time.Second
	// lookRest is how many times as long as a look took an agent rests before the next:
	// with thousands of names nft needs seconds to list them.
	lookRest = 10
	// retryApply is how long a bundle rests that was good and could not be applied.
	retryApply = 30 * time.Second
	// memoryPeriod is how often what is known of names is written down with its ages.
	memoryPeriod = time.Minute
	// settleMost is how long after a restart names have to be asked for once, before those
	// that were are looked at; 10,000 take 20 seconds. settlePeriod is how often then.
	settleMost   = 2 * time.Minute
	settlePeriod = 10 * time.Second
)

// Agent keeps one network namespace. All goroutines of the process are in it.
type Agent struct {
	o     Options
	cache *loader.Cache
	names *names.Learner // nil without a resolver

	// Of the goroutine that keeps.
	source  *source
	lock    *os.File // nil until something is in force
	applied uint64   // state.Record.Apply that names were set for
	// refusals are what the learner was last told that no answer may open.
	refusals []names.Refusal
	handled  string // digest of the last bundle of the source that was dealt with

	additive additive
	effects  atomic.Pointer[map[string]loader.Effect] // of the names of the bundle in force
	health   health
}

// New returns an agent that has done nothing yet.
func New(o Options) (*Agent, error) {
	a := &Agent{o: o, cache: loader.NewCache(), source: newSource(o.Source, o.Node)}
	if o.NoResolver != nil {
		return a, nil
	}
	var err error
	a.names, err = names.New(names.Config{
		Resolvers: o.Resolvers, Enforce: a.enforce, InUse: a.inUse, Decides: a.decides, Grace: o.Grace, Stale: o.Stale, Log: o.Open.Log,
	})
	return a, err
}

// Run keeps the namespace until ctx ends. What is in force then stays.
func (a *Agent) Run(ctx context.Context) error {
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	server, err := a.listen()
	if err != nil {
		return err
	}
	changes, err := place.WatchChanges(ctx)
	if err != nil {
		return err
	}
	if err := a.begin(ctx); err != nil {
		return err
	}
	daemon.SdNotify(false, daemon.SdNotifyReady)
	var wg sync.WaitGroup
	if server != nil {
		wg.Go(func() { server.run(ctx, cancel) })
	}
	if a.names != nil {
		wg.Go(func() { a.names.Run(ctx) })
		wg.Go(func() { a.settle(ctx) })
	}
	a.keep(ctx, changes)
	cancel(nil)
	wg.Wait()
	daemon.SdNotify(false, daemon.SdNotifyStopping)
	a.remember(context.WithoutCancel(ctx))
	if cause := context.Cause(ctx); !errors.Is(cause, context.Canceled) {
		return cause
	}
	return nil
}

// begin puts in force again what was last, and what is new. Returns an error where this
// cannot be the agent of the namespace.
func (a *Agent) begin(ctx context.Context) error {
	_, err := os.Stat(a.o.Open.StateDir) // where there is none, no boot had a bundle
	create := err == nil || a.o.Source != ""
	err = a.tending(ctx, create, func(l *loader.Loader) error {
		if err := a.alone(l); err != nil {
			return err
		}
		res, err := l.Again(ctx, a.o.Node, false)
		if errors.Is(err, loader.ErrNever) {
			a.nothing()
		} else {
			a.looked(ctx, l, res, err)
		}
		a.failed(ctx, a.recall(l))
		a.failed(ctx, a.follow(l))
		return nil
	})
	if err != nil {
		return err
	}
	a.trySource(ctx, time.Now(), true)
	return nil
}

// with opens a Loader for one thing to do, so that other tploaders can work between
// two. create makes the state directory where it is missing. Any goroutine may call it.
func (a *Agent) with(ctx context.Context, create bool, do func(*loader.Loader) error) error {
	o := a.o.Open
	o.Create, o.Cache = create, a.cache
	l, err := a.o.Backends.Open(ctx, o)
	if err != nil {
		return err
	}
	return errors.Join(do(l), l.Close())
}

// tending is with for the goroutine that keeps: the source asks for the keys that count,
// which an operator's apply may have changed, and so may what do puts in force.
func (a *Agent) tending(ctx context.Context, create bool, do func(*loader.Loader) error) error {
	return a.with(ctx, create, func(l *loader.Loader) error {
		if err := a.trust(l); err != nil {
			return err
		}
		return errors.Join(do(l), a.trust(l))
	})
}

// trust has the source ask for the keys that count.
func (a *Agent) trust(l *loader.Loader) error {
	keys, err := l.Trusted()
	if err == nil {
		a.source.trust(keys)
	}
	return err
}

// alone makes sure that there is no other agent.
func (a *Agent) alone(l *loader.Loader) error {
	lock, err := l.Agent(a.lock)
	if errors.Is(err, loader.ErrNothing) {
		return nil
	}
	if err == nil {
		if lock != a.lock {
			a.applied = 0 // what is in force may have been removed, and something applied, since
		}
		a.lock = lock
	}
	return err
}

// keep looks at the node and the source until ctx ends.
func (a *Agent) keep(ctx context.Context, changes *place.Changes) {
	looks, rest := make(chan struct{}), make(chan time.Duration, 1)
	go func() {
		for ctx.Err() == nil {
			changes.Wait(ctx, lookCalm, lookMost)
			select {
			case looks <- struct{}{}:
			case <-ctx.Done():
				return
			}
			select {
			case <-time.After(<-rest):
			case <-ctx.Done():
			}
		}
	}()
	tick := time.NewTicker(sourcePeriod)
	defer tick.Stop()
	memory := time.NewTicker(memoryPeriod)
	defer memory.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-looks:
			start := time.Now()
			a.lookAgain(ctx)
			took := time.Since(start)
			a.health.tookTo(took)
			rest <- max(lookPause, lookRest*took)
		case <-a.o.Refresh:
			a.lookAgain(ctx)
			a.source.retry = time.Time{}
			a.trySource(ctx, time.Now(), true)
			if a.names != nil {
				a.names.Refresh()
			}
		case now := <-tick.C:
			a.trySource(ctx, now, false)
		case <-memory.C:
			a.failed(ctx, a.remember(ctx))
		}
	}
}

// lookAgain is what an agent does from time to time.
func (a *Agent) lookAgain(ctx context.Context) {
	a.failed(ctx, a.tending(ctx, false, func(l *loader.Loader) error {
		if err := a.alone(l); err != nil {
			return err
		}
		if l.Record() == nil {
			a.nothing()
			return nil // somebody may apply something
		}
		a.look(ctx, l)
		return nil
	}))
}

// look applies what is in force once more, whatever that mends.
func (a *Agent) look(ctx context.Context, l *loader.Loader) {
	res, err := l.Again(ctx, a.o.Node, false)
	if a.looked(ctx, l, res, err); err == nil {
		a.failed(ctx, a.follow(l))
	}
}

// looked notes what became of an apply.
func (a *Agent) looked(ctx context.Context, l *loader.Loader, res *loader.Result, err error) {
	if ctx.Err() != nil {
		return
	}
	a.health.looked(l.Record(), res, err, time.Now())
	if err != nil {
		a.warn(err)
		return
	}
	if res.Changed {
		a.o.Report(res)
	}
}

// nothing notes that nothing is in force.
func (a *Agent) nothing() {
	a.applied = 0
	a.health.looked(nil, nil, nil, time.Now())
}

// failed says what went wrong, unless that is only that the agent ends.
func (a *Agent) failed(ctx context.Context, err error) {
	if err != nil && ctx.Err() == nil {
		a.warn(err)
	}
}

// warn says an error once, until another comes.
func (a *Agent) warn(err error) {
	if a.health.isNews(err) {
		a.o.Open.Log("warning: %v", err)
	}
}

// prefixes returns the set of some prefixes.
func prefixes(list []netip.Prefix) (*netipx.IPSet, error) {
	var b netipx.IPSetBuilder
	for _, p := range list {
		b.AddPrefix(p)
	}
	s, err := b.IPSet()
	if err != nil {
		return nil, fmt.Errorf("set of addresses: %w", err)
	}
	return s, nil
}
