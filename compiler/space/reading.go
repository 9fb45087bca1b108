package space

import (
	"net/netip"

	"github.com/trafficpolicy/trafficpolicy/model"
)

// Reading is what an artifact decides, as a decoder understood it that knows the
// artifact's format and nothing of the policies behind it. It is one side of the
// proof that an artifact means what the policies say.
type Reading struct {
	// PodScope is set for an artifact that is enforced in one pod's own network namespace.
	PodScope bool
	// Deciders are what the rules of the tables' cells are indices of.
	Deciders []Decider
	// Subjects are the governed addresses, sorted by address, each once.
	Subjects []Subject
	// Nodes are the addresses whose own packets to pods are exempt, sorted.
	Nodes []netip.Addr
	// Names are the addresses that the artifact gives each domain name, sorted. A
	// name of which it knows none has an entry without addresses.
	Names map[string][]netip.Addr
	// Learned are addresses that a node has learned of a name beyond Names, sorted.
	// Nil but for what a kernel holds.
	Learned map[string][]netip.Addr
	// Closed are the address ranges of pods that no Subject has and whose packets
	// are dropped, as disjoint sorted ranges (compile --unknown deny).
	Closed []AddrRange
}

// AddrRange is a range of addresses of one family, both ends inclusive.
type AddrRange struct{ First, Last netip.Addr }

// Decider is what can end a judgement: a rule, or the default deny of a set of policies.
type Decider struct {
	// Rule is the name of the rule, "" for a default deny and where no policy
	// speaks of the direction.
	Rule string
	// Direction is that of a default deny; the name of a rule has its own.
	Direction model.Direction
	// Policies select the pod, in evaluation order. Nil but for a default deny.
	Policies []string
	Action   model.Action
}

// Subject is one governed address.
type Subject struct {
	// Pod is NAMESPACE/NAME, "" where the artifact does not say.
	Pod  string
	Addr netip.Addr
	// Egress and Ingress are what the pod may send from, and be sent to, Addr, by
	// the address of the other end, which is of the same family. Subjects that the
	// artifact treats alike may share one Table; none is nil, and none has a cell
	// with [NoRule].
	Egress, Ingress *Table
}

// Table returns what s does in direction d.
func (s *Subject) Table(d model.Direction) *Table {
	if d == model.Ingress {
		return s.Ingress
	}
	return s.Egress
}
