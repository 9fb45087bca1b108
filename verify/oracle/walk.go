package oracle

import "github.com/trafficpolicy/trafficpolicy/model"

// anyPolicy is the side of a world that has one.
func anyPolicy(int) bool { return true }

// list returns the rules that are tried for a pod of c, in order: those of the
// policies of the side that select it.
func (w *world) list(c *class, d model.Direction, side func(policy int) bool) []*rule {
	var out []*rule
	for _, r := range w.rules[d] {
		if c.selected[r.policy] && side(r.policy) {
			out = append(out, r)
		}
	}
	return out
}

// closed reports whether a packet that no rule matches is denied: "The default
// deny holds for both directions as soon as any policy selects the pod [...]
// --isolation=direction narrows it to directions that some selecting policy
// declares (its section is present, even with no rules)".
func (w *world) closed(c *class, d model.Direction, side func(policy int) bool) bool {
	for i, p := range w.policies {
		if c.selected[i] && side(i) && (!w.in.IsolateByDirection || p.Section(d) != nil) {
			return true
		}
	}
	return false
}

// walk returns what each rule of a list decides: the points that it matches
// and no rule before it does. rest is what none matches.
func (w *world) walk(d model.Direction, list []*rule) (won []set, rest set) {
	taken := newSet(w.spaces[d].size())
	for _, r := range list {
		won = append(won, r.match.minus(taken))
		taken = taken.or(r.match)
	}
	return won, w.spaces[d].all.minus(taken)
}

// allowed returns the points that a list lets pass. reject is a deny.
func (w *world) allowed(d model.Direction, list []*rule, closed bool) set {
	won, rest := w.walk(d, list)
	out := newSet(w.spaces[d].size())
	if !closed {
		out = rest
	}
	for i, r := range list {
		if r.allow {
			out = out.or(won[i])
		}
	}
	return out
}
