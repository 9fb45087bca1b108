package mutate

import (
	"cmp"
	"fmt"
	"maps"
	"slices"
	"strings"
)

// Outcome is what a verifier says of a mutation.
type Outcome uint8

const (
	Accepted Outcome = iota // it decides as before
	Refused                 // it is no artifact
	Differs                 // a packet is named that it decides otherwise
)

// Score counts mutations by class.
type Score struct {
	classes map[string]*Count
	// Wrong are mutations of which the verifier said the wrong thing, a few of each class.
	Wrong []string
}

// Count is how often what happened.
type Count struct {
	Tried, Refused, Differs int
	// Changed changed a decision, as an independent reading found; Missed of these
	// were accepted.
	Changed, Missed int
	// Same mean nothing by the way they were made; Objected of these were not accepted.
	Same, Objected int
}

// most is how many wrong answers are kept of each class.
const most = 3

// Add counts one. changed says that an independent reading found a packet that is
// decided otherwise, why what the verifier objected to.
func (s *Score) Add(m *Mutation, o Outcome, changed bool, why string) {
	if s.classes == nil {
		s.classes = map[string]*Count{}
	}
	c := s.classes[m.Class]
	if c == nil {
		c = &Count{}
		s.classes[m.Class] = c
	}
	c.Tried++
	switch o {
	case Refused:
		c.Refused++
	case Differs:
		c.Differs++
	}
	if changed {
		c.Changed++
		if o == Accepted {
			if c.Missed++; c.Missed <= most {
				s.Wrong = append(s.Wrong, fmt.Sprintf("accepted, and changes a decision: %s", m))
			}
		}
	}
	if m.Same {
		c.Same++
		if o != Accepted {
			if c.Objected++; c.Objected <= most {
				s.Wrong = append(s.Wrong, fmt.Sprintf("means the same, and was objected to: %s: %s", m, why))
			}
		}
	}
}

// Total sums up all classes.
func (s *Score) Total() (t Count) {
	for _, c := range s.classes {
		t.Tried += c.Tried
		t.Refused += c.Refused
		t.Differs += c.Differs
		t.Changed += c.Changed
		t.Missed += c.Missed
		t.Same += c.Same
		t.Objected += c.Objected
	}
	return t
}

// String is a table by class with the total, and the score: the share of those that
// change a decision that was not accepted.
func (s *Score) String() string {
	var b strings.Builder
	row := func(name string, c *Count) {
		fmt.Fprintf(&b, "%-44s %7d %8d %8d %8d %7d %6d %8d\n", name, c.Tried, c.Refused, c.Differs, c.Changed, c.Missed, c.Same, c.Objected)
	}
	fmt.Fprintf(&b, "%-44s %7s %8s %8s %8s %7s %6s %8s\n", "class", "tried", "refused", "differs", "changed", "missed", "same", "objected")
	for _, name := range slices.SortedFunc(maps.Keys(s.classes), cmp.Compare[string]) {
		row(name, s.classes[name])
	}
	t := s.Total()
	row("all", &t)
	fmt.Fprintf(&b, "score: %d of %d mutations that change a decision were refused or shown with a packet", t.Changed-t.Missed, t.Changed)
	return b.String()
}
