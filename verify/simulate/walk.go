package simulate

import (
	"errors"
	"fmt"
	"net/netip"
	"slices"

	"github.com/trafficpolicy/trafficpolicy/compiler"
	"github.com/trafficpolicy/trafficpolicy/model"
)

// Walk is the rules that some policies have for one direction, in the order in
// which they are tried, with the addresses that their peers mean. It is made by
// [Simulator.Walk] and never changes.
type Walk struct {
	Direction model.Direction
	Policies  []*model.Policy // in evaluation order
	// Isolated is false where no rule is tried and everything passes: without
	// any policy, or with none that declares the direction under
	// --isolation=direction.
	Isolated bool

	rules   []*walkRule // shared by all walks that hold their policy
	names   []string    // of Policies
	encoded []byte      // names as answers list them
	words   words       // of rules
	// shortcut, unless nil, spares the walk: see [Simulator.With].
	shortcut Shortcut
}

// walkRule is one rule of the source.
type walkRule struct {
	ref      model.RuleRef
	name     string // of ref
	rule     *model.Rule
	resolved []walkPeer   // peers whose addresses are known, in order
	unknown  []walkPeer   // peers that are unknown sets of addresses, in order
	entries  []model.Port // ports of rule
	encoded  []byte       // the beginning of a side that it decides, as answers have it
	everyone bool         // the rule's peer list is empty and so means every peer
}

// walkPeer is one entry of to or from: addresses, or an atom.
type walkPeer struct {
	index    int
	prefixes []netip.Prefix // sorted and disjoint, IPv4 first
	atom     model.Atom
}

func (s *Simulator) newWalk(policies []*model.Policy, d model.Direction) *Walk {
	w := &Walk{Direction: d, Policies: policies}
	if s.shortcuts != nil {
		w.shortcut = s.shortcuts(s.resolver, policies, d)
	}
	for _, p := range policies {
		w.Isolated = w.Isolated || !s.options.IsolateByDirection || p.Section(d) != nil
		w.names = append(w.names, p.Ref())
		w.rules = append(w.rules, s.rulesOf(p, d)...)
	}
	w.encoded = slices.Clip(appendPolicies(nil, w.names))
	return w
}

// section names the rules that a policy has for one direction.
type section struct {
	policy    *model.Policy
	direction model.Direction
}

// rulesOf returns the rules of p for direction d, which all walks share.
func (w *facts) rulesOf(p *model.Policy, d model.Direction) []*walkRule {
	key := section{p, d}
	if rules, ok := w.rules.Load(key); ok {
		return rules.([]*walkRule)
	}
	rules := make([]*walkRule, len(p.Rules(d)))
	for i := range rules {
		rules[i] = newWalkRule(model.RuleRef{Policy: p, Direction: d, Index: i}, w.resolver)
	}
	kept, _ := w.rules.LoadOrStore(key, rules)
	return kept.([]*walkRule)
}

func newWalkRule(ref model.RuleRef, r *compiler.Resolver) *walkRule {
	rule := ref.Rule()
	wr := &walkRule{ref: ref, name: ref.String(), rule: rule, entries: rule.Ports, everyone: len(rule.Peers) == 0}
	side := Side{Verdict: verdictOf(rule.Action), Reject: rule.Action == model.Reject, Reason: ByRule, Rule: wr.name}
	wr.encoded = slices.Clip(side.appendRule(nil))
	for j := range wr.rule.Peers {
		p := &wr.rule.Peers[j]
		res := r.Peer(p, ref.Direction)
		if res.Unknown() {
			wr.unknown = append(wr.unknown, walkPeer{index: j, atom: model.Atom(p.String())})
			if len(res.Prefixes) == 0 {
				continue
			}
		}
		wr.resolved = append(wr.resolved, walkPeer{index: j, prefixes: res.Prefixes})
	}
	return wr
}

