package names

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"net/netip"
	"slices"
	"sync"
	"time"

	"github.com/trafficpolicy/trafficpolicy/compiler"
)

// Learner keeps the addresses of names. All its methods may be called at any
// time by any goroutine, but Run once only.
type Learner struct {
	cfg Config
	// ask finds the addresses of a name in one family; tests replace it.
	ask func(ctx context.Context, name string, f family) (answer, error)
	net *client

	mu       sync.Mutex
	names    map[string]*name
	asks     queue // when to ask for a name in a family
	ends     queue // when the next address of a name ends
	asking   int   // questions under way
	refused  refusals
	owners   map[netip.Addr][]*name // which names have an address
	total    int                    // addresses of all names
	shared   sharing
	said     *quiet
	restored map[string]*saved // until names are set
	counts   counts

	set      bool                    // SetNames was called
	dirty    map[string]time.Time    // names that may differ from enforced, and since when
	enforced map[string][]netip.Addr // what Enforce has last been given with success
	whole    bool                    // enforced says nothing of what the backend holds

	wakeAsk, wakeEnd, wakeEnforce signal
	tick                          chan struct{} // closed when a question has ended
}

// counts are what [Totals] counts over the life of the Learner.
type counts struct {
	questions, failures, refused, capped uint64
	enforced, enforceFailures            uint64
	enforceError                         string
	lastEnforced                         time.Time
	delay                                time.Duration
}

// signal wakes one goroutine.
type signal chan struct{}

func (s signal) set() {
	select {
	case s <- struct{}{}:
	default:
	}
}

// New returns a Learner that keeps no names yet.
func New(cfg Config) (*Learner, error) {
	cfg, err := cfg.complete()
	if err != nil {
		return nil, err
	}
	l := &Learner{
		cfg: cfg, net: newClient(&cfg), names: map[string]*name{}, owners: map[netip.Addr][]*name{}, said: newQuiet(cfg.Log),
		dirty: map[string]time.Time{}, enforced: map[string][]netip.Addr{}, whole: true,
		wakeAsk: make(signal, 1), wakeEnd: make(signal, 1), wakeEnforce: make(signal, 1), tick: make(chan struct{}),
	}
	l.ask = l.net.lookup
	return l, nil
}

// SetNames says which names to keep from now on. Those that were kept before
// keep what is known of them; the others are asked for at once, or, after Restore,
// begin with what was known of them then. What is known of a name that is left out
// is forgotten. Returns an error, and changes nothing, if a name is not in
// compiler.NormalizeFQDN's form or is there twice.
func (l *Learner) SetNames(ns []Name) error {
	keep := make(map[string]Name, len(ns))
	for _, n := range ns {
		if norm, ok := compiler.NormalizeFQDN(n.Name); !ok || norm != n.Name {
			return fmt.Errorf("%q is not a domain name in lower case without trailing dot", n.Name)
		}
		if _, twice := keep[n.Name]; twice {
			return fmt.Errorf("domain name %q is there twice", n.Name)
		}
		keep[n.Name] = n
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	now := time.Now()
	for _, n := range slices.SortedFunc(maps.Values(l.names), byName) {
		if _, ok := keep[n.key]; !ok {
			l.forget(n, now)
		}
	}
	for _, key := range slices.Sorted(maps.Keys(keep)) {
		n := l.names[key]
		if n == nil {
			n = l.begin(key, keep[key].Hold, now)
		}
		n.hold = keep[key].Hold
		l.setStatic(n, keep[key].Static, now)
	}
	l.restored, l.set = nil, true
	l.sayAllSharing()
	l.wakeEnforce.set()
	l.wakeAsk.set()
	l.wakeEnd.set()
	return nil
}

// SetResolvers says whom to ask from now on, in the place of Config.Resolvers.
// What is known of those that stay is kept. Returns an error, and changes nothing, if
// there is none, or one without address or port.
func (l *Learner) SetResolvers(rs []netip.AddrPort) error {
	if err := checkResolvers(rs); err != nil {
		return err
	}
	l.net.set(rs)
	return nil
}

// SetRefused says which addresses no answer may open, beside those that never
// may. Learned addresses that are among them go at once.
func (l *Learner) SetRefused(rs []Refusal) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.refused = slices.Clone(rs)
	now := time.Now()
	for _, n := range l.names {
		for a, h := range n.held {
			if why := l.refused.why(a); why != "" && !h.static {
				l.said.say("refused", "%s: the address %s goes: it is %s", n.key, a, why)
				l.drop(n, a, now)
			}
		}
		l.scheduleEnd(n)
	}
}

