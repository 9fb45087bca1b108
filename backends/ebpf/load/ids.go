//go:build linux

package load

import (
	"crypto/sha256"
	"encoding/hex"
	"fmt"

	"github.com/trafficpolicy/trafficpolicy/backends/ebpf/bpf"
	"github.com/trafficpolicy/trafficpolicy/internal/loader"
)

// current reports whether the instance is made from this loader's programs.
func (i *instance) current() bool {
	var have [sha256.Size]byte
	return i.maps[mapInfo].Lookup(uint32(0), &have) == nil && have == bpf.Digest()
}

// fixedCounters is how many counters come before those of deciders.
const fixedCounters = uint32(bpf.FixedCounters)

// idKey is the key of a decider's id: its eight bytes, or zeros for the decider
// of what no policy speaks of.
func idKey(id string) (key [8]byte) {
	hex.Decode(key[:], []byte(id))
	return key
}

func keyID(key [8]byte) string {
	if key == ([8]byte{}) {
		return ""
	}
	return hex.EncodeToString(key[:])
}

// ids returns the number of each counter that is taken, by id.
func (i *instance) ids() (map[[8]byte]uint32, error) {
	return readMap[[8]byte, uint32](i.maps[mapIDs])
}

// counterNumbers gives each decider a counter: the one that its id has, or a free
// one. The second result is what has to be added to the ids.
func counterNumbers(deciders []string, taken map[[8]byte]uint32) (numbers []uint32, add map[[8]byte]uint32) {
	used := make(map[uint32]bool, len(taken))
	for _, n := range taken {
		used[n] = true
	}
	add = map[[8]byte]uint32{}
	free := uint32(0)
	for _, id := range deciders {
		key := idKey(id)
		n, ok := taken[key]
		if !ok {
			for used[free] {
				free++
			}
			n = free
			free++
			add[key] = n
		}
		numbers = append(numbers, n)
	}
	return numbers, add
}

// carried returns the number of the counter that holds what earlier instances
// have counted for counter n. No program adds to it.
func (i *instance) carried(n uint32) uint32 { return i.maps[bpf.MapCounters].MaxEntries()/2 + n }

// carry takes over what an instance has counted that counts no more. It may be
// called again.
func (i *instance) carry(from *instance) error {
	ids, err := i.ids()
	if err != nil {
		return err
	}
	totals, err := from.totals()
	if err != nil {
		return err
	}
	values := map[uint32]loader.Count{}
	for key, n := range ids {
		if c, ok := totals.ids[key]; ok {
			values[i.carried(fixedCounters+n)] = c
		}
	}
	for n, c := range totals.fixed {
		values[i.carried(uint32(n))] = c
	}
	return i.setCounters(values)
}

// totals are sums over processors and earlier instances.
type totals struct {
	fixed [fixedCounters]loader.Count
	ids   map[[8]byte]loader.Count
}

// totals reads all counters.
func (i *instance) totals() (*totals, error) {
	all, err := i.readCounters()
	if err != nil {
		return nil, err
	}
	ids, err := i.ids()
	if err != nil {
		return nil, err
	}
	sum := func(n uint32) loader.Count {
		a, b := all[n], all[i.carried(n)]
		return loader.Count{Packets: a.Packets + b.Packets, Bytes: a.Bytes + b.Bytes}
	}
	t := &totals{ids: make(map[[8]byte]loader.Count, len(ids))}
	for n := range t.fixed {
		t.fixed[n] = sum(uint32(n))
	}
	for key, n := range ids {
		if int(n) >= len(all)/2-int(fixedCounters) {
			return nil, fmt.Errorf("id %x has counter %d, which is not there", key, n)
		}
		t.ids[key] = sum(fixedCounters + n)
	}
	return t, nil
}

// release gives up counters that nothing counts in any more: they are zero when
// they are given out again.
func (i *instance) release(ids map[[8]byte]uint32) error {
	if len(ids) == 0 {
		return nil
	}
	zero := map[uint32]loader.Count{}
	var keys [][8]byte
	for key, n := range ids {
		zero[fixedCounters+n], zero[i.carried(fixedCounters+n)] = loader.Count{}, loader.Count{}
		keys = append(keys, key)
	}
	if err := i.setCounters(zero); err != nil {
		return err
	}
	return deleteKeys(i.maps[mapIDs], keys)
}
