package verify

import (
	"cmp"
	"net/netip"
	"slices"

	"github.com/trafficpolicy/trafficpolicy/compiler/space"
	"github.com/trafficpolicy/trafficpolicy/model"
)

// sensitive are the addresses that a DNS answer must not open: private ranges
// (RFC 1918, and RFC 6598, which has 100.100.100.200, the vendor's metadata
// service) and the metadata service of others. They do not overlap.
var sensitive = []netip.Prefix{
	netip.MustParsePrefix("10.0.0.0/8"), netip.MustParsePrefix("100.64.0.0/10"), netip.MustParsePrefix("169.254.169.254/32"),
	netip.MustParsePrefix("172.16.0.0/12"), netip.MustParsePrefix("192.168.0.0/16"),
}

// sensitiveAddresses returns the sensitive addresses that a rule matches by cidr; of
// a rule for everyone all of them.
func sensitiveAddresses(r *model.Rule) (out []netip.Prefix) {
	if len(r.Peers) == 0 {
		return sensitive
	}
	for i := range r.Peers {
		if r.Peers[i].Kind != model.PeerCIDR {
			continue
		}
		p := r.Peers[i].CIDR
		for _, s := range sensitive {
			switch {
			case s.Bits() <= p.Bits() && s.Contains(p.Addr()):
				out = append(out, p)
			case p.Contains(s.Addr()):
				out = append(out, s)
			}
		}
	}
	return out
}

// deniesSensitive reports whether r is a denial of sensitive addresses. One of
// every address is not: it is the default deny, written out.
func deniesSensitive(r *model.Rule) bool {
	return !r.Action.Allows() && len(sensitiveAddresses(r)) > 0 && !matchesEveryone(r)
}

// allowsName reports whether r allows a name.
func allowsName(r *model.Rule) bool {
	return r.Action.Allows() && slices.ContainsFunc(r.Peers, func(p model.Peer) bool { return p.Kind == model.PeerFQDN })
}

// nameFirst is an allow rule by name that takes packets of a denial of sensitive
// addresses behind it, wherever the name has such an address.
type nameFirst struct {
	rule    model.RuleRef
	peers   []int           // those names, ascending
	denials []model.RuleRef // the one that would decide packet, and others that are opened, in order
	more    int             // others that are not listed
	packet  space.Packet
}

// namesFirst returns such rules for a pod of the policies. Only cidrs count as known:
// the answer for a name can be another one tomorrow.
func namesFirst(policies []*model.Policy) ([]nameFirst, error) {
	list := sensitiveList(policies)
	if list == nil {
		return nil, nil
	}
	denials, err := deniedPackets(list)
	if err != nil {
		return nil, err
	}
	names := ownNames(list)
	var out []nameFirst
	var behind stretches
	budget := maxListed
	d := len(denials)
	for i := len(list.Rules) - 1; i >= 0; i-- {
		for ; d > 0 && denials[d-1].rule > i; d-- {
			behind.put(denials[d-1].l4, d-1)
		}
		f := nameFirst{rule: list.Rules[i].Ref}
		for _, n := range names[i] {
			x, first, ok := behind.first(n.l4)
			if !ok {
				continue
			}
			if f.peers == nil {
				f.packet = space.Packet{Addr: denials[first].addr, L4: x, In: []model.Atom{n.atom}}
				f.list(list, denials[d:], first-d, n.l4, &budget)
			}
			f.peers = append(f.peers, n.peer)
		}
		if f.peers != nil {
			out = append(out, f)
		}
	}
	slices.Reverse(out)
	return out, nil
}

// sensitiveList returns the egress rules of policies with their sensitive addresses
// alone, nil where no denial of these is behind an allow rule by name.
func sensitiveList(policies []*model.Policy) *model.RuleList {
	list := &model.RuleList{Direction: model.Egress, Isolated: true}
	named, opened := false, false
	for _, p := range policies {
		for i := range p.Rules(model.Egress) {
			r := &p.Rules(model.Egress)[i]
			opened = opened || named && deniesSensitive(r)
			named = named || allowsName(r)
			list.Rules = append(list.Rules, model.ListRule{
				Ref:    model.RuleRef{Policy: p, Direction: model.Egress, Index: i},
				Action: r.Action,
				Peers:  []model.ListPeer{{Prefixes: sensitiveAddresses(r)}},
				L4:     model.PortsL4(r.Ports),
			})
		}
	}
	if !opened {
		return nil
	}
	return list
}

// deniedPacket is packets that a denial of sensitive addresses is the first to match.
type deniedPacket struct {
	rule int // in the list
	l4   model.L4Range
	addr netip.Addr
}

// deniedPackets returns them in the order of the rules.
func deniedPackets(list *model.RuleList) ([]deniedPacket, error) {
	table, err := space.Flatten(list, model.IPv4)
	if err != nil {
		return nil, err
	}
	var out []deniedPacket
	seen := make([]bool, len(table.Decisions))
	for _, r := range table.Ranges() {
		if r.Decision == space.NoDecision || seen[r.Decision] {
			continue
		}
		seen[r.Decision] = true
		for _, c := range table.Cells(r.Decision) {
			if c.Rule != space.NoRule && deniesSensitive(list.Rules[c.Rule].Ref.Rule()) {
				out = append(out, deniedPacket{int(c.Rule), c.L4Range, r.First})
			}
		}
	}
	slices.SortStableFunc(out, func(a, b deniedPacket) int { return cmp.Compare(a.rule, b.rule) })
	return out, nil
}

// ownName is a name that a rule allows, where no earlier rule has it.
type ownName struct {
	peer int
	atom model.Atom
	l4   model.L4Set
}

// ownNames returns the names of each rule that allows.
func ownNames(list *model.RuleList) [][]ownName {
	out := make([][]ownName, len(list.Rules))
	seen := map[string]*stretches{}
	for i := range list.Rules {
		r := list.Rules[i].Ref.Rule()
		for j := range r.Peers {
			if r.Peers[j].Kind != model.PeerFQDN {
				continue
			}
			name := r.Peers[j].FQDN
			if seen[name] == nil {
				seen[name] = &stretches{}
			}
			if r.Action.Allows() {
				if own := seen[name].without(list.Rules[i].L4); len(own) > 0 {
					out[i] = append(out[i], ownName{j, model.Atom(r.Peers[j].String()), own})
				}
			}
			seen[name].putAll(list.Rules[i].L4, i)
		}
	}
	return out
}

// maxListed bounds how many denials are looked at to list those that the names of a
// pod open, once the first is known for each.
const maxListed = 1 << 18

// list lists the denials that are opened on own, denials[first] before all others.
func (f *nameFirst) list(list *model.RuleList, denials []deniedPacket, first int, own model.L4Set, budget *int) {
	f.denials = []model.RuleRef{list.Rules[denials[first].rule].Ref}
	last := denials[first].rule
	for i := range denials {
		d := &denials[i]
		if *budget--; *budget < 0 {
			return
		}
		if d.rule == last || d.rule == denials[first].rule || !overlap(own, model.L4Set{d.l4}) {
			continue
		}
		last = d.rule
		if len(f.denials) < space.MaxCover {
			f.denials = append(f.denials, list.Rules[d.rule].Ref)
		} else {
			f.more++
		}
	}
}
