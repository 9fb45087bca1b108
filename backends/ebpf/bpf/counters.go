package bpf

import "fmt"

// CounterNumber is an index of the map tp_counters: below [FixedCounters] one of
// those that every instance has, from there on a decider's.
type CounterNumber uint32

// Counters that every instance has, in the order of enum tp_counter_number
// (counters.h).
const (
	CounterSpoofed        CounterNumber = iota // from a pod's interface, not from one of its addresses
	CounterStray                               // to a pod's interface, not to one of its addresses
	CounterBroken                              // bad header, or of no connection that could be
	CounterUnknown                             // as in nftables; not counted: a graph closes no unknown pods
	CounterEthertype                           // neither IPv4 nor IPv6 nor ARP, or with a VLAN tag
	CounterEvents                              // drops written to tp_events
	CounterEventsLimited                       // not written, over the rate
	CounterEventsLost                          // not written, tp_events was full
	CounterRejects                             // answers to rejected packets
	CounterRejectsLimited                      // not answered, over the rate
	CounterUntracked                           // let through, but the connection table took no entry
	// FixedCounters is the number of the counter of the decider with (relocated)
	// index 0.
	FixedCounters CounterNumber = 16
)

var counterNames = [...]string{"spoofed", "stray", "broken", "unknown", "ethertype", "events", "events limited", "events lost", "rejects", "rejects limited", "untracked"}

// CounterNames returns the names of the counters that are in use below
// [FixedCounters], by number.
func CounterNames() []string { return append([]string(nil), counterNames[:]...) }

// String returns the counter's name, or "decider N" for those of deciders.
func (n CounterNumber) String() string {
	switch {
	case int(n) < len(counterNames):
		return counterNames[n]
	case n < FixedCounters:
		return fmt.Sprintf("counter %d", uint32(n))
	}
	return fmt.Sprintf("decider %d", uint32(n-FixedCounters))
}

// Decider returns the (relocated) index of the decider that n counts for; ok is
// false where n is no decider's.
func (n CounterNumber) Decider() (index uint32, ok bool) {
	return uint32(n - FixedCounters), n >= FixedCounters
}
