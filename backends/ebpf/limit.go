package ebpf

import "fmt"

// limits bound a graph and what a loader makes of it; tests lower them.
type limits struct {
	slots     int // of the graph
	deciders  int // rules and default denies
	intervals int // of one search
	links     int // entries of all chains
	addresses int // of the names in all chains
}

var realLimits = limits{MaxSlots, MaxDeciders, maxIntervals, maxLinks, maxNameAddrs}

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

// slotsError and linksError are of what there can be too much in one list as well
// as in all of a graph.
func slotsError(most int) error {
	return &LimitError{
		What: "slots of 32 bytes", Max: most,
		Hint: "compile for fewer pods (--pod), or let rules share addresses and ports",
	}
}

func linksError(most int) error {
	return &LimitError{
		What: "entries in the lists of domain names that stand before other rules", Max: most,
		Hint: "put the rules with domain names next to one another",
	}
}
