package verify

import (
	"maps"
	"net/netip"
	"slices"
	"strings"

	"go4.org/netipx"

	"github.com/trafficpolicy/trafficpolicy/compiler/space"
	"github.com/trafficpolicy/trafficpolicy/model"
)

// names compares what addresses names have. That the tables say the same of every
// address a name could have was compared before; here it is a difference where an
// address is decided otherwise because only one side knows it. What a node has
// learned of names is not asked.
func (d *disagreements) names() {
	asked := d.addressesOfNames()
	for _, p := range d.pairs {
		x, y := newNameFinder(p.want), newNameFinder(p.have)
		for _, a := range asked {
			if model.FamilyOf(a.addr) == p.family && (x.mentions(a.want) || y.mentions(a.have)) {
				d.name(p, x, y, &a)
			}
		}
	}
}

// namedAddress is an address that names have, otherwise for the two sides.
type namedAddress struct {
	addr       netip.Addr
	want, have []model.Atom // sorted
}

// addressesOfNames returns, sorted, the addresses that are not of the same names on
// both sides.
func (d *disagreements) addressesOfNames() []namedAddress {
	want, have := namesByAddress(d.want.names), namesByAddress(d.have.names)
	for a := range have {
		if want[a] == nil {
			want[a] = nil
		}
	}
	var out []namedAddress
	for _, a := range slices.SortedFunc(maps.Keys(want), netip.Addr.Compare) {
		if !slices.Equal(want[a], have[a]) {
			out = append(out, namedAddress{a, want[a], have[a]})
		}
	}
	return out
}

func namesByAddress(names map[string][]netip.Addr) map[netip.Addr][]model.Atom {
	out := map[netip.Addr][]model.Atom{}
	for _, n := range slices.Sorted(maps.Keys(names)) {
		for _, a := range names[n] {
			out[a] = append(out[a], model.Atom(fqdnAtom+n))
		}
	}
	return out
}

// fqdnAtom is what the atoms of domain names begin with, as a peer is written.
const fqdnAtom = "fqdn "

// name compares the packets of one address.
func (d *disagreements) name(p *tablePair, x, y *nameFinder, a *namedAddress) {
	idX, idY := x.table.Decide(a.addr), y.table.Decide(a.addr)
	for at := model.L4(0); at <= model.L4Last; {
		cx, cy := x.table.At(idX, at), y.table.At(idY, at)
		rx, ry := x.first(&cx, a.want), y.first(&cy, a.have)
		if p.judge(rx, ry) != space.Same {
			local := p.locals[0]
			f := &mismatch{kind: DisagreeName, pod: local.pod, local: local.addr, direction: p.Direction, addresses: len(p.locals),
				packet: space.Packet{Addr: a.addr, L4: at}, want: judgement(x.decider(rx)), have: judgement(y.decider(ry))}
			f.want.Names, f.have.Names = plainNames(a.want), plainNames(a.have)
			d.found.add(f)
			return
		}
		at = min(cx.Last, cy.Last) + 1
	}
}

func plainNames(atoms []model.Atom) []string {
	var out []string
	for _, a := range atoms {
		out = append(out, strings.TrimPrefix(string(a), fqdnAtom))
	}
	return out
}

// nameFinder finds what decides for an address of some names.
type nameFinder struct {
	*decided
	atoms map[model.Atom]bool
	// at is where each atom stands in a list of conditions, by where that begins:
	// cells share lists.
	at map[*space.Conditional]map[model.Atom]int
}

func newNameFinder(d *decided) *nameFinder {
	n := &nameFinder{d, map[model.Atom]bool{}, map[*space.Conditional]map[model.Atom]int{}}
	for i := range d.table.Decisions {
		cells := d.table.Decisions[i].Cells
		for j := range cells {
			n.note(cells[j].If)
		}
	}
	return n
}

// note learns a list of conditions, of which others may be the beginning.
func (n *nameFinder) note(list []space.Conditional) {
	if len(list) == 0 || len(n.at[&list[0]]) >= len(list) {
		return
	}
	at := n.at[&list[0]]
	if at == nil {
		at = make(map[model.Atom]int, len(list))
		n.at[&list[0]] = at
	}
	for i := len(at); i < len(list); i++ {
		at[list[i].Atom] = i
		n.atoms[list[i].Atom] = true
	}
}

