package verify

import (
	"cmp"
	"net/netip"
	"slices"
	"sync"

	"github.com/trafficpolicy/trafficpolicy/compiler"
	"github.com/trafficpolicy/trafficpolicy/compiler/space"
	"github.com/trafficpolicy/trafficpolicy/model"
)

// override is an allow rule of a TrafficPolicy that is the first to match a packet
// which the pod's GlobalTrafficPolicies alone would deny.
type override struct {
	allow, deny model.RuleRef
	packet      space.Packet
	size        addresses // of the block around packet
}

// compare orders overrides of one denial by how much their packets tell, as
// mostSpecific does.
func (o *override) compare(p *override) int {
	return cmp.Or(cmp.Compare(len(o.packet.In), len(p.packet.In)), o.size.compare(p.size))
}

// overrideFinder looks for overrides. It is safe for concurrent use.
type overrideFinder struct {
	a        *Analysis
	resolver *compiler.Resolver
	key      func([]*model.Policy) string
	alone    sync.Map // globalKey to func() (tables, error)
}

func newOverrideFinder(a *Analysis, r *compiler.Resolver) *overrideFinder {
	return &overrideFinder{a: a, resolver: r, key: a.policyKeys()}
}

// find returns the overrides at s, for each denial and TrafficPolicy one.
func (f *overrideFinder) find(s *subject) ([]override, error) {
	var out []override
	for _, d := range model.Directions {
		o := overriding{overrideFinder: f, direction: d}
		o.split(s.policies)
		if len(o.globals) == 0 {
			continue
		}
		found, err := o.find()
		if err != nil {
			return nil, err
		}
		out = append(out, found...)
	}
	return out, nil
}

// overriding looks for overrides in one direction of one pod.
type overriding struct {
	*overrideFinder
	direction model.Direction
	// all are the policies up to the last that can override, globals the
	// GlobalTrafficPolicies up to the last that can be overridden. Nothing behind
	// them matters.
	all, globals []*model.Policy
}

// split fills in all and globals, none where no denial is behind a namespaced allow.
func (o *overriding) split(policies []*model.Policy) {
	var globals []*model.Policy
	allows, last := 0, 0
	for i, p := range policies {
		if p.Kind == model.GlobalTrafficPolicy {
			globals = append(globals, p)
			if allows > 0 && slices.ContainsFunc(p.Rules(o.direction), denies) {
				o.globals, last = globals[:len(globals):len(globals)], allows
			}
		} else if slices.ContainsFunc(p.Rules(o.direction), allowing) {
			allows = i + 1
		}
	}
	o.all = policies[:last]
}

func denies(r model.Rule) bool   { return !r.Action.Allows() }
func allowing(r model.Rule) bool { return r.Action.Allows() }

func (o *overriding) find() ([]override, error) {
	out, err := o.known()
	if err != nil {
		return nil, err
	}
	more, err := o.named()
	if err != nil {
		return nil, err
	}
	return dropWorse(append(out, more...)), nil
}

// known returns the overrides by rules whose peers have known addresses.
func (o *overriding) known() (out []override, err error) {
	list := o.list(o.all, false)
	all, err := o.flatten(list)
	if err != nil {
		return nil, err
	}
	globals, err := o.globalTables(false)
	if err != nil {
		return nil, err
	}
	refs := rulesOf(o.globals, o.direction)
	for i := range all {
		kinds := pairKinds{}
		found := space.CompareTables(all[i], globals[i], func(a, b int32) space.Kind {
			if a == space.NoRule || b == space.NoRule || !overrides(list.Rules[a].Ref, refs[b]) {
				return space.Same
			}
			return kinds.of(a, b)
		})
		for i := range found {
			out = append(out, override{list.Rules[found[i].A].Ref, refs[found[i].B], found[i].Witness, addressesOf(&found[i])})
		}
	}
	return out, nil
}

// overrides reports whether a first match a, where the GlobalTrafficPolicies alone
// have b, is an override.
func overrides(a, b model.RuleRef) bool {
	return a.Policy.Kind == model.TrafficPolicy && a.Rule().Action.Allows() && !b.Rule().Action.Allows()
}

// named returns the overrides of packets to names without known addresses. Which
// addresses these are is not guessed: a name counts where any would do, since each
// of the two rules is of the name itself, or of every address of the family.
func (o *overriding) named() (out []override, err error) {
	refs := rulesOf(o.globals, o.direction)
	if !slices.ContainsFunc(refs, deniesAnyAddress) {
		return nil, nil
	}
	list := o.list(o.all, true)
	all, err := o.flatten(list)
	if err != nil {
		return nil, err
	}
	globals, err := o.globalTables(true)
	if err != nil {
		return nil, err
	}
	for i, family := range o.a.Families {
		fits := func(r model.RuleRef, a model.Atom) bool {
			named := func(p model.Peer) bool { return p.Kind != model.PeerCIDR && model.Atom(p.String()) == a }
			return slices.ContainsFunc(r.Rule().Peers, named) || matchesFamily(r.Rule(), family)
		}
		eachMeeting(all[i], globals[i], func(first, last netip.Addr, x, y *space.Cell, l4 model.L4Range) {
			eachAtom(x, y, func(atom model.Atom, a, b int32) {
				if a == space.NoRule || b == space.NoRule {
					return
				}
				if by, of := list.Rules[a].Ref, refs[b]; overrides(by, of) && fits(by, atom) && fits(of, atom) {
					packet := space.Packet{Addr: first, L4: l4.First, In: []model.Atom{atom}}
					out = append(out, override{by, of, packet, addressesOf(&space.Difference{First: first, Last: last})})
				}
			})
		})
	}
	return out, nil
}

