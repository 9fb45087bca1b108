package space

import (
	"net/netip"

	"github.com/trafficpolicy/trafficpolicy/model"
)

// Packet is a packet as one direction of one pod sees it.
type Packet struct {
	Addr netip.Addr // the remote address
	L4   model.L4
	In   []model.Atom // that hold Addr; no other atom does
}

// Analysis is what first match makes of a list: which rules are ever reached,
// and who takes the packets of those that are not. It is exact: nothing holds
// that fails for some packet of the families analysed and some value of the
// atoms.
type Analysis struct {
	Rules []RuleAnalysis // by index in RuleList.Rules
}

// RuleAnalysis is what becomes of one rule's packets.
type RuleAnalysis struct {
	// Own reports whether the rule matches any packet of the families.
	Own bool
	// Live reports whether the rule is the first match of some packet.
	Live bool
	// Witness is a packet of the rule: one that it decides where it is live,
	// else one that Winner decides, of the other action where there is one.
	// Winner is the index of a rule, NoRule without a packet.
	Witness Packet
	Winner  int32
	// Taken reports, for a rule that is not live, whether some of its packets
	// are decided by deny or reject rules (0) and by allow rules (1).
	Taken [2]bool
	// Cover lists, for a rule that is not live, rules that together match all
	// its packets, each of which decides some of them: largest first, with one
	// of the other action wherever one decides a packet. At most MaxCover;
	// Omitted is how many more there are.
	Cover   []int32
	Omitted int
	// Peers has an entry for each of the rule's Peers, Ports one for each port
	// entry of the source rule; nil where it has none.
	Peers, Ports []EntryAnalysis
}

// EntryAnalysis is what becomes of the packets of one peer or port entry: those
// that it and the other part of its rule match.
type EntryAnalysis struct {
	Own bool
	// Live reports whether the rule is the first match of some packet of the
	// entry that no earlier entry of the same list matches.
	Live bool
	// Witness and Winner are as in RuleAnalysis. Winner may be the rule itself,
	// where an earlier entry takes the packet.
	Witness Packet
	Winner  int32
}

// MaxCover is the longest Cover.
const MaxCover = 16
