// Package synth draws small random clusters and policy sets for tests: as model
// values, and as the YAML that must decode to them.
//
// What is drawn depends on the seed alone. The universe is small, so that
// prefixes nest and abut, names meet and rules shadow one another: addresses
// within [Block4] and [Block6] and their ends, a handful of ports, three
// namespaces, labels of two keys. Every set is valid.
package synth

import (
	"math/rand/v2"
	"net/netip"
	"slices"

	"github.com/trafficpolicy/trafficpolicy/model"
)

// Block4 and Block6 hold every address of pods, Services, nodes and names.
var (
	Block4 = netip.MustParsePrefix("10.0.0.0/26")
	Block6 = netip.MustParsePrefix("fd00::/122")
)

// Cluster is a policy set with all that its names mean. Positions are not set.
type Cluster struct {
	Seed      uint64
	Policies  []*model.Policy // sorted by [model.ComparePolicies]
	Inventory *model.Inventory
	// Resolve holds the addresses of some of the names that fqdn peers use.
	Resolve map[string][]netip.Addr
}

// Small draws the cluster of seed: up to eight policies of both kinds and up to
// a dozen pods, with Services, endpoints, nodes and namespaces.
func Small(seed uint64) *Cluster {
	g := &generator{Rand: rand.New(rand.NewPCG(seed, 0x7470))}
	c := &Cluster{Seed: seed, Inventory: g.inventory(), Resolve: g.resolve()}
	for i := range 1 + g.IntN(8) {
		c.Policies = append(c.Policies, g.policy(i))
	}
	slices.SortFunc(c.Policies, model.ComparePolicies)
	return c
}

var (
	namespaces = []string{"default", "a", "b"}
	fqdns      = []string{"x.example", "y.example", "z.example"}
	labelKeys  = []string{"app", "env"}
	values     = []string{"x", "y"}
	services   = []string{"s0", "s1", "s2"}
	ports      = []uint16{1, 79, 80, 81, 443, 65535}
)

type generator struct {
	*rand.Rand
	used map[netip.Addr]bool // by a pod, Service or node
}

// often reports true in percent of a hundred calls.
func (g *generator) often(percent int) bool { return g.IntN(100) < percent }

func one[T any](g *generator, of []T) T { return of[g.IntN(len(of))] }

// labels draws labels; a key is there in percent of a hundred.
func (g *generator) labels(percent int) model.Labels {
	m := make(map[string]string)
	for _, k := range labelKeys {
		if g.often(percent) {
			m[k] = one(g, values)
		}
	}
	return model.NewLabels(m)
}

// addr draws an address of the family's block.
func (g *generator) addr(f model.Family) netip.Addr {
	n := byte(g.IntN(64))
	if f == model.IPv6 {
		b := Block6.Addr().As16()
		b[15] += n
		return netip.AddrFrom16(b)
	}
	b := Block4.Addr().As4()
	b[3] += n
	return netip.AddrFrom4(b)
}

// free draws an address that nothing has yet.
func (g *generator) free(f model.Family) netip.Addr {
	for {
		if a := g.addr(f); !g.used[a] {
			g.used[a] = true
			return a
		}
	}
}

// addrs draws one address of either family, or one of each.
func (g *generator) addrs(free bool) []netip.Addr {
	draw := g.addr
	if free {
		draw = g.free
	}
	switch g.IntN(4) {
	case 0:
		return []netip.Addr{draw(model.IPv6)}
	case 1:
		return []netip.Addr{draw(model.IPv4), draw(model.IPv6)}
	}
	return []netip.Addr{draw(model.IPv4)}
}

// resolve knows two of three names, one perhaps without addresses of a family.
func (g *generator) resolve() map[string][]netip.Addr {
	m := make(map[string][]netip.Addr)
	for _, name := range fqdns[:2] {
		for range 1 + g.IntN(2) {
			m[name] = append(m[name], g.addrs(false)...)
		}
		slices.SortFunc(m[name], netip.Addr.Compare)
		m[name] = slices.Compact(m[name])
	}
	return m
}
