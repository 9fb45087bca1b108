package verify

import (
	"cmp"
	"context"
	"fmt"
	"slices"

	"github.com/trafficpolicy/trafficpolicy/compiler"
	"github.com/trafficpolicy/trafficpolicy/compiler/space"
	"github.com/trafficpolicy/trafficpolicy/model"
)

// group puts the pods into groups: those of one namespace that the same policies
// govern and that the filters treat alike.
func (r *reacher) group(in *compiler.Input) {
	type key struct {
		namespace, policies string
		isSrc, isDst        bool
	}
	index, ids := compiler.NewPolicyIndex(in.Policies), policyIDs(in.Policies)
	known := map[key]int{}
	for _, p := range in.Inventory.Pods {
		addrs := r.resolver.Addresses().Of(p)
		isSrc, isDst := r.from.pods(p, addrs), r.to.pods(p, addrs)
		if !p.Subject() || !isSrc && !isDst {
			continue
		}
		policies := index.Governing(p, r.options.Options)
		k := key{p.Namespace, ids.spell(policies), isSrc, isDst}
		i, ok := known[k]
		if !ok {
			i = len(r.groups)
			known[k] = i
			r.groups = append(r.groups, &reachGroup{namespace: p.Namespace, policies: policies, isSrc: isSrc, isDst: isDst})
		}
		g := r.groups[i]
		g.members = append(g.members, p.Ref())
		for _, a := range addrs {
			r.addrs = append(r.addrs, reachAddr{a, int32(i)})
			g.has[model.FamilyOf(a)] = true
		}
	}
	for _, g := range r.groups {
		slices.Sort(g.members)
		g.name = g.members[0]
		if n := len(g.members); n > 1 {
			g.name = fmt.Sprintf("%s and %d more", g.members[0], n-1)
		}
	}
	slices.SortFunc(r.addrs, func(a, b reachAddr) int { return cmp.Or(a.addr.Compare(b.addr), cmp.Compare(a.group, b.group)) })
}

// lookUp asks each governed group's policies about all addresses. Groups of the
// same policies ask once.
func (r *reacher) lookUp(ctx context.Context) error {
	first := map[string]int{}
	var ask []int
	same := make([]int, len(r.groups))
	ids := map[*model.Policy]int32{}
	for i, g := range r.groups {
		if len(g.policies) == 0 {
			continue
		}
		list := make([]int32, len(g.policies))
		for j, p := range g.policies {
			if _, ok := ids[p]; !ok {
				ids[p] = int32(len(ids))
			}
			list[j] = ids[p]
		}
		key := spell(list)
		if _, ok := first[key]; !ok {
			first[key] = i
			ask = append(ask, i)
		}
		same[i] = first[key]
	}
	err := inParallel(ctx, len(ask), func(i int) error { return r.ask(r.groups[ask[i]]) })
	for i, g := range r.groups {
		if len(g.policies) > 0 {
			g.seen, g.open = r.groups[same[i]].seen, r.groups[same[i]].open
		}
	}
	return err
}

// ask fills in what g's policies say.
func (r *reacher) ask(g *reachGroup) error {
	for _, d := range model.Directions {
		list := r.resolver.RuleList(g.policies, d, compiler.ForAnalysis)
		for _, f := range r.families {
			t, err := space.Flatten(list, f)
			if err != nil {
				return err
			}
			said := map[space.DecisionID]l4ID{}
			ranges := t.Ranges()
			world := map[l4ID]int{}
			for _, rng := range ranges {
				id, ok := said[rng.Decision]
				if !ok {
					id = r.sets.of(list, t.Cells(rng.Decision))
					said[rng.Decision] = id
				}
				at, ok := world[id]
				if !ok {
					at = len(g.open[d][f])
					world[id] = at
					g.open[d][f] = append(g.open[d][f], l4Addrs{id: id})
				}
				g.open[d][f][at].add(rng.First, rng.Last)
			}
			g.seen[d][f] = r.look(ranges, said)
		}
	}
	return nil
}

// look returns what a table says of each group's addresses.
func (r *reacher) look(ranges []space.Range, said map[space.DecisionID]l4ID) []profileID {
	found := make([]l4Profile, len(r.groups))
	family := ranges[0].First.BitLen()
	at := 0
	for _, a := range r.addrs {
		if a.addr.BitLen() != family {
			continue
		}
		for ranges[at].Last.Less(a.addr) {
			at++
		}
		if id := said[ranges[at].Decision]; !slices.Contains(found[a.group], id) {
			found[a.group] = append(found[a.group], id)
		}
	}
	out := make([]profileID, len(found))
	last := map[l4ID]profileID{} // of profiles of one
	for i, p := range found {
		if id, ok := noProfile, false; len(p) == 1 {
			if id, ok = last[p[0]]; !ok {
				id = r.sets.profile(p)
				last[p[0]] = id
			}
			out[i] = id
			continue
		}
		out[i] = r.sets.profile(p)
	}
	return out
}
