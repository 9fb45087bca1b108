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

// settled marks points of the axis that no name decides, or that would be decided
// the same without it.
const settled = -1

// addressWalk goes through the rules that match one address.
type addressWalk struct {
	*podNamesIndex
	addr    netip.Addr
	matches []addressRule
	// state is the index in matches of the rule that decides, by a name alone, or
	// settled.
	state stretches
	of    map[string]*stretches // by name: where some rule has it
	out   []overlapOfNames
}

// overlaps returns the overlaps at an address that names have.
func (x *podNamesIndex) overlaps(addr netip.Addr, names []string) []overlapOfNames {
	w := &addressWalk{podNamesIndex: x, addr: addr, matches: x.at(addr, names), of: map[string]*stretches{}}
	for _, name := range names {
		w.of[name] = &stretches{}
	}
	for i := range w.matches {
		l4 := model.PortsL4(w.ref(i).Rule().Ports)
		for _, r := range l4 {
			for _, s := range w.state.over(r) {
				w.meet(i, s)
			}
		}
		for _, j := range w.matches[i].names {
			w.of[w.name(i, j)].putAll(l4, i)
		}
	}
	return w.out
}

func (w *addressWalk) ref(i int) model.RuleRef { return w.rules[w.matches[i].rule] }

// name returns the name that peer j of rule i is.
func (w *addressWalk) name(i, j int) string { return w.ref(i).Rule().Peers[j].FQDN }

// meet has rule i meet what is decided on s.
func (w *addressWalk) meet(i int, s stretch) {
	m := &w.matches[i]
	decided := s.n != undecided
	same := s.n >= 0 && w.ref(s.n).Rule().Action.Allows() == w.ref(i).Rule().Action.Allows()
	switch {
	case m.other && (!decided || same):
		w.state.put(s.L4Range, settled)
	case !decided:
		w.state.put(s.L4Range, i)
	case s.n >= 0 && !same:
		w.differ(s.n, i, s.L4Range)
	}
}

// differ notes the names of rule i that no rule before it has on all of r, where
// rule first decides otherwise.
func (w *addressWalk) differ(first, i int, r model.L4Range) {
	for _, j := range w.matches[i].names {
		if own := w.of[w.name(i, j)].without(model.L4Set{r}); len(own) > 0 {
			w.out = append(w.out, overlapOfNames{
				first:  namedPeer{w.ref(first), w.matches[first].names[0]},
				later:  namedPeer{w.ref(i), j},
				packet: space.Packet{Addr: w.addr, L4: own[0].First},
			})
		}
	}
}
