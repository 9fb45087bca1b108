package simulate

import (
	"fmt"
	"net/netip"
	"slices"
	"strings"

	"github.com/trafficpolicy/trafficpolicy/model"
)

// backend is one endpoint of a Service as a connection to it arrives.
type backend struct {
	addr  netip.Addr
	point point
}

// toService pairs the source with a Service: egress sees the clusterIP and the
// Service's port, ingress the endpoint and its target port. A headless Service
// has no clusterIP: egress sees the endpoint.
func (w *worker) toService(f Flow, src *end, svc *model.Service) ([]packet, error) {
	if err := checkServicePort(f, svc); err != nil {
		return nil, err
	}
	var out []packet
	for _, fam := range w.serviceFamilies(src, svc) {
		backends := w.backends(svc, f.point(fam), fam)
		for _, from := range w.sources(src, fam) {
			if len(svc.ClusterIPs) == 0 {
				out = append(out, w.headless(f, fam, from, backends)...)
				continue
			}
			for _, ip := range svc.ClusterIPs {
				if model.FamilyOf(ip) == fam {
					out = append(out, w.viaClusterIP(f, fam, from, ip, backends)...)
				}
			}
		}
	}
	if len(out) == 0 {
		return nil, fmt.Errorf("service %q has no clusterIP and no endpoint that %s could reach", svc.Ref(), src.input)
	}
	return out, nil
}

// checkServicePort objects to a port that the Service does not have.
func checkServicePort(f Flow, svc *model.Service) error {
	x := f.point(model.IPv4)
	if !x.proto.HasPorts() || !x.known || len(svc.Ports) == 0 || servicePort(svc, x) != nil {
		return nil
	}
	has := make([]string, len(svc.Ports))
	for i, p := range svc.Ports {
		has[i] = fmt.Sprintf("%s %d", p.Proto, p.Port)
	}
	slices.Sort(has)
	return fmt.Errorf("service %q has no port %s %d, it has %s", svc.Ref(), x.proto, x.port, strings.Join(has, ", "))
}

// servicePort returns the Service's port that a packet is for, nil where it has
// none or the flow does not say.
func servicePort(svc *model.Service, x point) *model.ServicePort {
	for i := range svc.Ports {
		if p := &svc.Ports[i]; x.proto.HasPorts() && x.known && p.Proto == x.proto && p.Port == x.port {
			return p
		}
	}
	return nil
}

// serviceFamilies returns the families in which a flow to svc is judged, in the
// order of the clusterIPs. A source given as an address has one. Every clusterIP
// is judged, also of a family that a source pod lacks; but that pod can have no
// connection with the endpoints of a headless Service in such a family.
func (s *Simulator) serviceFamilies(src *end, svc *model.Service) []model.Family {
	if src.pod == nil {
		return []model.Family{model.FamilyOf(src.addr)}
	}
	var out []model.Family
	of := svc.ClusterIPs
	if len(of) == 0 {
		of = src.pod.addrs
	}
	for _, a := range of {
		if fam := model.FamilyOf(a); !slices.Contains(out, fam) {
			out = append(out, fam)
		}
	}
	if len(out) == 0 { // a pod without an address
		return model.Families[:]
	}
	return out
}

// headless pairs a source with each endpoint.
func (w *worker) headless(f Flow, fam model.Family, from alternative, backends []backend) []packet {
	var out []packet
	for _, b := range backends {
		ps := w.pair(f, fam, []alternative{from}, w.targets(b.addr))
		for i := range ps {
			ps[i].ingress = b.point
			if len(backends) > 1 {
				ps[i].conditions = append(ps[i].conditions, "endpoint "+b.String())
			}
			if b.point != ps[i].egress {
				ps[i].endpoint = b.String()
			}
		}
		out = append(out, ps...)
	}
	return out
}

// viaClusterIP pairs a source with a clusterIP and each endpoint behind it.
// Where nobody is behind it for this source, egress alone decides.
func (w *worker) viaClusterIP(f Flow, fam model.Family, from alternative, ip netip.Addr, backends []backend) []packet {
	lacks := from.pod != nil && len(from.pod.addrs) > 0 && !from.addr.IsValid()
	if len(backends) == 0 || lacks {
		backends = []backend{{point: f.point(fam)}}
	}
	var out []packet
	for _, b := range backends {
		ps := w.pair(f, fam, []alternative{from}, w.targets(b.addr))
		for i := range ps {
			ps[i].to = remote{addr: ip}
			ps[i].ingress = b.point
			ps[i].endpoint = b.String()
			ps[i].conditions = append([]string{"clusterIP " + ip.String()}, ps[i].conditions...)
			if b.addr.IsValid() {
				ps[i].conditions = append(ps[i].conditions, "endpoint "+b.String())
			}
		}
		out = append(out, ps...)
	}
	return out
}

// String returns ADDRESS:PORT, the address alone without a port, or "".
func (b backend) String() string {
	if !b.addr.IsValid() || !b.point.known || !b.point.proto.HasPorts() {
		return addrName(b.addr)
	}
	return netip.AddrPortFrom(b.addr, b.point.port).String()
}

// backends returns the endpoints of svc in one family that serve the port of x,
// each with the port at which the connection arrives, each once, in input
// order: those of its EndpointSlices; where it has none, of its Endpoints; where
// it has neither, of the pods that its selector matches.
func (s *Simulator) backends(svc *model.Service, x point, fam model.Family) []backend {
	objects := s.slices[svc.Ref()]
	if len(objects) == 0 {
		objects = s.endpoints[svc.Ref()]
	}
	var out []backend
	seen := map[backend]bool{}
	add := func(addrs []netip.Addr, x point) {
		for _, a := range addrs {
			if b := (backend{a, x}); model.FamilyOf(a) == fam && !seen[b] {
				seen[b] = true
				out = append(out, b)
			}
		}
	}
	port := servicePort(svc, x)
	for _, e := range objects {
		for _, sub := range e.Subsets {
			if at, ok := subsetPort(sub.Ports, port, x); ok {
				add(sub.Addrs, at)
			}
		}
	}
	if len(objects) > 0 {
		return out
	}
	for _, p := range s.resolver.SelectedPods(svc) {
		if at, ok := podPort(p, port, x); ok {
			add(s.subject(p).addrs, at)
		}
	}
	return out
}

// subsetPort returns where x arrives at the addresses of a subset with these
// ports, and whether they serve it. Endpoint ports carry the name of the
// Service's port; port 0 among them is every port.
func subsetPort(ports []model.EndpointPort, port *model.ServicePort, x point) (point, bool) {
	if port == nil {
		return x, true
	}
	for _, p := range ports {
		if p.Name == port.Name && p.Proto == port.Proto {
			if p.Port != 0 {
				x.port = p.Port
			}
			return x, true
		}
	}
	if len(ports) == 0 && port.Target != 0 { // nothing said of ports: the Service's word counts
		x.port = port.Target
	}
	return x, len(ports) == 0
}

// podPort returns where x arrives at pod p, and whether p serves it: not if it
// lacks the container port that targetPort names.
func podPort(p *model.Pod, port *model.ServicePort, x point) (point, bool) {
	switch {
	case port == nil:
		return x, true
	case port.TargetName != "":
		n, ok := p.NamedPorts[model.NamedPort{Name: port.TargetName, Proto: port.Proto}]
		x.port = n
		return x, ok
	case port.Target != 0:
		x.port = port.Target
	}
	return x, true
}
