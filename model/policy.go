package model

import (
	"cmp"
	"fmt"
	"net/netip"
)

// GroupVersion is the apiVersion of both policy kinds.
const GroupVersion = "network.alibabacloud.com/v1alpha1"

// Bounds of spec.priority, both inclusive, and what a policy without one gets.
const (
	MinPriority     = 1
	MaxPriority     = 1000
	DefaultPriority = 1000
)

// PolicyKind tells the two custom resources apart. The order of the constants
// is the order of evaluation at equal priority: global before namespaced.
type PolicyKind uint8

const (
	GlobalTrafficPolicy PolicyKind = iota // cluster-scoped
	TrafficPolicy                         // namespaced
)

// String returns the kind as it stands in YAML.
func (k PolicyKind) String() string {
	if k == TrafficPolicy {
		return "TrafficPolicy"
	}
	return "GlobalTrafficPolicy"
}

// Policy is one TrafficPolicy or GlobalTrafficPolicy, decoded and valid.
type Policy struct {
	Kind      PolicyKind
	Namespace string // empty for a GlobalTrafficPolicy
	Name      string
	Priority  int // MinPriority..MaxPriority, smaller is evaluated first
	Selector  Selector

	// Ingress and Egress are nil where the section is absent, which matters
	// only for --isolation=direction. A section may have no rules.
	Ingress, Egress *Section

	Pos Pos // of the object's first key
}

// Section is spec.ingress or spec.egress.
type Section struct {
	Rules []Rule
	Pos   Pos
}

// Ref returns the policy's name in every output: KIND/NAMESPACE/NAME, or
// KIND/NAME for a GlobalTrafficPolicy.
func (p *Policy) Ref() string {
	if p.Kind == TrafficPolicy {
		return p.Kind.String() + "/" + p.Namespace + "/" + p.Name
	}
	return p.Kind.String() + "/" + p.Name
}

// Section returns the policy's section for direction d, nil where absent.
func (p *Policy) Section(d Direction) *Section {
	if d == Ingress {
		return p.Ingress
	}
	return p.Egress
}

// Rules returns the rules of direction d, which may be none.
func (p *Policy) Rules(d Direction) []Rule {
	if s := p.Section(d); s != nil {
		return s.Rules
	}
	return nil
}

// ComparePolicies orders policies as they are evaluated: by priority, global
// before namespaced, then name. Policies of different namespaces never select
// the same pod; the namespace only makes the order total.
func ComparePolicies(a, b *Policy) int {
	return cmp.Or(
		cmp.Compare(a.Priority, b.Priority),
		cmp.Compare(a.Kind, b.Kind),
		cmp.Compare(a.Name, b.Name),
		cmp.Compare(a.Namespace, b.Namespace),
	)
}

// Direction is seen from the governed pod.
type Direction uint8

const (
	Egress  Direction = iota // the pod opens the connection
	Ingress                  // the pod is connected to
)

// Directions lists both, in the order in which they are judged on the wire.
var Directions = [...]Direction{Egress, Ingress}

// String returns "egress" or "ingress", as in rule names.
func (d Direction) String() string {
	if d == Ingress {
		return "ingress"
	}
	return "egress"
}

// PeerList returns the field that holds a rule's peers: "to" or "from".
func (d Direction) PeerList() string {
	if d == Ingress {
		return "from"
	}
	return "to"
}

// Action is what a rule asks for.
type Action uint8

const (
	Deny   Action = iota // drop silently
	Reject               // drop and tell the sender
	Allow
)

// String returns the action as it stands in YAML.
func (a Action) String() string {
	switch a {
	case Allow:
		return "allow"
	case Reject:
		return "reject"
	}
	return "deny"
}

// Allows reports whether a lets the packet pass. For every question of order or
// reachability a reject is a deny.
func (a Action) Allows() bool { return a == Allow }

// Rule is one entry of a section. It matches a packet when one of its peers and
// one of its ports match.
type Rule struct {
	Action Action
	Peers  []Peer // none means every peer, of both address families
	Ports  []Port // none means every protocol and port
	Pos    Pos    // of the rule's first key
	// LastLine is the line on which the last value of the rule begins.
	LastLine int
}

