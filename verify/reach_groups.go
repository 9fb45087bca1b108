package verify

import (
	"cmp"
	"context"
	"fmt"
	"net/netip"
	"slices"

	"github.com/trafficpolicy/trafficpolicy/compiler"
	"github.com/trafficpolicy/trafficpolicy/compiler/space"
	"github.com/trafficpolicy/trafficpolicy/model"
)

// group puts the pods that have an address into groups: those of one namespace
// that the same policies govern and that the filters treat alike.
func (r *reacher) group(in *compiler.Input) {
	type key struct {
		namespace, policies string
		isSrc, isDst        bool
	}
	index, ids := compiler.NewPolicyIndex(in.Policies), policyIDs(in.Policies)
	known := map[key]*reachGroup{}
	var h hosts
	var lacking []*model.Pod
	for _, p := range in.Inventory.Pods {
		addrs := r.addresses(p)
		h.join(addrs)
		isSrc, isDst := r.from.pods(p, addrs), r.to.pods(p, addrs)
		if !p.Subject() || !isSrc && !isDst {
			continue
		}
		if len(addrs) == 0 {
			lacking = append(lacking, p)
			continue
		}
		policies := index.Governing(p, r.options.Options)
		k := key{p.Namespace, ids.spell(policies), isSrc, isDst}
		g := known[k]
		if g == nil {
			g = &reachGroup{namespace: p.Namespace, policies: policies, isSrc: isSrc, isDst: isDst}
			known[k] = g
			r.groups = append(r.groups, g)
		}
		g.members = append(g.members, p.Ref())
		g.addrs = append(g.addrs, addrs...)
	}
	slices.SortFunc(lacking, func(a, b *model.Pod) int {
		return cmp.Or(cmp.Compare(a.Namespace, b.Namespace), cmp.Compare(a.Name, b.Name))
	})
	for _, p := range lacking {
		r.noAddress = append(r.noAddress, p.Ref())
	}
	r.order()
	r.number(&h)
}

// addresses returns the addresses that p owns, of the families that count.
func (r *reacher) addresses(p *model.Pod) []netip.Addr {
	return slices.DeleteFunc(r.resolver.Addresses().Of(p), func(a netip.Addr) bool {
		return !slices.Contains(r.families, model.FamilyOf(a))
	})
}

// order sorts the groups by their first members and names them by these.
func (r *reacher) order() {
	for _, g := range r.groups {
		slices.Sort(g.members)
		g.name = g.members[0]
		if n := len(g.members); n > 1 {
			g.name = fmt.Sprintf("%s and %d more", g.members[0], n-1)
		}
	}
	slices.SortFunc(r.groups, func(a, b *reachGroup) int {
		return cmp.Or(cmp.Compare(a.namespace, b.namespace), cmp.Compare(a.members[0], b.members[0]))
	})
}

// lookUp asks each governed group's policies about all addresses. Groups of the
// same policies ask once.
func (r *reacher) lookUp(ctx context.Context) error {
	alike := map[string]int{} // index in asked
	var asked [][]int
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
		at, ok := alike[key]
		if !ok {
			at = len(asked)
			alike[key] = at
			asked = append(asked, nil)
		}
		asked[at] = append(asked[at], i)
	}
	return inParallel(ctx, len(asked), func(i int) error { return r.ask(asked[i]) })
}

// ask fills in what the policies of groups, which have the same, say.
func (r *reacher) ask(groups []int) error {
	g, near := r.groups[groups[0]], r.near(groups)
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
			g.seen[d][f] = r.look(ranges, said, near)
		}
	}
	for _, i := range groups[1:] {
		r.groups[i].seen, r.groups[i].open = g.seen, g.open
	}
	return nil
}

// look returns what a table says of each group's addresses, and of those of
// groups that are near also of which host.
func (r *reacher) look(ranges []space.Range, said map[space.DecisionID]l4ID, near []bool) []profileID {
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
		id, p := said[ranges[at].Decision], found[a.group]
		if n := len(p); n > 0 && p[n-1] == (l4Said{id, manyHosts}) {
			continue // as of most addresses
		}
		host := manyHosts
		if near[a.group] {
			host = a.host
		}
		found[a.group] = p.with(id, host)
	}
	out := make([]profileID, len(found))
	last := map[l4Said]profileID{} // of profiles of one
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
