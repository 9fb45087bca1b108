package space

import "github.com/trafficpolicy/trafficpolicy/model"

// unit is one peer and one port entry of a rule: the smallest thing that can be
// found dead. Units are in the order in which they are tried; within a rule that
// order decides which entry takes a packet, not what becomes of it.
type unit struct {
	rule       int32
	peer, port int32 // indices in the rule's Peers and in its port entries
	ports      model.L4Set
	sample     model.L4 // a point of the port entry, whether or not ports has it
	allow      bool
}

// newUnits returns the units of a list in order. ports of a unit are what no
// earlier port entry of the rule matches, which may be nothing.
func newUnits(list *model.RuleList) []unit {
	if !list.Isolated {
		return nil
	}
	units := make([]unit, 0, countPeers(list))
	var entries []portEntry
	for i := range list.Rules {
		r := &list.Rules[i]
		entries = portEntries(entries[:0], r)
		for j := range r.Peers {
			for k, e := range entries {
				units = append(units, unit{int32(i), int32(j), int32(k), e.ports, e.sample, r.Action.Allows()})
			}
		}
	}
	return units
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
