package oracle

import (
	"slices"

	"github.com/trafficpolicy/trafficpolicy/model"
)

// deadRules adds TP101 to TP104 of every rule of direction d.
func (w *world) deadRules(d model.Direction, r *Report) {
	for _, x := range w.rules[d] {
		life := w.life(d, x)
		switch {
		case life.own.Packet.Addr.IsValid() && !life.live:
			r.add(life.code(), x.ref.String(), life.own)
		case life.live:
			w.deadEntries(d, x, r)
			if !w.exempt(d, x) && !w.hasEffect(d, x) {
				r.add(model.NoEffect, x.ref.String(), life.own)
			}
		}
	}
}

// life is what becomes of a rule's packets.
type life struct {
	// own is a packet of the rule: the first that reaches it where one does, or
	// one that other rules take. It is zero where the rule has none.
	own Witness
	// live: some pod of the policy has a packet whose first match the rule is.
	live bool
	// otherwise: a rule that takes one of its packets decides otherwise.
	otherwise bool
}

func (l life) code() model.Code {
	if l.otherwise {
		return model.ShadowedRule
	}
	return model.RedundantRule
}

// life looks at x for every pod that its policy selects.
func (w *world) life(d model.Direction, x *rule) life {
	var l life
	for _, c := range w.classes {
		if !c.selected[x.policy] || x.match.empty() {
			continue
		}
		list := w.list(c, d, anyPolicy)
		won, _ := w.walk(d, list)
		at := slices.Index(list, x)
		if !won[at].empty() {
			return life{own: w.witness(c, d, won[at], x), live: true}
		}
		if !w.decides(c, x) {
			continue
		}
		for i, taker := range list[:at] {
			takes := won[i].and(x.match)
			if takes.empty() {
				continue
			}
			differs := taker.allow != x.allow
			if !l.own.Packet.Addr.IsValid() || differs && !l.otherwise {
				l.own = w.witness(c, d, takes, taker)
			}
			l.otherwise = l.otherwise || differs
		}
	}
	return l
}

// decides reports whether the winners of class c tell TP101 of x from TP102: the
// minimal pods of its policy, or every pod of the inventory.
func (w *world) decides(c *class, x *rule) bool { return w.named || c.minimal[x.policy] }

// deadEntries adds TP103 of the peers and the port entries of the live rule x.
func (w *world) deadEntries(d model.Direction, x *rule, r *Report) {
	ports, s := x.ref.Rule().Ports, w.spaces[d]
	for j := range x.peers {
		own, earlier := s.match(x.peers[j:j+1], ports), newSet(s.size())
		if j > 0 {
			earlier = s.match(x.peers[:j], ports)
		}
		w.deadEntry(d, x, x.ref.Peer(j), own, earlier, r)
	}
	for j := range ports {
		own, earlier := s.match(x.peers, ports[j:j+1]), newSet(s.size())
		if j > 0 {
			earlier = s.match(x.peers, ports[:j])
		}
		w.deadEntry(d, x, x.ref.Port(j), own, earlier, r)
	}
}

// deadEntry adds TP103 of the entry name of x, which matches own and whose
// siblings before it match earlier.
func (w *world) deadEntry(d model.Direction, x *rule, name string, own, earlier set, r *Report) {
	if own.empty() {
		return
	}
	var pod *class
	for _, c := range w.classes {
		if !c.selected[x.policy] {
			continue
		}
		list := w.list(c, d, anyPolicy)
		won, _ := w.walk(d, list)
		if reach := own.and(won[slices.Index(list, x)]).minus(earlier); !reach.empty() {
			return
		}
		if pod == nil {
			pod = c
		}
	}
	r.add(model.UnreachablePeer, name, w.witness(pod, d, own, w.winner(pod, d, own.first())))
}

// hasEffect reports whether some packet of some pod has another verdict without x.
func (w *world) hasEffect(d model.Direction, x *rule) bool {
	for _, c := range w.classes {
		if !c.selected[x.policy] {
			continue
		}
		list := w.list(c, d, anyPolicy)
		without := slices.DeleteFunc(slices.Clone(list), func(r *rule) bool { return r == x })
		closed := w.closed(c, d, anyPolicy)
		if !w.allowed(d, list, closed).xor(w.allowed(d, without, closed)).empty() {
			return true
		}
	}
	return false
}

// exempt reports whether x is "the last cover-all deny of a policy, which the
// guide recommends": a deny or reject that matches every packet of some family,
// and no such rule of that family that is live follows it in the section.
func (w *world) exempt(d model.Direction, x *rule) bool {
	for _, f := range w.in.Families {
		last := -1
		for _, r := range w.rules[d] {
			if r.policy == x.policy && !r.allow && w.coversFamily(d, r, f) && w.life(d, r).live {
				last = r.ref.Index
			}
		}
		if last == x.ref.Index {
			return true
		}
	}
	return false
}

// coversFamily reports whether r matches every packet of f, whatever the atoms are.
func (w *world) coversFamily(d model.Direction, r *rule, f model.Family) bool {
	return w.spaces[d].of(f).minus(r.match).empty()
}

// winner returns the first match of point i for a pod of c, nil without one.
func (w *world) winner(c *class, d model.Direction, i int) *rule {
	for _, r := range w.list(c, d, anyPolicy) {
		if r.match.has(i) {
			return r
		}
	}
	return nil
}

// overridden adds TP203 of every policy: it has a packet of its own, and no rule
// of it, of either direction, is the first match of any packet of any pod.
func (w *world) overridden(r *Report) {
	for i, p := range w.policies {
		var own *Witness
		live := false
		for _, d := range model.Directions {
			for _, x := range w.rules[d] {
				if x.policy != i {
					continue
				}
				l := w.life(d, x)
				live = live || l.live
				if own == nil && l.own.Packet.Addr.IsValid() {
					own = &l.own
				}
			}
		}
		if own != nil && !live {
			r.add(model.OverriddenPolicy, p.Ref(), *own)
		}
	}
}
