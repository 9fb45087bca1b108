package model

import (
	"math/rand/v2"
	"slices"
	"testing"

	"github.com/google/go-cmp/cmp"
)

func TestSortFindings(t *testing.T) {
	rng := rand.New(rand.NewPCG(1, 2))
	for n := range 60 {
		var fs []Finding
		for i := range n {
			f := Finding{File: []string{"a", "b"}[rng.IntN(2)], Line: rng.IntN(3), Column: rng.IntN(2), Code: []Code{ShadowedRule, NoEffect}[rng.IntN(2)]}
			f.Message, f.Field = []string{"x", "y"}[rng.IntN(2)], string(rune('A'+i))
			fs = append(fs, f)
		}
		got := slices.Clone(fs)
		SortFindings(got)
		if !slices.IsSortedFunc(got, CompareFindings) {
			t.Fatalf("not sorted: %+v", got)
		}
		byField := func(a, b Finding) int { return int(a.Field[0]) - int(b.Field[0]) }
		slices.SortFunc(got, byField)
		if diff := cmp.Diff(fs, got); diff != "" {
			t.Fatalf("not the same findings: %s", diff)
		}
	}
}
