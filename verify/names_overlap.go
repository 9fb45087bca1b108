package verify

import (
	"cmp"
	"maps"
	"net/netip"
	"slices"

	"github.com/trafficpolicy/trafficpolicy/compiler/space"
	"github.com/trafficpolicy/trafficpolicy/model"
)

// namedPeer is a peer that is a name.
type namedPeer struct {
	model.RuleRef
	peer int // in the rule's Peers
}

func (n namedPeer) name() string { return n.Rule().Peers[n.peer].FQDN }

// overlapOfNames is a packet whose address two names have, one in a rule that
// decides it, the other in a rule behind that one which decides otherwise.
type overlapOfNames struct {
	first, later namedPeer
	packet       space.Packet
}

// sharedAddresses is the known addresses that more than one name of the policies
// has, each with these names, sorted.
type sharedAddresses map[netip.Addr][]string

func (a *Analysis) sharedAddresses() sharedAddresses {
	if len(a.Options.Resolve) == 0 {
		return nil
	}
	used := map[string]bool{}
	for _, p := range a.Policies {
		for _, r := range p.Rules(model.Egress) {
			for i := range r.Peers {
				if r.Peers[i].Kind == model.PeerFQDN {
					used[r.Peers[i].FQDN] = true
				}
			}
		}
	}
	shared := sharedAddresses{}
	for _, name := range slices.Sorted(maps.Keys(used)) {
		for _, addr := range a.Options.Resolve[name] {
			if names := shared[addr]; slices.Contains(a.Families, model.FamilyOf(addr)) && !slices.Contains(names, name) {
				shared[addr] = append(names, name)
			}
		}
	}
	maps.DeleteFunc(shared, func(_ netip.Addr, names []string) bool { return len(names) < 2 })
	return shared
}

// addressRule is a rule that matches an address: by these peers of it that are
// names, by another peer, or both.
type addressRule struct {
	rule  int // in the list
	names []int
	other bool
}

// podNamesIndex finds the egress rules of one pod by address.
type podNamesIndex struct {
	rules    []model.RuleRef
	byName   map[string][]addressRule
	byPrefix map[netip.Prefix][]int
}

func newPodNamesIndex(policies []*model.Policy) *podNamesIndex {
	x := &podNamesIndex{rules: rulesOf(policies, model.Egress), byName: map[string][]addressRule{}, byPrefix: map[netip.Prefix][]int{}}
	for i, ref := range x.rules {
		r := ref.Rule()
		for j := range r.Peers {
			switch p := &r.Peers[j]; p.Kind {
			case model.PeerFQDN:
				x.byName[p.FQDN] = append(x.byName[p.FQDN], addressRule{rule: i, names: []int{j}})
			case model.PeerCIDR:
				x.byPrefix[p.CIDR] = append(x.byPrefix[p.CIDR], i)
			}
		}
		if len(r.Peers) == 0 {
			for _, f := range model.Families {
				x.byPrefix[f.All()] = append(x.byPrefix[f.All()], i)
			}
		}
	}
	return x
}

// at returns the rules that match addr, which names have, in order. What a Service
// without known addresses has is not guessed.
func (x *podNamesIndex) at(addr netip.Addr, names []string) []addressRule {
	byRule := map[int]*addressRule{}
	of := func(i int) *addressRule {
		if byRule[i] == nil {
			byRule[i] = &addressRule{rule: i}
		}
		return byRule[i]
	}
	for _, name := range names {
		for _, r := range x.byName[name] {
			m := of(r.rule)
			m.names = append(m.names, r.names...)
		}
	}
	for bits := 0; bits <= addr.BitLen(); bits++ {
		p, _ := addr.Prefix(bits) // bits fit
		for _, i := range x.byPrefix[p] {
			of(i).other = true
		}
	}
	out := make([]addressRule, 0, len(byRule))
	for _, m := range byRule {
		slices.Sort(m.names)
		out = append(out, *m)
	}
	slices.SortFunc(out, func(a, b addressRule) int { return cmp.Compare(a.rule, b.rule) })
	return out
}

// namesOverlap returns the overlaps at a pod of the policies: for each later peer
// and first rule one.
func (shared sharedAddresses) namesOverlap(policies []*model.Policy) []overlapOfNames {
	x := newPodNamesIndex(policies)
	type key struct {
		later namedPeer
		first model.RuleRef
	}
	seen := map[key]bool{}
	var out []overlapOfNames
	for _, addr := range x.addresses(shared) {
		for _, o := range x.overlaps(addr, shared[addr]) {
			if k := (key{o.later, o.first.RuleRef}); !seen[k] {
				seen[k] = true
				out = append(out, o)
			}
		}
	}
	return out
}

// addresses returns the shared addresses that at least two names of the pod have, sorted.
func (x *podNamesIndex) addresses(shared sharedAddresses) []netip.Addr {
	var out []netip.Addr
	for addr, names := range shared {
		n := 0
		for _, name := range names {
			if x.byName[name] != nil {
				n++
			}
		}
		if n > 1 {
			out = append(out, addr)
		}
	}
	slices.SortFunc(out, netip.Addr.Compare)
	return out
}

// settled marks points of the axis that a name does not decide, or that would be
// decided the same without it.
const settled = -1

// overlaps returns the overlaps at one address.
func (x *podNamesIndex) overlaps(addr netip.Addr, names []string) []overlapOfNames {
	var out []overlapOfNames
	var state stretches                 // what is decided: settled, or the index in matches of the rule
	decided := map[string]model.L4Set{} // by name: where some rule has it
	matches := x.at(addr, names)
	allows := func(i int) bool { return x.rules[matches[i].rule].Rule().Action.Allows() }
	for i, m := range matches {
		rule := x.rules[m.rule].Rule()
		l4 := model.PortsL4(rule.Ports)
		for _, r := range l4 {
			for _, s := range state.over(r) {
				switch {
				case s.n == undecided && len(m.names) > 0 && !m.other:
					state.put(s.L4Range, i)
				case s.n == undecided && m.other, s.n >= 0 && allows(s.n) == allows(i) && m.other:
					state.put(s.L4Range, settled)
				case s.n >= 0 && allows(s.n) != allows(i):
					first := matches[s.n]
					for _, j := range m.names {
						if own := minus(model.L4Set{s.L4Range}, decided[rule.Peers[j].FQDN]); len(own) > 0 {
							out = append(out, overlapOfNames{
								first:  namedPeer{x.rules[first.rule], first.names[0]},
								later:  namedPeer{x.rules[m.rule], j},
								packet: space.Packet{Addr: addr, L4: own[0].First},
							})
						}
					}
				}
			}
		}
		for _, j := range m.names {
			name := rule.Peers[j].FQDN
			decided[name] = union(decided[name], l4)
		}
	}
	return out
}