// mentions reports whether some packet is decided by one of the names.
func (n *nameFinder) mentions(names []model.Atom) bool {
	return slices.ContainsFunc(names, func(a model.Atom) bool { return n.atoms[a] })
}

// first returns the rule of a cell that decides for an address of exactly these names.
func (n *nameFinder) first(c *space.Cell, in []model.Atom) int32 {
	if len(c.If) == 0 {
		return c.Rule
	}
	first := len(c.If)
	for _, a := range in {
		if i, ok := n.at[&c.If[0]][a]; ok {
			first = min(first, i)
		}
	}
	if first == len(c.If) {
		return c.Rule
	}
	return c.If[first].Rule
}

// nodes compares the addresses whose own packets to pods pass.
func (d *disagreements) nodes() {
	for _, a := range less(d.want.nodes, d.have.nodes) {
		d.node(a, false)
	}
	for _, a := range less(less(d.have.nodes, d.want.nodes), d.options.Nodes) {
		d.node(a, true)
	}
}

// less returns what is in a and not in b.
func less(a, b []netip.Addr) (out []netip.Addr) {
	in := make(map[netip.Addr]bool, len(b))
	for _, x := range b {
		in[x] = true
	}
	for _, x := range a {
		if !in[x] {
			out = append(out, x)
		}
	}
	return out
}

// node is about an address that is the node's for one side, surplus if that is what
// the artifact has. Where it could meet no governed address it makes no difference.
func (d *disagreements) node(a netip.Addr, surplus bool) {
	var first *tablePair
	var packet foundPacket
	for _, p := range d.pairs {
		if p.Direction != model.Ingress || p.family != model.FamilyOf(a) {
			continue
		}
		rules := p.have
		if surplus {
			rules = p.want
		}
		q := packetAt(rules, a, rules.table.Decide(a), false)
		if first == nil || q.ok {
			first, packet = p, q
		}
		if q.ok {
			break
		}
	}
	if first == nil {
		return
	}
	local := first.locals[0]
	f := &mismatch{kind: DisagreeNode, pod: local.pod, local: local.addr, direction: model.Ingress, packet: packet.packet, addresses: 1,
		want: Judgement{Verdict: verdictName(true), Reason: ReasonNodeLocal}, have: judgement(packet.by)}
	if surplus {
		f.want, f.have = f.have, f.want
	}
	d.found.add(f)
}

// unknown compares what is closed, of which the governed addresses are no part.
func (d *disagreements) unknown() {
	open, shut := Judgement{Verdict: verdictName(true), Reason: ReasonNotGoverned}, Judgement{Verdict: verdictName(false), Reason: ReasonUnknownPod}
	for _, r := range d.closedOnly(d.want, d.have) {
		d.unknownRange(r, shut, open)
	}
	for _, r := range d.closedOnly(d.have, d.want) {
		d.unknownRange(r, open, shut)
	}
}

// closedOnly returns what a closes and b does not.
func (d *disagreements) closedOnly(a, b *meaning) []netipx.IPRange {
	var s netipx.IPSetBuilder
	s.AddSet(a.closed)
	s.RemoveSet(b.closed)
	for _, m := range []*meaning{d.want, d.have} {
		for i := range m.subjects {
			s.Remove(m.subjects[i].addr)
		}
	}
	return built(&s).Ranges()
}

// unknownRange is about a range that one side closes, shown by a packet to an address of
// documentation (RFC 5737, RFC 3849).
func (d *disagreements) unknownRange(r netipx.IPRange, want, have Judgement) {
	peer := netip.MustParseAddr("192.0.2.1")
	if r.From().Is6() {
		peer = netip.MustParseAddr("2001:db8::1")
	}
	d.found.add(&mismatch{kind: DisagreeUnknown, local: r.From(), last: r.To(), direction: model.Egress, packet: space.Packet{Addr: peer}, want: want, have: have})
}
