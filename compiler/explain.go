package compiler

import (
	"fmt"
	"maps"
	"slices"

	"github.com/trafficpolicy/trafficpolicy/model"
)

// Explain says why p has no addresses, or not all: res is what [Resolver.Peer]
// returned for it. It is "" where there is no problem.
func (r *Resolver) Explain(p *model.Peer, res *Resolution) string {
	switch res.Problem {
	case NoAddresses:
		return p.String() + " has no addresses just now"
	case UnknownReference:
		if ns := peerNamespace(p); !r.HoldsNamespace(ns) {
			return fmt.Sprintf("namespace %q is not in the inventory", ns)
		}
		return p.String() + " is not in the inventory"
	case IsExternalName:
		if p.Service.Name == model.AnyService {
			return p.String() + " includes a Service of type ExternalName, which has no addresses"
		}
		return p.String() + " is of type ExternalName, which has no addresses"
	case UnknownName:
		return p.String() + " has no known addresses, see --resolve"
	case Unreadable:
		if p.Kind == model.PeerService && p.Service.Name != model.AnyService {
			return p.String() + " is in the inventory but cannot be read"
		}
		return p.String() + " has no addresses but maybe those of objects that cannot be read"
	case NoInventory:
		kind := "pods"
		if p.Kind == model.PeerService && !r.given.services {
			kind = "Services"
		}
		return fmt.Sprintf("%s cannot be looked up: the inventory has no %s", p, kind)
	}
	return ""
}

// peerNamespace returns the namespace that p names, "" for a cidr or fqdn.
func peerNamespace(p *model.Peer) string {
	switch p.Kind {
	case model.PeerService:
		return p.Service.Namespace
	case model.PeerNamespace:
		return p.Namespace
	case model.PeerWorkload:
		return p.Workload.Namespace
	}
	return ""
}

// NearestReference returns what of the inventory a peer may have meant that is
// an unknown reference, nearest first: namespaces where it lacks the namespace,
// else Services of it, as NAMESPACE/NAME.
func (r *Resolver) NearestReference(p *model.Peer) []string {
	ns := peerNamespace(p)
	if !r.HoldsNamespace(ns) {
		return Nearest(ns, slices.Collect(maps.Keys(r.held)))
	}
	var names []string
	for _, s := range r.byNS[ns] {
		names = append(names, s.Name)
	}
	near := Nearest(p.Service.Name, names)
	for i, n := range near {
		near[i] = ns + "/" + n
	}
	return near
}
