package oracle

import (
	"fmt"
	"slices"

	"github.com/trafficpolicy/trafficpolicy/model"
)

// CheckWitness returns what is wrong with the witness of a finding, nil where
// its pod and packet show what the finding says:
//
//   - TP101, TP102: a packet of the rule at a pod of its policy, which an
//     earlier rule takes;
//   - TP103: a packet of the entry, which an earlier rule or entry takes;
//   - TP104: a packet that the rule takes;
//   - TP201: a packet that the two policies decide differently;
//   - TP203: a packet of a rule of the policy, which an earlier policy takes.
//
// The packet need not be a representative one. Where its In is nil, some value
// of the atoms has to do: a user's packet says nothing of them. It does not
// judge whether the finding holds, and a TP202 needs no witness.
func CheckWitness(in Input, f Finding) error {
	w, err := newWorld(in, in.Policies, scope{})
	if err != nil {
		return err
	}
	p := f.Witness.Packet
	if !p.Addr.IsValid() {
		return fmt.Errorf("%s %s: no packet", f.Code, f.Subject)
	}
	values := [][]model.Atom{p.In}
	if p.In == nil {
		values = subsets(w.spaces[p.Direction].atoms)
	}
	for _, p.In = range values {
		if w.shows(f.Code, f.Subject, f.Witness.Pod, p) {
			return nil
		}
	}
	return fmt.Errorf("%s %s: %s at %s does not show it", f.Code, f.Subject, f.Witness.Packet, f.Witness.Pod)
}

// subsets returns every subset of atoms, the empty one first.
func subsets(atoms []model.Atom) [][]model.Atom {
	out := [][]model.Atom{nil}
	for _, a := range atoms {
		for _, s := range out {
			out = append(out, append(slices.Clone(s), a))
		}
	}
	return out
}

func (w *world) shows(code model.Code, subject string, pod Pod, p Packet) bool {
	if code == model.PriorityConflict {
		return w.showsConflict(subject, pod, p)
	}
	winner := Decide(w.in, pod, p).Rule
	for _, x := range w.rules[p.Direction] {
		policy, r := w.policies[x.policy], x.ref.Rule()
		if !selects(policy, pod) {
			continue
		}
		owns := w.owns(x, 0, len(r.Peers), 0, len(r.Ports), p)
		switch code {
		case model.ShadowedRule, model.RedundantRule:
			if x.ref.String() == subject {
				return owns && winner != subject
			}
		case model.NoEffect:
			if x.ref.String() == subject {
				return winner == subject
			}
		case model.OverriddenPolicy:
			if policy.Ref() == subject && owns {
				return !slices.ContainsFunc(w.rules[p.Direction], func(y *rule) bool {
					return y.policy == x.policy && y.ref.String() == winner
				})
			}
		case model.UnreachablePeer:
			for j := range r.Peers {
				if x.ref.Peer(j) == subject {
					return w.owns(x, j, j+1, 0, len(r.Ports), p) &&
						(winner != x.ref.String() || j > 0 && w.owns(x, 0, j, 0, len(r.Ports), p))
				}
			}
			for j := range r.Ports {
				if x.ref.Port(j) == subject {
					return w.owns(x, 0, len(r.Peers), j, j+1, p) &&
						(winner != x.ref.String() || j > 0 && w.owns(x, 0, len(r.Peers), 0, j, p))
				}
			}
		}
	}
	return false
}

// owns reports whether x with those of its entries alone, ends exclusive, matches p.
func (w *world) owns(x *rule, peer, peerEnd, port, portEnd int, p Packet) bool {
	holds := func(a model.Atom) bool { return slices.Contains(p.In, a) }
	return matchPeers(x.peers[peer:peerEnd], p.Addr, holds) && matchPorts(x.ref.Rule().Ports[port:portEnd], p.L4)
}

func (w *world) showsConflict(subject string, pod Pod, p Packet) bool {
	decide := func(keep func(*model.Policy) bool) Decision {
		in := w.in
		in.Policies = slices.DeleteFunc(slices.Clone(w.policies), func(q *model.Policy) bool { return !keep(q) })
		return Decide(in, pod, p)
	}
	for i, a := range w.policies {
		for _, b := range w.policies[i+1:] {
			if Pair(a, b) != subject {
				continue
			}
			smaller := decide(func(q *model.Policy) bool { return q.Priority < a.Priority })
			x := decide(func(q *model.Policy) bool { return q == a })
			y := decide(func(q *model.Policy) bool { return q == b })
			return a.Priority == b.Priority && smaller.Rule == "" && x.Rule != "" && y.Rule != "" && x.Allow != y.Allow
		}
	}
	return false
}
