//go:build linux

package load

import (
	"errors"
	"fmt"

	"github.com/cilium/ebpf"
	"golang.org/x/sys/unix"

	"github.com/trafficpolicy/trafficpolicy/backends/ebpf/bpf"
	"github.com/trafficpolicy/trafficpolicy/internal/loader"
)

// batch is how many entries one system call reads or writes.
const batch = 4096

var errNoRoom = unix.ENOSPC

// readMap returns all entries of a map that nobody else writes to.
func readMap[K comparable, V any](m *ebpf.Map) (map[K]V, error) {
	all := map[K]V{}
	err := eachEntry(m, func(k K, v V) { all[k] = v })
	return all, err
}

// eachEntry calls visit for all entries of a map. One that is added or removed
// meanwhile may be left out, or come twice.
func eachEntry[K, V any](m *ebpf.Map, visit func(K, V)) error {
	size := min(batch, int(m.MaxEntries()))
	for {
		err := eachBatch(m, size, visit)
		if errors.Is(err, ebpf.ErrKeyNotExist) {
			return nil
		}
		// A bucket of a hash can have more entries than there is room for.
		if size >= int(m.MaxEntries()) || !errors.Is(err, errNoRoom) {
			return err
		}
		size *= 4
	}
}

// eachBatch reads a map until it returns an error, which at its end is
// ebpf.ErrKeyNotExist.
func eachBatch[K, V any](m *ebpf.Map, size int, visit func(K, V)) error {
	keys, values := make([]K, size), make([]V, size)
	var cursor ebpf.MapBatchCursor
	for {
		n, err := m.BatchLookup(&cursor, keys, values, nil)
		for i := range n {
			visit(keys[i], values[i])
		}
		if err != nil {
			return err
		}
	}
}

// writeEntries writes entries of a hash, replacing those of the same key.
func writeEntries[K comparable, V any](m *ebpf.Map, entries map[K]V) error {
	keys, values := make([]K, 0, len(entries)), make([]V, 0, len(entries))
	for k, v := range entries {
		keys, values = append(keys, k), append(values, v)
	}
	for len(keys) > 0 {
		n := min(batch, len(keys))
		if _, err := m.BatchUpdate(keys[:n], values[:n], nil); err != nil {
			return fmt.Errorf("write to %s: %w", nameOf(m), err)
		}
		keys, values = keys[n:], values[n:]
	}
	return nil
}

// deleteKeys deletes entries of a hash. That one is not there is no error.
func deleteKeys[K any](m *ebpf.Map, keys []K) error {
	for _, k := range keys {
		if err := m.Delete(k); err != nil && !errors.Is(err, ebpf.ErrKeyNotExist) {
			return fmt.Errorf("delete from %s: %w", nameOf(m), err)
		}
	}
	return nil
}

// copyMap copies all entries of a hash as bytes.
func copyMap(to, from *ebpf.Map) error {
	it := from.Iterate()
	var key, value []byte
	for it.Next(&key, &value) {
		if err := to.Put(key, value); err != nil {
			return err
		}
	}
	return it.Err()
}

func nameOf(m *ebpf.Map) string {
	if info, err := m.Info(); err == nil {
		return info.Name
	}
	return m.String()
}

// readCounters returns the sum over processors of each counter.
func (i *instance) readCounters() ([]loader.Count, error) {
	m := i.maps[bpf.MapCounters]
	cpus, err := ebpf.PossibleCPU()
	if err != nil {
		return nil, fmt.Errorf("processors: %w", err)
	}
	sums := make([]loader.Count, m.MaxEntries())
	keys, values := make([]uint32, batch), make([]bpf.Counter, batch*cpus)
	var cursor ebpf.MapBatchCursor
	for {
		n, err := m.BatchLookup(&cursor, keys, values, nil)
		for j := range n {
			for _, c := range values[j*cpus : (j+1)*cpus] {
				sums[keys[j]].Packets += c.Packets
				sums[keys[j]].Bytes += c.Bytes
			}
		}
		if errors.Is(err, ebpf.ErrKeyNotExist) {
			return sums, nil
		}
		if err != nil {
			return nil, fmt.Errorf("read counters: %w", err)
		}
	}
}

// setCounters sets counters that no program adds to.
func (i *instance) setCounters(values map[uint32]loader.Count) error {
	cpus, err := ebpf.PossibleCPU()
	if err != nil {
		return fmt.Errorf("processors: %w", err)
	}
	keys, per := make([]uint32, 0, batch), make([]bpf.Counter, 0, batch*cpus)
	flush := func() error {
		if len(keys) == 0 {
			return nil
		}
		if _, err := i.maps[bpf.MapCounters].BatchUpdate(keys, per, nil); err != nil {
			return fmt.Errorf("set counters: %w", err)
		}
		keys, per = keys[:0], per[:0]
		return nil
	}
	for n, c := range values {
		keys = append(keys, n)
		per = append(per, bpf.Counter{Packets: c.Packets, Bytes: c.Bytes})
		per = append(per, make([]bpf.Counter, cpus-1)...)
		if len(keys) == batch {
			if err := flush(); err != nil {
				return err
			}
		}
	}
	return flush()
}

// purge deletes the entries of a hash of loaders that keep does not want.
func purge[K comparable](m *ebpf.Map, keep func(K) bool) error {
	var drop []K
	if err := eachEntry(m, func(k K, _ uint32) {
		if !keep(k) {
			drop = append(drop, k)
		}
	}); err != nil {
		return fmt.Errorf("read %s: %w", nameOf(m), err)
	}
	return deleteKeys(m, drop)
}

// countEntries returns how many entries a hash has.
func countEntries[K, V any](m *ebpf.Map) (n int, err error) {
	err = eachEntry(m, func(K, V) { n++ })
	return n, err
}
