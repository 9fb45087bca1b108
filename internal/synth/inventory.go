package synth

import (
	"fmt"
	"net/netip"

	"github.com/trafficpolicy/trafficpolicy/model"
)

func (g *generator) inventory() *model.Inventory {
	g.used = make(map[netip.Addr]bool)
	inv := &model.Inventory{}
	for _, ns := range namespaces {
		inv.Namespaces = append(inv.Namespaces, &model.Namespace{Name: ns, Labels: model.NewLabels(map[string]string{"kubernetes.io/metadata.name": ns})})
	}
	for i := range 2 {
		inv.Nodes = append(inv.Nodes, &model.Node{Name: fmt.Sprintf("node-%d", i), Addresses: g.addrs(true)})
	}
	for i := range 4 + g.IntN(9) {
		inv.Pods = append(inv.Pods, g.pod(i, inv.Nodes))
	}
	for _, ns := range namespaces[:2] {
		for _, name := range services {
			if g.often(70) {
				g.service(inv, ns, name)
			}
		}
	}
	return inv
}

func (g *generator) pod(i int, nodes []*model.Node) *model.Pod {
	p := &model.Pod{
		Namespace: one(g, namespaces),
		Name:      fmt.Sprintf("p%d", i),
		PodMeta:   model.PodMeta{Labels: g.labels(60), Enrolled: !g.often(15)},
		Phase:     "Running",
	}
	node := one(g, nodes)
	p.NodeName = node.Name
	switch g.IntN(12) {
	case 0:
		p.HostNetwork, p.IPs = true, node.Addresses
	case 1:
		p.Phase, p.IPs = []model.PodPhase{model.PodSucceeded, model.PodFailed}[g.IntN(2)], g.addrs(false)
	case 2:
		p.Phase = "Pending" // has no address yet
	default:
		p.IPs = g.addrs(true)
	}
	return p
}

// service adds a Service with, or without, what says where its endpoints are.
func (g *generator) service(inv *model.Inventory, ns, name string) {
	s := &model.Service{Namespace: ns, Name: name}
	inv.Services = append(inv.Services, s)
	if g.often(10) {
		s.ExternalName = "x.example"
		return
	}
	if s.Headless = g.often(20); !s.Headless {
		s.ClusterIPs = g.addrs(true)
	}
	if g.often(70) {
		s.Selector = model.NewLabels(map[string]string{one(g, labelKeys): one(g, values)})
	}
	target := one(g, ports)
	s.Ports = []model.ServicePort{{Name: "main", Proto: model.TCP, Port: one(g, ports), Target: target}}
	for i := range g.IntN(3) {
		inv.Endpoints = append(inv.Endpoints, &model.Endpoints{
			Namespace: ns, Name: fmt.Sprintf("%s-%d", name, i), Slice: true, Service: name,
			Subsets: []model.EndpointSubset{g.subset(target, model.Family(g.IntN(2)))},
		})
	}
	if g.often(30) {
		inv.Endpoints = append(inv.Endpoints, &model.Endpoints{
			Namespace: ns, Name: name, Service: name,
			Subsets: []model.EndpointSubset{g.subset(target, model.IPv4)},
		})
	}
}

func (g *generator) subset(port uint16, f model.Family) model.EndpointSubset {
	s := model.EndpointSubset{Ports: []model.EndpointPort{{Name: "main", Proto: model.TCP, Port: port}}}
	for range 1 + g.IntN(3) {
		s.Addrs = append(s.Addrs, g.addr(f))
	}
	return s
}
