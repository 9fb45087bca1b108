package compiler

import (
	"cmp"
	"slices"
)

// maxNearest is how many names [Nearest] offers.
const maxNearest = 3

// Nearest returns those of choices that name may have meant, nearest first: at
// most three, none further away than about a third of name's length in edits
// (insertions, deletions, substitutions and swaps of neighbours).
func Nearest(name string, choices []string) []string {
	type near struct {
		name     string
		distance int
	}
	limit := (len(name) + 1) / 3
	var found []near
	for _, c := range choices {
		if len(c)-len(name) > limit || len(name)-len(c) > limit {
			continue
		}
		if d := editDistance(name, c); d <= limit {
			found = append(found, near{c, d})
		}
	}
	slices.SortFunc(found, func(a, b near) int {
		return cmp.Or(cmp.Compare(a.distance, b.distance), cmp.Compare(a.name, b.name))
	})
	var out []string
	for _, f := range slices.Compact(found) {
		if len(out) < maxNearest {
			out = append(out, f.name)
		}
	}
	return out
}

// editDistance is the optimal string alignment distance of a and b in bytes.
func editDistance(a, b string) int {
	// Rows for a[:i-2], a[:i-1] and a[:i].
	before, last, row := make([]int, len(b)+1), make([]int, len(b)+1), make([]int, len(b)+1)
	for j := range last {
		last[j] = j
	}
	for i := 1; i <= len(a); i++ {
		row[0] = i
		for j := 1; j <= len(b); j++ {
			change := 1
			if a[i-1] == b[j-1] {
				change = 0
			}
			row[j] = min(last[j]+1, row[j-1]+1, last[j-1]+change)
			if i > 1 && j > 1 && a[i-1] == b[j-2] && a[i-2] == b[j-1] {
				row[j] = min(row[j], before[j-2]+1)
			}
		}
		before, last, row = last, row, before
	}
	return last[len(b)]
}
