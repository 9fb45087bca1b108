package verify

import (
	"context"
	"net/netip"
	"slices"

	"github.com/trafficpolicy/trafficpolicy/compiler"
	"github.com/trafficpolicy/trafficpolicy/compiler/space"
	"github.com/trafficpolicy/trafficpolicy/model"
)

// opening is a rule by which pods reach addresses that they had better not.
type opening struct {
	rule model.RuleRef
	// to says, by number of the prefix asked about, how; nil where the rule is the
	// first match of no packet there.
	to []*passage
}

// passage is a packet that a rule allows, to an address asked about.
type passage struct {
	at     *subject
	packet space.Packet
}

// first returns the first passage to one of the prefixes.
func (o *opening) first() *passage {
	return o.to[slices.IndexFunc(o.to, func(p *passage) bool { return p != nil })]
}

// openings returns the egress rules that allow some packet to one of prefixes at
// some subject, for which wanted holds, each once, in no particular order but the
// same in every run. A name whose addresses are not known is taken to hold none of
// the addresses asked about: neither does a rule with such a peer open them, nor
// does it close them.
func (s *sense) openings(ctx context.Context, prefixes []netip.Prefix, wanted func(*model.Rule) bool) ([]*opening, error) {
	found := make([][]hit, len(s.subjects))
	err := inParallel(ctx, len(s.subjects), func(i int) error {
		found[i] = s.hits(&s.subjects[i], prefixes, wanted)
		return nil
	})
	if err != nil {
		return nil, err
	}
	var out []*opening
	known := map[model.RuleRef]*opening{}
	for i, hits := range found {
		for _, h := range hits {
			o := known[h.rule]
			if o == nil {
				o = &opening{h.rule, make([]*passage, len(prefixes))}
				known[h.rule] = o
				out = append(out, o)
			}
			if o.to[h.prefix] == nil {
				o.to[h.prefix] = &passage{&s.subjects[i], h.packet}
			}
		}
	}
	return out, nil
}

// openingFindings returns what finding makes of the openings of each sense. An
// address that is said to be open always is not repeated for the inventory.
func (a *Analysis) openingFindings(ctx context.Context, prefixes []netip.Prefix, wanted func(*model.Rule) bool, finding func(*sense, *opening) model.Finding) ([]model.Finding, error) {
	senses, err := a.senses(ctx)
	if err != nil {
		return nil, err
	}
	var out []model.Finding
	said := map[model.RuleRef][]*passage{}
	for _, s := range senses {
		openings, err := s.openings(ctx, prefixes, wanted)
		if err != nil {
			return nil, err
		}
		for _, o := range openings {
			if !o.drop(said[o.rule]) {
				continue
			}
			said[o.rule] = o.to
			f := aboutRule(finding(s, o), o.rule)
			p := o.first()
			f.Witness = p.at.witness(o.rule.Direction, &p.packet)
			out = append(out, f)
		}
	}
	return out, nil
}

// drop takes out of o what is said already, and reports whether anything is left.
func (o *opening) drop(said []*passage) bool {
	left := false
	for i := range o.to {
		if said != nil && said[i] != nil {
			o.to[i] = nil
		}
		left = left || o.to[i] != nil
	}
	return left
}

// names names those of prefixes that o opens, a single address as such.
func (o *opening) names(prefixes []netip.Prefix) string {
	var l []string
	for i, p := range prefixes {
		switch {
		case o.to[i] == nil:
		case p.IsSingleIP():
			l = append(l, p.Addr().String())
		default:
			l = append(l, p.String())
		}
	}
	return joinAnd(l)
}

// hit is a packet to one of the prefixes with the rule that allows it.
type hit struct {
	rule   model.RuleRef
	prefix int
	packet space.Packet
}

