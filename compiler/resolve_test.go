package compiler

import (
	"net/netip"
	"sync"
	"testing"

	"github.com/trafficpolicy/trafficpolicy/model"
)

// cluster has one object for every sentence of SEMANTICS section 3.
func cluster() *model.Inventory {
	return &model.Inventory{
		Namespaces: []*model.Namespace{{Name: "a"}, {Name: "empty"}},
		Pods: []*model.Pod{
			pod("a/web-0", "app=web,tier=front", "10.0.0.1 fd00::1"),
			pod("a/web-1", "app=web", "10.0.0.2"),
			pod("a/host", "app=web,tier=front", "192.168.0.1", hostNetwork),
			pod("a/done", "app=web", "10.0.0.4", finished),
			pod("a/broken", "app=web", "10.0.0.5", failed),
			pod("a/going", "app=web", "10.0.0.6", deleting),
			pod("a/gone", "app=web", "10.0.0.7", deleting),
			pod("b/heir", "app=db", "10.0.0.7"),
			pod("b/pending", "app=late", ""),
		},
		Services: []*model.Service{
			service("a/web", "172.16.0.1 fd00:ff::1", "app=web"),
			service("a/sliced", "172.16.0.2", "app=web"),
			service("a/listed", "172.16.0.3", "app=web"),
			service("a/drained", "172.16.0.4", "app=web"),
			service("a/drained-list", "172.16.0.6", "app=web"),
			service("a/bare", "172.16.0.5", ""),
			service("a/headless", "", "tier=front"),
			service("b/nobody", "", "app=none"),
			{Namespace: "c", Name: "out", ExternalName: "db.example"},
			service("c/in", "172.16.1.1", ""),
			{Namespace: "d", Name: "out", ExternalName: "db.example"},
		},
		Endpoints: []*model.Endpoints{
			slice("a/sliced-x", "sliced", "10.1.0.1"), slice("a/sliced-y", "sliced", "10.1.0.2 10.1.0.1"),
			endpoints("a/sliced", "10.9.9.9"), // slices go before
			endpoints("a/listed", "10.1.0.3"),
			slice("a/drained-x", "drained", ""),
			endpoints("a/drained-list", ""),
			slice("b/sliced-z", "sliced", "10.8.8.8"), // of another namespace
			endpoints("e/orphan", "10.7.7.7"),
		},
	}
}

