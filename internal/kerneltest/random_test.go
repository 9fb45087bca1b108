//go:build linux

package kerneltest

import (
	"fmt"
	"maps"
	"math/rand/v2"
	"net/netip"
	"testing"
	"time"

	"github.com/trafficpolicy/trafficpolicy/internal/netlab"
	"github.com/trafficpolicy/trafficpolicy/internal/synth"
	"github.com/trafficpolicy/trafficpolicy/model"
)

// Sizes of the random test; the number of clusters times TRAFFICPOLICY_SOAK.
const (
	randomClusters = 100
	randomFlows    = 150 // a cluster
	shrinkTime     = 90 * time.Second
)

// TestRandom draws clusters and policies and has kernel and simulator judge
// packets around every boundary.
func TestRandom(t *testing.T) {
	forBackends(t, func(t *testing.T, b Backend) {
		n := uint64(randomClusters * soak())
		first := uint64(0)
		if b.Bare { // others than the bundles
			first, n = n, n/4
		}
		for seed := first; seed < first+n; seed++ {
			c := synth.Small(seed)
			bad := judgeRandom(t, b, c)
			if t.Failed() {
				return // could not be judged
			}
			if len(bad) > 0 {
				report(t, bad)
				t.Fatal(reproduction(t, b, c))
			}
		}
	})
}

// unresolved is the address of the names that the cluster does not resolve, so
// that no verdict depends on what is not known.
var unresolved = netip.MustParseAddr("203.0.113.99")

// judgeRandom builds the cluster's first node, in a mode that the seed decides,
// and returns what kernel and simulator disagree about.
func judgeRandom(t *testing.T, b Backend, c *synth.Cluster) (bad []Mismatch) {
	mode := netlab.Mode(c.Seed % 2)
	node := c.Inventory.Nodes[0].Name
	spec := NodeSpec(c.Inventory, node, mode)
	if len(spec.Pods) == 0 || len(c.Policies) == 0 {
		return nil
	}
	names := maps.Clone(c.Resolve)
	for _, p := range c.Policies {
		for _, r := range p.Rules(model.Egress) {
			for _, peer := range r.Peers {
				if peer.Kind == model.PeerFQDN && len(names[peer.FQDN]) == 0 {
					names[peer.FQDN] = []netip.Addr{unresolved}
				}
			}
		}
	}
	t.Run(fmt.Sprintf("seed %d %s", c.Seed, mode), func(t *testing.T) {
		f := newFixture(t, b, spec, node, "")
		p, err := WritePolicies(t.TempDir(), c.PolicyYAML(), c.InventoryYAML(), resolveArgs(names)...)
		f.must(err)
		f.apply(p, "--allow-unresolved")
		flows := f.Flows(Addresses(c.Inventory, c.Policies, names), Points(c.Policies))
		r := rand.New(rand.NewPCG(c.Seed, 1))
		r.Shuffle(len(flows), func(i, j int) { flows[i], flows[j] = flows[j], flows[i] })
		bad, err = f.Compare(p, flows[:min(len(flows), randomFlows)])
		f.must(err)
	})
	return bad
}

// reproduction shrinks a cluster that fails and keeps it as files.
func reproduction(t *testing.T, b Backend, c *synth.Cluster) string {
	end := time.Now().Add(shrinkTime)
	c = synth.Shrink(c, func(c *synth.Cluster) bool {
		return time.Now().Before(end) && len(judgeRandom(t, b, c)) > 0
	})
	bad := judgeRandom(t, b, c)
	return fmt.Sprintf("seed %d, shrunk:\n%v\n%s\n%s\n--resolve %v", c.Seed, bad, c.PolicyYAML(), c.InventoryYAML(), c.Resolve)
}
