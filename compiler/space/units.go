package space

import "github.com/trafficpolicy/trafficpolicy/model"

// unit is one peer and one port entry of a rule: the smallest thing that can be
// found dead.
type unit struct {
	peer, port int32    // indices in the rule's Peers and in its port entries
	sample     model.L4 // a point of the port entry, whether or not the unit has it
}

// units is the units of a list in the order in which they are tried; within a rule
// that order decides which entry takes a packet, not what becomes of it. What the
// analysis looks at over and over stands apart, close together.
type units struct {
	of    []unit
	rule  []int32 // by unit
	allow []bool  // by unit
	axis  *axis
	spans []span  // of all units, in order
	ends  []int32 // by unit: index behind its last span
}

// newUnits returns the units of a list. A unit has the points that no earlier port
// entry of the rule matches, which may be none.
func newUnits(list *model.RuleList) *units {
	us := &units{}
	if !list.Isolated {
		us.axis = newAxis(nil)
		return us
	}
	n := countPeers(list)
	us.of, us.rule, us.allow, us.ends = make([]unit, 0, n), make([]int32, 0, n), make([]bool, 0, n), make([]int32, 0, n)
	ports := make([]model.L4Set, 0, n)
	var entries []portEntry
	for i := range list.Rules {
		r := &list.Rules[i]
		entries = portEntries(entries[:0], r)
		for j := range r.Peers {
			for k, e := range entries {
				us.of = append(us.of, unit{int32(j), int32(k), e.sample})
				us.rule, us.allow = append(us.rule, int32(i)), append(us.allow, r.Action.Allows())
				ports = append(ports, e.ports)
			}
		}
	}
	us.axis = newAxis(ports)
	us.spans = make([]span, 0, len(ports))
	for _, set := range ports {
		for _, r := range set {
			us.spans = append(us.spans, us.axis.span(r))
		}
		us.ends = append(us.ends, int32(len(us.spans)))
	}
	return us
}

// spansOf returns the points of unit u, sorted.
func (us *units) spansOf(u int32) []span {
	from := int32(0)
	if u > 0 {
		from = us.ends[u-1]
	}
	return us.spans[from:us.ends[u]]
}

func countPeers(list *model.RuleList) int {
	n := 0
	for i := range list.Rules {
		n += len(list.Rules[i].Peers)
	}
	return n
}

// portEntry is what a port entry adds to those before it.
type portEntry struct {
	ports  model.L4Set
	sample model.L4
}

// portEntries appends to out the port entries of the source rule; of a rule
// without any, or without a source, one of all its points.
func portEntries(out []portEntry, r *model.ListRule) []portEntry {
	if r.Ref.IsZero() || len(r.Ref.Rule().Ports) < 2 {
		return append(out, portEntry{r.L4, r.L4[0].First})
	}
	var before model.L4Set
	for _, p := range r.Ref.Rule().Ports {
		out = append(out, portEntry{subtract(p.L4(), before), p.L4().First})
		before = model.NewL4Set(append(before, p.L4())...)
	}
	return out
}

// subtract returns the points of r that are not in s.
func subtract(r model.L4Range, s model.L4Set) model.L4Set {
	var out model.L4Set
	for _, cut := range s {
		if cut.Last < r.First {
			continue
		}
		if cut.First > r.Last {
			break
		}
		if r.First < cut.First {
			out = append(out, model.L4Range{First: r.First, Last: cut.First - 1})
		}
		if cut.Last >= r.Last {
			return out
		}
		r.First = cut.Last + 1
	}
	return append(out, r)
}
