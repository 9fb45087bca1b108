package verify

import (
	"context"
	"fmt"
	"iter"
	"net/netip"
	"slices"

	"github.com/trafficpolicy/trafficpolicy/compiler/space"
	"github.com/trafficpolicy/trafficpolicy/model"
)

// overlappingName is what is known of a name that is decided otherwise at an
// address of its own.
type overlappingName struct {
	overlapOfNames
	at *subject
	by []namedPeer // the first matches, first.RuleRef before all others; each rule once
}

// namesThatOverlap reports names whose rule does not decide at an address of theirs,
// because another name has the address too and a rule of that one comes first and
// decides otherwise (TP602). Names without known addresses have none to share.
//
// An inventory brings nothing further: addresses of names are not in it.
func namesThatOverlap(ctx context.Context, a *Analysis) ([]model.Finding, error) {
	shared := a.sharedAddresses()
	if len(shared) == 0 {
		return nil, nil
	}
	groups, err := a.groups(ctx)
	if err != nil {
		return nil, err
	}
	found := map[namedPeer]*overlappingName{}
	m := &meetings[[]overlapOfNames]{a: a, code: model.FQDNOverlap,
		judge: func(s *subject) ([]overlapOfNames, error) { return shared.namesOverlap(s.policies), nil },
		take: func(s *subject, overlaps []overlapOfNames) {
			for _, o := range overlaps {
				n := found[o.later]
				if n == nil {
					n = &overlappingName{overlapOfNames: o, at: s}
					found[o.later] = n
				}
				if !slices.ContainsFunc(n.by, func(by namedPeer) bool { return by.RuleRef == o.first.RuleRef }) {
					n.by = append(n.by, o.first)
				}
			}
		},
	}
	if err := m.all(ctx, shared.pairs(groups)); err != nil {
		return nil, err
	}
	var out []model.Finding
	for _, r := range rulesOf(a.Policies, model.Egress) {
		for j := range r.Rule().Peers {
			if n := found[namedPeer{r, j}]; n != nil {
				out = append(out, n.finding())
			}
		}
	}
	return out, nil
}

// pairs returns the pairs of groups of which the first allows, and the second
// denies, names that share an address.
func (shared sharedAddresses) pairs(groups []*group) iter.Seq[groupPair] {
	allowed, allowing := shared.of(groups, true)
	denied, denying := shared.of(groups, false)
	return func(yield func(groupPair) bool) {
		for p := range pairsBetween(allowing, denying) {
			if meet(allowed[p.a], denied[p.b]) && !yield(p) {
				return
			}
		}
	}
}

// of returns the groups that allow, or that deny, names with shared addresses, and
// these addresses.
func (shared sharedAddresses) of(groups []*group, allow bool) (addresses map[*group]map[netip.Addr]bool, with []*group) {
	byName := map[string][]netip.Addr{}
	for addr, names := range shared {
		for _, name := range names {
			byName[name] = append(byName[name], addr)
		}
	}
	addresses = map[*group]map[netip.Addr]bool{}
	for _, g := range groups {
		own := map[netip.Addr]bool{}
		for _, r := range rulesOf(g.policies, model.Egress) {
			rule := r.Rule()
			for j := range rule.Peers {
				if rule.Action.Allows() != allow || rule.Peers[j].Kind != model.PeerFQDN {
					continue
				}
				for _, addr := range byName[rule.Peers[j].FQDN] {
					own[addr] = true
				}
			}
		}
		if len(own) > 0 {
			addresses[g] = own
			with = append(with, g)
		}
	}
	return addresses, with
}

// meet reports whether a and b have an address in common.
func meet(a, b map[netip.Addr]bool) bool {
	if len(b) < len(a) {
		a, b = b, a
	}
	for addr := range a {
		if b[addr] {
			return true
		}
	}
	return false
}

func (n *overlappingName) finding() model.Finding {
	first, later := n.first, n.later
	peer := &later.Rule().Peers[later.peer]
	f := model.NewFinding(model.FQDNOverlap, peer.Pos, fmt.Sprintf(
		"fqdn %s shares %s with fqdn %s, of which %s %s %s first: the %s of %s does not hold there",
		later.name(), n.packet.Addr, first.name(), first.RuleRef, does(first.Rule().Action), packetName(&n.packet), later.Rule().Action, later.RuleRef))
	f = aboutPeer(f, later.RuleRef, later.peer)
	for _, by := range n.by[:min(len(n.by), space.MaxCover)] {
		f.Related = append(f.Related, relatedRule(by.RuleRef, fmt.Sprintf("%s fqdn %s first", does(by.Rule().Action), by.name())))
	}
	f.RelatedOmitted = max(0, len(n.by)-space.MaxCover)
	f.Witness = n.at.witness(model.Egress, &n.packet)
	f.Suggestion = "a packet carries no name: decide both names alike, or let their ports differ"
	return f
}
