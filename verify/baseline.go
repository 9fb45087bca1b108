package verify

import (
	"cmp"
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
	everything   bool // some denial of globals is of every address
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
				o.everything = o.everything || slices.ContainsFunc(p.Rules(o.direction), func(r model.Rule) bool { return denies(r) && matchesEveryone(&r) })
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
	// What a name without known addresses holds is not guessed: it counts where
	// the denial is of every address.
	out, err := o.compare(false)
	if err == nil && o.everything {
		var more []override
		more, err = o.compare(true)
		out = append(out, more...)
	}
	if err != nil {
		return nil, err
	}
	return dropWorse(out), nil
}

// compare returns the overrides by rules of known addresses, or, with names, those
// of denials of every address.
func (o *overriding) compare(names bool) ([]override, error) {
	list := o.list(o.all, names)
	all, err := o.flatten(list)
	if err != nil {
		return nil, err
	}
	globals, err := o.globalTables(names)
	if err != nil {
		return nil, err
	}
	refs := rulesOf(o.globals, o.direction)
	var out []override
	for i, family := range o.a.Families {
		kinds := pairKinds{}
		found := space.CompareTables(all[i], globals[i], func(a, b int32) space.Kind {
			if a == space.NoRule || b == space.NoRule {
				return space.Same
			}
			by, of := list.Rules[a].Ref, refs[b]
			if by.Policy.Kind != model.TrafficPolicy || !by.Rule().Action.Allows() || of.Rule().Action.Allows() || names && !matchesFamily(of.Rule(), family) {
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