func TestPeer(t *testing.T) {
	o := Options{Resolve: map[string][]netip.Addr{"a.example": addrs("203.0.113.9 203.0.113.8 203.0.113.9 2001:db8::1")}}
	r := NewResolver(cluster(), o)
	const both = "both"
	for _, c := range []struct {
		peer, direction string
		want            string
		problem         Problem
	}{
		{"cidr 10.0.0.0/8", both, "10.0.0.0/8", Resolved},

		// A Service: clusterIPs for egress only, endpoints for both.
		{"service a/sliced", "egress", "10.1.0.1/32 10.1.0.2/32 172.16.0.2/32", Resolved},
		{"service a/sliced", "ingress", "10.1.0.1/32 10.1.0.2/32", Resolved},
		{"service a/listed", "egress", "10.1.0.3/32 172.16.0.3/32", Resolved},
		{"service a/listed", "ingress", "10.1.0.3/32", Resolved},
		// No slices, no Endpoints: the selector's pods. hostNetwork yes, finished
		// no, deleting yes unless another pod has the address by now.
		{"service a/web", "egress", "10.0.0.1/32 10.0.0.2/32 10.0.0.6/32 172.16.0.1/32 192.168.0.1/32 fd00::1/128 fd00:ff::1/128", Resolved},
		{"service a/web", "ingress", "10.0.0.1/32 10.0.0.2/32 10.0.0.6/32 192.168.0.1/32 fd00::1/128", Resolved},
		{"service a/headless", both, "10.0.0.1/32 192.168.0.1/32 fd00::1/128", Resolved},
		// A slice or Endpoints object without addresses says that there are none.
		{"service a/drained", "egress", "172.16.0.4/32", Resolved},
		{"service a/drained", "ingress", "", NoAddresses},
		{"service a/drained-list", "ingress", "", NoAddresses},
		{"service a/bare", "egress", "172.16.0.5/32", Resolved},
		{"service a/bare", "ingress", "", NoAddresses},
		{"service b/nobody", both, "", NoAddresses},
		{"service c/out", both, "", IsExternalName},
		{"service a/typo", both, "", UnknownReference},
		{"service b/web", both, "", UnknownReference}, // exists in a only
		{"service e/orphan", both, "", UnknownReference},
		{"service nowhere/web", both, "", UnknownReference},
		// "*" is every Service of the namespace.
		{"service b/*", both, "", NoAddresses},
		{"service empty/*", both, "", NoAddresses},
		{"service nowhere/*", both, "", UnknownReference},
		{"service c/*", "egress", "172.16.1.1/32", IsExternalName},
		{"service d/*", both, "", IsExternalName},
		{"service a/*", "ingress", "10.0.0.1/32 10.0.0.2/32 10.0.0.6/32 10.1.0.1/32 10.1.0.2/31 192.168.0.1/32 fd00::1/128", Resolved},

		// Namespaces and workloads: hostNetwork and finished pods left out.
		{"namespace a", both, "10.0.0.1/32 10.0.0.2/32 10.0.0.6/32 fd00::1/128", Resolved},
		{"namespace b", both, "10.0.0.7/32", Resolved},
		{"namespace empty", both, "", NoAddresses},
		{"namespace c", both, "", NoAddresses}, // held: it has a Service
		{"namespace e", both, "", NoAddresses}, // held: it has Endpoints
		{"namespace nowhere", both, "", UnknownReference},
		{"workload a?app=web,tier=front", both, "10.0.0.1/32 fd00::1/128", Resolved},
		{"workload a?app=web,tier=back", both, "", NoAddresses},
		{"workload a?tier=front,zone=z", both, "", NoAddresses},
		{"workload a?", both, "10.0.0.1/32 10.0.0.2/32 10.0.0.6/32 fd00::1/128", Resolved},
		{"workload b?app=web", both, "", NoAddresses},
		{"workload b?app=late", both, "", NoAddresses},
		{"workload nowhere?", both, "", UnknownReference},

		{"fqdn a.example", both, "203.0.113.8/31 2001:db8::1/128", Resolved},
		{"fqdn b.example", both, "", UnknownName},
	} {
		for _, d := range model.Directions {
			if c.direction != both && c.direction != d.String() {
				continue
			}
			p := peer(c.peer)
			for range 2 { // resolved, then remembered
				got := r.Peer(&p, d)
				if text := prefixText(got.Prefixes); text != c.want || got.Problem != c.problem {
					t.Errorf("%s of %s: %q (problem %d), want %q (problem %d)", d, c.peer, text, got.Problem, c.want, c.problem)
				}
			}
		}
	}
}

