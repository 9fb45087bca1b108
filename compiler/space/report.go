package space

import (
	"cmp"
	"slices"

	"github.com/trafficpolicy/trafficpolicy/model"
)

// Analyse analyses list for the given families; a packet of any of them counts.
func Analyse(list *model.RuleList, families ...model.Family) *Analysis {
	out, us, analysers := analyse(list, families)
	out.cover(list, us, analysers)
	return out
}

// Reached is Analyse for those who ask which rules are live, with their witnesses: of
// the others it does not say by which rules their packets are taken.
func Reached(list *model.RuleList, families ...model.Family) *Analysis {
	out, _, _ := analyse(list, families)
	for i := range out.Rules {
		out.Rules[i].Taken = [2]bool{}
	}
	return out
}

// analyse does all of Analyse but for covers.
func analyse(list *model.RuleList, families []model.Family) (*Analysis, *units, []*analyser) {
	us := newUnits(list)
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
		analysers[i] = newAnalyser(list, f, us)
		analysers[i].run()
		analysers[i].report(out)
	}
	return out, us, analysers
}

// cover finds the covers of the rules that are dead in every family.
func (out *Analysis) cover(list *model.RuleList, us *units, analysers []*analyser) {
	coverers := make([]*coverer, len(analysers))
	for i, a := range analysers {
		coverers[i] = &coverer{analyser: a, known: make(map[region][]share), steps: maxCoverSteps}
	}
	var found []share
	for from, to := 0, 0; from < len(us.of); from = to {
		rule := us.rule[from]
		for to = from; to < len(us.of) && us.rule[to] == rule; to++ {
		}
		r := &out.Rules[rule]
		if r.Live || !r.Own {
			r.Taken = [2]bool{}
			continue
		}
		found = found[:0]
		for _, c := range coverers {
			found = c.cover(found, int32(from), int32(to))
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
	for u := range a.of {
		a.reportUnit(out, int32(u))
	}
	for i := range out.Rules {
		r := &out.Rules[i]
		if r.Live {
			continue
		}
		for b, t := range a.rules[i] {
			if !t.seen {
				continue
			}
			other := a.list.Rules[i].Action.Allows() != (b == 1)
			if r.Winner == NoRule || other && !r.Taken[b] {
				r.Witness, r.Winner = a.packet(t.packet), a.rule[t.by]
			}
			r.Taken[b] = true
		}
	}
}

// reportUnit joins the fate of u to its rule, peer and port entry.
func (a *analyser) reportUnit(out *Analysis, u int32) {
	un, rule := &a.of[u], a.rule[u]
	sample, ok := a.sample(u)
	if !ok {
		return
	}
	r := &out.Rules[rule]
	r.Own = true
	now := EntryAnalysis{Own: true, Live: a.fates[u].live, Winner: rule}
	switch {
	case now.Live:
		now.Witness = a.packet(a.fates[u].packet)
	case r.Peers[un.peer].Own && (r.Ports == nil || r.Ports[un.port].Own):
		return
	default:
		now.Witness, now.Winner = sample, a.rule[a.decideSample(u)]
	}
	if now.Live && !r.Live {
		r.Live, r.Witness, r.Winner = true, now.Witness, rule
	}
	r.Peers[un.peer].join(&now)
	if r.Ports != nil {
		r.Ports[un.port].join(&now)
	}
}

// join takes over what a unit of e says, where it says more.
func (e *EntryAnalysis) join(now *EntryAnalysis) {
	if !e.Own || now.Live && !e.Live {
		*e = *now
	}
}

// sample returns a packet of unit u, if it has one in the family.
func (a *analyser) sample(u int32) (Packet, bool) {
	p := Packet{Addr: a.family.All().Addr(), L4: a.of[u].sample}
	peer := &a.list.Rules[a.rule[u]].Peers[a.of[u].peer]
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
	for _, u := range p.in {
		if u > 0 {
			out.In = append(out.In, a.atomOf(u-1))
		}
	}
	return out
}

// decideSample returns the unit that is the first match of u's sample.
func (a *analyser) decideSample(u int32) int32 {
	first, slot := u, a.axis.at(a.of[u].sample)
	node, nodes := a.nodeOf[u], a.tree.nodes
	for int(node)+1 < len(nodes) && nodes[node+1].first == nodes[node].first {
		node++ // within the last and with the same first address
	}
	for i := node; i >= 0; i = nodes[i].parent {
		if o, ok := ownAt(a.owns[i], slot); ok {
			first = min(first, o.unit)
		}
	}
	if atom := a.atomOf(u); atom != "" {
		if o, ok := ownAt(a.atoms.first[atom], slot); ok {
			first = min(first, o.unit)
		}
	}
	return first
}

// ownAt returns the piece that holds slot.
func ownAt(own []ownPiece, slot int32) (ownPiece, bool) {
	i, _ := slices.BinarySearchFunc(own, slot, func(o ownPiece, slot int32) int { return cmp.Compare(o.hi, slot+1) })
	if i < len(own) && own[i].lo <= slot {
		return own[i], true
	}
	return ownPiece{}, false
}
