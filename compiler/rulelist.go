package compiler

import (
	"net/netip"
	"slices"

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
	list := &model.RuleList{Direction: d, Isolated: r.options.isolated(policies, d)}
	rules, peers := 0, 0
	for _, p := range policies {
		rules += len(p.Rules(d))
		for i := range p.Rules(d) {
			peers += max(1, len(p.Rules(d)[i].Peers))
		}
	}
	list.Rules = make([]model.ListRule, 0, rules)
	b := &peerBuilder{Resolver: r, direction: d, mode: m, peers: make([]model.ListPeer, peers), cidrs: make([]netip.Prefix, peers)}
	for _, p := range policies {
		for i := range p.Rules(d) {
			rule := &p.Rules(d)[i]
			list.Rules = append(list.Rules, model.ListRule{
				Ref:    model.RuleRef{Policy: p, Direction: d, Index: i},
				Action: rule.Action,
				Peers:  b.list(rule),
				L4:     model.PortsL4(rule.Ports),
			})
		}
	}
	return list
}

// isolated reports whether policies, those of a class, close direction d but for
// what their rules allow.
func (o *Options) isolated(policies []*model.Policy, d model.Direction) bool {
	return slices.ContainsFunc(policies, func(p *model.Policy) bool { return !o.IsolateByDirection || p.Section(d) != nil })
}

// peerBuilder resolves the peers of a list's rules into memory that is set aside
// once for all of them: lists have up to 100,000 rules, most with one cidr.
type peerBuilder struct {
	*Resolver
	direction model.Direction
	mode      ListMode
	peers     []model.ListPeer
	cidrs     []netip.Prefix
}

func (b *peerBuilder) list(rule *model.Rule) []model.ListPeer {
	n := max(1, len(rule.Peers))
	out := b.peers[:n:n]
	b.peers = b.peers[n:]
	if len(rule.Peers) == 0 {
		out[0] = model.ListPeer{Index: -1, Prefixes: everyone}
		return out
	}
	for i := range rule.Peers {
		out[i] = b.peer(&rule.Peers[i])
		out[i].Index = i
	}
	return out
}

func (b *peerBuilder) peer(p *model.Peer) model.ListPeer {
	if p.Kind == model.PeerCIDR {
		one := b.cidrs[:1:1]
		b.cidrs = b.cidrs[1:]
		one[0] = p.CIDR
		return model.ListPeer{Prefixes: one}
	}
	res := b.Peer(p, b.direction)
	out := model.ListPeer{Prefixes: res.Prefixes}
	if b.mode == ForArtifact && p.Kind == model.PeerFQDN || b.mode == ForAnalysis && res.Unknown() {
		out.Atom = model.Atom(p.String())
	}
	return out
}
