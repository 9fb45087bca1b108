package verify

import (
	"cmp"
	"net/netip"
	"slices"
	"sort"
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
	// shared reports that another allow takes packet where its name does not hold
	// the address: simulate may then name that one.
	shared bool
}

// compare orders overrides of one denial by how much their packets tell, as
// mostSpecific does.
func (o *override) compare(p *override) int {
	return cmp.Or(cmp.Compare(len(o.packet.In), len(p.packet.In)), cmp.Compare(b2i(o.shared), b2i(p.shared)), o.size.compare(p.size))
}

func b2i(b bool) int {
	if b {
		return 1
	}
	return 0
}

// overrideFinder looks for overrides. It is safe for concurrent use, but for settle.
type overrideFinder struct {
	a        *Analysis
	resolver *compiler.Resolver
	key      func([]*model.Policy) string
	alone    sync.Map // globalKey to func() ([]*globalTable, error)
	// settled are the denials of which enough is known; version counts them.
	settled map[model.RuleRef]bool
	version int
}

func newOverrideFinder(a *Analysis, r *compiler.Resolver) *overrideFinder {
	return &overrideFinder{a: a, resolver: r, key: a.policyKeys(), settled: map[model.RuleRef]bool{}}
}

// settle ends the search for overrides of a denial.
func (f *overrideFinder) settle(deny model.RuleRef) {
	f.settled[deny] = true
	f.version++
}

