package nftables

import (
	"fmt"
	"net/netip"
	"slices"

	"github.com/trafficpolicy/trafficpolicy/backends/bundle"
	"github.com/trafficpolicy/trafficpolicy/compiler/space"
	"github.com/trafficpolicy/trafficpolicy/model"
)

// agree checks that manifest and pods.json say the same.
func agree(m *bundle.Manifest, pods *Pods) error {
	prefix := "tp_" + pods.Tag + "_"
	switch {
	case pods.Scope != string(m.Scope):
		return fmt.Errorf("%s is of scope %q and the manifest of %q", PodsFile, pods.Scope, m.Scope)
	case pods.NodeSets != [2]string{prefix + "node4", prefix + "node6"}:
		return fmt.Errorf("%s: %q are not the sets of the node's addresses", PodsFile, pods.NodeSets)
	case m.Scope == bundle.ScopePod && len(pods.Pods) > 1:
		return fmt.Errorf("%s has %d pods in the scope of one", PodsFile, len(pods.Pods))
	}
	for _, p := range pods.Pods {
		foreign := func(a netip.Addr) bool { return !slices.Contains(m.PodAddrs, a) }
		if m.Scope == bundle.ScopePod && (p.Ref != m.Name || slices.ContainsFunc(p.Addrs, foreign)) {
			return fmt.Errorf("%s: pod %q with %v is not %q with %v", PodsFile, p.Ref, p.Addrs, m.Name, m.PodAddrs)
		}
		if m.Scope == bundle.ScopePod && p.Source+p.Deliver != "" {
			return fmt.Errorf("%s: pod %q has chains of a device in its own namespace", PodsFile, p.Ref)
		}
	}
	return nil
}

// count checks the manifest's counts.
func count(m *bundle.Manifest, pods, elements int) error {
	policies := map[string]bool{}
	for _, d := range m.Defaults {
		for _, p := range d.Policies {
			policies[p] = true
		}
	}
	is := bundle.Counts{
		Pods: pods, Classes: len(m.Defaults) / len(model.Directions), Policies: len(policies),
		Rules: len(m.Rules), Names: len(m.Names), Elements: elements,
	}
	if m.Counts != is {
		return fmt.Errorf("the manifest counts %s, and there are %s", m.Counts, is)
	}
	return nil
}

// compare checks what the manifest says of rules and names.
func compare(m *bundle.Manifest, r *space.Reading) error {
	if r.PodScope != (m.Scope == bundle.ScopePod) {
		return fmt.Errorf("the hooks are not those of scope %q", m.Scope)
	}
	actions := make(map[string]string, len(m.Rules))
	for _, x := range m.Rules {
		actions[x.Name] = x.Action
	}
	for _, x := range r.Deciders {
		if x.Rule != "" && actions[x.Rule] != x.Action.String() {
			return fmt.Errorf("rule %q does %s, and the manifest says %s", x.Rule, x.Action, actions[x.Rule])
		}
	}
	for _, n := range m.Names {
		if !slices.Equal(r.Names[n.Name], n.Addrs) {
			return fmt.Errorf("name %q has the addresses %v, and the manifest says %v", n.Name, r.Names[n.Name], n.Addrs)
		}
	}
	return nil
}

// classes checks that the class of each pod is one whose default denies end its
// packets.
func classes(m *bundle.Manifest, pods *Pods, r *space.Reading) error {
	type key struct {
		class int
		model.Direction
	}
	of := map[key][]string{}
	for i := range m.Defaults {
		d := &m.Defaults[i]
		of[key{d.Class, keyDefault(d).Direction}] = d.Policies
	}
	class := make(map[string]int, len(pods.Pods))
	for _, p := range pods.Pods {
		class[p.Ref] = p.Class
	}
	ends := map[*space.Table]int32{}
	for i := range r.Subjects {
		s := &r.Subjects[i]
		for _, d := range model.Directions {
			want, ok := of[key{class[s.Pod], d}]
			if !ok {
				return fmt.Errorf("%s: pod %q is of class %d, which the manifest does not have", PodsFile, s.Pod, class[s.Pod])
			}
			t := s.Table(d)
			end, ok := ends[t]
			if !ok {
				end = defaultIn(t, r.Deciders)
				ends[t] = end
			}
			if end >= 0 && !slices.Equal(r.Deciders[end].Policies, want) {
				return fmt.Errorf("%s: pod %q is of class %d, but what ends its %s is the default deny of %q", PodsFile, s.Pod, class[s.Pod], d, r.Deciders[end].Policies)
			}
		}
	}
	return nil
}

// defaultIn returns the default deny that a table has, [space.NoRule] without one.
func defaultIn(t *space.Table, deciders []space.Decider) int32 {
	for i := range t.Decisions {
		for _, c := range t.Decisions[i].Cells {
			if c.Rule >= 0 && deciders[c.Rule].Policies != nil {
				return c.Rule
			}
		}
	}
	return space.NoRule
}
