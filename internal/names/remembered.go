package names

import (
	"encoding/json"
	"fmt"
	"net/netip"
	"time"
)

// Remembered is an address of a name in a snapshot.
type Remembered struct {
	Addr    netip.Addr
	Since   time.Time // since when it is enforced without a gap
	Seen    time.Time // when the last answer came that had it
	Expires time.Time // when it goes if no further answer has it and resolvers work
	InUse   bool      // past its time, and connections with it lived
}

// ReadSnapshot returns what is in the result of [Learner.Snapshot], by name, and when
// that was written.
func ReadSnapshot(data []byte) (written time.Time, known map[string][]Remembered, err error) {
	var s snapshot
	if err := json.Unmarshal(data, &s); err != nil {
		return written, nil, fmt.Errorf("known addresses of names: %w", err)
	}
	if s.Version != snapshotVersion {
		return written, nil, fmt.Errorf("known addresses of names have version %d, not %d", s.Version, snapshotVersion)
	}
	known = make(map[string][]Remembered, len(s.Names))
	for _, n := range s.Names {
		for _, a := range n.Addrs {
			known[n.Name] = append(known[n.Name], Remembered{a.Addr, a.Since, a.Seen, a.Expires, a.InUse})
		}
	}
	return s.Written, known, nil
}
