package oracle

import "github.com/trafficpolicy/trafficpolicy/model"

// Difference is one representative packet whose verdict two policy sets do not
// share, at one class of pods.
type Difference struct {
	Pod      Pod // the first of those that the same policies of both sets select
	Packet   Packet
	Old, New Decision // Old.Allow != New.Allow
}

// Diff returns every difference between old and in.Policies, in the order of
// classes, directions and packets; none exactly where the sets decide every
// packet of every pod alike. The pods and addresses are those that either set
// tells apart. It returns an error where there is more than can be tried one by
// one.
func Diff(old []*model.Policy, in Input) ([]Difference, error) {
	isOld := map[*model.Policy]bool{}
	var both []*model.Policy
	for _, p := range old {
		copied := *p // a policy may stand in both sets
		isOld[&copied] = true
		both = append(both, &copied)
	}
	both = append(both, in.Policies...)
	w, err := newWorld(in, both, scope{})
	if err != nil {
		return nil, err
	}
	oldSide := func(i int) bool { return isOld[w.policies[i]] }
	newSide := func(i int) bool { return !isOld[w.policies[i]] }
	var out []Difference
	for _, c := range w.classes {
		for _, d := range model.Directions {
			a, b := w.list(c, d, oldSide), w.list(c, d, newSide)
			aAllows := w.allowed(d, a, w.closed(c, d, oldSide))
			bAllows := w.allowed(d, b, w.closed(c, d, newSide))
			differ := aAllows.xor(bAllows)
			for i := range w.spaces[d].size() {
				if differ.has(i) {
					out = append(out, Difference{c.pod, w.spaces[d].packet(i),
						decision(a, i, aAllows), decision(b, i, bAllows)})
				}
			}
		}
	}
	return out, nil
}

// decision returns what list decides of point i.
func decision(list []*rule, i int, allows set) Decision {
	d := Decision{Allow: allows.has(i)}
	for _, x := range list {
		if x.match.has(i) {
			d.Rule = x.ref.String()
			break
		}
	}
	return d
}
