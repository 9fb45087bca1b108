//go:build linux

package load

import (
	"context"
	"fmt"
	"net/netip"
	"time"

	"golang.org/x/sys/unix"

	graph "github.com/trafficpolicy/trafficpolicy/backends/ebpf"
	"github.com/trafficpolicy/trafficpolicy/backends/ebpf/bpf"
	"github.com/trafficpolicy/trafficpolicy/internal/loader"
	"github.com/trafficpolicy/trafficpolicy/model"
)

// nameEntries returns, for each chain and address, what the first name of the
// chain leads to that has the address.
func nameEntries(b *loader.Bundle, meaning loader.Known, p *graph.Placement) map[bpf.NameKey]uint32 {
	entries := map[bpf.NameKey]uint32{}
	for i, chain := range graphOf(b).Tables.Chains {
		for j := range chain {
			for _, a := range meaning[chain[j].Name] {
				key := bpf.NameKey{Generation: p.Generation, Chain: uint32(i), Address: bpf.AddressOf(a)}
				if _, ok := entries[key]; !ok {
					entries[key] = uint32(p.Placed(&chain[j]))
				}
			}
		}
	}
	return entries
}

// spareNames is for how many addresses a name gets room when a table is made, so that
// what is learned seldom needs a larger one.
const spareNames = 8

// roomForNames returns how many entries a table should have for what the bundle's
// names may come to mean.
func roomForNames(b *loader.Bundle) int {
	n := 0
	for _, chain := range graphOf(b).Tables.Chains {
		n += len(chain)
	}
	return spareNames * n
}

// wantedNames returns the entries that the table should have for the graph in force.
// It returns false where counters of the bundle's rules are missing.
func (i *instance) wantedNames(a *loader.Applied) (map[bpf.NameKey]uint32, bool, error) {
	b, err := a.Bundle()
	if err != nil {
		return nil, false, err
	}
	ids, err := i.ids()
	if err != nil {
		return nil, false, err
	}
	counters, ok := countersOf(graphOf(b).Tables.Deciders, ids)
	if !ok {
		return nil, false, nil
	}
	p := &graph.Placement{Generation: i.generation(), Counters: counters}
	return nameEntries(b, b.Meaning(a.Learned), p), true, nil
}

// countersOf returns the numbers of the counters of deciders; false where one has none.
func countersOf(deciders []string, ids map[[8]byte]uint32) ([]uint32, bool) {
	counters := make([]uint32, len(deciders))
	for i, id := range deciders {
		n, ok := ids[idKey(id)]
		if !ok {
			return nil, false
		}
		counters[i] = n
	}
	return counters, true
}

// Learn writes what has changed of the table of names: new and other entries first, so
// that an address that passes from one name to another is never of none. It compares
// the whole table, whatever names says, because one address can be of many names. Then it
// has connections judged again; where names is nil always, because whoever wrote the
// table may have been stopped before it did.
func (k *kernel) Learn(_ context.Context, a *loader.Applied, names []string) error {
	d, err := k.open()
	if err != nil {
		return err
	}
	if d == nil || prefix(d.inst.generation()) != a.Record.Prefix {
		return fmt.Errorf("names: generation %.12s is not what the kernel has in force (tploader status says more)", a.Record.Generation)
	}
	if !d.inst.current() {
		return fmt.Errorf("its programs are of another tploader: %w", loader.ErrReload)
	}
	want, ok, err := d.inst.wantedNames(a)
	if err != nil {
		return err
	}
	if !ok {
		return fmt.Errorf("counters of its rules are missing: %w", loader.ErrReload)
	}
	changed, err := d.inst.writeNames(want)
	if err != nil {
		return err
	}
	if changed || names == nil {
		loader.Grace() // from here on every program sees what was written
		d.inst.judgeAgain()
	}
	return nil
}

