package ebpf

import "fmt"

// LimitError says that a program does not fit in a graph. The program itself is
// valid.
type LimitError struct {
	What string // what there is too much of, plural
	Max  int
	Hint string // what to do
}

func (e *LimitError) Error() string {
	return fmt.Sprintf("the graph needs more than %d %s: %s", e.Max, e.What, e.Hint)
}

// What there can be too much of in one list as well as in all of a graph.
var (
	errSlots = &LimitError{
		What: "slots of 32 bytes", Max: MaxSlots,
		Hint: "compile for fewer pods (--pod), or let rules share addresses and ports",
	}
	errLinks = &LimitError{
		What: "entries in the lists of domain names that stand before other rules", Max: maxLinks,
		Hint: "put the rules with domain names next to one another",
	}
)
