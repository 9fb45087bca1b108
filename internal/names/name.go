package names

import (
	"maps"
	"net/netip"
	"slices"
	"strings"
	"time"
)

// family is an address family that is asked for.
type family uint8

const (
	inet4 family = iota // A
	inet6               // AAAA
)

// Times after which a name is asked for again whose question failed: the first,
// doubled each time up to the last.
const (
	retryFirst = time.Second
	retryLast  = 30 * time.Second
)

// maxRefusedShown is how many refused addresses of a name and family are kept.
const maxRefusedShown = 16

// name is what is known of a domain name.
type name struct {
	key   string
	fam   [2]lookupState
	held  map[netip.Addr]*held
	addrs []netip.Addr // what list returns, nil when it is to be made anew
	end   item
	hold  bool // see Name.Hold
	gone  bool // no longer kept
}

// lookupState is how asking for a name in a family goes.
type lookupState struct {
	ask      item
	asked    bool      // at least once by this Learner, whatever came of it
	answered time.Time // when a resolver last answered
	failing  time.Time // since when questions fail; zero while they do not
	failures int       // in a row
	err      string    // why the last one failed
	refused  []RefusedAddr
	nRefused int // those of refused, and what did not fit there
	capped   int
}

// held is an address of a name.
type held struct {
	since   time.Time
	seen    time.Time // when the last answer came that had it
	expires time.Time // when it may go, as far as answers say; see name.deadline
	over    time.Time // since when nothing is known that keeps it past its deadline; zero before that
	family  family    // of the question whose answer had it
	static  bool
	inUse   bool // past its deadline, kept for its connections
}

func byName(a, b *name) int { return strings.Compare(a.key, b.key) }

// deadline is when the address goes unless it is in use; false for never, as far as
// is known now. What the last answer had, and everything while questions fail, is held
// for Stale after the last answer that had it; the rest goes at its own time.
func (n *name) deadline(h *held, stale time.Duration) (time.Time, bool) {
	if h.static {
		return time.Time{}, false
	}
	f := &n.fam[h.family]
	if !f.failing.IsZero() || h.seen.Equal(f.answered) {
		return later(h.expires, h.seen.Add(stale)), !n.hold
	}
	return h.expires, true
}

// list returns the name's addresses, sorted. The slice is never changed.
func (n *name) list() []netip.Addr {
	if n.addrs == nil {
		n.addrs = slices.AppendSeq(make([]netip.Addr, 0, len(n.held)), maps.Keys(n.held))
		slices.SortFunc(n.addrs, netip.Addr.Compare)
	}
	return n.addrs
}

// begin begins to keep a name. What was known of it before a restart holds as if
// the last question had failed.
func (l *Learner) begin(key string, hold bool, now time.Time) *name {
	n := &name{key: key, hold: hold, held: map[netip.Addr]*held{}}
	n.end.name = n
	for f := range n.fam {
		n.fam[f].ask = item{name: n, family: family(f)}
	}
	l.names[key] = n
	l.touch(n, now)
	l.restore(n, now)
	for f := range n.fam {
		l.asks.set(&n.fam[f].ask, now)
	}
	return n
}

// forget ends keeping a name.
func (l *Learner) forget(n *name, now time.Time) {
	for a := range n.held {
		l.disown(n, a)
	}
	for f := range n.fam {
		l.asks.remove(&n.fam[f].ask)
	}
	l.ends.remove(&n.end)
	n.gone = true
	delete(l.names, n.key)
	l.touch(n, now)
}

// setStatic makes addrs the name's static addresses. One that was static goes
// as one that was never answered.
func (l *Learner) setStatic(n *name, addrs []netip.Addr, now time.Time) {
	static := map[netip.Addr]bool{}
	for _, a := range addrs {
		static[a.Unmap()] = true
	}
	for a, h := range n.held {
		if h.static && !static[a] {
			h.static = false
			if h.seen.IsZero() || l.refused.why(a) != "" {
				l.drop(n, a, now)
			}
		}
	}
	for _, a := range slices.SortedFunc(maps.Keys(static), netip.Addr.Compare) {
		h := n.held[a]
		if h == nil {
			h = l.add(n, a, now)
		}
		h.static = true
	}
	l.scheduleEnd(n)
}

// add gives the name an address that it does not have.
func (l *Learner) add(n *name, a netip.Addr, now time.Time) *held {
	h := &held{since: now}
	n.held[a] = h
	l.own(n, a)
	n.addrs = nil
	l.touch(n, now)
	return h
}

// drop takes an address from the name.
func (l *Learner) drop(n *name, a netip.Addr, now time.Time) {
	delete(n.held, a)
	l.disown(n, a)
	n.addrs = nil
	l.touch(n, now)
}

// touch notes that what is to be enforced for the name may have changed.
func (l *Learner) touch(n *name, now time.Time) {
	if _, ok := l.dirty[n.key]; !ok {
		l.dirty[n.key] = now
	}
	l.wakeEnforce.set()
}
