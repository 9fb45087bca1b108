package space

import (
	"cmp"
	"slices"

	"github.com/trafficpolicy/trafficpolicy/model"
)

// atoms is the units whose peer is an atom. They match at every address, if the
// address is in the atom. Of the units of one atom only the first at a slot can
// ever decide there.
type atoms struct {
	all   []int32                   // ascending
	first map[model.Atom][]ownPiece // where each unit is the first of its atom; sorted
	// lowest is where each unit is the lowest of its action, among those that are
	// the first of their atom; sorted.
	lowest [2][]ownPiece
}

// newAtoms finds the units with an atom.
func (a *analyser) newAtoms() {
	byAtom := make(map[model.Atom][]int32)
	for u := range a.of {
		if atom := a.atomOf(int32(u)); atom != "" {
			a.atoms.all = append(a.atoms.all, int32(u))
			byAtom[atom] = append(byAtom[atom], int32(u))
		}
	}
	a.atoms.first = make(map[model.Atom][]ownPiece, len(byAtom))
	var all []ownPiece
	for atom, units := range byAtom {
		a.atoms.first[atom] = a.first(units)
		all = append(all, a.atoms.first[atom]...)
	}
	slices.SortFunc(all, func(x, y ownPiece) int { return cmp.Or(cmp.Compare(x.unit, y.unit), cmp.Compare(x.lo, y.lo)) })
	for b := range a.atoms.lowest {
		for _, o := range all {
			if a.allow[o.unit] != (b == 1) {
				continue
			}
			a.spans = a.alone.above(a.spans, o.span, o.unit, int(none))
			for _, s := range a.spans {
				a.atoms.lowest[b] = append(a.atoms.lowest[b], ownPiece{s, o.unit})
			}
			a.alone.lower(o.span, o.unit)
		}
		a.alone.undo(0)
		sortPieces(a.atoms.lowest[b])
	}
}

func sortPieces(own []ownPiece) {
	slices.SortFunc(own, func(x, y ownPiece) int { return cmp.Compare(x.lo, y.lo) })
}

// atomOf returns the atom of unit u, "" without one.
func (a *analyser) atomOf(u int32) model.Atom {
	return a.list.Rules[a.rule[u]].Peers[a.of[u].peer].Atom
}

// overlapping returns the pieces of own, which is sorted, that share a slot with s.
func overlapping(own []ownPiece, s span) []ownPiece {
	i, _ := slices.BinarySearchFunc(own, s.lo, func(o ownPiece, lo int32) int { return cmp.Compare(o.hi, lo+1) })
	j, _ := slices.BinarySearchFunc(own, s.hi, func(o ownPiece, hi int32) int { return cmp.Compare(o.lo, hi) })
	return own[i:max(i, j)]
}

func (s span) and(t span) span { return span{max(s.lo, t.lo), min(s.hi, t.hi)} }

// judgeAtoms settles the units with an atom, given what the whole space does.
func (a *analyser) judgeAtoms(whole *pieces) {
	for _, u := range a.atoms.all {
		a.judgeAtom(u, whole)
	}
	for _, u := range a.atoms.all {
		if r := a.rule[u]; !a.live[r] {
			a.buryAtom(u, &a.rules[r], whole)
		}
	}
}

// judgeAtom notes u as live if at some address no unit before it matches.
func (a *analyser) judgeAtom(u int32, whole *pieces) {
	atom := a.atomOf(u)
	for _, s := range a.spansOf(u) {
		for _, o := range overlapping(a.atoms.first[atom], s) {
			if o.unit != u {
				continue
			}
			for q := range whole.over(o.span) {
				if q.worst > u {
					a.fates[u] = fate{live: true, packet: point{node: q.at, slot: q.lo, in: [2]int32{u + 1}}}
					a.live[a.rule[u]] = true
					return
				}
			}
		}
	}
}

// buryAtom notes who takes the packets of u, all of which are in its atom.
func (a *analyser) buryAtom(u int32, r *ruleFate, whole *pieces) {
	atom := a.atomOf(u)
	for _, s := range a.spansOf(u) {
		for _, e := range overlapping(a.atoms.first[atom], s) {
			for q := range whole.over(e.span.and(s)) {
				for b := range r {
					if t := &r[b]; !t.seen {
						*t = a.atomTaker(e.unit, b, &q)
					}
				}
			}
		}
	}
}

// atomTaker returns a packet in an atom on q that a unit of action b takes. first is
// the first unit of the atom, behind which none comes to pass.
func (a *analyser) atomTaker(first int32, b int, q *piece) fate {
	at := point{node: q.at, slot: q.lo, in: [2]int32{first + 1}}
	if q.low[b] < first {
		at.node = q.lowAt[b]
		return fate{seen: true, by: q.low[b], packet: at}
	}
	if a.allow[first] == (b == 1) && first < q.worst {
		return fate{seen: true, by: first, packet: at}
	}
	for _, o := range overlapping(a.atoms.lowest[b], q.span) {
		if o.unit < min(first, q.worst) {
			at.slot, at.in[1] = max(o.lo, q.lo), o.unit+1
			return fate{seen: true, by: o.unit, packet: at}
		}
	}
	return fate{}
}

// takeAtom notes a unit with an atom that is of action b and takes packets on q,
// below the units above.
func (a *analyser) takeAtom(t *fate, b int, q *piece) {
	for _, o := range overlapping(a.atoms.lowest[b], q.span) {
		if o.unit > q.worst {
			continue
		}
		if a.spans = a.above.above(a.spans, o.span.and(q.span), o.unit, 0); len(a.spans) > 0 {
			*t = fate{seen: true, by: o.unit, packet: point{node: q.at, slot: a.spans[0].lo, in: [2]int32{o.unit + 1}}}
			return
		}
	}
}
