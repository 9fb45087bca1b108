package names

import (
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"net/netip"
	"slices"
	"time"

	"github.com/trafficpolicy/trafficpolicy/compiler"
)

// snapshotVersion is the version of the form of a snapshot.
const snapshotVersion = 1

// snapshot is its form. Times are of the wall clock, in UTC.
type snapshot struct {
	Version int       `json:"version"`
	Written time.Time `json:"written"`
	Names   []saved   `json:"names"`
}

// saved is a name with the addresses that answers had.
type saved struct {
	Name  string      `json:"name"`
	Addrs []savedAddr `json:"addrs"`
}

type savedAddr struct {
	Addr    netip.Addr `json:"addr"`
	Record  string     `json:"record"` // A or AAAA: the question whose answer had it
	Since   time.Time  `json:"since"`
	Seen    time.Time  `json:"seen"`
	Expires time.Time  `json:"expires"`
	InUse   bool       `json:"inUse,omitempty"`
}

var records = [...]string{inet4: "A", inet6: "AAAA"}

// Snapshot returns what answers have taught, for [Learner.Restore] of a later
// process. Equal knowledge at one time gives equal bytes.
func (l *Learner) Snapshot() []byte {
	l.mu.Lock()
	defer l.mu.Unlock()
	s := snapshot{Version: snapshotVersion, Written: time.Now().UTC(), Names: []saved{}}
	for _, n := range slices.SortedFunc(maps.Values(l.names), byName) {
		o := saved{Name: n.key}
		for _, a := range n.list() {
			if h := n.held[a]; !h.seen.IsZero() {
				o.Addrs = append(o.Addrs, savedAddr{a, records[h.family], h.since.UTC(), h.seen.UTC(), h.expires.UTC(), h.inUse})
			}
		}
		if len(o.Addrs) > 0 {
			s.Names = append(s.Names, o)
		}
	}
	text, err := json.Marshal(s)
	if err != nil {
		panic(err) // nothing in it cannot be marshalled
	}
	return append(text, '\n')
}

// Restore takes what an earlier process knew, for the names of the first
// SetNames, which it must come before. Their addresses then hold until a resolver
// answers, but no longer than they would have if it had only failed since: those
// that are too old by now go as soon as InUse has said that no connection is with them.
// Returns an error, and restores nothing, if data is no snapshot.
func (l *Learner) Restore(data []byte) error {
	var s snapshot
	if err := json.Unmarshal(data, &s); err != nil {
		return fmt.Errorf("known addresses of names: %w", err)
	}
	if s.Version != snapshotVersion {
		return fmt.Errorf("known addresses of names have version %d, not %d", s.Version, snapshotVersion)
	}
	restored := make(map[string]*saved, len(s.Names))
	for i := range s.Names {
		n := &s.Names[i]
		if norm, ok := compiler.NormalizeFQDN(n.Name); !ok || norm != n.Name || restored[n.Name] != nil {
			return fmt.Errorf("known addresses of names: %q is no name, or there twice", n.Name)
		}
		for _, a := range n.Addrs {
			if !a.Addr.IsValid() || a.Addr.Is4In6() || a.Addr.Zone() != "" || slices.Index(records[:], a.Record) < 0 || a.Seen.IsZero() {
				return fmt.Errorf("known addresses of names: %s has %q, which cannot be", n.Name, a.Addr)
			}
		}
		restored[n.Name] = n
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	if len(l.names) > 0 {
		return errors.New("known addresses of names come too late: there are names already")
	}
	l.restored = restored
	return nil
}

// restore gives a name that begins what was known of it before. Times that would
// lie ahead, because the clock was put back, are taken for now.
func (l *Learner) restore(n *name, now time.Time) {
	s := l.restored[n.key]
	if s == nil {
		return
	}
	for f := range n.fam {
		n.fam[f].failing = now
	}
	for _, a := range s.Addrs {
		fam := family(slices.Index(records[:], a.Record))
		h := held{
			since: earlier(a.Since, now), seen: earlier(a.Seen, now), family: fam,
			expires: earlier(a.Expires, now.Add(l.cfg.MaxTTL+l.cfg.Grace)),
		}
		at, ends := n.deadline(&h, l.cfg.Stale)
		switch {
		case l.cfg.InUse == nil && ends && !at.After(now):
			continue
		case l.cfg.InUse != nil && a.InUse:
			h.inUse, h.over = true, now
		}
		if n.held[a.Addr] != nil || l.refused.why(a.Addr) != "" || len(n.held) >= l.cfg.MaxPerName || l.total >= l.cfg.MaxAddrs {
			continue
		}
		*l.add(n, a.Addr, now) = h
		n.fam[fam].answered = later(n.fam[fam].answered, h.seen)
	}
	l.scheduleEnd(n)
}
