package synth

import (
	"fmt"
	"iter"
	"net/netip"
	"slices"

	"github.com/trafficpolicy/trafficpolicy/model"
)

// fleetService is a Service with the workloads behind it.
type fleetService struct {
	index     int
	name      string
	namespace *fleetNamespace
	form      serviceForm
	port      uint16
	app       string // its selector
	behind    []*workload
}

// serviceForm says what tells where the endpoints of a Service are.
type serviceForm uint8

const (
	withSlices serviceForm = iota
	headless               // with slices too
	endpointsAlone
	externalName
)

// endpointsOfSlice is how many a slice has at most, the controller's default.
const endpointsOfSlice = 100

// planServices makes one for each fixed workload but the daemons, then for the
// Deployments and StatefulSets of applications in turn.
func (f *Fleet) planServices() {
	behind := map[[2]string][]*workload{}
	for _, w := range f.workloads {
		if w.lasts() {
			key := [2]string{w.namespace.name, w.app}
			behind[key] = append(behind[key], w)
		}
	}
	left := f.sizes.Services
	for _, w := range f.workloads {
		all := behind[[2]string{w.namespace.name, w.app}]
		fixed := slices.Contains(systemNamespaces, w.namespace.name)
		if !w.lasts() || !fixed && left == 0 {
			continue
		}
		s := &fleetService{index: len(f.services), name: w.name, namespace: w.namespace, port: w.port, app: w.app, behind: all}
		if fixed {
			s.name = w.app
		} else {
			left--
			s.form = f.serviceForm(w)
		}
		f.services = append(f.services, s)
	}
}

func (f *Fleet) serviceForm(w *workload) serviceForm {
	g := f.draw("service form", w.index)
	switch {
	case w.kind == "StatefulSet":
		return headless
	case g.often(5):
		return endpointsAlone
	case g.often(2):
		return externalName
	}
	return withSlices
}

// clusterIPs returns the addresses of s, within 172.16.0.0/12 and fd00:21::/64.
func (s *fleetService) clusterIPs() []netip.Addr {
	ips := []netip.Addr{ipv4(172<<24 | 16<<16 + 10 + uint32(s.index))}
	if s.namespace.dual {
		ips = append(ips, ipv6(0x21, 0, 0, 10+uint32(s.index)))
	}
	return ips
}

func (f *Fleet) serviceObject(s *fleetService) object {
	o := f.header("v1", "Service", s.namespace.name, s.name, "service", s.index)
	o["metadata"].(object)["labels"] = object{"app": s.app}
	if s.form == externalName {
		o["spec"] = object{"externalName": s.name + ".cn-hangzhou.rds.aliyuncs.com", "sessionAffinity": "None", "type": "ExternalName"}
		return o
	}
	families, ips := []string{"IPv4"}, []string{}
	for _, a := range s.clusterIPs() {
		ips = append(ips, a.String())
	}
	if s.namespace.dual {
		families = append(families, "IPv6")
	}
	if s.form == headless {
		ips = []string{"None"}
	}
	spec := object{
		"clusterIP": ips[0], "clusterIPs": ips, "internalTrafficPolicy": "Cluster", "ipFamilies": families, "ipFamilyPolicy": "SingleStack",
		"ports": s.ports("port"), "sessionAffinity": "None", "type": "ClusterIP",
	}
	if s.form != endpointsAlone { // whose endpoints are written by hand
		spec["selector"] = object{"app": s.app}
	}
	if f.faulty(f.draw("service fault", s.index)) {
		spec["clusterIP"], spec["clusterIPs"] = "172.16.0.999", []string{"172.16.0.999"}
	}
	o["spec"], o["status"] = spec, object{"loadBalancer": object{}}
	return o
}

// ports returns the ports of the Service, with targetPort, or of what is behind
// it.
func (s *fleetService) ports(number string) []object {
	protos := []string{"TCP"}
	if s.port == 53 {
		protos = []string{"UDP", "TCP"}
	}
	var out []object
	for _, proto := range protos {
		p := object{"name": "main-" + proto[:1], "port": s.port, "protocol": proto}
		if number == "port" {
			p["targetPort"] = s.port
		}
		out = append(out, p)
	}
	return out
}

// endpoint is one pod behind a Service.
type endpoint struct {
	addr      netip.Addr
	node, pod string
}

// endpoints returns those of a family in turn.
func (f *Fleet) endpoints(s *fleetService, family model.Family) iter.Seq[endpoint] {
	return func(yield func(endpoint) bool) {
		for _, w := range s.behind {
			for i := range w.pods {
				node, addrs := f.podAddrs(w, i)
				a, ok := ofFamily(addrs, family)
				if ok && !yield(endpoint{a, f.nodeName(node), f.podName(w, i)}) {
					return
				}
			}
		}
	}
}

// endpointObjects returns what says where s leads: slices by family, or one
// Endpoints object.
func (f *Fleet) endpointObjects(s *fleetService) iter.Seq[object] {
	return func(yield func(object) bool) {
		switch s.form {
		case externalName:
			return
		case endpointsAlone:
			yield(f.endpointsObject(s))
			return
		}
		for _, family := range []model.Family{model.IPv4, model.IPv6} {
			n := 0
			for part := range chunks(f.endpoints(s, family), endpointsOfSlice) {
				if !yield(f.sliceObject(s, family, n, part)) {
					return
				}
				n++
			}
		}
	}
}

// chunks cuts a sequence into parts of n and a rest.
func chunks[T any](seq iter.Seq[T], n int) iter.Seq[[]T] {
	return func(yield func([]T) bool) {
		var part []T
		for v := range seq {
			if part = append(part, v); len(part) == n {
				if !yield(part) {
					return
				}
				part = nil
			}
		}
		if len(part) > 0 {
			yield(part)
		}
	}
}

func (f *Fleet) sliceObject(s *fleetService, family model.Family, n int, part []endpoint) object {
	name := fmt.Sprintf("%s-%s", s.name, f.draw("slice "+s.name, 2*n+int(family)).suffix(5))
	o := f.header("discovery.k8s.io/v1", "EndpointSlice", s.namespace.name, name, "slice "+family.String()+s.name, n)
	meta := o["metadata"].(object)
	meta["labels"] = object{"app": s.app, "endpointslice.kubernetes.io/managed-by": "endpointslice-controller.k8s.io", "kubernetes.io/service-name": s.name}
	meta["generateName"] = s.name + "-"
	endpoints := make([]object, 0, len(part))
	for _, e := range part {
		endpoints = append(endpoints, object{
			"addresses": []string{e.addr.String()}, "conditions": object{"ready": true, "serving": true, "terminating": false}, "nodeName": e.node,
			"targetRef": object{"kind": "Pod", "name": e.pod, "namespace": s.namespace.name}, "zone": "cn-hangzhou-h",
		})
	}
	ports := s.ports("")
	if f.faulty(f.draw("slice fault "+s.name, n)) {
		ports[0]["port"] = 70_000
	}
	o["addressType"], o["endpoints"], o["ports"] = family.String(), endpoints, ports
	return o
}

func (f *Fleet) endpointsObject(s *fleetService) object {
	o := f.header("v1", "Endpoints", s.namespace.name, s.name, "endpoints", s.index)
	var addrs []object
	for e := range f.endpoints(s, model.IPv4) {
		addrs = append(addrs, object{"ip": e.addr.String(), "nodeName": e.node, "targetRef": object{"kind": "Pod", "name": e.pod, "namespace": s.namespace.name}})
	}
	o["subsets"] = []object{{"addresses": addrs, "ports": s.ports("")}}
	return o
}
