package verify

import (
	"maps"
	"slices"

	"github.com/trafficpolicy/trafficpolicy/model"
)

// match finds the policies that are the same in both sets, and numbers all.
func (d *differ) match() {
	before, after := map[string]*model.Policy{}, map[string]*model.Policy{}
	for _, p := range d.sides[0].policies {
		before[p.Ref()] = p
	}
	for _, p := range d.sides[1].policies {
		after[p.Ref()] = p
	}
	d.sides[0].policies = slices.Clone(d.sides[0].policies)
	for i, p := range d.sides[0].policies {
		if q := after[p.Ref()]; q != nil && samePolicy(p, q) && d.sameNames(p) {
			d.sides[0].policies[i] = q
		}
	}
	for _, s := range d.sides {
		for _, p := range s.policies {
			if _, ok := d.ids[p]; !ok {
				d.ids[p] = int32(len(d.all))
				d.all = append(d.all, p)
			}
		}
	}
	for i, s := range d.sides {
		d.in[i] = make([]bool, len(d.all))
		for _, p := range s.policies {
			d.in[i][d.ids[p]] = true
		}
	}
	d.changes = PolicyChanges{Added: []string{}, Removed: []string{}, Changed: []string{}}
	for _, ref := range slices.Sorted(maps.Keys(before)) {
		switch q := after[ref]; {
		case q == nil:
			d.changes.Removed = append(d.changes.Removed, ref)
		case !samePolicy(before[ref], q):
			d.changes.Changed = append(d.changes.Changed, ref)
		}
	}
	for _, ref := range slices.Sorted(maps.Keys(after)) {
		if before[ref] == nil {
			d.changes.Added = append(d.changes.Added, ref)
		}
	}
}

// changed reports whether policy id is in one set only.
func (d *differ) changed(id int32) bool { return !d.in[0][id] || !d.in[1][id] }

// sameNames reports whether the names of p mean the same in both inventories.
func (d *differ) sameNames(p *model.Policy) bool {
	for _, dir := range model.Directions {
		for _, r := range p.Rules(dir) {
			for i := range r.Peers {
				if r.Peers[i].Kind == model.PeerCIDR {
					continue
				}
				a, b := d.sides[0].resolver.Peer(&r.Peers[i], dir), d.sides[1].resolver.Peer(&r.Peers[i], dir)
				if a.Unknown() != b.Unknown() || !slices.Equal(a.Prefixes, b.Prefixes) {
					return false
				}
			}
		}
	}
	return true
}

// samePolicy reports whether two policies of one name say the same, wherever
// they stand.
func samePolicy(p, q *model.Policy) bool {
	if p == q {
		return true
	}
	return p.Priority == q.Priority && sameSelector(&p.Selector, &q.Selector) &&
		sameSection(p.Egress, q.Egress) && sameSection(p.Ingress, q.Ingress)
}

func sameSelector(a, b *model.Selector) bool {
	return slices.Equal(a.MatchLabels, b.MatchLabels) && slices.EqualFunc(a.MatchExpressions, b.MatchExpressions, func(x, y model.Requirement) bool {
		return x.Key == y.Key && x.Operator == y.Operator && slices.Equal(x.Values, y.Values)
	})
}

func sameSection(a, b *model.Section) bool {
	if a == nil || b == nil {
		return a == b
	}
	return slices.EqualFunc(a.Rules, b.Rules, func(x, y model.Rule) bool {
		return x.Action == y.Action && slices.EqualFunc(x.Peers, y.Peers, samePeer) && slices.EqualFunc(x.Ports, y.Ports, samePort)
	})
}

func samePeer(a, b model.Peer) bool {
	return a.Kind == b.Kind && a.CIDR == b.CIDR && a.Service == b.Service && a.Namespace == b.Namespace && a.FQDN == b.FQDN &&
		a.Workload.Namespace == b.Workload.Namespace && slices.Equal(a.Workload.Labels, b.Workload.Labels)
}

func samePort(a, b model.Port) bool { a.Pos, b.Pos = model.Pos{}, model.Pos{}; return a == b }

// sameDecisions reports whether two lists allow and deny alike rule by rule. If
// not they may still decide every packet alike.
func sameDecisions(a, b *model.RuleList) bool {
	return a.Isolated == b.Isolated && slices.EqualFunc(a.Rules, b.Rules, func(x, y model.ListRule) bool {
		return x.Action.Allows() == y.Action.Allows() && slices.Equal(x.L4, y.L4) && slices.EqualFunc(x.Peers, y.Peers, func(p, q model.ListPeer) bool {
			return p.Atom == q.Atom && slices.Equal(p.Prefixes, q.Prefixes)
		})
	})
}
