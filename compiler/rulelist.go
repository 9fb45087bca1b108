package compiler

import (
	"net/netip"

	"github.com/trafficpolicy/trafficpolicy/model"
)

// ListMode says what an fqdn or unresolved peer becomes in a rule list.
type ListMode uint8

const (
	// ForAnalysis: what is unknown is an atom, a known fqdn is its addresses.
	ForAnalysis ListMode = iota
	// ForArtifact: every fqdn is an atom that carries its known addresses, since
	// they change under the artifact; anything else unknown matches nothing.
	ForArtifact
)

// everyone is the prefixes of a peer list that is empty. Shared; do not change.
var everyone = []netip.Prefix{model.IPv4.All(), model.IPv6.All()}

// RuleList returns the rules of policies for direction d, in order. policies
// are those that select one class, sorted by [model.ComparePolicies]; with none
// the list is not isolated.
//
// Atoms are named after their peers, so the atom of a Service is one name in
// both directions although ingress leaves out the clusterIPs: lists of different
// directions are never joined.
func (r *Resolver) RuleList(policies []*model.Policy, d model.Direction, m ListMode) *model.RuleList {
	list := &model.RuleList{Direction: d}
	n := 0
	for _, p := range policies {
		list.Isolated = list.Isolated || !r.options.IsolateByDirection || p.Section(d) != nil
		n += len(p.Rules(d))
	}
	list.Rules = make([]model.ListRule, 0, n)
	for _, p := range policies {
		rules := p.Rules(d)
		for i := range rules {
			list.Rules = append(list.Rules, model.ListRule{
				Ref:    model.RuleRef{Policy: p, Direction: d, Index: i},
				Action: rules[i].Action,
				Peers:  r.listPeers(&rules[i], d, m),
				L4:     model.PortsL4(rules[i].Ports),
			})
		}
	}
	return list
}

func (r *Resolver) listPeers(rule *model.Rule, d model.Direction, m ListMode) []model.ListPeer {
	if len(rule.Peers) == 0 {
		return []model.ListPeer{{Index: -1, Prefixes: everyone}}
	}
	peers := make([]model.ListPeer, len(rule.Peers))
	for i := range rule.Peers {
		p := &rule.Peers[i]
		res := r.Peer(p, d)
		peers[i] = model.ListPeer{Index: i, Prefixes: res.Prefixes}
		if m == ForArtifact && p.Kind == model.PeerFQDN || m == ForAnalysis && res.Unknown() {
			peers[i].Atom = model.Atom(p.String())
		}
	}
	return peers
}
