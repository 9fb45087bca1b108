package oracle

import "github.com/trafficpolicy/trafficpolicy/model"

// pairs adds TP201 or TP202 of each two policies of equal priority that can
// both select some pod.
func (w *world) pairs(r *Report) {
	for i, a := range w.policies {
		for j := i + 1; j < len(w.policies); j++ {
			if b := w.policies[j]; a.Priority == b.Priority {
				w.pair(i, j, r)
			}
		}
	}
}

// Pair returns the subject of a finding about two policies, a before b in
// evaluation order.
func Pair(a, b *model.Policy) string { return a.Ref() + " " + b.Ref() }

func (w *world) pair(i, j int, r *Report) {
	name := Pair(w.policies[i], w.policies[j])
	var tie *class
	for _, c := range w.classes {
		if !c.selected[i] || !c.selected[j] {
			continue
		}
		if tie == nil {
			tie = c
		}
		for _, d := range model.Directions {
			if witness, ok := w.conflict(c, d, i, j); ok {
				r.add(model.PriorityConflict, name, witness)
				return
			}
		}
	}
	if tie != nil {
		r.add(model.PriorityTie, name, Witness{Pod: tie.pod})
	}
}

// conflict looks for "a packet that no policy of smaller priority matches and
// that their first matches, each taken alone, decide differently". A policy that
// does not match the packet has no first match of it.
func (w *world) conflict(c *class, d model.Direction, i, j int) (Witness, bool) {
	smaller := newSet(w.spaces[d].size())
	for _, x := range w.list(c, d, anyPolicy) {
		if w.policies[x.policy].Priority < w.policies[i].Priority {
			smaller = smaller.or(x.match)
		}
	}
	aAllows, aDenies := w.alone(c, d, i)
	bAllows, bDenies := w.alone(c, d, j)
	points := aAllows.and(bDenies).or(aDenies.and(bAllows)).minus(smaller)
	if points.empty() {
		return Witness{}, false
	}
	witness := Witness{Pod: c.pod, Packet: w.spaces[d].packet(points.first())}
	for _, x := range w.rules[d] {
		switch has := x.match.has(points.first()); {
		case has && x.policy == i && witness.Rule == "":
			witness.Rule = x.ref.String()
		case has && x.policy == j && witness.Other == "":
			witness.Other = x.ref.String()
		}
	}
	return witness, true
}

// alone returns the points whose first match in policy i alone allows them, and
// those whose first match denies them.
func (w *world) alone(c *class, d model.Direction, i int) (allows, denies set) {
	list := w.list(c, d, func(policy int) bool { return policy == i })
	won, _ := w.walk(d, list)
	allows, denies = newSet(w.spaces[d].size()), newSet(w.spaces[d].size())
	for k, x := range list {
		if x.allow {
			allows = allows.or(won[k])
		} else {
			denies = denies.or(won[k])
		}
	}
	return allows, denies
}
