package verify

import (
	"fmt"
	"net/netip"

	"go4.org/netipx"

	"github.com/trafficpolicy/trafficpolicy/model"
)

// outcome is what passes between two ends: for all of both, for some, and
// depending on unresolved names.
type outcome struct{ all, some, maybe model.L4Set }

func (o *outcome) nothing() bool { return len(o.all)+len(o.some)+len(o.maybe) == 0 }

func (o *outcome) flow() ReachFlow {
	return ReachFlow{Ports: append([]string{}, portNames(o.all)...), Some: portNames(o.some), Maybe: portNames(o.maybe)}
}

// key tells outcomes apart.
func (o *outcome) key() string {
	return fmt.Sprint([]model.L4Range(o.all), []model.L4Range(o.some), []model.L4Range(o.maybe))
}

// between returns what group i can send to groups, those with one outcome together.
func (r *reacher) between(i int) []ReachFlow {
	src := r.groups[i]
	if !src.isSrc {
		return nil
	}
	byOutcome := map[int]int{}
	var out []ReachFlow
	for j, dst := range r.groups {
		if !dst.isDst || len(src.policies)+len(dst.policies) == 0 && !r.narrow() {
			continue
		}
		id := r.pair(i, j)
		if r.outcomes[id].nothing() {
			continue
		}
		at, ok := byOutcome[id]
		if !ok {
			at = len(out)
			byOutcome[id] = at
			f := r.outcomes[id].flow()
			f.From = []int{i}
			out = append(out, f)
		}
		out[at].To = append(out[at].To, j)
	}
	return out
}

// narrow reports whether both ends were asked for, so that nothing is left out.
func (r *reacher) narrow() bool { return r.from != nil && r.to != nil }

// pair returns what passes from group i to group j, as an index in outcomes: what
// the policies of i say of the addresses of j, and those of j of those of i.
func (r *reacher) pair(i, j int) int {
	a, b := r.groups[i], r.groups[j]
	key := [4]profileID{noProfile, noProfile, noProfile, noProfile} // egress and ingress, by family
	for _, f := range r.families {
		if a.sole[f] != noHost && b.sole[f] != noHost {
			key[2*f], key[2*f+1] = r.profile(i, model.Egress, f, j), r.profile(j, model.Ingress, f, i)
		}
	}
	id, ok := r.joined[key]
	if !ok {
		o := r.join(key)
		if id, ok = r.named[o.key()]; !ok {
			id = len(r.outcomes)
			r.outcomes = append(r.outcomes, o)
			r.named[o.key()] = id
		}
		r.joined[key] = id
	}
	return id
}

// profile returns what group i's policies say of group other's addresses.
func (r *reacher) profile(i int, d model.Direction, f model.Family, other int) profileID {
	g := r.groups[i]
	switch {
	case len(g.policies) > 0:
		return g.seen[d][f][other]
	case i == other || g.kin[int32(other)]:
		return r.sets.profile(l4Profile{{r.every, r.groups[other].sole[f]}})
	}
	return r.free
}

// join combines every thing that one end says with every thing that the other
// does: any pod of one may meet any of the other. Egress speaks of destinations,
// ingress of sources, so two things that are said of one and the same host alone
// never meet: that is its traffic to itself.
func (r *reacher) join(key [4]profileID) outcome {
	var all, some, possible model.L4Set
	first := true
	for f := 0; f < len(key); f += 2 {
		if key[f] == noProfile || key[f+1] == noProfile {
			continue
		}
		for _, x := range r.sets.profiles[key[f]] {
			for _, y := range r.sets.profiles[key[f+1]] {
				if x.host != manyHosts && x.host == y.host {
					continue
				}
				p, q := r.sets.pairs[x.id], r.sets.pairs[y.id]
				sure := intersect(p.sure, q.sure)
				if first {
					all, first = sure, false
				}
				all, some = intersect(all, sure), union(some, sure)
				possible = union(possible, intersect(p.possible, q.possible))
			}
		}
	}
	return outcome{all: all, some: minus(some, all), maybe: minus(possible, some)}
}

// world returns what passes between group i and addresses, as the group's own
// policies say: the addresses with one outcome together.
func (r *reacher) world(i int, d model.Direction) []ReachFlow {
	g := r.groups[i]
	asked, other := g.isSrc, r.to
	if d == model.Ingress {
		asked, other = g.isDst, r.from
	}
	if !asked || len(g.policies) == 0 && !r.narrow() {
		return nil
	}
	var out []ReachFlow
	byKey := map[string]int{}
	for _, f := range r.families {
		addrs, ok := other.world(f)
		if !ok {
			return nil
		}
		for _, x := range r.openTo(g, d, f) {
			p := r.sets.pairs[x.id]
			o := outcome{all: p.sure, maybe: minus(p.possible, p.sure)}
			prefixes := prefixesWithin(x.ranges, addrs)
			if o.nothing() || len(prefixes) == 0 {
				continue
			}
			at, ok := byKey[o.key()]
			if !ok {
				at = len(out)
				byKey[o.key()] = at
				flow := o.flow()
				if flow.From = []int{i}; d == model.Ingress {
					flow.From, flow.To = nil, []int{i}
				}
				out = append(out, flow)
			}
			out[at].Prefixes = append(out[at].Prefixes, prefixes...)
		}
	}
	return out
}

func (r *reacher) openTo(g *reachGroup, d model.Direction, f model.Family) []l4Addrs {
	if len(g.policies) > 0 {
		return g.open[d][f]
	}
	return []l4Addrs{{id: r.every, ranges: []netipx.IPRange{netipx.RangeOfPrefix(f.All())}}}
}

// prefixesWithin returns the addresses of ranges that are in set, as the fewest
// prefixes.
func prefixesWithin(ranges []netipx.IPRange, set *netipx.IPSet) []netip.Prefix {
	var b netipx.IPSetBuilder
	for _, r := range ranges {
		b.AddRange(r)
	}
	b.Intersect(set)
	both, err := b.IPSet()
	if err != nil { // a range is not valid, which none of these is
		return nil
	}
	return both.Prefixes()
}
