package space

import (
	"slices"

	"github.com/trafficpolicy/trafficpolicy/model"
)

// axis is the L4 axis cut at every boundary that occurs. Slot i runs from
// starts[i] up to, and without, starts[i+1]; the last one to model.L4Last.
type axis struct {
	starts []model.L4
	slotOf []int32 // by point; nil where starts is searched
}

// span is a stretch of slots: from lo up to and without hi.
type span struct{ lo, hi int32 }

// newAxis returns the axis of the given sets.
func newAxis(sets []model.L4Set) *axis {
	starts := make([]model.L4, 1, 1+2*len(sets))
	for _, s := range sets {
		for _, r := range s {
			starts = append(starts, r.First)
			if r.Last < model.L4Last {
				starts = append(starts, r.Last+1)
			}
		}
	}
	if len(starts) > int(model.L4Last)/64 {
		return newTableAxis(starts)
	}
	slices.Sort(starts)
	return &axis{starts: slices.Compact(starts)}
}

// newTableAxis returns the axis with boundaries at many points, looked up in a
// table of every point.
func newTableAxis(points []model.L4) *axis {
	a := &axis{slotOf: make([]int32, model.L4Last+1)}
	for _, x := range points {
		a.slotOf[x] = 1
	}
	a.starts = points[:0]
	for x, is := range a.slotOf {
		if is == 1 {
			a.starts = append(a.starts, model.L4(x))
		}
		a.slotOf[x] = int32(len(a.starts)) - 1
	}
	a.starts = slices.Clone(a.starts)
	return a
}

func (a *axis) slots() int32 { return int32(len(a.starts)) }

// at returns the slot that holds x.
func (a *axis) at(x model.L4) int32 {
	if a.slotOf != nil {
		return a.slotOf[x]
	}
	i, ok := slices.BinarySearch(a.starts, x)
	if !ok {
		i--
	}
	return int32(i)
}

// span returns the slots of r, whose ends must be boundaries of the axis.
func (a *axis) span(r model.L4Range) span { return span{a.at(r.First), a.at(r.Last) + 1} }

// points is the inverse of span.
func (a *axis) points(s span) model.L4Range {
	last := model.L4Last
	if s.hi < a.slots() {
		last = a.starts[s.hi] - 1
	}
	return model.L4Range{First: a.starts[s.lo], Last: last}
}
