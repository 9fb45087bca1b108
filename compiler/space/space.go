// Package space is the algebra of rule lists: it turns first match over ordered
// rules into one decision for every packet, as disjoint pieces.
//
// What its results guarantee:
//
//   - [Flatten] decides every packet of a family as the first matching rule of
//     the list does, at a cost that follows the list's length and not its
//     square; where explicit decisions would not fit in memory it says so.
//   - The outcome depends on the rule list alone: no map order, no clock.
//
// A packet is a remote address and a point of the L4 axis ([model.L4]).
package space

import (
	"net/netip"

	"github.com/trafficpolicy/trafficpolicy/model"
)

// NoRule stands for the default: no rule of the list matches.
const NoRule int32 = -1

// DecisionID is an index in Table.Decisions.
type DecisionID int32

// NoDecision is the Before or Else of a decision that has none.
const NoDecision DecisionID = -1

// Table is what a rule list decides for one address family.
type Table struct {
	Family model.Family
	// Entries have longest-prefix meaning, sorted by address then length. The
	// first is the family's /0. An entry decides otherwise than its parent.
	// Nil in a table of ranges ([FromRanges]).
	Entries   []Entry
	Decisions []Decision
	ranges    []Range // of a table of ranges
}

// Entry is one prefix with its decision.
type Entry struct {
	Prefix   netip.Prefix
	Decision DecisionID
}

// Decision says which rule matches first at each point of the L4 axis. Decision
// Before is asked first, then Cells, then Else: the first that holds the point
// decides, and where none does no rule matches. So hosts share what comes before
// and behind their own rules.
type Decision struct {
	// Before is a decision of cells alone, with neither Before nor Else;
	// NoDecision for none, which is the rule: it stands where writing its cells
	// into this decision would cost too much.
	Before DecisionID
	// Cells are sorted and disjoint, and neighbours that abut differ.
	Cells []Cell
	// Else is NoDecision, or a decision with an Else of its own: a chain of at
	// most ten decisions.
	Else DecisionID
}

// Cell is a stretch of the axis on which one rule matches first.
type Cell struct {
	model.L4Range
	// Rule is an index in RuleList.Rules, or NoRule.
	Rule int32
	// If lists rules before Rule that match where the address is in their atom,
	// in order, each atom once. Nil without atoms. It may be shared with other
	// cells and must not be changed.
	If []Conditional
}

// Conditional is a rule that matches where the address is in an atom.
type Conditional = model.Conditional

// Range is a stretch of addresses, both ends inclusive.
type Range struct {
	First, Last netip.Addr
	Decision    DecisionID
}
