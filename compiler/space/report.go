package space

import (
	"cmp"
	"slices"
	"sort"

	"github.com/trafficpolicy/trafficpolicy/model"
)

// Analyse analyses list for the given families; a packet of any of them counts.
func Analyse(list *model.RuleList, families ...model.Family) *Analysis {
	units := newUnits(list)
	out := &Analysis{Rules: make([]RuleAnalysis, len(list.Rules))}
	peers := make([]EntryAnalysis, countPeers(list))
	for i := range out.Rules {
		r, n := &out.Rules[i], len(list.Rules[i].Peers)
		r.Winner = NoRule
		r.Peers, peers = peers[:n:n], peers[n:]
		if ref := list.Rules[i].Ref; !ref.IsZero() && len(ref.Rule().Ports) > 0 {
			r.Ports = make([]EntryAnalysis, len(ref.Rule().Ports))
		}
	}
	analysers := make([]*analyser, len(families))
	for i, f := range families {
		analysers[i] = newAnalyser(list, f, units)
		analysers[i].run()
		analysers[i].report(out)
	}
	out.cover(list, units, analysers)
	return out
}

// cover finds the covers of the rules that are dead in every family.
func (out *Analysis) cover(list *model.RuleList, units []unit, analysers []*analyser) {
	coverers := make([]*coverer, len(analysers))
	for i, a := range analysers {
		coverers[i] = &coverer{analyser: a, known: make(map[region][]share), steps: maxCoverSteps}
	}
	found := make(map[int32]float64)
	for from, to := 0, 0; from < len(units); from = to {
		rule := units[from].rule
		for to = from; to < len(units) && units[to].rule == rule; to++ {
		}
		r := &out.Rules[rule]
		if r.Live || !r.Own {
			r.Taken = [2]bool{}
			continue
		}
		clear(found)
		for _, c := range coverers {
			c.cover(found, int32(from), int32(to))
		}
		taker := NoRule
		if list.Rules[r.Winner].Action.Allows() != list.Rules[rule].Action.Allows() {
			taker = r.Winner
		}
		r.settleCover(found, taker)
	}
}

// report joins what a family's packets say to out.
func (a *analyser) report(out *Analysis) {
	for u := range a.units {
		a.reportUnit(out, int32(u))
	}
	for i := range out.Rules {
		r := &out.Rules[i]
		if r.Live {
			continue
		}
		for b, t := range a.rules[i].taken {
			if !t.seen {
				continue
			}
			other := a.list.Rules[i].Action.Allows() != (b == 1)
			if r.Winner == NoRule || other && !r.Taken[b] {
				r.Witness, r.Winner = a.packet(t.packet), a.units[t.by].rule
			}
			r.Taken[b] = true
		}
	}
}

// reportUnit joins the fate of u to its rule, peer and port entry.
func (a *analyser) reportUnit(out *Analysis, u int32) {
	un := &a.units[u]
	sample, ok := a.sample(u)
	if !ok {
		return
	}
	r := &out.Rules[un.rule]
	r.Own = true
	entries := []*EntryAnalysis{&r.Peers[un.peer]}
	if r.Ports != nil {
		entries = append(entries, &r.Ports[un.port])
	}
	f := a.fates[u]
	if f.live && !r.Live {
		r.Live, r.Witness, r.Winner = true, a.packet(f.packet), un.rule
	}
	for _, e := range entries {
		switch {
		case f.live && !e.Live:
			*e = EntryAnalysis{Own: true, Live: true, Witness: a.packet(f.packet), Winner: un.rule}
		case !e.Own:
			*e = EntryAnalysis{Own: true, Witness: sample, Winner: a.units[a.decide(sample)].rule}
		}
	}
}

// sample returns a packet of unit u, if it has one in the family.
func (a *analyser) sample(u int32) (Packet, bool) {
	p := Packet{Addr: a.family.All().Addr(), L4: a.units[u].sample}
	peer := &a.list.Rules[a.units[u].rule].Peers[a.units[u].peer]
	if peer.Atom != "" {
		p.In = []model.Atom{peer.Atom}
		return p, true
	}
	for _, prefix := range peer.Prefixes {
		if p.Addr = prefix.Addr(); model.FamilyOf(p.Addr) == a.family {
			return p, true
		}
	}
	return p, false
}

func (a *analyser) packet(p point) Packet {
	out := Packet{Addr: a.holes[p.node].addr(a.family), L4: a.axis.starts[p.slot]}
	for _, atom := range p.in {
		if atom != "" {
			out.In = append(out.In, atom)
		}
	}
	return out
}

// decide returns the unit that is the first match of p, none without one.
func (a *analyser) decide(p Packet) int32 {
	first, slot := none, a.axis.at(p.L4)
	for i := a.innermost(toAddress(p.Addr)); i >= 0; i = a.tree.nodes[i].parent {
		if o, ok := ownAt(a.owns[i], slot); ok {
			first = min(first, o.unit)
		}
	}
	for _, atom := range p.In {
		if o, ok := ownAt(a.atoms.first[atom], slot); ok {
			first = min(first, o.unit)
		}
	}
	return first
}

// innermost returns the last node around addr.
func (a *analyser) innermost(addr address) int32 {
	nodes := a.tree.nodes
	i := int32(sort.Search(len(nodes), func(i int) bool { return nodes[i].first.compare(addr) > 0 })) - 1
	for !nodes[i].contains(addr) {
		i = nodes[i].parent
	}
	return i
}

// ownAt returns the piece that holds slot.
func ownAt(own []ownPiece, slot int32) (ownPiece, bool) {
	i, _ := slices.BinarySearchFunc(own, slot, func(o ownPiece, slot int32) int { return cmp.Compare(o.hi, slot+1) })
	if i < len(own) && own[i].lo <= slot {
		return own[i], true
	}
	return ownPiece{}, false
}
