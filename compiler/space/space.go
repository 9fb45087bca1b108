// Package space is the algebra of rule lists: it turns first match over ordered
// rules into one decision for every packet, as disjoint pieces.
package space

import (
	"net/netip"

	"github.com/trafficpolicy/trafficpolicy/model"
)

// NoRule stands for the default: no rule of the list matches.
const NoRule int32 = -1

// DecisionID is an index in Table.Decisions.
type DecisionID int32

// NoDecision is the Else of a decision that has none.
const NoDecision DecisionID = -1

// Table is what a rule list decides for one address family.
type Table struct {
	Family model.Family
	// Entries have longest-prefix meaning, sorted by address then length. The
	// first is the family's /0. An entry decides otherwise than its parent.
	Entries   []Entry
	Decisions []Decision
}

// Entry is one prefix with its decision.
type Entry struct {
	Prefix   netip.Prefix
	Decision DecisionID
}

// Decision says which rule matches first at each point of the L4 axis. Cells
// are sorted and disjoint; where none holds the point, decision Else decides,
// and where Else is NoDecision no rule matches. Else chains share what hosts
// inherit; they end.
type Decision struct {
	Cells []Cell
	Else  DecisionID
}

// Cell is a stretch of the axis on which one rule matches first.
type Cell struct {
	model.L4Range
	// Rule is an index in RuleList.Rules, or NoRule.
	Rule int32
	// If lists rules before Rule that match where the address is in their atom,
	// in order. Nil without atoms.
	If []Conditional
}

// Conditional is a rule that matches under a condition.
type Conditional struct {
	Atom model.Atom
	Rule int32
}

// Range is a stretch of addresses, both ends inclusive.
type Range struct {
	First, Last netip.Addr
	Decision    DecisionID
}

// Flatten computes the table of a list. Prefixes of a peer with an Atom are
// ignored: the atom alone stands for it.
func Flatten(list *model.RuleList, f model.Family) *Table { return nil }

// Lookup returns the cell of a packet; its range is trimmed to where it holds.
func (t *Table) Lookup(a netip.Addr, x model.L4) Cell { return Cell{} }

// Ranges returns the table as disjoint, sorted ranges that cover the family's
// space, equal neighbours merged.
func (t *Table) Ranges() []Range { return nil }
