package oracle

import (
	"fmt"
	"net/netip"
	"slices"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/trafficpolicy/trafficpolicy/compiler"
	"github.com/trafficpolicy/trafficpolicy/internal/synth"
	"github.com/trafficpolicy/trafficpolicy/model"
)

// resolver is the [Peers] that other readings are asked with.
type resolver struct{ *compiler.Resolver }

func (r resolver) Peers(p *model.Peer, d model.Direction) ([]netip.Prefix, bool) {
	res := r.Peer(p, d)
	return res.Prefixes, res.Unknown()
}

// TestKnownIsResolver compares Known with the compiler's resolver in both senses.
func TestKnownIsResolver(t *testing.T) {
	draws(t, 300, func(in Input, c *synth.Cluster) string {
		senses := map[*model.Inventory]Known{
			{}:          {Resolve: c.Resolve},
			c.Inventory: {Resolve: c.Resolve, Inventory: c.Inventory},
		}
		for inventory, known := range senses {
			r := resolver{compiler.NewResolver(inventory, compiler.Options{Resolve: c.Resolve})}
			for _, p := range in.Policies {
				for _, ref := range refs(p) {
					for i := range ref.Rule().Peers {
						peer := &ref.Rule().Peers[i]
						if peer.Kind == model.PeerCIDR {
							continue
						}
						want, wantUnknown := known.Peers(peer, ref.Direction)
						got, gotUnknown := r.Peers(peer, ref.Direction)
						if diff := cmp.Diff(addresses(want), addresses(got)); diff != "" || wantUnknown != gotUnknown {
							return fmt.Sprintf("%s: unknown %t, the resolver %t\n%s", peer, wantUnknown, gotUnknown, diff)
						}
					}
				}
			}
		}
		return ""
	})
}

// addresses lists every address of prefixes that hold few, sorted.
func addresses(prefixes []netip.Prefix) []string {
	var out []string
	for _, p := range prefixes {
		for a := p.Addr(); p.Contains(a); a = a.Next() {
			out = append(out, a.String())
		}
	}
	slices.Sort(out)
	return slices.Compact(out)
}
