package simulate

import (
	"net/netip"

	"github.com/trafficpolicy/trafficpolicy/model"
)

// Reason is why one direction of a flow has its verdict.
type Reason string

// Reasons, in the order of precedence: the first that fits is given.
const (
	External    Reason = "external"     // no pod of this cluster
	NotRunning  Reason = "not-running"  // pod in phase Succeeded or Failed
	HostNetwork Reason = "host-network" // pod on its node's network
	NotEnrolled Reason = "not-enrolled" // pod without the annotations
	Self        Reason = "self"         // a pod to itself
	NodeLocal   Reason = "node-local"   // from the pod's own node
	NotSelected Reason = "not-selected" // no policy selects the pod, or speaks of the direction
	ByRule      Reason = "rule"
	DefaultDeny Reason = "default-deny"
)

// Verdict is what becomes of a flow or of one direction of it.
type Verdict string

const (
	Allow Verdict = "allow"
	Deny  Verdict = "deny"
	// Mixed: it differs between address families, addresses of the destination
	// or values of an unresolved name.
	Mixed Verdict = "mixed"
)

func verdictOf(a model.Action) Verdict {
	if a.Allows() {
		return Allow
	}
	return Deny
}

// Result is the answer to one flow. Its JSON form is a contract: fields and
// their order are kept.
type Result struct {
	Src     End     `json:"src"`
	Dst     End     `json:"dst"`
	Proto   string  `json:"proto"`
	Port    *uint16 `json:"port,omitempty"` // nil where left out or without meaning
	Verdict Verdict `json:"verdict"`
	// Reject is set where the sender of a denied flow is told: the side that
	// denies first, egress before ingress, does so by a reject rule.
	Reject bool `json:"reject,omitempty"`
	// Egress and Ingress are nil exactly where Verdict is Mixed; Cases then has
	// at least two entries.
	Egress  *Side    `json:"egress,omitempty"`
	Ingress *Side    `json:"ingress,omitempty"`
	Cases   []Result `json:"cases,omitempty"`
	// Condition is set in an entry of Cases: when it holds.
	Condition string `json:"condition,omitempty"`

	// Notes are what the user should know beside the answer, for stderr.
	Notes []string `json:"-"`
}

// End is one end of a flow.
type End struct {
	Input string `json:"input"`         // as it was given
	Pod   string `json:"pod,omitempty"` // NAMESPACE/NAME, or NAMESPACE?k=v for a pod given by its labels
	// IP is the address that the flow was judged with. Of a Service it is the
	// clusterIP, or the endpoint's address of a headless one. It is empty for an
	// unresolved name and a pod without one of the family.
	IP string `json:"ip,omitempty"`
	// Endpoint is where a Service's clusterIP leads, as ADDRESS:PORT: what
	// ingress was judged at.
	Endpoint string `json:"endpoint,omitempty"`
}

// Side is one direction of a flow.
type Side struct {
	Verdict Verdict `json:"verdict"`
	Reject  bool    `json:"reject,omitempty"` // denied by a reject rule
	Reason  Reason  `json:"reason"`
	Rule    string  `json:"rule,omitempty"`
	// Peer is the index in the rule's to or from; nil where that is empty.
	Peer *int `json:"peer,omitempty"`
	// Policies are the policies that select the pod, in evaluation order; only
	// where the reason is rule or default-deny. Shared; do not change.
	Policies []string `json:"policies,omitempty"`

	at judged // for the walk that text output shows
}

// judged is what a side was judged on.
type judged struct {
	walk    *Walk // nil where no rule was tried
	peer    remote
	point   point
	outcome *outcome
}

// remote is the other end of a direction: an address, or a domain name of which
// no address is known.
type remote struct {
	addr   netip.Addr
	name   string
	family model.Family // of the address that name may have
}
