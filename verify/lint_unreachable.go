package verify

import (
	"context"
	"fmt"
	"slices"

	"github.com/trafficpolicy/trafficpolicy/compiler/space"
	"github.com/trafficpolicy/trafficpolicy/model"
)

// unreachablePeers reports peers and port entries of live rules that never match
// first (TP103): other rules or earlier entries of the rule take each packet.
func unreachablePeers(ctx context.Context, a *Analysis) ([]model.Finding, error) {
	var out []model.Finding
	err := a.inEach(ctx, func(o, said *order) {
		o.eachRule(func(r model.RuleRef, f *ruleFate) {
			if !f.live {
				return
			}
			before := said.fate(r)
			for i := range f.dead {
				e := &f.dead[i]
				same := func(b deadEntry) bool { return b.port == e.port && b.index == e.index }
				if !(before.live && slices.ContainsFunc(before.dead, same)) {
					out = append(out, o.unreachable(r, e))
				}
			}
		})
	})
	return out, err
}

func (o *order) unreachable(r model.RuleRef, e *deadEntry) model.Finding {
	taker := e.at.ref(r.Direction, e.Winner)
	rule := r.Rule()
	var name string
	var pos model.Pos
	if e.port {
		name, pos = "port entry "+rule.Ports[e.index].String(), rule.Ports[e.index].Pos
	} else {
		name, pos = "peer "+rule.Peers[e.index].String(), rule.Peers[e.index].Pos
	}
	by := fmt.Sprintf("%s %s %s first", taker, does(taker.Rule().Action), packetName(&e.Witness))
	rel := relatedRule(taker, decidesFirst(taker))
	if taker == r {
		other, at := o.earlier(r, e)
		by = "the rule has them already, by " + other
		rel.File, rel.Line, rel.Column = at.File, at.Line, at.Column
		rel.Message = "matches " + packetName(&e.Witness) + " first"
	}
	out := o.finding(model.UnreachablePeer, pos, "%s adds no packet to the %s: %s%s", name, rule.Action, by, assuming(&e.Witness))
	about := aboutPeer
	if e.port {
		about = aboutPort
	}
	out = about(out, r, e.index)
	out.Related = []model.Related{rel}
	out.Witness = e.at.witness(r.Direction, &e.Witness)
	out.Suggestion = o.remove("delete the entry")
	return out
}

// packetName spells a packet, such as "10.0.0.1 TCP 80".
func packetName(p *space.Packet) string { return p.Addr.String() + " " + p.L4.String() }

// earlier returns the name and place of the entry of r before e that matches the
// witness of e.
func (o *order) earlier(r model.RuleRef, e *deadEntry) (string, model.Pos) {
	rule, w := r.Rule(), &e.Witness
	if e.port {
		for i := range rule.Ports[:e.index] {
			if p := &rule.Ports[i]; p.L4().Contains(w.L4) {
				return "port entry " + p.String(), p.Pos
			}
		}
		return "an earlier port entry", rule.Pos
	}
	for i := range rule.Peers[:e.index] {
		if p := &rule.Peers[i]; o.peerMatches(p, r.Direction, w) {
			return p.String(), p.Pos
		}
	}
	return "an earlier peer", rule.Pos
}
