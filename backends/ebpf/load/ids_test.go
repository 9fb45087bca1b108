//go:build linux

package load

import (
	"testing"

	"github.com/google/go-cmp/cmp"
)

func TestCounterNumbers(t *testing.T) {
	a, b, c, d := "000000000000000a", "000000000000000b", "000000000000000c", "000000000000000d"
	for _, x := range []struct {
		name     string
		taken    map[string]uint32
		deciders []string
		numbers  []uint32
		add      map[string]uint32
	}{
		{"first", nil, []string{b, a}, []uint32{0, 1}, map[string]uint32{b: 0, a: 1}},
		{"the same", map[string]uint32{a: 1, b: 0}, []string{a, b}, []uint32{1, 0}, nil},
		{"one more", map[string]uint32{a: 1, b: 0}, []string{a, c, b}, []uint32{1, 2, 0}, map[string]uint32{c: 2}},
		{"in a gap", map[string]uint32{a: 0, b: 2}, []string{c, d}, []uint32{1, 3}, map[string]uint32{c: 1, d: 3}},
		{"not selected", map[string]uint32{a: 0}, []string{"", a}, []uint32{1, 0}, map[string]uint32{"": 1}},
		{"none", map[string]uint32{a: 0}, nil, nil, nil},
	} {
		taken := map[[8]byte]uint32{}
		for id, n := range x.taken {
			taken[idKey(id)] = n
		}
		numbers, add := counterNumbers(x.deciders, taken)
		got := map[string]uint32{}
		for key, n := range add {
			got[keyID(key)] = n
		}
		if diff := cmp.Diff(x.numbers, numbers); diff != "" {
			t.Errorf("%s: numbers (-want +got):\n%s", x.name, diff)
		}
		if x.add == nil {
			x.add = map[string]uint32{}
		}
		if diff := cmp.Diff(x.add, got); diff != "" {
			t.Errorf("%s: added (-want +got):\n%s", x.name, diff)
		}
	}
}

func TestPowerOfTwo(t *testing.T) {
	for _, c := range [][3]int{{0, 4, 4}, {4, 4, 4}, {5, 4, 8}, {8, 4, 8}, {9, 4, 16}, {1000, 1024, 1024}} {
		if got := powerOfTwo(c[0], c[1]); got != c[2] {
			t.Errorf("%d, at least %d: %d", c[0], c[1], got)
		}
	}
}