// peer returns the index of the first peer with known addresses that holds a,
// noPeer for a rule that means everyone, and whether there is one.
func (r *walkRule) peer(a netip.Addr) (int, bool) {
	if r.everyone {
		return noPeer, true
	}
	for i := range r.resolved {
		if r.resolved[i].holds(a) {
			return r.resolved[i].index, true
		}
	}
	return noPeer, false
}

// noPeer stands for the peer entry of a rule that has none.
const noPeer = -1

// holds reports whether one of the peer's prefixes contains a. They are disjoint
// and sorted by address, so it is the last that does not begin after a.
func (p *walkPeer) holds(a netip.Addr) bool {
	if len(p.prefixes) == 1 {
		return p.prefixes[0].Contains(a)
	}
	i, exact := slices.BinarySearchFunc(p.prefixes, a, func(p netip.Prefix, a netip.Addr) int { return p.Addr().Compare(a) })
	return exact || i > 0 && p.prefixes[i-1].Contains(a)
}

// point is the transport part of a packet, whose port may have been left out.
type point struct {
	proto model.Proto
	port  uint16
	known bool // port was given; true where the protocol has none
}

func pointOf(x model.L4) point { return point{x.Proto(), x.Port(), true} }

// errPort is wrapped where a rule looks at a port that was left out.
var errPort = errors.New("give the flow a port")

// ports reports whether one of the rule's port entries matches x. It returns an
// error wrapping errPort where that depends on a port that was left out.
func (r *walkRule) ports(x point) (bool, error) {
	if len(r.entries) == 0 {
		return true, nil
	}
	var some model.L4Set
	for _, p := range r.entries {
		switch {
		case p.Proto != x.proto:
		case !x.proto.HasPorts(), x.known && p.First <= x.port && x.port <= p.Last:
			return true, nil
		case !x.known:
			some = append(some, p.L4())
		}
	}
	if x.known || len(some) == 0 {
		return false, nil
	}
	all := model.L4Range{First: model.L4Of(x.proto, 0), Last: model.L4Of(x.proto, 65535)}
	if s := model.NewL4Set(some...); len(s) == 1 && s[0] == all {
		return true, nil
	}
	return false, fmt.Errorf("%s looks at the port: %w", r.name, errPort)
}

// Decision is what one direction of one pod makes of a packet.
type Decision struct {
	Action model.Action
	Reason Reason
	Rule   model.RuleRef // zero unless Reason is [ByRule]
	Peer   int           // index in the rule's peer list; -1 without a rule, or where that list is empty
}

// Decide returns the first rule that matches a packet whose remote address is
// peer (IPv4-mapped addresses are taken as IPv4) and whose protocol and
// destination port are x, or the default. in reports whether peer is one of an
// unresolved name's addresses; nil means of none. Reason is [ByRule],
// [DefaultDeny] or [NotSelected].
func (w *Walk) Decide(peer netip.Addr, x model.L4, in func(model.Atom) bool) Decision {
	if !w.Isolated {
		return w.fallback()
	}
	peer, at := peer.Unmap(), pointOf(x)
	s := w.search(peer, at)
	for i := s.next(0); i < len(w.rules); i = s.next(i + 1) {
		r := w.rules[i]
		j, ok := r.peer(peer)
		for _, u := range r.unknown {
			if in != nil && (!ok || u.index < j) && in(u.atom) {
				j, ok = u.index, true
			}
		}
		if !ok {
			continue
		}
		if match, _ := r.ports(at); match { // no error: the port is known
			return r.decision(j)
		}
	}
	return w.fallback()
}

func (r *walkRule) decision(peer int) Decision {
	return Decision{Action: r.rule.Action, Reason: ByRule, Rule: r.ref, Peer: peer}
}

// fallback is what holds where no rule matches.
func (w *Walk) fallback() Decision {
	if !w.Isolated {
		return Decision{Action: model.Allow, Reason: NotSelected, Peer: noPeer}
	}
	return Decision{Action: model.Deny, Reason: DefaultDeny, Peer: noPeer}
}
