package names

import (
	"net/netip"
	"slices"
	"time"
)

// answer is what a resolver said of a name in one family.
type answer struct {
	addrs []netip.Addr // as they came: any order, perhaps twice, perhaps mapped
	// ttl is the least of the records that led to addrs, or of a negative answer
	// how long it holds (RFC 2308, 5).
	ttl time.Duration
	// negative says that the name does not exist or has no address of the family.
	negative bool
}

// clampTTL returns the time for which an answer is taken to hold.
func (c *Config) clampTTL(ttl time.Duration) time.Duration { return min(max(ttl, c.MinTTL), c.MaxTTL) }

// refreshAfter returns when to ask again for what holds for ttl: at 3/4 of it, or
// up to a tenth of that earlier, so that questions that began together spread.
func (l *Learner) refreshAfter(ttl time.Duration) time.Duration {
	at := float64(ttl) * 3 / 4
	return time.Duration(at - at/10*l.cfg.Rand())
}

// take takes the answer to a question.
func (l *Learner) take(it *item, a answer, now time.Time) {
	n, f := it.name, &it.name.fam[it.family]
	ttl := l.cfg.clampTTL(a.ttl)
	f.asked = true
	l.asks.set(it, now.Add(l.refreshAfter(ttl)))
	if !f.failing.IsZero() {
		l.resume(n, it.family, now)
	}
	f.answered = now
	var fresh []netip.Addr // not held yet
	refused := map[netip.Addr]string{}
	for _, addr := range a.addrs {
		addr = addr.Unmap()
		if h := n.held[addr]; h != nil { // static, or not refused
			h.renew(it.family, now, ttl+l.cfg.Grace)
		} else if why := l.refused.why(addr); why != "" {
			refused[addr] = why
		} else {
			fresh = append(fresh, addr)
		}
	}
	l.noteRefused(n, f, refused)
	l.admit(n, it.family, fresh, now, ttl+l.cfg.Grace)
}

// renew notes an answer that has the address.
func (h *held) renew(f family, now time.Time, hold time.Duration) {
	h.family, h.seen, h.expires = f, now, now.Add(hold)
	h.over, h.inUse = time.Time{}, false
}

// resume ends the failing of a name in a family. What it kept meanwhile stays
// for Grace longer, as answers may rotate; but however often resolvers fail and
// answer, not beyond Stale and Grace after the last answer that had it.
func (l *Learner) resume(n *name, fam family, now time.Time) {
	f := &n.fam[fam]
	for _, h := range n.held {
		if h.family == fam {
			h.expires = later(h.expires, earlier(now, h.seen.Add(l.cfg.Stale)).Add(l.cfg.Grace))
		}
	}
	if f.failures > 0 {
		l.said.say("answers", "%s: resolvers answer again, after %s", n.key, now.Sub(f.failing).Round(time.Second))
	}
	f.failing, f.failures, f.err = time.Time{}, 0, ""
}

// admit gives the name new addresses as far as the caps allow, the lowest first.
func (l *Learner) admit(n *name, fam family, fresh []netip.Addr, now time.Time, hold time.Duration) {
	slices.SortFunc(fresh, netip.Addr.Compare)
	fresh = slices.Compact(fresh)
	room := max(0, min(l.cfg.MaxPerName-len(n.held), l.cfg.MaxAddrs-l.total))
	f, most := &n.fam[fam], min(room, len(fresh))
	for _, a := range fresh[:most] {
		l.add(n, a, now).renew(fam, now, hold)
	}
	capped := len(fresh) - most
	if capped > 0 && f.capped == 0 {
		if l.total >= l.cfg.MaxAddrs {
			l.said.say("capped", "%s: %d of its addresses are left out, first %s: all names together have %d, the limit", n.key, capped, fresh[most], l.total)
		} else {
			l.said.say("capped", "%s: %d of its addresses are left out, first %s: it has %d, the limit", n.key, capped, fresh[most], len(n.held))
		}
	}
	l.counts.capped += uint64(capped)
	f.capped = capped
}

// noteRefused notes which addresses of the last answer are refused, and says
// those that the one before did not have.
func (l *Learner) noteRefused(n *name, f *lookupState, refused map[netip.Addr]string) {
	before := f.refused
	f.refused, f.nRefused = nil, len(refused)
	l.counts.refused += uint64(len(refused))
	for a, why := range refused {
		f.refused = append(f.refused, RefusedAddr{a, why})
	}
	slices.SortFunc(f.refused, func(a, b RefusedAddr) int { return a.Addr.Compare(b.Addr) })
	f.refused = slices.Clone(f.refused[:min(len(f.refused), maxRefusedShown)])
	for _, r := range f.refused {
		if !slices.Contains(before, r) {
			l.said.say("refused", "%s: the address %s of an answer is refused: it is %s", n.key, r.Addr, r.Why)
		}
	}
}

// fail notes that a question failed.
func (l *Learner) fail(it *item, err error, now time.Time) {
	n, f := it.name, &it.name.fam[it.family]
	f.asked = true
	l.counts.failures++
	if f.failing.IsZero() {
		f.failing = now
	}
	switch {
	case f.failures > 0:
	case n.hold:
		l.said.say("failing", "%s: %v; its addresses of before stay", n.key, err)
	default:
		l.said.say("failing", "%s: %v; its addresses of before stay for up to %s", n.key, err, l.cfg.Stale)
	}
	f.failures++
	f.err = err.Error()
	wait := min(retryFirst<<min(f.failures-1, 10), retryLast)
	l.asks.set(it, now.Add(wait-time.Duration(float64(wait)/4*l.cfg.Rand())))
}
