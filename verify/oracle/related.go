package oracle

import (
	"fmt"
	"slices"

	"github.com/trafficpolicy/trafficpolicy/model"
)

// CheckRelated returns what is wrong with related, the rules that a finding
// about the dead rule names: "a small set of rules that together take all its
// packets [...] with one of the other action whenever there is one; at most
// 16". They are right where, for one of the pods that tell TP101 from TP102,
// each is tried before the rule and matches some packet of it, each packet of
// it is matched by one of them (unless cut says that some were left out), and
// one of the other action takes a packet of it if any does. An error of another
// kind than of related says that there is more than can be tried one by one.
func CheckRelated(in Input, name string, related []string, cut bool) error {
	w, err := newWorld(in, in.Policies, scope{})
	if err != nil {
		return err
	}
	for _, d := range model.Directions {
		for _, x := range w.rules[d] {
			if x.ref.String() != name {
				continue
			}
			var first error
			for _, c := range w.classes {
				if !c.selected[x.policy] || !w.decides(c, x) {
					continue
				}
				err := w.checkRelated(c, d, x, related, cut)
				if err == nil {
					return nil
				}
				if first == nil {
					first = fmt.Errorf("%s: for %s: %w", name, c.pod, err)
				}
			}
			return first
		}
	}
	return fmt.Errorf("%s is no rule", name)
}

func (w *world) checkRelated(c *class, d model.Direction, x *rule, related []string, cut bool) error {
	if len(related) > 16 || cut && len(related) < 16 {
		return fmt.Errorf("%d related rules, cut %t", len(related), cut)
	}
	list := w.list(c, d, anyPolicy)
	won, _ := w.walk(d, list)
	left := x.match
	var other, otherNamed bool
	for i, e := range list[:slices.Index(list, x)] {
		named := slices.Contains(related, e.ref.String())
		if e.allow != x.allow && !won[i].and(x.match).empty() {
			other, otherNamed = true, otherNamed || named
		}
		if !named {
			continue
		}
		if e.match.and(x.match).empty() {
			return fmt.Errorf("%s matches no packet of it", e.ref)
		}
		left = left.minus(e.match)
		related = slices.DeleteFunc(slices.Clone(related), func(s string) bool { return s == e.ref.String() })
	}
	switch {
	case len(related) > 0:
		return fmt.Errorf("%s is not tried before it", related[0])
	case other && !otherNamed:
		return fmt.Errorf("none of the other action that takes a packet of it")
	case !cut && !left.empty():
		return fmt.Errorf("nobody matches %s", w.spaces[d].packet(left.first()))
	}
	return nil
}