// deniesAnyAddress reports whether r may deny a packet whatever its address is: it is
// a denial of a name, or of every address.
func deniesAnyAddress(r model.RuleRef) bool {
	rule := r.Rule()
	named := func(p model.Peer) bool { return p.Kind != model.PeerCIDR }
	return !rule.Action.Allows() && (slices.ContainsFunc(rule.Peers, named) || matchesEveryone(rule))
}

// eachAtom calls f for each atom of x and y with the rules that decide the packets
// of this one atom.
func eachAtom(x, y *space.Cell, f func(atom model.Atom, a, b int32)) {
	if len(x.If)+len(y.If) == 0 {
		return
	}
	inY := make(map[model.Atom]int32, len(y.If))
	for _, c := range y.If {
		inY[c.Atom] = c.Rule
	}
	for _, c := range x.If {
		b, ok := inY[c.Atom]
		if !ok {
			b = y.Rule
		}
		delete(inY, c.Atom)
		f(c.Atom, c.Rule, b)
	}
	for _, c := range y.If {
		if _, left := inY[c.Atom]; left {
			f(c.Atom, x.Rule, c.Rule)
		}
	}
}

// eachMeeting calls f for each two cells of a and b that have packets in common, at
// the first addresses where their decisions meet.
func eachMeeting(a, b *space.Table, f func(first, last netip.Addr, x, y *space.Cell, l4 model.L4Range)) {
	seen := map[[2]space.DecisionID]bool{}
	ra, rb := a.Ranges(), b.Ranges()
	for i, j := 0, 0; i < len(ra) && j < len(rb); {
		first, last := ra[i].First, ra[i].Last
		if first.Less(rb[j].First) {
			first = rb[j].First
		}
		if rb[j].Last.Less(last) {
			last = rb[j].Last
		}
		if key := [2]space.DecisionID{ra[i].Decision, rb[j].Decision}; !seen[key] {
			seen[key] = true
			eachCell(a.Cells(key[0]), b.Cells(key[1]), func(x, y *space.Cell, l4 model.L4Range) { f(first, last, x, y, l4) })
		}
		if ra[i].Last == last {
			i++
		}
		if rb[j].Last == last {
			j++
		}
	}
}

// eachCell calls f for each stretch of the axis on which two decisions have one cell.
func eachCell(a, b []space.Cell, f func(x, y *space.Cell, l4 model.L4Range)) {
	for at := model.L4(0); at <= model.L4Last; {
		x, restA := cellAt(a, at)
		y, restB := cellAt(b, at)
		last := min(x.Last, y.Last)
		f(&x, &y, model.L4Range{First: at, Last: last})
		a, b, at = restA, restB, last+1
	}
}

// pairKinds has a kind of difference for each two rules, so that no block of a
// comparison is about others than its witness is.
type pairKinds map[[2]int32]space.Kind

func (k pairKinds) of(a, b int32) space.Kind {
	pair := [2]int32{a, b}
	if k[pair] == space.Same {
		k[pair] = space.Kind(len(k) + 1)
	}
	return k[pair]
}

// list returns the rules of policies, without names of unknown addresses unless
// asked for.
func (o *overriding) list(policies []*model.Policy, names bool) *model.RuleList {
	list := o.resolver.RuleList(policies, o.direction, compiler.ForAnalysis)
	if names {
		return list
	}
	for i := range list.Rules {
		for j := range list.Rules[i].Peers {
			list.Rules[i].Peers[j].Atom = ""
		}
	}
	return list
}

// globalKey names the tables of GlobalTrafficPolicies.
type globalKey struct {
	policies  string
	direction model.Direction
	names     bool
}

// globalTables returns the tables of the globals alone, which many pods share.
func (o *overriding) globalTables(names bool) (tables, error) {
	flatten := sync.OnceValues(func() (tables, error) { return o.flatten(o.list(o.globals, names)) })
	kept, _ := o.alone.LoadOrStore(globalKey{o.key(o.globals), o.direction, names}, flatten)
	return kept.(func() (tables, error))()
}

func (f *overrideFinder) flatten(list *model.RuleList) (out tables, err error) {
	for _, family := range f.a.Families {
		t, err := space.Flatten(list, family)
		if err != nil {
			return nil, err
		}
		out = append(out, t)
	}
	return out, nil
}

// rulesOf returns the rules of policies, as their list has them.
func rulesOf(policies []*model.Policy, d model.Direction) (out []model.RuleRef) {
	for _, p := range policies {
		for i := range p.Rules(d) {
			out = append(out, model.RuleRef{Policy: p, Direction: d, Index: i})
		}
	}
	return out
}

// dropWorse keeps, for each denial and TrafficPolicy, the override that tells most.
func dropWorse(os []override) []override {
	type key struct {
		deny model.RuleRef
		by   *model.Policy
	}
	at := map[key]int{}
	out := os[:0]
	for _, o := range os {
		k := key{o.deny, o.allow.Policy}
		i, seen := at[k]
		switch {
		case !seen:
			at[k] = len(out)
			out = append(out, o)
		case o.compare(&out[i]) < 0:
			out[i] = o
		}
	}
	return out
}