// A kind of which nothing was given is unknown, not absent.
func TestPeerWithoutInventory(t *testing.T) {
	nodes := []*model.Node{{Name: "n1"}}
	namespaces := []*model.Namespace{{Name: "a"}}
	services := []*model.Service{service("a/web", "172.16.0.1", "app=web")}
	pods := []*model.Pod{pod("a/web-0", "app=web", "10.0.0.1")}
	own := []*model.Endpoints{slice("a/web-x", "web", "10.0.0.1")}
	others := []*model.Endpoints{slice("a/db-x", "db", "10.0.0.2")}
	bare := []*model.Service{service("a/web", "", "")}
	broken := []model.BrokenObject{{Ref: "Service/a/bad"}, {Ref: "ConfigMap"}, {Ref: "Pod/b/bad"}, {Ref: "Namespace/c"}}
	for _, c := range []struct {
		name string
		inv  model.Inventory
		peer string
		want Problem
	}{
		{"nothing", model.Inventory{}, "service a/web", NoInventory},
		{"nothing", model.Inventory{}, "service a/*", NoInventory},
		{"nothing", model.Inventory{}, "namespace a", NoInventory},
		{"nothing", model.Inventory{}, "workload a?app=web", NoInventory},
		{"nothing", model.Inventory{}, "fqdn a.example", UnknownName},
		{"nothing", model.Inventory{}, "cidr 10.0.0.0/8", Resolved},
		{"nodes alone", model.Inventory{Nodes: nodes}, "namespace a", NoInventory},
		{"pods alone", model.Inventory{Pods: pods}, "service a/web", NoInventory},
		{"pods alone", model.Inventory{Pods: pods}, "namespace a", Resolved},
		{"pods alone", model.Inventory{Pods: pods}, "namespace b", UnknownReference},
		{"services alone", model.Inventory{Services: services}, "namespace a", NoInventory},
		{"services alone", model.Inventory{Services: services}, "namespace b", NoInventory},
		{"services alone", model.Inventory{Services: services}, "service b/*", UnknownReference},
		{"services alone", model.Inventory{Services: services}, "service a/web", NoInventory},
		{"services alone", model.Inventory{Services: services}, "service a/*", NoInventory},
		{"services with their slices", model.Inventory{Services: services, Endpoints: own}, "service a/web", Resolved},
		{"services with slices of others", model.Inventory{Services: services, Endpoints: others}, "service a/web", NoInventory},
		{"services and pods", model.Inventory{Services: services, Pods: pods}, "service a/web", Resolved},
		{"services without a selector", model.Inventory{Services: bare}, "service a/web", NoAddresses},
		{"namespaces alone", model.Inventory{Namespaces: namespaces}, "namespace a", NoInventory},
		{"namespaces alone", model.Inventory{Namespaces: namespaces}, "workload b?", UnknownReference},
		{"broken objects", model.Inventory{Broken: broken}, "service a/bad", Unreadable},
		{"broken objects", model.Inventory{Broken: broken}, "service a/other", UnknownReference},
		{"broken objects", model.Inventory{Broken: broken}, "namespace b", Unreadable},
		{"broken objects", model.Inventory{Broken: broken}, "service a/*", Unreadable},
		{"broken objects", model.Inventory{Broken: broken}, "service b/*", NoAddresses},
		{"broken objects", model.Inventory{Broken: broken, Services: services, Pods: pods}, "service a/*", Resolved},
		{"broken objects", model.Inventory{Broken: broken}, "namespace c", NoAddresses},
		{"broken objects", model.Inventory{Broken: broken}, "namespace d", UnknownReference},
	} {
		p := peer(c.peer)
		got := NewResolver(&c.inv, Options{}).Peer(&p, model.Ingress)
		if got.Problem != c.want {
			t.Errorf("%s: %s: problem %d, want %d", c.name, c.peer, got.Problem, c.want)
		}
		if unknown := c.want == NoInventory || c.want == UnknownName || c.want == Unreadable; got.Unknown() != unknown {
			t.Errorf("%s: %s: Unknown() = %v", c.name, c.peer, got.Unknown())
		}
	}
}

func TestPeerConcurrent(t *testing.T) {
	r := NewResolver(cluster(), Options{})
	var wg sync.WaitGroup
	for range 8 {
		wg.Go(func() {
			for _, s := range []string{"workload a?app=web", "service a/*", "namespace b", "workload a?tier=front"} {
				p := peer(s)
				r.Peer(&p, model.Egress)
			}
		})
	}
	wg.Wait()
}

func TestExplain(t *testing.T) {
	r := NewResolver(cluster(), Options{})
	for _, c := range []struct{ peer, want string }{
		{"service a/web", ""},
		{"service b/nobody", "service b/nobody has no addresses just now"},
		{"service a/typo", "service a/typo is not in the inventory"},
		{"service nowhere/web", `namespace "nowhere" is not in the inventory`},
		{"namespace nowhere", `namespace "nowhere" is not in the inventory`},
		{"service c/out", "service c/out is of type ExternalName, which has no addresses"},
		{"service c/*", "service c/* includes a Service of type ExternalName, which has no addresses"},
		{"fqdn b.example", "fqdn b.example has no known addresses, see --resolve"},
	} {
		p := peer(c.peer)
		if got := r.Explain(&p, r.Peer(&p, model.Egress)); got != c.want {
			t.Errorf("%s: %q, want %q", c.peer, got, c.want)
		}
	}
}
