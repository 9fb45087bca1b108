package simulate

import (
	"net/netip"
	"slices"
	"strings"

	"go4.org/netipx"

	"github.com/trafficpolicy/trafficpolicy/model"
)

// outcome is one thing that a walk may come to, and the condition under which
// it does. Of all outcomes of a walk exactly one holds.
type outcome struct {
	decision Decision
	rule     *walkRule // that decides; nil where none does
	// in is the unresolved peer that the remote address is taken to be in; not
	// are those tried before it, which it is taken not to be in.
	in  model.Atom
	not []model.Atom
	// within and outside restrict the address of a name that has none yet: it
	// lies in one of the prefixes, and in none of those tried before.
	within, outside []netip.Prefix
}

// outcomes returns everything that the walk may come to for a packet, at least
// one outcome: first what holds where the remote address is in no unresolved
// peer and in no prefix that a name only might lie in; then the others, in the
// order of the rules. It returns an error where a rule looks at what the flow
// does not say.
func (w *Walk) outcomes(r remote, x point) ([]outcome, error) {
	if !w.Isolated {
		return []outcome{{decision: w.fallback()}}, nil
	}
	if r.name == "" && !r.addr.IsValid() {
		return nil, errNoAddress
	}
	e := &exploration{walk: w, remote: r, point: x}
	find := e.address
	if r.name != "" {
		find = e.unresolved
	}
	last, err := find()
	if err != nil {
		return nil, err
	}
	last.not, last.outside = e.not, e.outside
	return append([]outcome{last}, e.found...), nil
}

// exploration follows a walk past every rule that only might match.
type exploration struct {
	walk   *Walk
	remote remote
	point  point

	found   []outcome
	not     []model.Atom
	outside []netip.Prefix
}

// address walks for a remote address that is known.
func (e *exploration) address() (outcome, error) {
	a := e.remote.addr
	for i := range e.walk.rules {
		r := &e.walk.rules[i]
		j, ok := r.peer(a)
		if !ok && !e.open(r) {
			continue
		}
		match, err := r.ports(e.point)
		switch {
		case err != nil:
			return outcome{}, err
		case !match:
		case ok:
			return outcome{decision: r.decision(j), rule: r}, nil
		default:
			e.fork(r)
		}
	}
	return outcome{decision: e.walk.fallback()}, nil
}

// open reports whether r has an unresolved peer that is not decided yet.
func (e *exploration) open(r *walkRule) bool {
	return slices.ContainsFunc(r.unknown, func(u walkPeer) bool { return !slices.Contains(e.not, u.atom) })
}

// fork notes that r decides where the address is in one of its unresolved peers,
// and goes on as if it were in none.
func (e *exploration) fork(r *walkRule) {
	for _, u := range r.unknown {
		if slices.Contains(e.not, u.atom) {
			continue
		}
		e.found = append(e.found, outcome{
			decision: r.decision(u.index),
			rule:     r,
			in:       u.atom,
			not:      slices.Clone(e.not),
			outside:  slices.Clone(e.outside),
		})
		e.not = append(e.not, u.atom)
	}
}

// unresolved walks for an address of a name that has no known ones: it is in
// whatever peer names it, and may be any address of the family otherwise. left
// is where it may still be once the rules so far have not matched.
func (e *exploration) unresolved() (outcome, error) {
	self := model.Atom((&model.Peer{Kind: model.PeerFQDN, FQDN: e.remote.name}).String())
	left := setOf(e.remote.family.All())
	for i := range e.walk.rules {
		r := &e.walk.rules[i]
		certain, ok := noPeer, r.everyone()
		for _, u := range r.unknown {
			if u.atom == self {
				certain, ok = u.index, true
			}
		}
		if !ok && !e.open(r) && !slices.ContainsFunc(r.resolved, func(p walkPeer) bool { return meets(left, p.prefixes) }) {
			continue
		}
		match, err := r.ports(e.point)
		switch {
		case err != nil:
			return outcome{}, err
		case !match:
			continue
		case ok:
			return outcome{decision: r.decision(certain), rule: r}, nil
		}
		for _, p := range r.resolved {
			if !meets(left, p.prefixes) {
				continue
			}
			rest := without(left, p.prefixes)
			if rest.Equal(&netipx.IPSet{}) {
				return outcome{decision: r.decision(p.index), rule: r}, nil
			}
			e.branch(r, p, left)
			left = rest
		}
		e.fork(r)
	}
	return outcome{decision: e.walk.fallback()}, nil
}

// branch notes that r decides where the address is in its peer p.
func (e *exploration) branch(r *walkRule, p walkPeer, left *netipx.IPSet) {
	var within []netip.Prefix
	for _, q := range p.prefixes {
		if left.OverlapsPrefix(q) {
			within = append(within, q)
		}
	}
	e.found = append(e.found, outcome{
		decision: r.decision(p.index),
		rule:     r,
		within:   within,
		not:      slices.Clone(e.not),
		outside:  slices.Clone(e.outside),
	})
	e.outside = append(e.outside, within...)
}

func setOf(p netip.Prefix) *netipx.IPSet {
	var b netipx.IPSetBuilder
	b.AddPrefix(p)
	s, _ := b.IPSet() // a whole family is valid
	return s
}

func meets(s *netipx.IPSet, ps []netip.Prefix) bool {
	return slices.ContainsFunc(ps, s.OverlapsPrefix)
}

func without(s *netipx.IPSet, ps []netip.Prefix) *netipx.IPSet {
	var b netipx.IPSetBuilder
	b.AddSet(s)
	for _, p := range ps {
		b.RemovePrefix(p)
	}
	rest, _ := b.IPSet() // peers have valid prefixes only
	return rest
}

// condition says when o holds for the remote end r, "" for always.
func (o *outcome) condition(r remote) string {
	if o.in == "" && len(o.not)+len(o.within)+len(o.outside) == 0 {
		return ""
	}
	what := "the address of " + r.name
	if r.name == "" {
		what = r.addr.String()
	}
	var parts []string
	add := func(verb string, of []string) {
		if len(of) > 0 {
			parts = append(parts, what+" is "+verb+" "+strings.Join(of, " or "))
		}
	}
	if o.in != "" {
		add("an address of", []string{string(o.in)})
	}
	add("in", prefixNames(o.within))
	add("not in", prefixNames(o.outside))
	var not []string
	for _, a := range o.not {
		not = append(not, string(a))
	}
	add("no address of", not)
	return strings.Join(parts, " and ")
}

func prefixNames(ps []netip.Prefix) []string {
	names := make([]string, len(ps))
	for i, p := range ps {
		names[i] = p.String()
	}
	return names
}
