package compiler

import (
	"fmt"
	"math/rand/v2"
	"net/netip"
	"slices"
	"testing"

	"github.com/trafficpolicy/trafficpolicy/model"
)

// TestPeerRandom compares the resolver with a plain reading that looks at every
// object for every address of a small universe.
func TestPeerRandom(t *testing.T) {
	universe := addrs("10.0.0.0 10.0.0.1 10.0.0.2 10.0.0.3 10.0.0.4 fd00::1")
	for seed := range uint64(500 * soak()) {
		rng := rand.New(rand.NewPCG(seed, 1))
		inv := randomCluster(rng, universe)
		r := NewResolver(inv, Options{})
		for range 20 {
			p := randomPeer(rng)
			for _, d := range model.Directions {
				got := r.Peer(&p, d)
				for _, a := range universe {
					in := slices.ContainsFunc(got.Prefixes, func(x netip.Prefix) bool { return x.Contains(a) })
					if want := plainlyMeans(inv, &p, d, a); in != want {
						t.Fatalf("seed %d: %s of %s: holds %s: %v, want %v", seed, d, &p, a, in, want)
					}
				}
				if empty := len(got.Prefixes) == 0; empty != (got.Problem != Resolved) && got.Problem != IsExternalName && (got.Problem != NoInventory || len(inv.Pods) > 0) {
					t.Fatalf("seed %d: %s of %s: %v with problem %d", seed, d, &p, got.Prefixes, got.Problem)
				}
			}
		}
	}
}

func randomCluster(rng *rand.Rand, universe []netip.Addr) *model.Inventory {
	some := func() (out []netip.Addr) {
		for _, i := range rng.Perm(len(universe))[:rng.IntN(3)] {
			out = append(out, universe[i])
		}
		return out
	}
	ns := func() string { return []string{"a", "b"}[rng.IntN(2)] }
	inv := &model.Inventory{}
	for i := range rng.IntN(6) {
		p := pod(ns()+fmt.Sprintf("/p%d", i), randomLabels(rng, 2), "")
		p.IPs, p.Deleting, p.HostNetwork = some(), rng.IntN(3) == 0, rng.IntN(5) == 0
		p.Phase = []model.PodPhase{"Running", "Pending", model.PodFailed, model.PodSucceeded}[rng.IntN(4)]
		inv.Pods = append(inv.Pods, p)
	}
	for i := range rng.IntN(4) {
		s := service(ns()+fmt.Sprintf("/s%d", i), "", randomLabels(rng, 2))
		if s.ClusterIPs = some(); rng.IntN(6) == 0 {
			s.ExternalName, s.ClusterIPs, s.Selector = "x.example", nil, nil
		}
		inv.Services = append(inv.Services, s)
	}
	for i := range rng.IntN(4) {
		e := &model.Endpoints{Namespace: ns(), Name: fmt.Sprintf("e%d", i), Slice: rng.IntN(2) == 0,
			Service: fmt.Sprintf("s%d", rng.IntN(3)), Subsets: []model.EndpointSubset{{Addrs: some()}, {Addrs: some()}}}
		inv.Endpoints = append(inv.Endpoints, e)
	}
	return inv
}

func randomPeer(rng *rand.Rand) model.Peer {
	ns := []string{"a", "b", "c"}[rng.IntN(3)]
	switch rng.IntN(4) {
	case 0:
		return peer("namespace " + ns)
	case 1:
		return peer("workload " + ns + "?" + randomLabels(rng, 2))
	case 2:
		return peer("service " + ns + "/*")
	}
	return peer(fmt.Sprintf("service %s/s%d", ns, rng.IntN(4)))
}

// plainlyMeans reads SEMANTICS section 3 for one address.
func plainlyMeans(inv *model.Inventory, p *model.Peer, d model.Direction, a netip.Addr) bool {
	if p.Kind == model.PeerService {
		return slices.ContainsFunc(inv.Services, func(s *model.Service) bool {
			return s.Namespace == p.Service.Namespace && (p.Service.Name == "*" || s.Name == p.Service.Name) &&
				s.ExternalName == "" && plainlyServes(inv, s, d, a)
		})
	}
	ns, ls := p.Namespace, model.Labels(nil)
	if p.Kind == model.PeerWorkload {
		ns, ls = p.Workload.Namespace, p.Workload.Labels
	}
	return slices.ContainsFunc(inv.Pods, func(p *model.Pod) bool {
		return p.Namespace == ns && p.Labels.Contains(ls) && plainlyOwns(inv, p, a)
	})
}

func plainlyServes(inv *model.Inventory, s *model.Service, d model.Direction, a netip.Addr) bool {
	if d == model.Egress && slices.Contains(s.ClusterIPs, a) {
		return true
	}
	for _, slice := range []bool{true, false} {
		found, has := false, false
		for _, e := range inv.Endpoints {
			if e.Slice == slice && e.Namespace == s.Namespace && e.Service == s.Name {
				found = true
				for _, sub := range e.Subsets {
					has = has || slices.Contains(sub.Addrs, a)
				}
			}
		}
		if found {
			return has
		}
	}
	return len(s.Selector) > 0 && slices.ContainsFunc(inv.Pods, func(p *model.Pod) bool {
		return p.Namespace == s.Namespace && p.Labels.Contains(s.Selector) &&
			(plainlyOwns(inv, p, a) || p.HostNetwork && !p.Finished() && slices.Contains(p.IPs, a))
	})
}

func plainlyOwns(inv *model.Inventory, p *model.Pod, a netip.Addr) bool {
	claims := func(p *model.Pod) bool { return p.Subject() && slices.Contains(p.IPs, a) }
	yields := p.Deleting && slices.ContainsFunc(inv.Pods, func(q *model.Pod) bool { return claims(q) && !q.Deleting })
	return claims(p) && !yields
}
