package verify

import (
	"context"
	"net/netip"

	"github.com/trafficpolicy/trafficpolicy/compiler"
	"github.com/trafficpolicy/trafficpolicy/compiler/space"
)

// Equivalence is whether an artifact decides every packet as it should. Its JSON
// form is a contract.
type Equivalence struct {
	Equivalent bool `json:"equivalent"`
	// Differences are sorted: what opens before what closes, then by address.
	Differences []Disagreement `json:"differences"`
	// Omitted is how many more there are.
	Omitted int                `json:"omitted"`
	Summary EquivalenceSummary `json:"summary"`
}

// EquivalenceSummary is what was compared.
type EquivalenceSummary struct {
	Pods      int `json:"pods"`
	Addresses int `json:"addresses"` // governed, by either side
	// Classes is how many sets of policies the governed addresses have.
	Classes int `json:"classes"`
	// Tables is how many pairs of tables were compared: one for each direction and
	// family of a class, however many addresses have it.
	Tables int `json:"tables"`
	// Cells is how many stretches of addresses and ports the artifact's tables have.
	Cells       int `json:"cells"`
	Names       int `json:"names"`
	Differences int `json:"differences"`
}

// Kinds of disagreement. In a block of packets:
const (
	DisagreeAllowed = "allowed" // let through, but to be denied
	DisagreeDenied  = "denied"  // denied, but to be let through
	DisagreeReject  = "reject"  // denied silently in place of with an answer, or the other way round
	DisagreeRule    = "rule"    // the same verdict, by another rule or default deny
)

// Kinds of disagreement about what is around the rules.
const (
	DisagreeScope   = "scope"   // node in place of pod, or the other way round
	DisagreeMissing = "missing" // an address is to be governed and is not
	DisagreeSurplus = "surplus" // an address is governed and is not to be
	DisagreePod     = "pod"     // an address is another pod's
	DisagreeName    = "name"    // a domain name has other addresses, which decides a packet
	DisagreeNode    = "node"    // an address is the node's for one side only
	DisagreeUnknown = "unknown" // unknown pods are closed by one side only
)

// Disagreement is packets that an artifact decides otherwise than it should.
type Disagreement struct {
	Kind    string `json:"kind"`
	Message string `json:"message"`
	// Witness is one of the packets; nil where the kind is DisagreeScope.
	Witness *ArtifactPacket `json:"witness,omitempty"`
	// Want is what decides the witness as it should be, Have what does.
	Want Judgement `json:"want"`
	Have Judgement `json:"have"`
	// Peers and Ports are the block of packets for which it is so: every remote
	// address with all of the ports, "any" for everything.
	Peers []netip.Prefix `json:"peers,omitempty"`
	Ports []string       `json:"ports,omitempty"`
	// Addresses is how many governed addresses it is so for; the witness is of the first.
	Addresses int `json:"addresses"`
}

// ArtifactPacket is one packet at one pod.
type ArtifactPacket struct {
	Direction string     `json:"direction"`
	Pod       string     `json:"pod,omitempty"` // NAMESPACE/NAME
	Local     netip.Addr `json:"local"`         // of the pod
	Peer      netip.Addr `json:"peer"`
	Proto     string     `json:"proto"`
	Port      uint16     `json:"port"` // 0 where the protocol has none
	// Names are the domain names that have the peer's address, as an assumption; nil
	// where the sides know different addresses.
	Names []string `json:"names,omitempty"`
}

// Judgement is what one side says of a packet.
type Judgement struct {
	Verdict string `json:"verdict"` // allow or deny, "" of no packet
	Reject  bool   `json:"reject,omitempty"`
	Reason  string `json:"reason,omitempty"`
	Rule    string `json:"rule,omitempty"`
	// Policies select the pod, for a default deny.
	Policies []string `json:"policies,omitempty"`
	// Names are those that the side knows the peer's address of, where that is what
	// the sides disagree on.
	Names []string `json:"names,omitempty"`
}

// Reasons of a Judgement.
const (
	ReasonRule        = "rule"
	ReasonDefaultDeny = "default-deny"
	ReasonNotSelected = "not-selected" // no policy speaks of the direction
	ReasonNotGoverned = "not-governed" // the address is no governed pod's
	ReasonUnknownPod  = "unknown-pod"  // and such are closed
	ReasonNodeLocal   = "node-local"   // it comes from the node itself
	ReasonSpoofed     = "spoofed"      // the address is another pod's
	ReasonUndecided   = "undecided"    // nothing decides
)

// EquivalenceOptions say what an artifact may have beyond what it should. The zero
// value is nothing.
type EquivalenceOptions struct {
	// Nodes are further addresses that the node may have.
	Nodes []netip.Addr
	// Most is how many differences are kept, 20 where it is zero.
	Most int
}

// Artifact proves that an artifact, as a decoder understood it, decides every packet
// as the rule lists of p do, or shows packets that it does not: for all addresses
// of both families, ports and protocols and whatever addresses names have, by the
// same rule or default deny and with the same action. The work follows the sizes of
// the tables and not the number of pods. Errors are those of [space.Flatten] and of
// ctx.
func Artifact(ctx context.Context, p *compiler.Program, have *space.Reading, o EquivalenceOptions) (*Equivalence, error) {
	numbers := deciderNumbers{}
	want, err := meaningOfProgram(ctx, p, numbers)
	if err != nil {
		return nil, err
	}
	return compareMeanings(ctx, want, meaningOfReading(have, numbers), o)
}

// Readings is Artifact for what another artifact says in place of a program.
func Readings(ctx context.Context, want, have *space.Reading, o EquivalenceOptions) (*Equivalence, error) {
	numbers := deciderNumbers{}
	return compareMeanings(ctx, meaningOfReading(want, numbers), meaningOfReading(have, numbers), o)
}
