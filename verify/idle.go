package verify

import (
	"errors"
	"net/netip"
	"slices"

	"github.com/trafficpolicy/trafficpolicy/compiler/space"
	"github.com/trafficpolicy/trafficpolicy/model"
)

// Whether a rule has an effect may depend on each unresolved name of a list, and on
// each two, and to ask for one is a pass over the whole list. So the rules whose
// effect is easily seen, and the names that then do not matter, are left out first.
const (
	// fewAtoms is how many names are asked for whatever that takes.
	fewAtoms = 16
	// mostAtomWork bounds pairs of more names times rules, some 100 ns each.
	mostAtomWork = 20_000_000
	// nameLookAhead bounds the rules that are searched for what is easily seen.
	nameLookAhead = 2048
)

// idleRules reports which rules of list, for which wanted holds, are live and have
// no effect, and of which that cannot be found out. found is its analysis.
func (o *order) idleRules(list *model.RuleList, found *space.Analysis, wanted func(model.RuleRef) bool) (idle, unknown []bool) {
	open := make([]bool, len(list.Rules))
	for i := range open {
		open[i] = found.Rules[i].Live && wanted(list.Rules[i].Ref)
	}
	if x := newNameIndex(list); len(x.byAtom) > 0 {
		return o.idleWithNames(x, found, open)
	}
	return idleOf(list, open, o.a.Families), make([]bool, len(open))
}

// idleWithNames is idleRules of the open rules of a list with unresolved names.
func (o *order) idleWithNames(x *nameIndex, found *space.Analysis, open []bool) (idle, unknown []bool) {
	idle, unknown, open = slices.Clone(open), make([]bool, len(open)), slices.Clone(open)
	certain := certainlyIdle(x.list, open, o.a.Families)
	for i := range open {
		switch {
		case certain[i]:
			open[i] = false
		case open[i] && (x.seenEffect(int32(i), &found.Rules[i].Witness) || x.shownEffect(int32(i), o.a.Families)):
			open[i], idle[i] = false, false
		}
	}
	if !slices.Contains(open, true) {
		return idle, unknown
	}
	less, at := withoutNames(x.list, open)
	n := len(newNameIndex(less).byAtom)
	if n > fewAtoms && n*n/2*len(less.Rules) > mostAtomWork {
		for i := range open {
			idle[i] = idle[i] && !open[i]
		}
		return idle, open
	}
	lessOpen := make([]bool, len(at))
	for i, j := range at {
		lessOpen[i] = open[j]
	}
	for i, still := range idleOf(less, lessOpen, o.a.Families) {
		if lessOpen[i] {
			idle[at[i]] = still
		}
	}
	return idle, unknown
}

// certainlyIdle reports which open rules are followed, as far as anything is reached
// at all, by nothing that decides otherwise on any of their ports.
func certainlyIdle(list *model.RuleList, open []bool, families []model.Family) []bool {
	var after [2]model.L4Set // ports of what follows, by action
	last := slices.IndexFunc(list.Rules, func(r model.ListRule) bool { return matchesAll(&r, families) })
	if last < 0 {
		last, after[0] = len(list.Rules), model.EveryL4 // the default denies
	} else {
		// Of the last rule itself it is not certain: without it, more is reached.
		after[actionIndex(&list.Rules[last])] = model.EveryL4
	}
	certain := make([]bool, len(open))
	for i := last - 1; i >= 0; i-- {
		r := &list.Rules[i]
		own := actionIndex(r)
		certain[i] = open[i] && !overlap(after[1-own], r.L4)
		if !after[own].IsEvery() {
			after[own] = model.NewL4Set(append(slices.Clone(after[own]), r.L4...)...)
		}
	}
	return certain
}

// actionIndex returns 1 for a rule that allows, else 0.
func actionIndex(r *model.ListRule) int {
	if r.Action.Allows() {
		return 1
	}
	return 0
}

// matchesAll reports whether one peer of r alone has every address, on every port.
func matchesAll(r *model.ListRule, families []model.Family) bool {
	return r.L4.IsEvery() && !slices.ContainsFunc(families, func(f model.Family) bool {
		return !slices.ContainsFunc(r.Peers, func(p model.ListPeer) bool { return p.Atom == "" && slices.Contains(p.Prefixes, f.All()) })
	})
}

// errManyNames is why it is not known whether a rule has an effect.
var errManyNames = errors.New("too many names without known addresses in the rules of one pod (--resolve gives some)")

