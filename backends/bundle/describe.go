package bundle

import (
	"maps"
	"slices"

	"github.com/trafficpolicy/trafficpolicy/compiler"
	"github.com/trafficpolicy/trafficpolicy/model"
)

// Describe returns what a manifest says of p, whichever backend it is compiled for:
// all but Tool, Sequence and what follows from the files. rules are those that can
// decide a packet, by name; elements counts what the payload holds.
func Describe(p *compiler.Program, backend string, rules map[string]Rule, elements int) Manifest {
	m := Manifest{Backend: backend, Scope: ScopeOf(p), Name: p.Target.Node, Node: p.NodeName, Defaults: Defaults(p)}
	if m.Scope == ScopePod {
		m.Name, m.PodAddrs = p.Target.Pod, p.PodAddrs
	}
	for _, name := range slices.Sorted(maps.Keys(rules)) {
		m.Rules = append(m.Rules, rules[name])
	}
	for _, n := range p.Names {
		m.Names = append(m.Names, KnownName{ID: ID(n.Name), Name: n.Name, Addrs: n.Addrs})
	}
	policies := map[string]bool{}
	for i := range p.Classes {
		for _, ref := range PolicyRefs(&p.Classes[i]) {
			policies[ref] = true
		}
	}
	m.Counts = Counts{
		Pods: len(p.Pods), Classes: len(p.Classes), Policies: len(policies),
		Rules: len(m.Rules), Names: len(m.Names), Elements: elements,
	}
	return m
}

// ScopeOf returns the scope of p.
func ScopeOf(p *compiler.Program) Scope {
	if p.Target.Pod != "" {
		return ScopePod
	}
	return ScopeNode
}

// Defaults returns the default denies of p, by class, egress first.
func Defaults(p *compiler.Program) []Default {
	var out []Default
	for c := range p.Classes {
		refs := PolicyRefs(&p.Classes[c])
		for _, d := range model.Directions {
			out = append(out, Default{ID: ID(DefaultName(d.String(), refs)), Class: c, Direction: d.String(), Policies: refs})
		}
	}
	return out
}

// PolicyRefs returns the names of the policies that select class c, in evaluation
// order.
func PolicyRefs(c *compiler.ProgramClass) []string {
	refs := make([]string, len(c.Policies))
	for i, p := range c.Policies {
		refs[i] = p.Ref()
	}
	return refs
}
