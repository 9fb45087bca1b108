package verify

import (
	"context"
	"fmt"
	"net/netip"
	"slices"

	"github.com/trafficpolicy/trafficpolicy/model"
)

// nameBeforeDenial is a rule of TP604 and a pod at which it is so.
type nameBeforeDenial struct {
	nameFirst
	at *subject
}

// namesBeforeDenials reports allow rules by name that stand before a denial of the
// metadata service or of private ranges (TP604): an answer for the name with such
// an address opens it.
//
// An inventory brings nothing further: it can only show addresses that rules before
// the name take.
func namesBeforeDenials(ctx context.Context, a *Analysis) ([]model.Finding, error) {
	groups, err := a.groups(ctx)
	if err != nil {
		return nil, err
	}
	found := map[model.RuleRef]*nameBeforeDenial{}
	m := &meetings[[]nameFirst]{a: a, code: model.FQDNFirst,
		judge: func(s *subject) ([]nameFirst, error) { return namesFirst(s.policies) },
		take: func(s *subject, names []nameFirst) {
			for _, n := range names {
				if found[n.rule] == nil {
					found[n.rule] = &nameBeforeDenial{n, s}
				}
			}
		},
	}
	open := func(r model.RuleRef) bool { return allowsName(r.Rule()) && found[r] == nil }
	denies := func(r model.RuleRef) bool { return deniesSensitive(r.Rule()) }
	named := withEgressRule(groups, open)
	if err := m.all(ctx, selves(named)); err != nil {
		return nil, err
	}
	if err := m.all(ctx, pairsBetween(withEgressRule(named, open), withEgressRule(groups, denies))); err != nil {
		return nil, err
	}
	var out []model.Finding
	for _, p := range a.Policies {
		for i := range p.Rules(model.Egress) {
			if n := found[model.RuleRef{Policy: p, Direction: model.Egress, Index: i}]; n != nil {
				out = append(out, n.finding())
			}
		}
	}
	return out, nil
}

// withEgressRule returns the groups with a policy that has such a rule.
func withEgressRule(groups []*group, is func(model.RuleRef) bool) (out []*group) {
	for _, g := range groups {
		has := func(p *model.Policy) bool {
			for i := range p.Rules(model.Egress) {
				if is(model.RuleRef{Policy: p, Direction: model.Egress, Index: i}) {
					return true
				}
			}
			return false
		}
		if slices.ContainsFunc(g.policies, has) {
			out = append(out, g)
		}
	}
	return out
}

func (n *nameBeforeDenial) finding() model.Finding {
	rule, d := n.rule.Rule(), n.denials[0]
	peer := &rule.Peers[n.peers[0]]
	name, is := peer.String(), "stands"
	if more := len(n.peers) - 1; more > 0 {
		name, is = fmt.Sprintf("%s and %d more %s", name, more, plural(more, "name", "names")), "stand"
	}
	f := model.NewFinding(model.FQDNFirst, peer.Pos, fmt.Sprintf(
		"the allow of %s %s before the %s of %s by %s: whoever answers for the name opens %s%s",
		name, is, d.Rule().Action, cidrOf(d.Rule(), n.packet.Addr), d, packetName(&n.packet), assuming(&n.packet)))
	f = aboutPeer(f, n.rule, n.peers[0])
	for _, d := range n.denials {
		f.Related = append(f.Related, relatedRule(d, does(d.Rule().Action)+" "+matches(d.Rule())+" behind it"))
	}
	f.RelatedOmitted = n.more
	f.Witness = n.at.witness(model.Egress, &n.packet)
	f.Suggestion = "let the denial come first: " + moveBefore(d, n.rule)
	return f
}

// cidrOf returns the cidr of r that holds addr.
func cidrOf(r *model.Rule, addr netip.Addr) netip.Prefix {
	for i := range r.Peers {
		if p := &r.Peers[i]; p.Kind == model.PeerCIDR && p.CIDR.Contains(addr) {
			return p.CIDR
		}
	}
	return netip.Prefix{}
}
