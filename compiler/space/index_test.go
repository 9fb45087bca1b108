package space

import (
	"fmt"
	"math/rand/v2"
	"net/netip"
	"slices"
	"testing"

	"github.com/trafficpolicy/trafficpolicy/model"
)

// TestIndexRandom holds that an index finds what first match finds, with all
// decisions written out and with all layered that can be.
func TestIndexRandom(t *testing.T) {
	for _, few := range []int{fewCells, -1000} {
		eachRandomList(t, 2000, func(list *model.RuleList, f model.Family) error {
			table, err := flatten(list, f, few, realBounds)
			if err != nil {
				return err
			}
			x := NewIndex(table)
			for _, a := range tinyAddrs[f] {
				for _, at := range tinyL4 {
					want, conds := firstMatch(list, a, at)
					if got, ifs := x.Find(a, at); got != want || !slices.Equal(ifs, conds) {
						return fmt.Errorf("%s %s: got %d if %v, want %d if %v", a, at, got, ifs, want, conds)
					}
				}
			}
			return nil
		})
	}
}

// TestIndexRangeOf holds the search both sides of every edge, for each number of
// ranges from one on.
func TestIndexRangeOf(t *testing.T) {
	for n := 1; n < 40; n++ {
		four, six := &Index{ip4: []uint32{0}}, &Index{ip6: []address{{}}}
		for i := 1; i < n; i++ {
			four.ip4 = append(four.ip4, uint32(10*i))
			six.ip6 = append(six.ip6, address{uint64(i / 2), uint64(10 * (i % 2))})
		}
		for i := range n {
			for d := range 10 {
				if got := four.rangeOf(address{uint64(10*i+d) << 32, 0}); got != i {
					t.Errorf("%d of %d: %d+%d is in range %d", i, n, 10*i, d, got)
				}
				a := address{uint64(i / 2), uint64(10*(i%2) + d)}
				if got := six.rangeOf(a); got != i {
					t.Errorf("%d of %d: %v is in range %d", i, n, a, got)
				}
			}
		}
		if got := four.rangeOf(address{1<<64 - 1, 0}); got != n-1 {
			t.Errorf("the last of %d is %d", n, got)
		}
	}
}

// BenchmarkIndex is one packet of a list, to 65,536 peers in turn.
func BenchmarkIndex(b *testing.B) {
	rng := rand.New(rand.NewPCG(3, 3))
	peers := make([]netip.Addr, 1<<16)
	for i := range peers {
		peers[i] = netip.AddrFrom4([4]byte{10, byte(rng.Uint32()), byte(rng.Uint32()), byte(rng.Uint32())})
	}
	eachBenchList(b, func(b *testing.B, list *model.RuleList) {
		t, err := Flatten(list, model.IPv4)
		if err != nil {
			b.Skip(err)
		}
		x, i := NewIndex(t), 0
		for b.Loop() {
			x.Find(peers[i%len(peers)], model.L4TCP+443)
			i++
		}
	})
}

// TestIndexNearby holds that a search that is led finds what one of the whole array
// finds, at and beside each element, wherever the elements crowd.
func TestIndexNearby(t *testing.T) {
	lists := map[string][]uint32{
		"one":   {0},
		"two":   {0, 1},
		"ends":  {0, 1<<32 - 1},
		"tail":  {0, 1<<32 - 2, 1<<32 - 1},
		"crowd": {0, 10 << 24, 10<<24 + 1, 10<<24 + 2, 10<<24 + 3, 10<<24 + 4, 10<<24 + 5, 224 << 24},
	}
	rng := rand.New(rand.NewPCG(31, 0))
	for _, bits := range []int{8, 16, 31, 32} {
		list := []uint32{0}
		for range 300 {
			list = append(list, rng.Uint32()>>(32-bits))
		}
		slices.Sort(list)
		lists[fmt.Sprintf("%d bits", bits)] = slices.Compact(list)
	}
	for name, list := range lists {
		x := &Index{ip4: list, near: newNearby(list)}
		if n := len(x.near.at); len(list) > 1 && (n < 2 || n > len(list)) {
			t.Errorf("%s: %d stretches for %d elements", name, n, len(list))
		}
		for _, e := range list {
			for _, key := range []uint32{e - 1, e, e + 1} {
				want, exact := slices.BinarySearch(list, key)
				if !exact {
					want--
				}
				if got := x.rangeOf(address{uint64(key) << 32, 0}); got != want {
					t.Errorf("%s: %d is in range %d, want %d", name, key, got, want)
				}
			}
		}
	}
}
