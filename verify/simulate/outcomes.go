package simulate

import (
	"fmt"
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

// outcomes appends everything that the walk may come to for a packet, at least
// one outcome: first what holds where the remote address is in no unresolved
// peer and in no prefix that a name only might lie in; then the others, in the
// order of the rules. It returns an error where a rule looks at what the flow
// does not say.
func (w *Walk) outcomes(out []outcome, r remote, x point) ([]outcome, error) {
	if !w.Isolated {
		return append(out, outcome{decision: w.fallback()}), nil
	}
	if r.name == "" && !r.addr.IsValid() {
		return out, errNoAddress
	}
	at := len(out) // of the first, which is the last to be known
	e := exploration{walk: w, remote: r, point: x, found: append(out, outcome{})}
	var last outcome
	var err error
	if r.name == "" {
		last, err = e.address()
	} else {
		last, err = e.unresolved()
	}
	if err != nil {
		return out, err
	}
	last.not, last.outside = e.not, e.outside
	e.found[at] = last
	return e.found, nil
}

// exploration follows a walk past every rule that only might match.
type exploration struct {
	walk   *Walk
	remote remote
	point  point

	found []outcome // behind what was there before
	// not and outside only grow, so that outcomes share their beginnings.
	not     []model.Atom
	passed  map[model.Atom]bool // those in not, once they are many
	outside []netip.Prefix
}

// address walks for a remote address that is known.
func (e *exploration) address() (outcome, error) {
	s := e.walk.search(e.remote.addr, e.point)
	for i := s.next(0); i < len(e.walk.rules); i = s.next(i + 1) {
		r := e.walk.rules[i]
		j, ok := r.peer(e.remote.addr)
		match, err := false, error(nil)
		if ok || e.open(r) {
			match, err = r.ports(e.point)
		}
		switch {
		case err != nil:
			return outcome{}, err
		case !match && s.short:
			return outcome{}, &DisagreementError{Shortcut: r.name + " matches", Walk: "it does not"}
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
	for i := range r.unknown {
		if !e.tried(r.unknown[i].atom) {
			return true
		}
	}
	return false
}

// fewAtoms is how many atoms are searched one by one rather than kept in a map: most
// walks pass one or two.
const fewAtoms = 8

// tried reports whether the address is taken not to be in a.
func (e *exploration) tried(a model.Atom) bool {
	if e.passed != nil {
		return e.passed[a]
	}
	return slices.Contains(e.not, a)
}

// pass takes the address not to be in a from here on.
func (e *exploration) pass(a model.Atom) {
	e.not = append(e.not, a)
	if e.passed == nil && len(e.not) > fewAtoms {
		e.passed = make(map[model.Atom]bool, 2*fewAtoms)
		for _, b := range e.not {
			e.passed[b] = true
		}
	}
	if e.passed != nil {
		e.passed[a] = true
	}
}

// fork notes that r decides where the address is in one of its unresolved peers,
// and goes on as if it were in none.
func (e *exploration) fork(r *walkRule) {
	for _, u := range r.unknown {
		if e.tried(u.atom) {
			continue
		}
		e.note(outcome{decision: r.decision(u.index), rule: r, in: u.atom})
		e.pass(u.atom)
	}
}

// note keeps an outcome under the condition that nothing before it held.
func (e *exploration) note(o outcome) {
	o.not, o.outside = slices.Clip(e.not), slices.Clip(e.outside)
	e.found = append(e.found, o)
}

// unresolved walks for an address of a name that has no known ones: it is in
// whatever peer names it, and may be any address of the family otherwise. left
// is where it may still be once the rules so far have not matched.
func (e *exploration) unresolved() (outcome, error) {
	self := model.Atom((&model.Peer{Kind: model.PeerFQDN, FQDN: e.remote.name}).String())
	left := space{netipx.RangeOfPrefix(e.remote.family.All())}
	for i := range e.walk.rules {
		r := e.walk.rules[i]
		certain, ok := noPeer, r.everyone
		for _, u := range r.unknown {
			if u.atom == self && !ok {
				certain, ok = u.index, true
			}
		}
		if !ok && !e.open(r) && !slices.ContainsFunc(r.resolved, func(p walkPeer) bool { return len(left.meeting(p.prefixes)) > 0 }) {
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
			within := left.meeting(p.prefixes)
			if left.remove(within); len(left) == 0 {
				return outcome{decision: r.decision(p.index), rule: r}, nil
			}
			if len(within) > 0 {
				e.note(outcome{decision: r.decision(p.index), rule: r, within: within})
				e.outside = append(e.outside, within...)
			}
		}
		e.fork(r)
	}
	return outcome{decision: e.walk.fallback()}, nil
}

// space is a set of addresses of one family: ranges that are sorted and disjoint.
type space []netipx.IPRange

// overlap returns which ranges of s overlap p: those from i up to j, exclusive.
func (s space) overlap(p netipx.IPRange) (i, j int) {
	i, _ = slices.BinarySearchFunc(s, p.From(), func(r netipx.IPRange, a netip.Addr) int { return r.To().Compare(a) })
	for j = i; j < len(s) && s[j].From().Compare(p.To()) <= 0; j++ {
	}
	return i, j
}

// meeting returns those of ps that overlap s.
func (s space) meeting(ps []netip.Prefix) []netip.Prefix {
	var out []netip.Prefix
	for _, p := range ps {
		if i, j := s.overlap(netipx.RangeOfPrefix(p)); i < j {
			out = append(out, p)
		}
	}
	return out
}

// remove takes the addresses of ps out of s.
func (s *space) remove(ps []netip.Prefix) {
	for _, p := range ps {
		r := netipx.RangeOfPrefix(p)
		i, j := s.overlap(r)
		if i == j {
			continue
		}
		var rest []netipx.IPRange
		if first := (*s)[i].From(); first.Less(r.From()) {
			rest = append(rest, netipx.IPRangeFrom(first, r.From().Prev()))
		}
		if last := (*s)[j-1].To(); r.To().Less(last) {
			rest = append(rest, netipx.IPRangeFrom(r.To().Next(), last))
		}
		*s = slices.Replace(*s, i, j, rest...)
	}
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
	add := func(verb string, n int, name func(int) string) {
		var names []string
		for i := range min(n, maxNames) {
			names = append(names, name(i))
		}
		if n > maxNames {
			names = append(names, fmt.Sprintf("%d more", n-maxNames))
		}
		if n > 0 {
			parts = append(parts, what+" is "+verb+" "+strings.Join(names, " or "))
		}
	}
	if o.in != "" {
		add("an address of", 1, func(int) string { return string(o.in) })
	}
	add("in", len(o.within), func(i int) string { return o.within[i].String() })
	add("not in", len(o.outside), func(i int) string { return o.outside[i].String() })
	add("no address of", len(o.not), func(i int) string { return string(o.not[i]) })
	return strings.Join(parts, " and ")
}

// maxNames is how many sets of addresses one part of a condition names.
const maxNames = 20
