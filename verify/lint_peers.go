package verify

import (
	"context"
	"strings"

	"github.com/trafficpolicy/trafficpolicy/compiler"
	"github.com/trafficpolicy/trafficpolicy/model"
)

// peerAddresses reports peers that mean nobody in the inventory: TP401 where it
// lacks the Service or namespace, TP402 where that has no addresses. A rule that
// denies what is not there fails open, so TP401 is then an error.
func peerAddresses(ctx context.Context, a *Analysis) ([]model.Finding, error) {
	var out []model.Finding
	for _, p := range a.Policies {
		if err := ctx.Err(); err != nil {
			return nil, err
		}
		for _, d := range model.Directions {
			for i, rule := range p.Rules(d) {
				ref := model.RuleRef{Policy: p, Direction: d, Index: i}
				for j := range rule.Peers {
					if f, ok := peerAddress(a, ref, &rule.Peers[j]); ok {
						out = append(out, aboutPeer(f, ref, j))
					}
				}
			}
		}
	}
	return out, nil
}

func peerAddress(a *Analysis, r model.RuleRef, peer *model.Peer) (model.Finding, bool) {
	if peer.Kind == model.PeerCIDR {
		return model.Finding{}, false
	}
	res := a.Resolver().Peer(peer, r.Direction)
	action := r.Rule().Action
	switch res.Problem {
	case compiler.UnknownReference:
		f := inInventory(model.UnknownReference, peer.Pos, "%s: the %s matches no address", a.Resolver().Explain(peer, res), action)
		if !action.Allows() {
			f.Severity = model.Error
		}
		f.Suggestion = didYouMean(a.Resolver().NearestReference(peer))
		return f, true
	case compiler.NoAddresses:
		return inInventory(model.NoAddresses, peer.Pos, "%s: the %s matches no address", a.Resolver().Explain(peer, res), action), true
	case compiler.IsExternalName:
		f := inInventory(model.NoAddresses, peer.Pos, "%s: the %s matches none of its addresses", a.Resolver().Explain(peer, res), action)
		f.Suggestion = "name what it points to by cidr, or in egress by fqdn"
		return f, true
	}
	return model.Finding{}, false
}

// didYouMean offers names as a suggestion, "" without any.
func didYouMean(names []string) string {
	if len(names) == 0 {
		return ""
	}
	return "did you mean " + strings.Join(names, " or ") + "?"
}
