package names

import (
	"context"
	"net/netip"
	"slices"
	"time"
)

// endPause is the least time between two looks for addresses whose time is over:
// asking which of them are in use can be as much work for one as for all.
const endPause = time.Second

// scheduleEnd queues the name for when the first of its addresses may go.
func (l *Learner) scheduleEnd(n *name) {
	var first time.Time
	for _, h := range n.held {
		if at, ok := n.deadline(h, l.cfg.Stale); ok && (first.IsZero() || at.Before(first)) {
			first = at
		}
	}
	if first.IsZero() {
		l.ends.remove(&n.end)
		return
	}
	if before := l.ends.first(); before == nil || first.Before(before.due) {
		l.wakeEnd.set()
	}
	l.ends.set(&n.end, first)
}

// over is an address of a name whose time is over.
type over struct {
	name *name
	addr netip.Addr
}

// endAddrs takes away addresses whose time is over until ctx ends.
func (l *Learner) endAddrs(ctx context.Context) {
	timer := time.NewTimer(0)
	defer timer.Stop()
	for ctx.Err() == nil {
		done, next := l.collectOver(time.Now())
		if len(done) > 0 {
			used, err := l.inUse(ctx, done)
			if ctx.Err() != nil {
				return
			}
			l.endOver(done, used, err, time.Now())
			next = time.Now().Add(endPause)
		}
		timer.Reset(time.Until(next))
		if len(done) > 0 {
			select {
			case <-ctx.Done():
			case <-timer.C:
			}
			continue
		}
		select {
		case <-ctx.Done():
		case <-timer.C:
		case <-l.wakeEnd:
		}
	}
}

// collectOver returns the addresses whose time is over, and when that of the next is.
func (l *Learner) collectOver(now time.Time) (done []over, next time.Time) {
	l.mu.Lock()
	defer l.mu.Unlock()
	for {
		it := l.ends.first()
		if it == nil {
			return done, now.Add(quietWindow)
		}
		if it.due.After(now) {
			return done, it.due
		}
		l.ends.remove(it)
		before := len(done)
		for a, h := range it.name.held {
			if at, ok := it.name.deadline(h, l.cfg.Stale); ok && !at.After(now) {
				done = append(done, over{it.name, a})
			}
		}
		if len(done) == before {
			l.scheduleEnd(it.name)
		}
	}
}

// inUse asks which of the addresses are in use.
func (l *Learner) inUse(ctx context.Context, done []over) (map[netip.Addr]bool, error) {
	if l.cfg.InUse == nil {
		return nil, nil
	}
	addrs := make([]netip.Addr, len(done))
	for i, o := range done {
		addrs[i] = o.addr
	}
	slices.SortFunc(addrs, netip.Addr.Compare)
	ctx, cancel := context.WithTimeout(ctx, l.cfg.EnforceTimeout)
	defer cancel()
	list, err := l.cfg.InUse(ctx, slices.Compact(addrs))
	used := make(map[netip.Addr]bool, len(list))
	for _, a := range list {
		used[a.Unmap()] = true
	}
	return used, err
}

// endOver takes the addresses away that no answer has had since and that are not
// in use; err is why that could not be told.
func (l *Learner) endOver(done []over, used map[netip.Addr]bool, err error, now time.Time) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if err != nil {
		l.said.say("in use", "cannot tell which addresses are in use, %d stay that would go: %v", len(done), err)
	}
	for _, o := range done {
		h := o.name.held[o.addr]
		if o.name.gone || h == nil {
			continue
		}
		at, ok := o.name.deadline(h, l.cfg.Stale)
		if !ok || at.After(now) {
			continue
		}
		h.inUse = used[o.addr]
		if h.inUse {
			h.over = now
		} else if h.over.IsZero() {
			h.over = at
		}
		if h.inUse || err != nil && now.Before(h.over.Add(l.cfg.Stale)) {
			h.expires = now.Add(l.cfg.InUseCheck)
			continue
		}
		if f := &o.name.fam[h.family]; !f.failing.IsZero() {
			l.said.say("stale", "%s: the address %s goes: no answer has had it for %s, and questions fail: %s",
				o.name.key, o.addr, now.Sub(h.seen).Round(time.Second), f.err)
		}
		l.drop(o.name, o.addr, now)
	}
	for i, o := range done { // those of one name stand together
		if !o.name.gone && (i == 0 || done[i-1].name != o.name) {
			l.scheduleEnd(o.name)
		}
	}
}
