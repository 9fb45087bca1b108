package synth

import (
	"errors"
	"fmt"
	"hash/fnv"
	"math/rand/v2"

	"github.com/trafficpolicy/trafficpolicy/model"
)

// Sizes says how large a [Fleet] is and what it is like. Counts are exact; the
// shares are of a hundred.
type Sizes struct {
	Seed uint64
	// Pods run on Nodes, in Namespaces beside kube-system, monitoring, sandbox-system
	// and llm-proxy.
	Nodes, Namespaces, Pods int
	// Services counts those of applications, at most one each; less if there are
	// not as many applications.
	Services int
	// Policies have Rules in all; one of forty is a GlobalTrafficPolicy.
	Policies, Rules int
	// LongestList is the most CIDRs that one rule lists. Few rules list many.
	LongestList int
	// Enrolled is the share of workloads under the network policy agent, Virtual that
	// of nodes that are virtual ones, DualStack that of namespaces whose pods and
	// Services have IPv6 addresses too.
	Enrolled, Virtual, DualStack int
	// Faults is how many of a million objects and rules are wrong: pods, Services and
	// slices that no one can read, kubelets that are too old, rules that name what is
	// not there, peers that others shadow, CIDRs with host bits. Policies stay valid,
	// and no name of a denial is missing but for what cannot be read.
	Faults int
	// Workloads adds the Deployments and so on that the pods belong to.
	Workloads bool
}

// DefaultSizes is a tenth of the largest cluster that the guide promises.
var DefaultSizes = Sizes{Seed: 1, Nodes: 500, Namespaces: 50, Pods: 5_000, Services: 500, Policies: 200, Rules: 4_000,
	LongestList: 10_000, Enrolled: 85, Virtual: 10}

const (
	maxFleetNodes    = 60_000    // within 192.168.0.0/16
	maxFleetPods     = 2_000_000 // within 10.0.0.0/8, in ranges of nodes
	maxFleetServices = 1_000_000 // within 172.16.0.0/12
)

func (s *Sizes) check() error {
	for _, n := range []int{s.Nodes, s.Namespaces} {
		if n < 1 {
			return errors.New("a fleet has at least one node and one namespace")
		}
	}
	for _, n := range []int{s.Pods, s.Services, s.Policies, s.Rules, s.LongestList, s.Faults} {
		if n < 0 {
			return fmt.Errorf("%d is no count", n)
		}
	}
	for _, share := range []int{s.Enrolled, s.Virtual, s.DualStack} {
		if share < 0 || share > 100 {
			return fmt.Errorf("%d is no share of a hundred", share)
		}
	}
	switch {
	case s.Nodes > maxFleetNodes:
		return fmt.Errorf("%d nodes, want at most %d", s.Nodes, maxFleetNodes)
	case s.Pods > maxFleetPods:
		return fmt.Errorf("%d pods, want at most %d", s.Pods, maxFleetPods)
	case s.Services > maxFleetServices:
		return fmt.Errorf("%d Services, want at most %d", s.Services, maxFleetServices)
	}
	return nil
}

// Fleet is a believable cluster of any size, as kubectl prints one: nodes,
// namespaces, pods of workloads, Services with slices, and policies in the layers
// that the guide recommends. It holds the workloads, not the pods, which are drawn
// as they are written: 50,000 of 5 KB each need no memory. All names resolve, no
// two pods share an address, and every policy is valid, but for Sizes.Faults.
type Fleet struct {
	sizes      Sizes
	namespaces []fleetNamespace
	workloads  []*workload
	services   []*fleetService
	pools      [2]pool // real nodes, virtual nodes
}

// fleetNamespace is a namespace with the applications in it.
type fleetNamespace struct {
	name, team, environment string
	dual                    bool // its pods and Services have addresses of both families
	apps                    []*workload
}

