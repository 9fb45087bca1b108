package space

import (
	"net/netip"
	"slices"

	"github.com/trafficpolicy/trafficpolicy/model"
)

// firstMatch is first match as SEMANTICS says it, for one packet: the rule that
// decides, and the rules before it that would where the address is in their atom.
func firstMatch(list *model.RuleList, a netip.Addr, x model.L4) (rule int32, conds []Conditional) {
	seen := make(map[model.Atom]bool)
	for i := range list.Rules {
		if !list.Isolated || !list.Rules[i].L4.Contains(x) {
			continue
		}
		var mine []Conditional
		for _, p := range list.Rules[i].Peers {
			switch {
			case p.Atom != "" && !seen[p.Atom]:
				seen[p.Atom] = true
				mine = append(mine, Conditional{Atom: p.Atom, Rule: int32(i)})
			case p.Atom == "":
				for _, prefix := range p.Prefixes {
					if prefix.Contains(a) {
						return int32(i), conds
					}
				}
			}
		}
		conds = append(conds, mine...)
	}
	return NoRule, conds
}

// world is every packet that a list can tell apart: an address and a point of
// each stretch between boundaries, with each subset of the atoms.
type world struct {
	list  *model.RuleList
	addrs []netip.Addr
	l4    []model.L4
	atoms []map[model.Atom]bool
}

func newWorld(list *model.RuleList, families ...model.Family) *world {
	w := &world{list: list, l4: []model.L4{0}}
	for _, f := range families {
		w.addrs = append(w.addrs, f.All().Addr())
	}
	var names []model.Atom
	for _, r := range list.Rules {
		for _, s := range r.L4 {
			w.l4 = append(w.l4, s.First, s.Last+1)
		}
		for _, p := range sourcePorts(&r) {
			w.l4 = append(w.l4, p.L4().First, p.L4().Last+1)
		}
		for _, p := range r.Peers {
			if p.Atom != "" && !slices.Contains(names, p.Atom) {
				names = append(names, p.Atom)
			}
			for _, prefix := range p.Prefixes {
				if slices.Contains(families, model.FamilyOf(prefix.Addr())) {
					w.addrs = append(w.addrs, prefix.Addr(), lastAddr(prefix).Next())
				}
			}
		}
	}
	w.l4 = slices.DeleteFunc(w.l4, func(x model.L4) bool { return x > model.L4Last })
	w.addrs = slices.DeleteFunc(w.addrs, func(a netip.Addr) bool { return !a.IsValid() })
	slices.Sort(w.l4)
	slices.SortFunc(w.addrs, netip.Addr.Compare)
	w.l4, w.addrs = slices.Compact(w.l4), slices.Compact(w.addrs)
	for bits := range 1 << len(names) {
		in := make(map[model.Atom]bool)
		for i, n := range names {
			in[n] = bits>>i&1 == 1
		}
		w.atoms = append(w.atoms, in)
	}
	return w
}

func sourcePorts(r *model.ListRule) []model.Port {
	if r.Ref.IsZero() {
		return nil
	}
	return r.Ref.Rule().Ports
}

// packet is one packet of a world.
type packet struct {
	a  netip.Addr
	x  model.L4
	in map[model.Atom]bool
}

func (w *world) each(f func(packet)) {
	for _, a := range w.addrs {
		for _, x := range w.l4 {
			for _, in := range w.atoms {
				f(packet{a, x, in})
			}
		}
	}
}

func (p packet) peer(q *model.ListPeer) bool {
	if q.Atom != "" {
		return p.in[q.Atom]
	}
	return slices.ContainsFunc(q.Prefixes, func(x netip.Prefix) bool { return x.Contains(p.a) })
}

// matches reports whether one of the rule's peers and ports match p.
func (p packet) matches(r *model.ListRule) bool {
	return r.L4.Contains(p.x) && slices.ContainsFunc(r.Peers, func(q model.ListPeer) bool { return p.peer(&q) })
}

// winner returns the first rule that matches p but for the rule skip.
func (w *world) winner(p packet, skip int) int32 {
	for i := range w.list.Rules {
		if w.list.Isolated && i != skip && p.matches(&w.list.Rules[i]) {
			return int32(i)
		}
	}
	return NoRule
}

// allows returns the verdict of rule i, which may be NoRule.
func (w *world) allows(i int32) bool {
	if i == NoRule {
		return !w.list.Isolated
	}
	return w.list.Rules[i].Action == model.Allow
}

// truth is what brute force finds of one rule.
type truth struct {
	Own, Live, Effect bool
	Taken             [2]bool
	Takers            map[int32]bool
	Peers, Ports      []entryTruth
}

type entryTruth struct{ Own, Live bool }

func (w *world) truths() []truth {
	out := make([]truth, len(w.list.Rules))
	for i := range w.list.Rules {
		r, t := &w.list.Rules[i], &out[i]
		ports := sourcePorts(r)
		t.Takers = make(map[int32]bool)
		t.Peers, t.Ports = make([]entryTruth, len(r.Peers)), make([]entryTruth, len(ports))
		if !w.list.Isolated {
			continue
		}
		w.each(func(p packet) {
			if !p.matches(r) {
				return
			}
			t.Own = true
			won := w.winner(p, -1)
			if won == int32(i) {
				t.Live = true
				t.Effect = t.Effect || w.allows(w.winner(p, i)) != w.allows(won)
			} else {
				t.Takers[won] = true
				if w.allows(won) {
					t.Taken[1] = true
				} else {
					t.Taken[0] = true
				}
			}
			earlier := false
			for j := range r.Peers {
				if p.peer(&r.Peers[j]) {
					t.Peers[j].Own = true
					t.Peers[j].Live = t.Peers[j].Live || won == int32(i) && !earlier
					earlier = true
				}
			}
			earlier = false
			for j := range ports {
				if ports[j].L4().Contains(p.x) {
					t.Ports[j].Own = true
					t.Ports[j].Live = t.Ports[j].Live || won == int32(i) && !earlier
					earlier = true
				}
			}
		})
	}
	return out
}
