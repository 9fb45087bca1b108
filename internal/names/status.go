package names

import (
	"maps"
	"net/netip"
	"slices"
	"time"
)

// Status is what a Learner knows and does, for people and metrics.
type Status struct {
	Names  []NameStatus // sorted by name
	Totals Totals
}

// Totals are sums over all names and, where they are called counts, over the
// life of the Learner.
type Totals struct {
	Names, Addrs int
	Unresolved   int // names that have no address
	Failing      int // names whose last question failed, in at least one family
	InUse        int // addresses past their time, kept for their connections
	Capped       int // addresses of the last answers that a cap keeps out
	Refused      int // addresses of the last answers that are refused
	Shared       int // addresses that more than one name has

	// Counts of questions that have ended, of those that failed, and of addresses in
	// answers that were refused or over a cap, each time that they came.
	Questions, Failures, RefusedSeen, CappedSeen uint64
	// Counts of calls of Enforce.
	Enforced, EnforceFailures uint64
	// EnforceError is the error of the last call of Enforce, "" if it succeeded.
	EnforceError string
	// LastEnforced is when Enforce last succeeded; Delay how long before that the
	// earliest of its changes had become known.
	LastEnforced time.Time
	Delay        time.Duration
	Resolvers    []ResolverStatus // in the order of Config
}

// ResolverStatus is how one resolver does.
type ResolverStatus struct {
	Resolver netip.AddrPort
	// Queries are those sent to it, over UDP and TCP; Silent those that nothing came
	// back to; Unusable packets that came back and were no answer to the question.
	Queries, Silent, Unusable uint64
	// DownUntil is until when others are asked before it, because it was silent
	// several times in a row; zero if it was not.
	DownUntil time.Time
}

// NameStatus is what is known of one name.
type NameStatus struct {
	Name  string       `json:"name"`
	Addrs []AddrStatus `json:"addrs"` // sorted
	// Answered is when a resolver last answered, in the family that waits longer;
	// zero if in one none ever has. A negative answer is an answer.
	Answered time.Time `json:"answered"`
	// Next is when it is asked for next.
	Next time.Time `json:"next"`
	// Error is why the last question failed, "" if it did not. StaleSince is since
	// when: the addresses are as old. Both families count.
	Error      string    `json:"error,omitempty"`
	StaleSince time.Time `json:"staleSince,omitzero"`
	// Refused are addresses of the last answers that are refused, at most 16 of
	// them; RefusedCount is how many there are.
	Refused      []RefusedAddr `json:"refused,omitempty"`
	RefusedCount int           `json:"refusedCount,omitempty"`
	// Capped is how many addresses of the last answers a cap keeps out.
	Capped int `json:"capped,omitempty"`
}

// AddrStatus is one address of a name.
type AddrStatus struct {
	Addr netip.Addr `json:"addr"`
	// Since is since when it is known without a gap, also before a restart. Seen is
	// when the last answer came that had it; zero if none ever did.
	Since time.Time `json:"since"`
	Seen  time.Time `json:"seen,omitzero"`
	// Expires is when it goes if no further answer comes; zero if it does not go then,
	// because it is Static or its name is to be held.
	Expires time.Time `json:"expires,omitzero"`
	Static  bool      `json:"static,omitempty"`
	InUse   bool      `json:"inUse,omitempty"` // past its time, and connections with it live
}

// RefusedAddr is an address that a name may not open, and what it is.
type RefusedAddr struct {
	Addr netip.Addr `json:"addr"`
	Why  string     `json:"why"`
}

// Status returns what is known and done now.
func (l *Learner) Status() Status {
	l.mu.Lock()
	defer l.mu.Unlock()
	c := &l.counts
	s := Status{Names: make([]NameStatus, 0, len(l.names)), Totals: Totals{
		Names: len(l.names), Addrs: l.total, Shared: l.shared.shared,
		Questions: c.questions, Failures: c.failures, RefusedSeen: c.refused, CappedSeen: c.capped,
		Enforced: c.enforced, EnforceFailures: c.enforceFailures, EnforceError: c.enforceError,
		LastEnforced: c.lastEnforced, Delay: c.delay,
		Resolvers: l.net.status(),
	}}
	t := &s.Totals
	for _, n := range slices.SortedFunc(maps.Values(l.names), byName) {
		o := l.nameStatus(n)
		s.Names = append(s.Names, o)
		t.Capped += o.Capped
		t.Refused += o.RefusedCount
		if len(o.Addrs) == 0 {
			t.Unresolved++
		}
		if o.Error != "" {
			t.Failing++
		}
		for _, a := range o.Addrs {
			if a.InUse {
				t.InUse++
			}
		}
	}
	return s
}

func (l *Learner) nameStatus(n *name) NameStatus {
	o := NameStatus{Name: n.key, Addrs: make([]AddrStatus, 0, len(n.held)), Answered: earlier(n.fam[inet4].answered, n.fam[inet6].answered)}
	for _, a := range n.list() {
		h := n.held[a]
		at, ends := n.deadline(h, l.cfg.Stale)
		if !ends {
			at = time.Time{}
		}
		o.Addrs = append(o.Addrs, AddrStatus{Addr: a, Since: h.since, Seen: h.seen, Expires: at, Static: h.static, InUse: h.inUse && !h.static})
	}
	for i := range n.fam {
		f := &n.fam[i]
		if next := f.ask.due; f.ask.queued() && (o.Next.IsZero() || next.Before(o.Next)) {
			o.Next = next
		}
		if !f.failing.IsZero() {
			if o.StaleSince.IsZero() || f.failing.Before(o.StaleSince) {
				o.StaleSince = f.failing
			}
			if o.Error == "" && f.err != "" {
				o.Error = records[i] + ": " + f.err
			}
		}
		o.Refused = append(o.Refused, f.refused...)
		o.RefusedCount += f.nRefused
		o.Capped += f.capped
	}
	o.Refused = o.Refused[:min(len(o.Refused), maxRefusedShown)]
	return o
}
