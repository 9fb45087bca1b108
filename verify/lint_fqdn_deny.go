package verify

import (
	"context"
	"fmt"

	"github.com/trafficpolicy/trafficpolicy/model"
)

// namesDenied reports each name that a rule denies or rejects (TP603): it stops the
// addresses that the name is known to have, and a pod need not ask for the name.
func namesDenied(_ context.Context, a *Analysis) ([]model.Finding, error) {
	var out []model.Finding
	for _, p := range a.Policies {
		for i, rule := range p.Rules(model.Egress) {
			if rule.Action.Allows() {
				continue
			}
			ref := model.RuleRef{Policy: p, Direction: model.Egress, Index: i}
			for j := range rule.Peers {
				if peer := &rule.Peers[j]; peer.Kind == model.PeerFQDN {
					out = append(out, nameDenied(ref, j, peer))
				}
			}
		}
	}
	return out, nil
}

func nameDenied(r model.RuleRef, j int, peer *model.Peer) model.Finding {
	f := model.NewFinding(model.FQDNDeny, peer.Pos, fmt.Sprintf(
		"the %s of %s is no barrier: it stops the addresses that the name is known to have, and an address can be used without asking for the name",
		r.Rule().Action, peer))
	f.Suggestion = "deny the addresses by cidr, or allow what the pods need and deny the rest"
	return aboutPeer(f, r, j)
}
