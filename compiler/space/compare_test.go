package space

import (
	"fmt"
	"math/rand/v2"
	"slices"
	"testing"

	"github.com/trafficpolicy/trafficpolicy/model"
)

func TestCompareRandom(t *testing.T) {
	differ := 0
	for i := range 4000 * soak(t) {
		rng := rand.New(rand.NewPCG(3, uint64(i)))
		f := model.Family(i % 2)
		a := randomList(rng, f)
		b := mutate(rng, a, f)
		if err := checkCompare(a, b, f, &differ); err != nil {
			t.Fatalf("case %d, %s: %v\n%s%s", i, f, err, printList(a), printList(b))
		}
	}
	if differ < 10000 {
		t.Errorf("%d packets differ, want more", differ)
	}
}

// mutate returns a list with a rule dropped, added, moved or turned, or another
// list altogether.
func mutate(rng *rand.Rand, list *model.RuleList, f model.Family) *model.RuleList {
	if rng.IntN(5) == 0 {
		return randomList(rng, f)
	}
	out := *list
	out.Rules = slices.Clone(list.Rules)
	n := len(out.Rules)
	switch i := rng.IntN(n + 1); {
	case i == n:
		out.Rules = append(out.Rules, randomRule(rng, f))
	case rng.IntN(3) == 0:
		out.Rules = slices.Delete(out.Rules, i, i+1)
	case rng.IntN(2) == 0:
		j := rng.IntN(n)
		out.Rules[i], out.Rules[j] = out.Rules[j], out.Rules[i]
	default:
		out.Rules[i] = randomRule(rng, f)
	}
	return &out
}

func checkCompare(a, b *model.RuleList, f model.Family, differ *int) error {
	ds, err := Compare(a, b, f)
	if err != nil {
		return err
	}
	if layered, err := compareLayered(a, b, f); err != nil || len(layered) != len(ds) {
		return fmt.Errorf("layered tables have %d differences, others %d (%v)", len(layered), len(ds), err)
	}
	both := newWorld(&model.RuleList{Rules: slices.Concat(a.Rules, b.Rules)}, f)
	wa, wb := &world{list: a}, &world{list: b}
	for _, x := range both.addrs {
		for _, l4 := range both.l4 {
			differs := slices.ContainsFunc(both.atoms, func(in map[model.Atom]bool) bool {
				p := packet{x, l4, in}
				return wa.allows(wa.winner(p, -1)) != wb.allows(wb.winner(p, -1))
			})
			n := 0
			for i := range ds {
				if d := &ds[i]; !x.Less(d.First) && !d.Last.Less(x) && d.L4.Contains(l4) {
					n++
				}
			}
			if differs != (n == 1) || n > 1 {
				return fmt.Errorf("%s %s: differs %v, in %d blocks of %v", x, l4, differs, n, ds)
			}
			*differ += n
		}
	}
	for i := range ds {
		if err := checkDifference(wa, wb, ds, i); err != nil {
			return fmt.Errorf("block %+v: %w", ds[i], err)
		}
	}
	return nil
}

// compareLayered is Compare of tables that share as much as they can.
func compareLayered(a, b *model.RuleList, f model.Family) ([]Difference, error) {
	ta, err := flatten(a, f, -1000, realBounds)
	if err != nil {
		return nil, err
	}
	tb, err := flatten(b, f, -1000, realBounds)
	if err != nil {
		return nil, err
	}
	return CompareTables(ta, tb, verdicts(a, b)), nil
}

func checkDifference(wa, wb *world, ds []Difference, i int) error {
	d := &ds[i]
	p := packetOf(&d.Witness)
	ra, rb := wa.winner(p, -1), wb.winner(p, -1)
	if d.A != ra || d.B != rb || d.Witness.Addr != d.First || d.Witness.L4 != d.L4.First {
		return fmt.Errorf("witness is decided by %d and %d", ra, rb)
	}
	want := NewlyDenied
	if wb.allows(rb) {
		want = NewlyAllowed
	}
	if d.Kind != want || wa.allows(ra) == wb.allows(rb) {
		return fmt.Errorf("kind, want %d", want)
	}
	for j := range ds {
		if e := &ds[j]; d.Last.Next() == e.First && d.L4 == e.L4 && d.Kind == e.Kind {
			return fmt.Errorf("goes on in %+v", *e)
		}
	}
	return nil
}

// A block has the fewest prefixes, also at the end of the space.
func TestDifferencePrefixes(t *testing.T) {
	allow := isolated([]model.ListRule{newRule(model.Allow, pfx("0.0.0.0/0"))})
	holes := isolated([]model.ListRule{
		newRule(model.Deny, pfx("10.0.0.0/8"), tcp(80, 90)), newRule(model.Deny, pfx("255.255.255.255/32")), newRule(model.Allow, pfx("0.0.0.0/0"))})
	ds, err := Compare(allow, holes, model.IPv4)
	if err != nil {
		t.Fatal(err)
	}
	var got []string
	for i := range ds {
		got = append(got, fmt.Sprint(ds[i].Prefixes(), ds[i].L4, ds[i].Kind, ds[i].A, ds[i].B))
	}
	want := []string{"[10.0.0.0/8] TCP 80-90 2 0 0", "[255.255.255.255/32] every protocol and port 2 0 1"}
	if !slices.Equal(got, want) {
		t.Errorf("got %q, want %q", got, want)
	}
}

func BenchmarkCompare(b *testing.B) {
	eachBenchList(b, func(b *testing.B, list *model.RuleList) {
		other := *list
		other.Rules = slices.Clone(list.Rules)
		for i := 50; i < len(other.Rules); i += 1 + len(other.Rules)/50 {
			if other.Rules[i].Action = model.Allow; list.Rules[i].Action == model.Allow {
				other.Rules[i].Action = model.Deny
			}
		}
		for b.Loop() {
			ds, err := Compare(list, &other, model.IPv4)
			if err != nil {
				b.Skip(err)
			}
			b.ReportMetric(float64(len(ds)), "blocks")
		}
	})
}
