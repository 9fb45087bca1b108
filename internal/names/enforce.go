package names

import (
	"context"
	"maps"
	"net/netip"
	"slices"
	"time"
)

// Times after which Enforce is called again after it failed: the first, doubled
// each time up to the last.
const (
	enforceRetryFirst = 100 * time.Millisecond
	enforceRetryLast  = 30 * time.Second
)

// enforceAll calls Enforce until ctx ends.
func (l *Learner) enforceAll(ctx context.Context) {
	retry := time.Duration(0)
	for ctx.Err() == nil {
		if k, dirty, ok := l.toEnforce(); ok {
			if l.enforce(ctx, k, dirty) {
				retry = 0
			} else {
				retry = min(max(enforceRetryFirst, 2*retry), enforceRetryLast)
			}
			select {
			case <-ctx.Done():
			case <-time.After(max(retry, l.cfg.EnforcePause)):
			}
			if retry > 0 {
				continue
			}
		}
		select {
		case <-ctx.Done():
		case <-l.wakeEnforce:
		}
	}
}

// toEnforce returns what is to be enforced and the names that it is about; false
// if that is enforced already.
func (l *Learner) toEnforce() (Known, map[string]time.Time, bool) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if !l.set {
		return Known{}, nil, false
	}
	dirty, now := l.dirty, time.Now()
	l.dirty = map[string]time.Time{}
	k := Known{Whole: l.whole}
	if l.whole {
		l.whole = false
		l.enforced = map[string][]netip.Addr{}
		k.Since = now
		for key := range l.names {
			if _, ok := dirty[key]; !ok {
				dirty[key] = now
			}
		}
	}
	for _, key := range slices.Sorted(maps.Keys(dirty)) {
		if c, ok := l.change(key); ok {
			k.Changes = append(k.Changes, c)
			if k.Since.IsZero() || dirty[key].Before(k.Since) {
				k.Since = dirty[key]
			}
		}
	}
	if len(k.Changes) == 0 && !k.Whole {
		return k, nil, false
	}
	k.Addrs = l.current()
	return k, dirty, true
}

// change returns how the addresses of a name differ from those enforced last.
func (l *Learner) change(key string) (Change, bool) {
	before, was := l.enforced[key]
	var after []netip.Addr
	n, is := l.names[key]
	if is {
		after = n.list()
	}
	c := Change{Name: key, Added: without(after, before), Removed: without(before, after)}
	return c, was != is || len(c.Added)+len(c.Removed) > 0
}

// without returns what a has and b has not; both are sorted.
func without(a, b []netip.Addr) (only []netip.Addr) {
	for _, x := range a {
		for len(b) > 0 && b[0].Less(x) {
			b = b[1:]
		}
		if len(b) == 0 || b[0] != x {
			only = append(only, x)
		}
	}
	return only
}

// enforce calls Enforce once and reports whether it succeeded.
func (l *Learner) enforce(ctx context.Context, k Known, dirty map[string]time.Time) bool {
	limited, cancel := context.WithTimeout(ctx, l.cfg.EnforceTimeout)
	err := l.cfg.Enforce(limited, k)
	cancel()
	l.mu.Lock()
	defer l.mu.Unlock()
	if err != nil {
		l.counts.enforceFailures++
		l.counts.enforceError = err.Error()
		if ctx.Err() == nil {
			l.said.say("enforce", "changed addresses of %d names are not enforced yet: %v", len(k.Changes), err)
		}
		l.whole = l.whole || k.Whole
		for key, since := range dirty {
			if now, ok := l.dirty[key]; !ok || since.Before(now) {
				l.dirty[key] = since
			}
		}
		return false
	}
	for _, c := range k.Changes {
		if addrs, ok := k.Addrs[c.Name]; ok {
			l.enforced[c.Name] = addrs
		} else {
			delete(l.enforced, c.Name)
		}
	}
	l.counts.enforced++
	l.counts.enforceError = ""
	l.counts.lastEnforced = time.Now()
	l.counts.delay = l.counts.lastEnforced.Sub(k.Since)
	return true
}
