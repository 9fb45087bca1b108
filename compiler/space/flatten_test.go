package space

import (
	"fmt"
	"net/netip"
	"slices"
	"testing"

	"github.com/trafficpolicy/trafficpolicy/model"
)

func TestFlattenRandom(t *testing.T) {
	eachRandomList(t, 4000, func(list *model.RuleList, f model.Family) error {
		return checkFlatten(list, f, fewCells)
	})
}

// With a limit of few cells below zero, every decision is layered that can be.
func TestFlattenLayeredRandom(t *testing.T) {
	layered := 0
	eachRandomList(t, 4000, func(list *model.RuleList, f model.Family) error {
		if table, err := flatten(list, f, -1000, realBounds); err == nil {
			for _, d := range table.Decisions {
				if d.Before != NoDecision {
					layered++
				}
			}
		}
		return checkFlatten(list, f, -1000)
	})
	if layered < 1000 {
		t.Errorf("%d layered decisions, want more", layered)
	}
}

func checkFlatten(list *model.RuleList, f model.Family, few int) error {
	table, err := flatten(list, f, few, realBounds)
	if err != nil {
		return err
	}
	if err := checkTable(table); err != nil {
		return err
	}
	ranges := table.Ranges()
	for _, a := range tinyAddrs[f] {
		r := rangeOf(ranges, a)
		for _, x := range tinyL4 {
			rule, conds := firstMatch(list, a, x)
			got := table.Lookup(a, x)
			if got.Rule != rule || !slices.Equal(got.If, conds) || !got.Contains(x) {
				return fmt.Errorf("%s %s: got %+v, want rule %d if %v", a, x, got, rule, conds)
			}
			for _, y := range []model.L4{got.First, got.First + 1, got.Last - 1, got.Last} {
				if !got.Contains(y) {
					continue
				}
				if rule, conds := firstMatch(list, a, y); got.Rule != rule || !slices.Equal(got.If, conds) {
					return fmt.Errorf("%s %s: cell %+v of %s does not hold", a, y, got, x)
				}
			}
			if at := table.At(r.Decision, x); at.Rule != rule || !slices.Equal(at.If, conds) {
				return fmt.Errorf("%s %s: range %v has %+v, want rule %d if %v", a, x, r, at, rule, conds)
			}
			if c := cellOf(table.Cells(r.Decision), x); c.Rule != rule || !slices.Equal(c.If, conds) {
				return fmt.Errorf("%s %s: Cells has %+v, want rule %d if %v", a, x, c, rule, conds)
			}
		}
	}
	return nil
}

func rangeOf(rs []Range, a netip.Addr) Range {
	for _, r := range rs {
		if r.First.Compare(a) <= 0 && a.Compare(r.Last) <= 0 {
			return r
		}
	}
	return Range{}
}

func cellOf(cells []Cell, x model.L4) Cell {
	for _, c := range cells {
		if c.Contains(x) {
			return c
		}
	}
	return Cell{Rule: NoRule}
}

// checkTable returns an error where t breaks what its type promises.
func checkTable(t *Table) error {
	if t.Entries[0].Prefix != t.Family.All() {
		return fmt.Errorf("first entry is %s", t.Entries[0].Prefix)
	}
	for i, e := range t.Entries {
		if i > 0 && toBlock(t.Entries[i-1].Prefix).compare(toBlock(e.Prefix)) >= 0 {
			return fmt.Errorf("entry %s is not behind %s", e.Prefix, t.Entries[i-1].Prefix)
		}
		if p := parentEntry(t, i); p >= 0 && t.Entries[p].Decision == e.Decision {
			return fmt.Errorf("entry %s decides as its parent", e.Prefix)
		}
	}
	for id := range t.Decisions {
		if err := checkDecision(t, DecisionID(id)); err != nil {
			return fmt.Errorf("decision %d: %w", id, err)
		}
	}
	return checkRanges(t)
}

func parentEntry(t *Table, i int) int {
	for j := i - 1; j >= 0; j-- {
		if t.Entries[j].Prefix.Overlaps(t.Entries[i].Prefix) {
			return j
		}
	}
	return -1
}

func checkDecision(t *Table, id DecisionID) error {
	links := 0
	for e := id; e != NoDecision; e = t.Decisions[e].Else {
		if links++; links > 10 {
			return fmt.Errorf("more than ten links")
		}
		if b := t.Decisions[e].Before; b != NoDecision && (t.Decisions[b].Before != NoDecision || t.Decisions[b].Else != NoDecision) {
			return fmt.Errorf("decision %d before it is not of cells alone", b)
		}
	}
	for _, cells := range [][]Cell{t.Decisions[id].Cells, t.Cells(id)} {
		for i, c := range cells {
			switch {
			case c.First > c.Last || c.Last > model.L4Last:
				return fmt.Errorf("cell %v", c)
			case i > 0 && cells[i-1].Last >= c.First:
				return fmt.Errorf("cells %v and %v overlap", cells[i-1], c)
			case i > 0 && cells[i-1].Last+1 == c.First && sameOutcome(&cells[i-1], &c):
				return fmt.Errorf("cells %v and %v are one", cells[i-1], c)
			case c.Rule == NoRule && c.If == nil:
				return fmt.Errorf("cell %v says nothing", c)
			}
		}
	}
	for other := range id {
		if sameDecision(&t.Decisions[other], &t.Decisions[id]) {
			return fmt.Errorf("is decision %d", other)
		}
	}
	return nil
}

func checkRanges(t *Table) error {
	next := t.Family.All().Addr()
	ranges := t.Ranges()
	for i, r := range ranges {
		if r.First != next || r.Last.Less(r.First) {
			return fmt.Errorf("range %v, want it to start at %s", r, next)
		}
		if i > 0 && ranges[i-1].Decision == r.Decision {
			return fmt.Errorf("ranges %v and %v are one", ranges[i-1], r)
		}
		next = r.Last.Next()
	}
	if next.IsValid() {
		return fmt.Errorf("ranges end before %s", next)
	}
	return nil
}