// idleAmong is idleRules for the rules of wanted policies. Those of which it is not
// known are not idle, and noted as unchecked.
func (o *order) idleAmong(list *model.RuleList, found *space.Analysis, wanted func(*model.Policy) bool) []bool {
	idle, unknown := o.idleRules(list, found, func(r model.RuleRef) bool { return wanted(r.Policy) })
	for i := range unknown {
		if unknown[i] {
			o.a.unchecked(effectCodes, errManyNames, list.Rules[i].Ref.Policy)
		}
	}
	return idle
}

// idleOf reports which of the open rules of list, all of them live, have no effect.
func idleOf(list *model.RuleList, open []bool, families []model.Family) []bool {
	a := &space.Analysis{Rules: make([]space.RuleAnalysis, len(open))}
	for i := range open {
		a.Rules[i].Live = open[i]
	}
	return a.Idle(list, families...)
}

// nameIndex finds rules by the names and the known addresses of their peers.
type nameIndex struct {
	list   *model.RuleList
	byAtom map[model.Atom][]int32 // ascending
	known  []int32                // rules with a peer of known addresses, ascending
}

func newNameIndex(list *model.RuleList) *nameIndex {
	x := &nameIndex{list: list, byAtom: map[model.Atom][]int32{}}
	for i := range list.Rules {
		for _, p := range list.Rules[i].Peers {
			if p.Atom != "" {
				x.byAtom[p.Atom] = append(x.byAtom[p.Atom], int32(i))
			} else if n := len(x.known); n == 0 || x.known[n-1] != int32(i) {
				x.known = append(x.known, int32(i))
			}
		}
	}
	return x
}

// seenEffect reports whether rule i has an effect on p, which it decides: on p as it
// is, or where one more name has p's address. It looks at some of the next rules
// only, so false says nothing.
func (x *nameIndex) seenEffect(i int32, p *space.Packet) bool {
	rules := x.list.Rules
	allow := rules[i].Action.Allows()
	next, sure := x.next(i, p)
	otherwise := allow // the default denies
	if int(next) < len(rules) {
		otherwise = rules[next].Action.Allows() != allow
	}
	if sure && otherwise {
		return true
	}
	for j := i + 1; j < min(next, i+1+nameLookAhead); j++ {
		r := &rules[j]
		if r.Action.Allows() == allow || !r.L4.Contains(p.L4) {
			continue
		}
		for _, q := range r.Peers {
			if q.Atom == "" {
				continue
			}
			if k, sure := x.first(x.byAtom[q.Atom], p.L4); sure && k == j {
				return true
			}
		}
	}
	return false
}

// Bounds of what shownEffect looks at.
const (
	shownOpposed  = 8 // rules that decide otherwise
	shownPrefixes = 2 // of each
)

// shownEffect reports whether a name alone shows an effect of rule i, one of whose
// peers it is: where it has an address of a rule behind that decides otherwise. It
// tries few of those, so false says nothing.
func (x *nameIndex) shownEffect(i int32, families []model.Family) bool {
	rules := x.list.Rules
	rule := &rules[i]
	if int(i) >= nameLookAhead {
		return false
	}
	opposed := 0
	for j := i + 1; j < min(int32(len(rules)), i+1+nameLookAhead) && opposed < shownOpposed; j++ {
		at, ok := common(rule.L4, rules[j].L4)
		if !ok || rules[j].Action.Allows() == rule.Action.Allows() {
			continue
		}
		opposed++
		for _, q := range rules[j].Peers {
			for _, prefix := range q.Prefixes[:min(shownPrefixes, len(q.Prefixes))] {
				known := q.Atom == "" && slices.Contains(families, model.FamilyOf(prefix.Addr()))
				if known && x.showsEffect(i, &space.Packet{Addr: prefix.Addr(), L4: at}) {
					return true
				}
			}
		}
	}
	return false
}

// showsEffect reports whether rule i has an effect on p where one of its names alone
// has p's address.
func (x *nameIndex) showsEffect(i int32, p *space.Packet) bool {
	rules := x.list.Rules
	for _, q := range rules[i].Peers {
		if q.Atom == "" {
			continue
		}
		p.In = []model.Atom{q.Atom}
		if x.matching(0, p) != i {
			continue
		}
		next := x.matching(i+1, p)
		otherwise := rules[i].Action.Allows() // the default denies
		if int(next) < len(rules) {
			otherwise = rules[next].Action.Allows() != rules[i].Action.Allows()
		}
		if otherwise {
			return true
		}
	}
	return false
}

