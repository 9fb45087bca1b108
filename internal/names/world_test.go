package names

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"net/netip"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"
)

// world is a Learner inside a synctest bubble, with what it asks and enforces.
type world struct {
	t   *testing.T
	l   *Learner
	cfg Config

	// mu is held by the test but while it waits, and taken by whatever the Learner
	// calls but Log and Decides, which it calls locked.
	mu       sync.Mutex
	says     map[string]func() (answer, error) // by "name A" and "name AAAA"; no address without
	asks     []string                          // "name A" in order
	inForce  map[string][]netip.Addr           // put together from the changes
	calls    int                               // of Enforce
	failing  error                             // what Enforce returns
	last     Known
	latency  time.Duration
	cancel   context.CancelFunc
	finished chan error

	logMu sync.Mutex
	lines []string // of the log
}

var testResolver = netip.MustParseAddrPort("192.0.2.53:53")

// errAsk is how questions fail.
var errAsk = errors.New("SERVFAIL")

// inWorld runs f with a Learner that runs, in simulated time. Whatever f leaves
// running fails the test.
func inWorld(t *testing.T, cfg Config, f func(w *world)) {
	t.Helper()
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, cfg)
		w.run()
		defer w.stop()
		f(w)
	})
}

// newWorld makes a Learner that does not run yet.
func newWorld(t *testing.T, cfg Config) *world {
	w := &world{t: t, says: map[string]func() (answer, error){}}
	cfg.Resolvers = []netip.AddrPort{testResolver}
	cfg.Enforce = w.enforce
	cfg.Log = func(format string, args ...any) {
		w.logMu.Lock()
		defer w.logMu.Unlock()
		w.lines = append(w.lines, fmt.Sprintf(format, args...))
	}
	if inUse := cfg.InUse; inUse != nil {
		cfg.InUse = func(ctx context.Context, asked []netip.Addr) ([]netip.Addr, error) {
			w.mu.Lock()
			defer w.mu.Unlock()
			return inUse(ctx, asked)
		}
	}
	if cfg.Rand == nil {
		cfg.Rand = func() float64 { return 0 }
	}
	l, err := New(cfg)
	if err != nil {
		t.Fatal(err)
	}
	l.ask = w.ask
	w.l, w.cfg = l, l.cfg
	w.mu.Lock()
	return w
}

func (w *world) run() {
	ctx, cancel := context.WithCancel(w.t.Context())
	w.cancel, w.finished = cancel, make(chan error, 1)
	go func() { w.finished <- w.l.Run(ctx) }()
}

func (w *world) stop() {
	w.cancel()
	w.mu.Unlock()
	if err := <-w.finished; err != nil {
		w.t.Errorf("Run: %v", err)
	}
}

func (w *world) ask(ctx context.Context, name string, f family) (answer, error) {
	key := name + " " + records[f]
	w.mu.Lock()
	w.asks = append(w.asks, key)
	latency := w.latency
	w.mu.Unlock()
	select {
	case <-ctx.Done():
		return answer{}, ctx.Err()
	case <-time.After(latency):
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	if says := w.says[key]; says != nil {
		return says()
	}
	return answer{negative: true, ttl: DefaultMaxTTL}, nil
}

// answer has the name answer with addresses of one family, or if there are none
// negatively.
func (w *world) answer(name string, ttl time.Duration, ss ...string) {
	f := inet4
	if len(ss) > 0 && strings.Contains(ss[0], ":") {
		f = inet6
	}
	w.say(name, f, func() (answer, error) { return answer{addrs: addrs(ss...), ttl: ttl, negative: len(ss) == 0}, nil })
}

func (w *world) say(name string, f family, says func() (answer, error)) {
	w.says[name+" "+records[f]] = says
}

// fail has questions for the name fail.
func (w *world) fail(name string) {
	w.say(name, inet4, func() (answer, error) { return answer{}, errAsk })
}

// enforce checks that changes and whole state agree, always.
func (w *world) enforce(_ context.Context, k Known) error {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.calls++
	w.last = k
	if w.failing != nil {
		return w.failing
	}
	next := map[string][]netip.Addr{}
	if !k.Whole {
		next = maps.Clone(w.inForce)
	}
	for _, c := range k.Changes {
		after := slices.Clone(next[c.Name])
		for _, a := range c.Removed {
			i := slices.Index(after, a)
			if i < 0 {
				w.t.Errorf("%s loses %s, which it does not have", c.Name, a)
				continue
			}
			after = slices.Delete(after, i, i+1)
		}
		for _, a := range c.Added {
			if slices.Contains(after, a) {
				w.t.Errorf("%s gains %s, which it has", c.Name, a)
			}
		}
		after = append(after, c.Added...)
		slices.SortFunc(after, netip.Addr.Compare)
		if _, ok := k.Addrs[c.Name]; ok {
			next[c.Name] = after
		} else {
			if len(after) > 0 {
				w.t.Errorf("%s goes and keeps %s", c.Name, after)
			}
			delete(next, c.Name)
		}
	}
	if !maps.EqualFunc(next, k.Addrs, slices.Equal[[]netip.Addr]) {
		w.t.Errorf("changes lead to %v, the whole is %v", next, k.Addrs)
	}
	w.inForce = next
	return nil
}

// set has the names kept.
func (w *world) set(names ...string) {
	w.t.Helper()
	var ns []Name
	for _, n := range names {
		ns = append(ns, Name{Name: n})
	}
	if err := w.l.SetNames(ns); err != nil {
		w.t.Fatal(err)
	}
	w.wait(0)
}

// wait lets time pass, and all that is to be done in it be done.
func (w *world) wait(d time.Duration) {
	w.pass(d)
	if d < DefaultEnforcePause { // what was held back by the pause between two calls
		w.pass(DefaultEnforcePause)
	}
}

// pass lets time pass, and all that is to be done by then be done.
func (w *world) pass(d time.Duration) {
	w.mu.Unlock()
	defer w.mu.Lock()
	time.Sleep(d)
	synctest.Wait()
}

// has checks what is in force for a name.
func (w *world) has(name string, want ...string) {
	w.t.Helper()
	if got := w.inForce[name]; !slices.Equal(got, addrs(want...)) {
		w.t.Errorf("%s has %s in force, want %s", name, got, want)
	}
}

// logged checks that a line with all of the parts was logged n times.
func (w *world) logged(n int, parts ...string) {
	w.t.Helper()
	w.logMu.Lock()
	defer w.logMu.Unlock()
	got := 0
	for _, line := range w.lines {
		if !slices.ContainsFunc(parts, func(p string) bool { return !strings.Contains(line, p) }) {
			got++
		}
	}
	if got != n {
		w.t.Errorf("%d lines have %q, want %d; the first 20:\n%s", got, parts, n, strings.Join(w.lines[:min(20, len(w.lines))], "\n"))
	}
}

// asked returns how often a name was asked for in a family, and forgets it.
func (w *world) asked(key string) (n int) {
	w.asks = slices.DeleteFunc(w.asks, func(k string) bool {
		if k == key {
			n++
		}
		return k == key
	})
	return n
}

// status returns that of a name.
func (w *world) status(name string) NameStatus {
	w.t.Helper()
	for _, n := range w.l.Status().Names {
		if n.Name == name {
			return n
		}
	}
	w.t.Fatalf("no status of %s", name)
	return NameStatus{}
}

func addrs(ss ...string) []netip.Addr {
	out := []netip.Addr{}
	for _, s := range ss {
		out = append(out, netip.MustParseAddr(s))
	}
	return out
}