// writeNames makes the table hold the entries, and reports whether it did not.
func (i *instance) writeNames(want map[bpf.NameKey]uint32) (bool, error) {
	m := i.maps[bpf.MapNames]
	fresh := make(map[bpf.NameKey]uint32, len(want))
	for k, v := range want {
		fresh[k] = v
	}
	var gone []bpf.NameKey
	all := 0
	err := eachEntry(m, func(k bpf.NameKey, v uint32) {
		all++
		switch now, ok := want[k]; {
		case !ok:
			gone = append(gone, k)
		case now == v:
			delete(fresh, k)
		}
	})
	if err != nil {
		return false, fmt.Errorf("read %s: %w", bpf.MapNames, err)
	}
	// While both are there, an entry that changes takes no room of its own.
	if most := int(m.MaxEntries()); all+len(fresh) > most {
		return false, fmt.Errorf("table %s has %d of %d entries and needs up to %d more: %w", bpf.MapNames, all, most, len(fresh), loader.ErrReload)
	}
	if err := writeEntries(m, fresh); err != nil {
		return true, err
	}
	return len(fresh)+len(gone) > 0, deleteKeys(m, gone)
}

// Peers reads the tables of connections.
func (k *kernel) Peers(_ context.Context, _ *loader.Applied, visit func(netip.Addr)) error {
	d, err := k.open()
	if err != nil || d == nil {
		return err
	}
	var now unix.Timespec
	if err := unix.ClockGettime(unix.CLOCK_MONOTONIC, &now); err != nil {
		return fmt.Errorf("clock: %w", err)
	}
	for _, name := range []string{bpf.MapConns, bpf.MapOpening} {
		err := eachEntry(d.shared.maps[name], func(key bpf.ConnKey, c bpf.Conn) {
			if c.Direction == bpf.Egress && isLive(&key, &c, uint64(now.Nano())) {
				visit(key.Peer.Addr())
			}
		})
		if err != nil {
			return fmt.Errorf("read %s: %w", name, err)
		}
	}
	return nil
}

// isLive reports whether an entry is of a connection that goes on: tables keep entries
// until they need the room, also of what was denied since. now is CLOCK_MONOTONIC in
// nanoseconds.
func isLive(key *bpf.ConnKey, c *bpf.Conn, now uint64) bool {
	const both = bpf.TCPFinOpener | bpf.TCPFinOther
	if c.TCP&bpf.TCPReset != 0 || c.TCP&both == both {
		return false
	}
	if v, _, ok := graph.Ref(c.Terminal).Decider(); ok && !v.Allows() {
		return false
	}
	return now < c.Seen || time.Duration(now-c.Seen) <= idleTime(key, c)
}

// idleTime returns for how long a connection that has not ended is remembered without
// packets, as tp_timeout does (bpf/conn.h).
func idleTime(key *bpf.ConnKey, c *bpf.Conn) time.Duration {
	pick := func(replied, not time.Duration) time.Duration {
		if c.Flags&bpf.ConnReplied != 0 {
			return replied
		}
		return not
	}
	switch key.Protocol {
	case model.IPProtoTCP:
		switch {
		case c.TCP&(bpf.TCPFinOpener|bpf.TCPFinOther) != 0:
			return 2 * time.Minute
		case c.TCP&bpf.TCPOpen != 0:
			return pick(5*24*time.Hour, 5*time.Minute)
		}
		return pick(time.Minute, 2*time.Minute)
	case model.IPProtoUDP:
		return pick(2*time.Minute, 30*time.Second)
	case model.IPProtoSCTP:
		return pick(210*time.Second, 30*time.Second)
	case model.IPProtoICMP, model.IPProtoICMPv6:
		return 30 * time.Second
	}
	return 10 * time.Minute
}

// NameTable counts the entries of the table of names.
func (k *kernel) NameTable(context.Context, *loader.Applied) *loader.ConnTable {
	d, err := k.open()
	if err != nil || d == nil {
		return nil
	}
	m := d.inst.maps[bpf.MapNames]
	n, err := countEntries[bpf.NameKey, uint32](m)
	if err != nil {
		return nil
	}
	return loader.NewConnTable(uint64(n), uint64(m.MaxEntries()))
}