// matching returns the first rule from i on that matches p, the number of rules
// where none does.
func (x *nameIndex) matching(i int32, p *space.Packet) int32 {
	for ; int(i) < len(x.list.Rules); i++ {
		if r := &x.list.Rules[i]; r.L4.Contains(p.L4) && ruleHolds(r, p) {
			break
		}
	}
	return i
}

// next returns the first rule behind i that matches p, the number of rules where
// none does. It reports false where it would have to look at too many, with a rule
// that no match comes before.
func (x *nameIndex) next(i int32, p *space.Packet) (int32, bool) {
	next := int32(len(x.list.Rules))
	for _, a := range p.In {
		of := x.byAtom[a]
		at, _ := slices.BinarySearch(of, i+1)
		j, sure := x.first(of[at:], p.L4)
		if !sure {
			return i + 1, false
		}
		next = min(next, j)
	}
	at, _ := slices.BinarySearch(x.known, i+1)
	for n, j := range x.known[at:] {
		switch r := &x.list.Rules[j]; {
		case j >= next:
			return next, true
		case n == nameLookAhead:
			return j, false
		case r.L4.Contains(p.L4) && ruleHolds(r, p):
			return j, true
		}
	}
	return next, true
}

// first returns the first of the given rules that has point as one of its ports, the
// number of rules where none has. It reports false, with the last that it looked
// at, where there are too many.
func (x *nameIndex) first(rules []int32, point model.L4) (int32, bool) {
	for n, i := range rules {
		if x.list.Rules[i].L4.Contains(point) {
			return i, true
		}
		if n == nameLookAhead {
			return i, false
		}
	}
	return int32(len(x.list.Rules)), true
}

// ruleHolds reports whether a peer of r matches the address of p.
func ruleHolds(r *model.ListRule, p *space.Packet) bool {
	for i := range r.Peers {
		q := &r.Peers[i]
		if q.Atom != "" {
			if slices.Contains(p.In, q.Atom) {
				return true
			}
			continue
		}
		if oneHolds(q.Prefixes, p.Addr) {
			return true
		}
	}
	return false
}

// oneHolds reports whether one of the prefixes, which are sorted and disjoint, contains
// a: that can only be the last that does not begin behind it.
func oneHolds(prefixes []netip.Prefix, a netip.Addr) bool {
	i, exact := slices.BinarySearchFunc(prefixes, a, func(p netip.Prefix, a netip.Addr) int { return p.Addr().Compare(a) })
	return exact || i > 0 && prefixes[i-1].Contains(a)
}

// withoutNames returns list without the names that cannot matter to the open rules,
// and the index in list of each rule that is left. The names that can are those of
// the open rules themselves and of rules behind one that decide otherwise on some
// of its ports: all others may as well have no address.
func withoutNames(list *model.RuleList, open []bool) (less *model.RuleList, at []int) {
	var ports [2]model.L4Set // of the open rules so far, by action
	matters := map[model.Atom]bool{}
	for i := range list.Rules {
		r := &list.Rules[i]
		own := actionIndex(r)
		if open[i] && !ports[own].IsEvery() {
			ports[own] = model.NewL4Set(append(slices.Clone(ports[own]), r.L4...)...)
		}
		if !open[i] && !overlap(ports[1-own], r.L4) {
			continue
		}
		for _, p := range r.Peers {
			matters[p.Atom] = true
		}
	}
	less = &model.RuleList{Direction: list.Direction, Isolated: list.Isolated}
	for i, r := range list.Rules {
		r.Peers = slices.DeleteFunc(slices.Clone(r.Peers), func(p model.ListPeer) bool { return p.Atom != "" && !matters[p.Atom] })
		if len(r.Peers) > 0 {
			less.Rules, at = append(less.Rules, r), append(at, i)
		}
	}
	return less, at
}

// overlap reports whether a and b, both sorted, have a point in common.
func overlap(a, b model.L4Set) bool {
	_, ok := common(a, b)
	return ok
}

// common returns the first point that a and b, both sorted, have in common, and
// whether there is one.
func common(a, b model.L4Set) (model.L4, bool) {
	for len(a) > 0 && len(b) > 0 {
		switch {
		case a[0].Last < b[0].First:
			a = a[1:]
		case b[0].Last < a[0].First:
			b = b[1:]
		default:
			return max(a[0].First, b[0].First), true
		}
	}
	return 0, false
}
