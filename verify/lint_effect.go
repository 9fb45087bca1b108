package verify

import (
	"context"
	"slices"

	"github.com/trafficpolicy/trafficpolicy/compiler/space"
	"github.com/trafficpolicy/trafficpolicy/model"
)

// noEffect reports rules that are reached and without which every packet of every
// pod has the same verdict (TP104). The last cover-all deny of a policy is exempt.
func noEffect(ctx context.Context, a *Analysis) ([]model.Finding, error) {
	var out []model.Finding
	err := a.inEach(ctx, func(o, said *order) {
		o.eachRule(func(r model.RuleRef, f *ruleFate) {
			if f.idle() && !said.fate(r).idle() {
				out = append(out, o.idleRule(r, f))
			}
		})
	})
	return out, err
}

func (o *order) idleRule(r model.RuleRef, f *ruleFate) model.Finding {
	w := &f.rule.Witness
	follows := "the default deny does too"
	next, known := o.next(r, f.at, w)
	switch {
	case !known:
		follows = "what follows does too"
	case !next.IsZero():
		follows = next.String() + " does too"
	}
	if rule := r.Rule(); known && rule.Action == model.Reject && (next.IsZero() || next.Rule().Action == model.Deny) {
		follows += ", though silently"
	}
	decides := does(r.Rule().Action)
	out := o.finding(model.NoEffect, r.Rule().Pos, "no packet has another verdict without the %s: where it %s, as %s, %s%s",
		r.Rule().Action, decides, packetName(w), follows, assuming(w))
	out = aboutRule(out, r)
	if !next.IsZero() {
		out.Related = []model.Related{relatedRule(next, does(next.Rule().Action)+" "+packetName(w)+" too")}
	}
	out.Witness = f.at.witness(r.Direction, w)
	out.Suggestion = "accept it with # trafficpolicy:ignore TP104 REASON, or " + o.remove("delete the rule")
	return out
}

// lookAhead bounds the rules behind one without effect that are searched for the
// one that would decide in its place: it is for the message alone.
const lookAhead = 256

// next returns the rule that would decide p at s without r, zero for the default.
// It reports false where that is further off than lookAhead.
func (o *order) next(r model.RuleRef, s *judged, p *space.Packet) (model.RuleRef, bool) {
	left := lookAhead
	for _, q := range s.policies {
		if model.ComparePolicies(q, r.Policy) < 0 {
			continue
		}
		from := 0
		if q == r.Policy {
			from = r.Index + 1
		}
		for i := range q.Rules(r.Direction)[from:] {
			if left--; left < 0 {
				return model.RuleRef{}, false
			}
			ref := model.RuleRef{Policy: q, Direction: r.Direction, Index: from + i}
			if o.matches(ref, p) {
				return ref, true
			}
		}
	}
	return model.RuleRef{}, true
}

// matches reports whether r matches p.
func (o *order) matches(r model.RuleRef, p *space.Packet) bool {
	rule := r.Rule()
	port := func(e model.Port) bool { return e.L4().Contains(p.L4) }
	if len(rule.Ports) > 0 && !slices.ContainsFunc(rule.Ports, port) {
		return false
	}
	for i := range rule.Peers {
		if o.peerMatches(&rule.Peers[i], r.Direction, p) {
			return true
		}
	}
	return len(rule.Peers) == 0
}

// peerMatches reports whether a peer of a rule of direction d matches p.
func (o *order) peerMatches(peer *model.Peer, d model.Direction, p *space.Packet) bool {
	if peer.Kind == model.PeerCIDR {
		return peer.CIDR.Contains(p.Addr)
	}
	for _, prefix := range o.resolver.Peer(peer, d).Prefixes {
		if prefix.Contains(p.Addr) {
			return true
		}
	}
	return len(p.In) > 0 && slices.Contains(p.In, model.Atom(peer.String()))
}