// find returns overrides at s, one for each TrafficPolicy and denial that is not settled.
func (f *overrideFinder) find(s *subject) ([]override, error) {
	var out []override
	for _, d := range model.Directions {
		o := overriding{overrideFinder: f, direction: d}
		if o.split(s.policies); len(o.globals) == 0 {
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

func (o *overriding) find() (out []override, err error) {
	globals, err := o.globalTables()
	if err != nil {
		return nil, err
	}
	for i, family := range o.a.Families {
		open := globals[i].openRanges(o.overrideFinder)
		if len(open) == 0 {
			continue
		}
		list := o.list(o.all, globals[i].names)
		table, err := space.Flatten(list, family)
		if err != nil {
			return nil, err
		}
		c := overrideCells{overriding: o, family: family, list: list, refs: globals[i].refs}
		opens := decisionRules(table, func(r int32) bool { return isExemption(list.Rules[r].Ref) })
		seen := map[[2]space.DecisionID]bool{}
		eachOverlap(table.Ranges(), open, func(first, last netip.Addr, a, b space.DecisionID) {
			if key := [2]space.DecisionID{a, b}; opens[a] != nil && !seen[key] {
				seen[key] = true
				c.first, c.size = first, addressesOf(&space.Difference{First: first, Last: last})
				eachCell(table.Cells(a), globals[i].table.Cells(b), c.compare)
			}
		})
		out = append(out, c.out...)
	}
	return dropWorse(out), nil
}

// isExemption reports whether r is an allow rule of a TrafficPolicy.
func isExemption(r model.RuleRef) bool {
	return r.Policy.Kind == model.TrafficPolicy && r.Rule().Action.Allows()
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

// overrideCells compares what decides the packets of one stretch of addresses.
type overrideCells struct {
	*overriding
	family model.Family
	list   *model.RuleList // of the pod
	refs   []model.RuleRef // of its GlobalTrafficPolicies alone
	first  netip.Addr
	size   addresses
	out    []override
}

// compare compares two cells on l4: x of the pod, y of its GlobalTrafficPolicies alone.
//
// Which addresses a name has that is not known is not guessed. It counts where any
// would do, since each of the two rules is of the name itself, or of every address.
func (c *overrideCells) compare(x, y *space.Cell, l4 model.L4Range) {
	c.add(x.Rule, y.Rule, space.Packet{Addr: c.first, L4: l4.First}, false)
	eachAtom(x, y, func(atom model.Atom, a, b int32) {
		if a != space.NoRule && b != space.NoRule && c.fits(c.list.Rules[a].Ref, atom) && c.fits(c.refs[b], atom) {
			shared := x.Rule != a && x.Rule != space.NoRule && c.list.Rules[x.Rule].Action.Allows()
			c.add(a, b, space.Packet{Addr: c.first, L4: l4.First, In: []model.Atom{atom}}, shared)
		}
	})
}

// add notes that rule a of the pod decides p, and rule b of the others would.
func (c *overrideCells) add(a, b int32, p space.Packet, shared bool) {
	if a == space.NoRule || b == space.NoRule {
		return
	}
	allow, deny := c.list.Rules[a].Ref, c.refs[b]
	if isExemption(allow) && !deny.Rule().Action.Allows() && !c.settled[deny] {
		c.out = append(c.out, override{allow, deny, p, c.size, shared})
	}
}

// fits reports whether r matches the name whatever its addresses are.
func (c *overrideCells) fits(r model.RuleRef, name model.Atom) bool {
	rule := r.Rule()
	is := func(p model.Peer) bool { return p.Kind != model.PeerCIDR && model.Atom(p.String()) == name }
	return slices.ContainsFunc(rule.Peers, is) || matchesFamily(rule, c.family)
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

// globalTable is what GlobalTrafficPolicies alone decide in one direction and family.
type globalTable struct {
	table   *space.Table
	refs    []model.RuleRef
	names   bool      // names of unknown addresses were not left out
	denials [][]int32 // by decision

	mu      sync.Mutex
	open    []space.Range // of denials that are not settled, as of version
	version int
}

// globalKey names the tables of GlobalTrafficPolicies.
type globalKey struct {
	policies  string
	direction model.Direction
}

// globalTables returns the tables of the globals alone, by family, which many pods
// share.
func (o *overriding) globalTables() ([]*globalTable, error) {
	build := sync.OnceValues(o.newGlobalTables)
	kept, _ := o.alone.LoadOrStore(globalKey{o.key(o.globals), o.direction}, build)
	return kept.(func() ([]*globalTable, error))()
}

func (o *overriding) newGlobalTables() (out []*globalTable, err error) {
	refs := rulesOf(o.globals, o.direction)
	names := slices.ContainsFunc(refs, deniesAnyAddress)
	list := o.list(o.globals, names)
	for _, f := range o.a.Families {
		t, err := space.Flatten(list, f)
		if err != nil {
			return nil, err
		}
		g := &globalTable{table: t, refs: refs, names: names, open: t.Ranges(), version: -1}
		g.denials = decisionRules(t, func(r int32) bool { return !refs[r].Rule().Action.Allows() })
		out = append(out, g)
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

// decisionRules returns, by decision of t, the rules of it for which is holds, each
// once; nil where there is none.
func decisionRules(t *space.Table, is func(r int32) bool) [][]int32 {
	out := make([][]int32, len(t.Decisions))
	for id := range out {
		var rules []int32
		for _, c := range t.Cells(space.DecisionID(id)) {
			if c.Rule != space.NoRule && is(c.Rule) {
				rules = append(rules, c.Rule)
			}
			for _, x := range c.If {
				if is(x.Rule) {
					rules = append(rules, x.Rule)
				}
			}
		}
		slices.Sort(rules)
		out[id] = slices.Compact(rules)
	}
	return out
}

// openRanges returns the addresses at which a denial that is not settled decides, in order.
func (g *globalTable) openRanges(f *overrideFinder) []space.Range {
	g.mu.Lock()
	defer g.mu.Unlock()
	if g.version != f.version {
		closed := func(r int32) bool { return f.settled[g.refs[r]] }
		var open []space.Range
		for _, r := range g.open {
			if slices.ContainsFunc(g.denials[r.Decision], func(d int32) bool { return !closed(d) }) {
				open = append(open, r)
			}
		}
		g.open, g.version = open, f.version
	}
	return g.open
}

// eachOverlap calls f for each stretch of addresses that a range of a and one of b,
// both sorted, have in common. Its cost is that of a and of the answer.
func eachOverlap(a, b []space.Range, f func(first, last netip.Addr, x, y space.DecisionID)) {
	for _, r := range a {
		b = b[sort.Search(len(b), func(i int) bool { return !b[i].Last.Less(r.First) }):]
		for _, q := range b {
			if r.Last.Less(q.First) {
				break
			}
			first, last := r.First, r.Last
			if first.Less(q.First) {
				first = q.First
			}
			if q.Last.Less(last) {
				last = q.Last
			}
			f(first, last, r.Decision, q.Decision)
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
