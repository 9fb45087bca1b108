package compiler

import (
	"net/netip"

	"github.com/trafficpolicy/trafficpolicy/model"
)

// service resolves a Service, or with the name "*" every Service of a namespace.
func (r *Resolver) service(peer model.ServicePeer, d model.Direction) *Resolution {
	if !r.given.services {
		return &Resolution{Problem: NoInventory}
	}
	if peer.Name == model.AnyService {
		return r.everyService(peer.Namespace, d)
	}
	s := r.services[objectName{peer.Namespace, peer.Name}]
	switch {
	case s == nil && r.broken["Service/"+peer.Namespace+"/"+peer.Name]:
		return &Resolution{Problem: Unreadable}
	case s == nil:
		return &Resolution{Problem: UnknownReference}
	case s.ExternalName != "":
		return &Resolution{Problem: IsExternalName}
	}
	res := resolution(r.serviceAddrs(s, d))
	if r.endpointsUnknown(s) {
		res.Problem = NoInventory
	}
	return res
}

// endpointsUnknown reports whether the endpoints of s are those of pods, and the
// inventory has no pods to look among.
func (r *Resolver) endpointsUnknown(s *model.Service) bool {
	name := objectName{s.Namespace, s.Name}
	return len(s.Selector) > 0 && !r.given.pods && len(r.slices[name])+len(r.endpoints[name]) == 0
}

func (r *Resolver) everyService(namespace string, d model.Direction) *Resolution {
	if !r.held[namespace] {
		return &Resolution{Problem: UnknownReference}
	}
	var addrs []netip.Addr
	external, unknown := false, false
	for _, s := range r.byNS[namespace] {
		if s.ExternalName != "" {
			external = true
			continue
		}
		addrs = append(addrs, r.serviceAddrs(s, d)...)
		unknown = unknown || r.endpointsUnknown(s)
	}
	res := resolution(addrs)
	switch {
	case unknown:
		res.Problem = NoInventory
	case external:
		res.Problem = IsExternalName
	case len(addrs) == 0 && r.broken["Service/"+namespace]:
		res.Problem = Unreadable
	}
	return res
}

// serviceAddrs returns the addresses of s as a rule of direction d sees them: a
// client addresses the clusterIP or an endpoint, but what connects to a pod is
// always an endpoint.
func (r *Resolver) serviceAddrs(s *model.Service, d model.Direction) []netip.Addr {
	addrs := r.EndpointAddrs(s)
	if d == model.Egress {
		addrs = append(addrs, s.ClusterIPs...)
	}
	return addrs
}

// EndpointAddrs returns the endpoint addresses of s, whatever their readiness:
// those of its EndpointSlices; where it has none, of its Endpoints object; where
// it has neither, of the pods that its selector matches. Addresses may repeat.
// The slice is the caller's.
func (r *Resolver) EndpointAddrs(s *model.Service) []netip.Addr {
	name := objectName{s.Namespace, s.Name}
	objects := r.slices[name]
	if len(objects) == 0 {
		objects = r.endpoints[name]
	}
	if len(objects) == 0 {
		return r.selectedAddrs(s)
	}
	var addrs []netip.Addr
	for _, e := range objects {
		for _, sub := range e.Subsets {
			addrs = append(addrs, sub.Addrs...)
		}
	}
	return addrs
}

// selectedAddrs returns the addresses of the pods that the selector of s
// matches, as the cluster's endpoints controller would: hostNetwork pods
// included, finished pods never. A Service without a selector has none.
func (r *Resolver) selectedAddrs(s *model.Service) []netip.Addr {
	var addrs []netip.Addr
	for _, p := range r.SelectedPods(s) {
		if p.HostNetwork {
			addrs = append(addrs, p.IPs...)
			continue
		}
		addrs = append(addrs, r.addresses.Of(p)...)
	}
	return addrs
}

// SelectedPods returns the pods that are endpoints of s by its selector, in
// inventory order: none of them finished, none at all without a selector. They
// are its endpoints only where it has neither EndpointSlices nor Endpoints.
func (r *Resolver) SelectedPods(s *model.Service) []*model.Pod {
	if len(s.Selector) == 0 {
		return nil
	}
	var pods []*model.Pod
	for _, p := range r.pods.matching(s.Namespace, s.Selector) {
		if !p.Finished() {
			pods = append(pods, p)
		}
	}
	return pods
}
