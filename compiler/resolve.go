package compiler

import (
	"net/netip"
	"strings"
	"sync"

	"go4.org/netipx"

	"github.com/trafficpolicy/trafficpolicy/model"
)

// Resolver answers which addresses a peer means (SEMANTICS section 3). It is
// safe for concurrent use.
type Resolver struct {
	options   Options
	addresses *Addresses
	pods      *podIndex

	services  map[objectName]*model.Service
	byNS      map[string][]*model.Service       // services by namespace, in inventory order
	slices    map[objectName][]*model.Endpoints // EndpointSlices by the Service they belong to
	endpoints map[objectName][]*model.Endpoints // Endpoints objects, likewise
	held      map[string]bool                   // namespaces that the inventory holds
	// broken holds the objects that could not be read, as KIND/NAMESPACE/NAME, and
	// KIND/NAMESPACE where there is one.
	broken map[string]bool
	given  struct{ namespaces, pods, services bool }

	known sync.Map // peerKey to *knownPeer
}

// objectName names an object of a namespaced kind.
type objectName struct{ namespace, name string }

// Problem is why a peer has no addresses, or not all of them.
type Problem uint8

const (
	Resolved         Problem = iota
	NoAddresses              // it exists and has no addresses just now
	UnknownReference         // the inventory holds no such Service or namespace
	IsExternalName           // a Service of type ExternalName, or "*" where one of the Services is
	UnknownName              // an fqdn without known addresses
	NoInventory              // no object of the needed kind was given at all
	Unreadable               // no addresses, but the inventory holds a Service or pod it may mean that could not be read
)

// FailsOpen reports whether a deny or reject rule with such a peer would let
// pass what it was written to stop. Having no addresses just now is no failure.
func (p Problem) FailsOpen() bool { return p != Resolved && p != NoAddresses }

// Resolution is what a peer means.
type Resolution struct {
	// Prefixes are masked, unmapped, disjoint and sorted: IPv4 first, then by
	// address; as few as express the set, so that 10.0.0.0/25 and 10.0.0.128/25
	// are one. Shared; do not change.
	Prefixes []netip.Prefix
	// Problem is Resolved where there are prefixes, but for two cases. The service
	// "*" of a namespace in which some Services are of type ExternalName is
	// IsExternalName and has the addresses of the others. A Service whose endpoints
	// would be pods, in an inventory without pods, is NoInventory and has its
	// clusterIPs.
	Problem Problem
}

// Unknown reports whether the addresses are an unknown set rather than none:
// an analysis takes such a peer as an atom.
func (r *Resolution) Unknown() bool {
	return r.Problem == UnknownName || r.Problem == NoInventory || r.Problem == Unreadable
}

// NewResolver returns a resolver of names against inv.
func NewResolver(inv *model.Inventory, o Options) *Resolver {
	return newResolver(inv, o, NewAddresses(inv))
}

func newResolver(inv *model.Inventory, o Options, addresses *Addresses) *Resolver {
	r := &Resolver{
		options:   o,
		addresses: addresses,
		pods:      newPodIndex(inv.Pods),
		held:      map[string]bool{},
		broken:    map[string]bool{},
	}
	r.given.namespaces = len(inv.Namespaces) > 0
	r.given.pods = len(inv.Pods) > 0
	r.given.services = len(inv.Services) > 0
	r.indexServices(inv.Services)
	r.indexEndpoints(inv.Endpoints)
	for _, n := range inv.Namespaces {
		r.held[n.Name] = true
	}
	for ns := range r.pods.namespaces {
		r.held[ns] = true
	}
	for _, t := range inv.Templates {
		r.held[t.Namespace] = true
	}
	for _, o := range inv.Broken {
		r.noteBroken(o.Ref)
	}
	return r
}

// indexServices makes services those that r knows.
func (r *Resolver) indexServices(services []*model.Service) {
	r.services = make(map[objectName]*model.Service, len(services))
	r.byNS = map[string][]*model.Service{}
	for _, s := range services {
		r.services[objectName{s.Namespace, s.Name}] = s
		r.byNS[s.Namespace] = append(r.byNS[s.Namespace], s)
		r.held[s.Namespace] = true
	}
}

// indexEndpoints makes endpoints those that r knows.
func (r *Resolver) indexEndpoints(endpoints []*model.Endpoints) {
	r.slices, r.endpoints = map[objectName][]*model.Endpoints{}, map[objectName][]*model.Endpoints{}
	for _, e := range endpoints {
		of := r.endpoints
		if e.Slice {
			of = r.slices
		}
		name := objectName{e.Namespace, e.Service}
		of[name] = append(of[name], e)
		r.held[e.Namespace] = true
	}
}