// NewFleet plans the fleet of the given sizes.
func NewFleet(s Sizes) (*Fleet, error) {
	if err := s.check(); err != nil {
		return nil, err
	}
	f := &Fleet{sizes: s}
	f.planNamespaces()
	f.planWorkloads()
	f.planServices()
	return f, f.planNodes()
}

// draw returns the generator of one object, which depends on the seed, what it is
// and its number alone, so that no part of a fleet changes with another.
func (f *Fleet) draw(what string, i int) *generator {
	h := fnv.New64a()
	fmt.Fprintf(h, "%s/%d", what, i)
	return &generator{Rand: rand.New(rand.NewPCG(f.sizes.Seed, h.Sum64()))}
}

// faulty reports true in Sizes.Faults of a million calls.
func (f *Fleet) faulty(g *generator) bool { return g.IntN(1_000_000) < f.sizes.Faults }

// systemNamespaces stand before the applications'.
var systemNamespaces = []string{"kube-system", "monitoring", "sandbox-system", "llm-proxy"}

var (
	fleetTeams        = []string{"ai-platform", "checkout", "data", "growth", "identity", "logistics", "payments", "search", "sre"}
	fleetEnvironments = []string{"production", "production", "production", "staging", "development"}
	fleetRealms       = []string{"agents", "api", "batch", "core", "edge", "lab", "ml", "ops", "shop", "stream", "web"}
)

func (f *Fleet) planNamespaces() {
	for _, name := range systemNamespaces {
		f.namespaces = append(f.namespaces, fleetNamespace{name: name, team: "sre", environment: "production", dual: f.sizes.DualStack > 0})
	}
	for i := range f.sizes.Namespaces {
		g := f.draw("namespace", i)
		ns := fleetNamespace{team: one(g, fleetTeams), environment: one(g, fleetEnvironments), dual: g.often(f.sizes.DualStack)}
		ns.name = fmt.Sprintf("%s-%s-%d", ns.team, one(g, fleetRealms), i)
		if i == 0 {
			ns.name = "default"
		}
		f.namespaces = append(f.namespaces, ns)
	}
}

func (f *Fleet) namespaceObject(ns *fleetNamespace, i int) object {
	o := f.header("v1", "Namespace", "", ns.name, "namespace", i)
	o["metadata"].(object)["labels"] = labelMap(model.NewLabels(map[string]string{
		"kubernetes.io/metadata.name": ns.name, "environment": ns.environment, "team": ns.team,
	}))
	o["spec"], o["status"] = object{"finalizers": []string{"kubernetes"}}, object{"phase": "Active"}
	return o
}

// header is what every object of a server has: uid, resourceVersion and when it
// was made.
func (f *Fleet) header(version, kind, namespace, name, what string, i int) object {
	o := header(version, kind, namespace, name, nil)
	g := f.draw(what+" uid", i)
	meta := o["metadata"].(object)
	meta["uid"] = g.uid()
	meta["resourceVersion"] = fmt.Sprint(100_000 + g.IntN(900_000_000))
	meta["creationTimestamp"] = g.moment()
	return o
}

// uid draws a UUID of version 4.
func (g *generator) uid() string {
	a, b := g.Uint64(), g.Uint64()
	return fmt.Sprintf("%08x-%04x-4%03x-%04x-%012x", a>>32, a>>16&0xffff, a&0xfff, 0x8000|b>>48&0x3fff, b&0xffff_ffff_ffff)
}

// moment draws a time of the year 2026.
func (g *generator) moment() string {
	return fmt.Sprintf("2026-%02d-%02dT%02d:%02d:%02dZ", 1+g.IntN(10), 1+g.IntN(28), g.IntN(24), g.IntN(60), g.IntN(60))
}

// suffix draws n characters as the API server's generateName does, without
// vowels and what looks like another (k8s.io/apimachinery, util/rand).
func (g *generator) suffix(n int) string {
	const alphabet = "bcdfghjklmnpqrstvwxz2456789"
	b := make([]byte, n)
	for i := range b {
		b[i] = alphabet[g.IntN(len(alphabet))]
	}
	return string(b)
}