func (s *sense) hits(at *subject, prefixes []netip.Prefix, wanted func(*model.Rule) bool) (out []hit) {
	opens := func(p *model.Policy) bool {
		return slices.ContainsFunc(p.Rules(model.Egress), func(r model.Rule) bool { return r.Action.Allows() && wanted(&r) })
	}
	last := len(at.policies)
	for last > 0 && !opens(at.policies[last-1]) {
		last-- // behind every rule that is wanted
	}
	if last == 0 {
		return nil
	}
	list := s.resolver.RuleList(at.policies[:last], model.Egress, compiler.ForAnalysis)
	for i, within := range prefixes {
		part := restrict(list, within)
		analysis := space.Reached(part, model.FamilyOf(within.Addr()))
		nice := space.Packet{Addr: within.Addr(), L4: nicePoint}
		niceRule := firstMatch(part, &nice)
		for j := range part.Rules {
			r := &part.Rules[j]
			if !analysis.Rules[j].Live || !r.Action.Allows() || !wanted(r.Ref.Rule()) {
				continue
			}
			h := hit{r.Ref, i, analysis.Rules[j].Witness}
			if j == niceRule {
				h.packet = nice
			}
			out = append(out, h)
		}
	}
	return out
}

// nicePoint is what a reader would try first.
var nicePoint = model.L4Of(model.TCP, 80)

// restrict returns the rules of list with the part of their addresses that is
// within a prefix, up to one that has all of it on every port. Atoms have no part.
func restrict(list *model.RuleList, within netip.Prefix) *model.RuleList {
	out := &model.RuleList{Direction: list.Direction, Isolated: list.Isolated}
	whole := []netip.Prefix{within}
	var peers []model.ListPeer // of all rules
	for i := range list.Rules {
		r := list.Rules[i]
		from, all := len(peers), false
		for j := range r.Peers {
			p := r.Peers[j]
			if p.Atom != "" {
				continue
			}
			if p.Prefixes = partWithin(p.Prefixes, whole); len(p.Prefixes) > 0 {
				peers = append(peers, p)
				all = all || p.Prefixes[0] == within
			}
		}
		if len(peers) == from {
			continue
		}
		r.Peers = peers[from:len(peers):len(peers)]
		out.Rules = append(out.Rules, r)
		if all && r.L4.IsEvery() {
			break
		}
	}
	return out
}

// partWithin returns the part of prefixes, which are sorted and disjoint, that is
// within the one prefix of whole. It shares memory with either.
func partWithin(prefixes, whole []netip.Prefix) []netip.Prefix {
	within := whole[0]
	from, _ := slices.BinarySearchFunc(prefixes, within.Addr(), func(p netip.Prefix, a netip.Addr) int { return p.Addr().Compare(a) })
	for _, i := range []int{from - 1, from} { // a larger one starts before, or at the same address
		if i >= 0 && i < len(prefixes) && prefixes[i].Bits() <= within.Bits() && prefixes[i].Contains(within.Addr()) {
			return whole
		}
	}
	to := from
	for to < len(prefixes) && within.Contains(prefixes[to].Addr()) {
		to++
	}
	return prefixes[from:to]
}

// firstMatch returns the rule of list that decides p, space.NoRule without one.
// It is for single packets.
func firstMatch(list *model.RuleList, p *space.Packet) int {
	for i := range list.Rules {
		r := &list.Rules[i]
		if r.L4.Contains(p.L4) && slices.ContainsFunc(r.Peers, func(q model.ListPeer) bool { return peerHas(&q, p) }) {
			return i
		}
	}
	return int(space.NoRule)
}

// peerHas reports whether p is to an address of q.
func peerHas(q *model.ListPeer, p *space.Packet) bool {
	if q.Atom != "" {
		return slices.Contains(p.In, q.Atom)
	}
	i, found := slices.BinarySearchFunc(q.Prefixes, p.Addr, func(x netip.Prefix, a netip.Addr) int { return x.Addr().Compare(a) })
	return found || i > 0 && q.Prefixes[i-1].Contains(p.Addr)
}
