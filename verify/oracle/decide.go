package oracle

import (
	"slices"

	"github.com/trafficpolicy/trafficpolicy/model"
)

// Decision is the verdict of one packet at one pod.
type Decision struct {
	Allow bool
	// Rule is the first match, "" where none matches; Allow is then false, the
	// default deny, or true, because no policy closes the direction.
	Rule string
}

// Decide judges one packet, not necessarily a representative one, at one pod
// that policies are enforced on, as SEMANTICS 4 says it. Of in it reads
// Policies, Peers and IsolateByDirection. It shares with [Analyze] only what a
// single peer, port entry and selector match.
func Decide(in Input, pod Pod, p Packet) Decision {
	if in.Peers == nil {
		in.Peers = Unresolved{}
	}
	policies := slices.DeleteFunc(slices.Clone(in.Policies), func(q *model.Policy) bool { return !selects(q, pod) })
	slices.SortStableFunc(policies, before)
	holds := func(a model.Atom) bool { return slices.Contains(p.In, a) }
	open := true
	for _, q := range policies {
		if !in.IsolateByDirection || q.Section(p.Direction) != nil {
			open = false
		}
		for i, r := range q.Rules(p.Direction) {
			var peers []peer
			for j := range r.Peers {
				peers = append(peers, resolvePeer(in.Peers, &r.Peers[j], p.Direction))
			}
			if matchPeers(peers, p.Addr, holds) && matchPorts(r.Ports, p.L4) {
				ref := model.RuleRef{Policy: q, Direction: p.Direction, Index: i}
				return Decision{Allow: r.Action == model.Allow, Rule: ref.String()}
			}
		}
	}
	return Decision{Allow: open}
}