// noteBroken remembers an object that is there although nothing else is known of it.
func (r *Resolver) noteBroken(ref string) {
	r.broken[ref] = true
	kind, name, _ := strings.Cut(ref, "/")
	if ns, _, ok := strings.Cut(name, "/"); ok {
		r.held[ns] = true
		r.broken[kind+"/"+ns] = true
	}
	switch kind {
	case "Service":
		r.given.services = true
	case "Pod":
		r.given.pods = true
	case "Namespace":
		r.given.namespaces = true
		r.held[name] = true
	}
}

// HoldsNamespace reports whether the inventory has the namespace itself or any
// object in it.
func (r *Resolver) HoldsNamespace(name string) bool { return r.held[name] }

// Addresses returns the index of who owns which address.
func (r *Resolver) Addresses() *Addresses { return r.addresses }

// peerKey is what two peers have in common that mean the same addresses.
type peerKey struct {
	kind            model.PeerKind
	direction       model.Direction // of services only
	namespace, name string
}

// keyOfPeer returns the key of a peer that is no cidr.
func keyOfPeer(p *model.Peer, d model.Direction) peerKey {
	key := peerKey{kind: p.Kind}
	switch p.Kind {
	case model.PeerService:
		key.direction, key.namespace, key.name = d, p.Service.Namespace, p.Service.Name
	case model.PeerNamespace:
		key.namespace = p.Namespace
	case model.PeerWorkload:
		key.namespace, key.name = p.Workload.Namespace, p.Workload.Labels.String()
	case model.PeerFQDN:
		key.name = p.FQDN
	}
	return key
}

// Peer resolves one peer of a rule of direction d: a Service's clusterIPs count
// for egress only. Results are kept: equal peers resolve once.
func (r *Resolver) Peer(p *model.Peer, d model.Direction) *Resolution {
	if p.Kind == model.PeerCIDR {
		return &Resolution{Prefixes: []netip.Prefix{p.CIDR}}
	}
	key := keyOfPeer(p, d)
	if known, ok := r.known.Load(key); ok {
		return known.(*knownPeer).res
	}
	known, _ := r.known.LoadOrStore(key, &knownPeer{*p, d, r.resolve(p, d)})
	return known.(*knownPeer).res
}

// knownPeer is a peer that was resolved.
type knownPeer struct {
	peer      model.Peer
	direction model.Direction
	res       *Resolution
}

func (r *Resolver) resolve(p *model.Peer, d model.Direction) *Resolution {
	switch p.Kind {
	case model.PeerService:
		return r.service(p.Service, d)
	case model.PeerNamespace:
		return r.workload(p.Namespace, nil)
	case model.PeerWorkload:
		return r.workload(p.Workload.Namespace, p.Workload.Labels)
	default:
		return r.fqdn(p.FQDN)
	}
}

func (r *Resolver) fqdn(name string) *Resolution {
	addrs := r.options.Resolve[name]
	if len(addrs) == 0 {
		return &Resolution{Problem: UnknownName}
	}
	return resolution(addrs)
}

// workload resolves the pods of a namespace that carry all of ls.
func (r *Resolver) workload(namespace string, ls model.Labels) *Resolution {
	switch {
	case r.held[namespace] && !r.given.pods, !r.held[namespace] && !r.given.pods && !r.given.namespaces:
		return &Resolution{Problem: NoInventory}
	case !r.held[namespace]:
		return &Resolution{Problem: UnknownReference}
	}
	var addrs []netip.Addr
	for _, p := range r.pods.matching(namespace, ls) {
		addrs = append(addrs, r.addresses.Of(p)...)
	}
	if len(addrs) == 0 && r.broken["Pod/"+namespace] {
		return &Resolution{Problem: Unreadable}
	}
	return resolution(addrs)
}

// resolution is the set of addrs, which may repeat.
func resolution(addrs []netip.Addr) *Resolution {
	if len(addrs) == 0 {
		return &Resolution{Problem: NoAddresses}
	}
	return &Resolution{Prefixes: prefixes(addrs)}
}

// prefixes returns the fewest prefixes that are exactly addrs, sorted.
func prefixes(addrs []netip.Addr) []netip.Prefix {
	var b netipx.IPSetBuilder
	for _, a := range addrs {
		b.Add(a.WithZone(""))
	}
	set, err := b.IPSet()
	if err != nil { // an invalid address, which the decoder lets nobody have
		return nil
	}
	return set.Prefixes()
}
