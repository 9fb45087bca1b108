package verify

import (
	"slices"

	"go4.org/netipx"

	"github.com/trafficpolicy/trafficpolicy/model"
	"github.com/trafficpolicy/trafficpolicy/verify/pods"
)

// remotes is the addresses that rules match. Those of a peer by name may be any.
type remotes struct {
	any bool
	set *netipx.IPSet
}

func remotesOf(ps []*model.Policy, d model.Direction) remotes {
	var b netipx.IPSetBuilder
	for _, p := range ps {
		rules := p.Rules(d)
		for i := range rules {
			if byName(&rules[i]) {
				return remotes{any: true}
			}
			for _, q := range rules[i].Peers {
				b.AddPrefix(q.CIDR)
			}
		}
	}
	set, err := b.IPSet()
	return remotes{any: err != nil, set: set}
}

// byName reports whether r matches more than its prefixes.
func byName(r *model.Rule) bool {
	return len(r.Peers) == 0 || slices.ContainsFunc(r.Peers, func(p model.Peer) bool { return p.Kind != model.PeerCIDR })
}

// touchedBy reports whether r may match an address of s.
func (s remotes) touchedBy(r *model.Rule) bool {
	switch {
	case s.any:
		return true
	case len(s.set.Ranges()) == 0:
		return false
	}
	return byName(r) || slices.ContainsFunc(r.Peers, func(p model.Peer) bool { return s.set.OverlapsPrefix(p.CIDR) })
}

// touching narrows counts to the policies with a rule that may take a packet of a
// rule of ps.
func touching(counts pods.Counts, ps []*model.Policy) pods.Counts {
	var own [2]remotes
	for _, d := range model.Directions {
		own[d] = remotesOf(ps, d)
	}
	touches := map[*model.Policy]bool{} // what was asked for; not for concurrent use
	return func(p *model.Policy) bool {
		if !counts(p) {
			return false
		}
		t, known := touches[p]
		if !known {
			for _, d := range model.Directions {
				rules := p.Rules(d)
				for i := range rules {
					t = t || own[d].touchedBy(&rules[i])
				}
			}
			touches[p] = t
		}
		return t
	}
}
