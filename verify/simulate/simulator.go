package simulate

import (
	"net/netip"
	"slices"
	"strconv"
	"strings"
	"sync"

	"k8s.io/apimachinery/pkg/labels"

	"github.com/trafficpolicy/trafficpolicy/compiler"
	"github.com/trafficpolicy/trafficpolicy/model"
)

// Simulator judges flows against one set of policies and one inventory. It is
// safe for concurrent use. What it finds out about a pod it keeps, so that a
// later flow of the same pod costs a walk over its rules and nothing else.
type Simulator struct {
	*facts
	shortcuts Shortcuts  // nil for walks alone
	plain     *Simulator // without them; nil where there are none

	subjects []subject // by index in the inventory's pods
	labelled sync.Map  // namespace and labels to *walks
	walks    sync.Map  // string of policy numbers to *walks
}

// facts is what is judged: the input and what is derived from it alone.
type facts struct {
	in        *compiler.Input
	options   compiler.Options
	families  []model.Family
	resolver  *compiler.Resolver
	addresses *compiler.Addresses
	contested bool // there are addresses that several pods claim

	global     []selectable            // GlobalTrafficPolicies
	namespaced map[string][]selectable // TrafficPolicies by namespace
	roster                             // of the inventory's pods
	services   map[string]*model.Service
	nodes      map[string][]netip.Addr // addresses by name of node
	// slices and endpoints are EndpointSlices and Endpoints objects by the
	// NAMESPACE/NAME of the Service they belong to.
	slices, endpoints map[string][]*model.Endpoints

	rules sync.Map // section to []*walkRule
}

// selectable is a policy with its selector as Kubernetes matches it.
type selectable struct {
	policy   *model.Policy
	selector labels.Selector
}

// New returns a simulator of in, which must not change any more.
func New(in *compiler.Input, o compiler.Options) *Simulator {
	w := &facts{
		in:         in,
		options:    o,
		families:   in.Families(o),
		resolver:   compiler.NewResolver(in.Inventory, o),
		namespaced: map[string][]selectable{},
		services:   make(map[string]*model.Service, len(in.Inventory.Services)),
		nodes:      make(map[string][]netip.Addr, len(in.Inventory.Nodes)),
		slices:     map[string][]*model.Endpoints{},
		endpoints:  map[string][]*model.Endpoints{},
	}
	w.addresses = w.resolver.Addresses()
	w.contested = len(w.addresses.Conflicts()) > 0
	for _, e := range in.Inventory.Endpoints {
		of := w.endpoints
		if e.Slice {
			of = w.slices
		}
		ref := e.Namespace + "/" + e.Service
		of[ref] = append(of[ref], e)
	}
	for _, p := range in.Policies {
		at := selectable{p, compiler.NewSelector(&p.Selector)}
		if p.Kind == model.GlobalTrafficPolicy {
			w.global = append(w.global, at)
		} else {
			w.namespaced[p.Namespace] = append(w.namespaced[p.Namespace], at)
		}
	}
	for _, svc := range in.Inventory.Services {
		w.services[svc.Ref()] = svc
	}
	for _, n := range in.Inventory.Nodes {
		w.nodes[n.Name] = append(w.nodes[n.Name], n.Addresses...)
	}
	return &Simulator{facts: w, subjects: w.enroll()}
}

// Select returns the policies that select a pod of the namespace with the
// labels, in evaluation order, by trying each that is in scope (SEMANTICS section 2).
func (w *facts) Select(namespace string, ls model.Labels) []*model.Policy {
	var out []*model.Policy
	for _, scope := range [][]selectable{w.global, w.namespaced[namespace]} {
		for _, p := range scope {
			if p.selector.Matches(ls) {
				out = append(out, p.policy)
			}
		}
	}
	slices.SortFunc(out, model.ComparePolicies)
	return out
}

// Walk returns the walk of pods that exactly these policies select, in
// evaluation order. Equal lists share one.
func (s *Simulator) Walk(policies []*model.Policy, d model.Direction) *Walk {
	return s.walksOf(policies)[d]
}

func (s *Simulator) walksOf(policies []*model.Policy) *walks {
	var key strings.Builder
	for _, p := range policies {
		key.WriteString(p.Ref())
		key.WriteByte(0)
		key.WriteString(strconv.Itoa(p.Priority))
		key.WriteByte(0)
	}
	if ws, ok := s.walks.Load(key.String()); ok {
		return ws.(*walks)
	}
	ws := &walks{}
	for _, d := range model.Directions {
		ws[d] = s.newWalk(policies, d)
	}
	kept, _ := s.walks.LoadOrStore(key.String(), ws)
	return kept.(*walks)
}

// Decide judges one direction of one packet at pod p, nil for an end that is no
// pod: exemptions first, then the rules. peer is the remote address, x the
// protocol and destination port, and in reports whether peer is one of an
// unresolved name's addresses (nil: of none). A packet of p to itself and one
// of p's own node are exempt by peer alone.
func (s *Simulator) Decide(p *model.Pod, d model.Direction, peer netip.Addr, x model.L4, in func(model.Atom) bool) Decision {
	peer = peer.Unmap()
	sub := s.subject(p)
	if why := sub.exemptFrom(d, peer, nil); why != "" {
		return Decision{Action: model.Allow, Reason: why, Peer: noPeer}
	}
	return s.walksAt(sub)[d].Decide(peer, x, in)
}

// exemptFrom returns why no policy applies to the direction d of a packet at the
// pod, nil for an end that is none, or "" where policies decide. other is the
// other end where that is a pod; otherwise nil.
func (sub *subject) exemptFrom(d model.Direction, peer netip.Addr, other *subject) Reason {
	switch {
	case sub == nil:
		return External
	case sub.exempt != "":
		return sub.exempt
	case peer.IsLoopback(), sub == other, sub.owns(peer):
		return Self
	case d == model.Ingress && sub.onNode(peer, other):
		return NodeLocal
	}
	return ""
}

// onNode reports whether a packet from peer originates on the pod's node itself: it
// comes from one of the node's addresses, or from a pod on the node's network.
func (sub *subject) onNode(peer netip.Addr, other *subject) bool {
	if other != nil && other.exempt == HostNetwork && sub.pod.NodeName != "" && other.pod.NodeName == sub.pod.NodeName {
		return true
	}
	return slices.Contains(sub.node, peer)
}