// PeerKind says which of a peer's fields is set.
type PeerKind uint8

const (
	PeerCIDR PeerKind = iota
	PeerService
	PeerNamespace
	PeerWorkload
	PeerFQDN
)

// String returns the field's name in YAML.
func (k PeerKind) String() string {
	return [...]string{"cidr", "service", "namespace", "workload", "fqdn"}[k]
}

// Peer is one entry of to or from. Kind says which field counts.
type Peer struct {
	Kind PeerKind

	CIDR      netip.Prefix // masked and never IPv4-mapped
	Service   ServicePeer
	Namespace string
	Workload  WorkloadPeer
	FQDN      string // lower case, without trailing dot

	Pos Pos // of the peer's first key
}

// String returns the peer as a reader would name it, such as
// "cidr 10.0.0.0/8" or "service kube-system/kube-dns".
func (p *Peer) String() string {
	switch p.Kind {
	case PeerCIDR:
		return "cidr " + p.CIDR.String()
	case PeerService:
		return "service " + p.Service.Namespace + "/" + p.Service.Name
	case PeerNamespace:
		return "namespace " + p.Namespace
	case PeerWorkload:
		return "workload " + p.Workload.Namespace + "?" + p.Workload.Labels.String()
	}
	return "fqdn " + p.FQDN
}

// AnyService is the service name that means every Service of the namespace.
const AnyService = "*"

// ServicePeer names a Service. Namespace is never empty: the decoder fills in
// the policy's own.
type ServicePeer struct{ Namespace, Name string }

// WorkloadPeer selects the pods of Namespace that carry all of Labels; no labels
// select every pod of it. Namespace is never empty.
type WorkloadPeer struct {
	Namespace string
	Labels    Labels
}

// Port is one entry of a rule's ports.
type Port struct {
	Proto Proto
	// First and Last are the destination ports in host byte order, both
	// inclusive. Without a port field they are 0 and 65535. Both are 0 for ICMP.
	First, Last uint16
	Pos         Pos
}

// L4 returns the stretch of the L4 axis that the entry matches.
func (p Port) L4() L4Range {
	if base, ok := portBase(p.Proto); ok {
		return L4Range{base + L4(p.First), base + L4(p.Last)}
	}
	return L4Range{L4ICMP, L4ICMP}
}

// String returns the entry as a reader would name it: "TCP 80-90", "UDP", "ICMP".
func (p Port) String() string {
	switch {
	case !p.Proto.HasPorts(), p.First == 0 && p.Last == 65535:
		return p.Proto.String()
	case p.First == p.Last:
		return fmt.Sprintf("%s %d", p.Proto, p.First)
	}
	return fmt.Sprintf("%s %d-%d", p.Proto, p.First, p.Last)
}

// RuleRef names one rule. The zero RuleRef names none.
type RuleRef struct {
	Policy    *Policy
	Direction Direction
	Index     int // from 0
}

// IsZero reports whether r names no rule.
func (r RuleRef) IsZero() bool { return r.Policy == nil }

// Rule returns the rule that r names.
func (r RuleRef) Rule() *Rule { return &r.Policy.Section(r.Direction).Rules[r.Index] }

// String returns the rule's name in every output, such as
// TrafficPolicy/default/agent#egress[1], or "" for the zero RuleRef.
func (r RuleRef) String() string {
	if r.IsZero() {
		return ""
	}
	return fmt.Sprintf("%s#%s[%d]", r.Policy.Ref(), r.Direction, r.Index)
}

// Peer returns the name of the rule's peer entry j.
func (r RuleRef) Peer(j int) string {
	return fmt.Sprintf("%s.%s[%d]", r, r.Direction.PeerList(), j)
}

// Port returns the name of the rule's port entry j.
func (r RuleRef) Port(j int) string { return fmt.Sprintf("%s.ports[%d]", r, j) }
