package space

import (
	"cmp"
	"math/rand/v2"
	"slices"
	"testing"

	"github.com/trafficpolicy/trafficpolicy/internal/synth/scale"
	"github.com/trafficpolicy/trafficpolicy/model"
)

// What large lists go through and small random ones do not.

// TestLarge holds that the analysis of large lists agrees with their tables: the
// rules that decide anything are the live ones, and witnesses are decided so.
func TestLarge(t *testing.T) {
	for _, shape := range scale.Shapes {
		t.Run(shape.Name, func(t *testing.T) {
			list := scale.List(scale.Policy(shape.Rules(5000)))
			table, err := Flatten(list, model.IPv4)
			if err != nil {
				t.Fatal(err)
			}
			decides := make([]bool, len(list.Rules))
			for _, r := range table.Ranges() {
				for _, c := range table.Cells(r.Decision) {
					if c.Rule != NoRule {
						decides[c.Rule] = true
					}
				}
			}
			for i, r := range Analyse(list, model.IPv4).Rules {
				if r.Live != decides[i] {
					t.Fatalf("rule %d: live %v, decides %v", i, r.Live, decides[i])
				}
				if won := table.Lookup(r.Witness.Addr, r.Witness.L4).Rule; won != r.Winner || r.Live && won != int32(i) {
					t.Fatalf("rule %d: witness %v is decided by %d, want %d", i, r.Witness, won, r.Winner)
				}
				for _, c := range r.Cover {
					if !decides[c] {
						t.Fatalf("rule %d: cover %v has rule %d, which decides nothing", i, r.Cover, c)
					}
				}
			}
		})
	}
}

func TestRadixSort(t *testing.T) {
	rng := rand.New(rand.NewPCG(1, 1))
	for _, f := range model.Families {
		var pairs []blockRule
		for i := range 3000 {
			a := address{hi: rng.Uint64() & rng.Uint64()}
			if f == model.IPv4 {
				a.hi &= 0xffffff << 40
			} else {
				a.lo = rng.Uint64() & rng.Uint64()
			}
			pairs = append(pairs, blockRule{block{a, uint8(rng.IntN(129))}, int32(i)})
			if i%3 == 0 { // the same block with another rule
				pairs[i].block = pairs[rng.IntN(i+1)].block
			}
		}
		want := slices.Clone(pairs)
		slices.SortFunc(want, func(a, b blockRule) int { return cmp.Or(a.block.compare(b.block), cmp.Compare(a.rule, b.rule)) })
		radixSort(pairs)
		if !slices.Equal(pairs, want) {
			t.Errorf("%s: not in order", f)
		}
	}
}

func TestTableAxis(t *testing.T) {
	rng := rand.New(rand.NewPCG(1, 1))
	points := []model.L4{0}
	for range 4000 {
		points = append(points, model.L4(rng.Uint32N(uint32(model.L4Last)+1)))
	}
	slices.Sort(points)
	searched := axis{starts: slices.Compact(slices.Clone(points))}
	rng.Shuffle(len(points), func(i, j int) { points[i], points[j] = points[j], points[i] })
	table := newTableAxis(points)
	if !slices.Equal(table.starts, searched.starts) {
		t.Fatal("other boundaries")
	}
	for x := model.L4(0); x <= model.L4Last; x++ {
		if got, want := table.at(x), searched.at(x); got != want {
			t.Fatalf("slot of %d is %d, want %d", x, got, want)
		}
	}
}