// Refuses reports whether no answer may open the address, an unmapped one.
func (l *Learner) Refuses(a netip.Addr) bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.refused.why(a) != ""
}

// Resync has Enforce called with everything, as if for the first time: for a
// backend that has lost what it held.
func (l *Learner) Resync() {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.whole = true
	l.wakeEnforce.set()
}

// Refresh has every name asked for now, as far as the rate allows: resolvers may
// have changed what they say.
func (l *Learner) Refresh() {
	l.mu.Lock()
	defer l.mu.Unlock()
	now := time.Now()
	for _, n := range l.names {
		for f := range n.fam {
			if n.fam[f].ask.queued() {
				l.asks.set(&n.fam[f].ask, now)
			}
		}
	}
	l.wakeAsk.set()
}

// Current returns what is to be enforced now, in the form of [Known].Addrs.
func (l *Learner) Current() map[string][]netip.Addr {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.current()
}

func (l *Learner) current() map[string][]netip.Addr {
	m := make(map[string][]netip.Addr, len(l.names))
	for key, n := range l.names {
		m[key] = n.list()
	}
	return m
}

// Settle waits until each of the names has been asked for in both families since
// it was set, whatever came of it. Names that are not kept do not count. Returns the
// error of ctx if that ends first.
func (l *Learner) Settle(ctx context.Context, names ...string) error {
	for {
		l.mu.Lock()
		open := slices.ContainsFunc(names, func(key string) bool {
			n := l.names[key]
			return n != nil && (!n.fam[inet4].asked || !n.fam[inet6].asked)
		})
		tick := l.tick
		l.mu.Unlock()
		if !open {
			return nil
		}
		select {
		case <-tick:
		case <-ctx.Done():
			return ctx.Err()
		}
	}
}

// Run asks and enforces until ctx ends, and returns when all that it has begun
// has ended. Until SetNames was called it does neither: what a backend holds from
// an earlier process stays.
func (l *Learner) Run(ctx context.Context) error {
	var wg sync.WaitGroup
	wg.Go(func() { l.enforceAll(ctx) })
	wg.Go(func() { l.endAddrs(ctx) })
	l.askAll(ctx, &wg)
	wg.Wait()
	if err := context.Cause(ctx); !errors.Is(err, context.Canceled) {
		return err
	}
	return nil
}

// askAll begins each question when it is due, Config.Concurrency at most at a time.
func (l *Learner) askAll(ctx context.Context, wg *sync.WaitGroup) {
	timer := time.NewTimer(0)
	defer timer.Stop()
	for ctx.Err() == nil {
		l.mu.Lock()
		now := time.Now()
		l.said.flush(now)
		next := now.Add(quietWindow)
		for l.asking < l.cfg.Concurrency {
			it := l.asks.first()
			if it == nil {
				break
			}
			if it.due.After(now) {
				next = earlier(next, it.due)
				break
			}
			l.asks.remove(it)
			l.asking++
			wg.Go(func() { l.question(ctx, it) })
		}
		l.mu.Unlock()
		timer.Reset(time.Until(next))
		select {
		case <-ctx.Done():
		case <-timer.C:
		case <-l.wakeAsk:
		}
	}
}

// question asks for a name in a family and takes the answer.
func (l *Learner) question(ctx context.Context, it *item) {
	a, err := l.ask(ctx, it.name.key, it.family)
	l.mu.Lock()
	defer l.mu.Unlock()
	l.asking--
	l.wakeAsk.set()
	close(l.tick)
	l.tick = make(chan struct{})
	if it.name.gone || ctx.Err() != nil {
		return
	}
	l.counts.questions++
	if err != nil {
		l.fail(it, err, time.Now())
	} else {
		l.take(it, a, time.Now())
	}
	l.scheduleEnd(it.name)
}

func earlier(a, b time.Time) time.Time {
	if b.Before(a) {
		return b
	}
	return a
}

func later(a, b time.Time) time.Time {
	if b.After(a) {
		return b
	}
	return a
}
