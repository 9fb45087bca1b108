package verify

import (
	"cmp"
	"context"
	"net/netip"
	"slices"

	"github.com/trafficpolicy/trafficpolicy/compiler/space"
	"github.com/trafficpolicy/trafficpolicy/model"
)

// mostDisagreements is how many differences are kept by default.
const mostDisagreements = 20

// disagreements compares two meanings.
type disagreements struct {
	want, have *meaning
	options    EquivalenceOptions
	pairs      []*tablePair // in the order of their first address
	found      finds
	packets    map[example]foundPacket
}

// tablePair is a table of each side that an address is to be judged by.
type tablePair struct {
	model.Direction
	family     model.Family
	want, have *decided
	locals     []*governed // of want, by address
}

// compareMeanings finds every packet that have decides otherwise than want.
func compareMeanings(ctx context.Context, want, have *meaning, o EquivalenceOptions) (*Equivalence, error) {
	if o.Most == 0 {
		o.Most = mostDisagreements
	}
	d := &disagreements{want: want, have: have, options: o, found: finds{most: o.Most}, packets: map[example]foundPacket{}}
	d.scope()
	sum := d.subjects() // addresses that one side lacks, and the pairs of the others
	if err := d.tables(ctx); err != nil {
		return nil, err
	}
	d.names()   // addresses of domain names
	d.nodes()   // addresses of the node
	d.unknown() // ranges of unknown pods
	sum.Tables, sum.Cells, sum.Names = len(d.pairs), d.cells(), len(want.names)
	return d.found.result(sum), ctx.Err()
}

func (d *disagreements) scope() {
	if d.want.podScope != d.have.podScope {
		d.found.add(&mismatch{kind: DisagreeScope})
	}
}

// subjects goes through the governed addresses of both sides.
func (d *disagreements) subjects() (sum EquivalenceSummary) {
	pods, classes := map[string]bool{}, map[[2]*decided]bool{}
	pairs := map[[2]*decided]*tablePair{}
	a, b := d.want.subjects, d.have.subjects
	for len(a) > 0 || len(b) > 0 {
		sum.Addresses++
		order := 0
		switch {
		case len(a) == 0:
			order = 1
		case len(b) == 0:
			order = -1
		default:
			order = a[0].addr.Compare(b[0].addr)
		}
		switch {
		case order < 0:
			d.missing(&a[0])
		case order > 0:
			d.surplus(&b[0])
		default:
			d.samePod(&a[0], &b[0])
			for _, dir := range model.Directions {
				d.pair(pairs, dir, &a[0], &b[0])
			}
		}
		if order <= 0 {
			pods[a[0].pod], classes[a[0].lists] = true, true
			a = a[1:]
		}
		if order >= 0 {
			if order > 0 {
				pods[b[0].pod] = true
			}
			b = b[1:]
		}
	}
	sum.Pods, sum.Classes = len(pods), d.classes(classes)
	return sum
}

// classes counts sets of policies: a class has lists in up to two families.
func (d *disagreements) classes(lists map[[2]*decided]bool) int {
	families := [2]int{}
	for l := range lists {
		families[l[0].table.Family]++
	}
	return max(families[0], families[1])
}

func (d *disagreements) pair(pairs map[[2]*decided]*tablePair, dir model.Direction, want, have *governed) {
	key := [2]*decided{want.lists[dir], have.lists[dir]}
	p := pairs[key]
	if p == nil {
		p = &tablePair{Direction: dir, family: model.FamilyOf(want.addr), want: key[0], have: key[1]}
		pairs[key] = p
		d.pairs = append(d.pairs, p)
	}
	p.locals = append(p.locals, want)
}

// missing is about an address that is to be governed.
func (d *disagreements) missing(want *governed) {
	packet, other := d.ungoverned(want, d.have)
	d.found.add(&mismatch{kind: DisagreeMissing, pod: want.pod, local: want.addr, direction: packet.direction, packet: packet.packet, addresses: 1,
		want: judgement(packet.by), have: other})
}

// surplus is about an address that is not to be governed.
func (d *disagreements) surplus(have *governed) {
	packet, other := d.ungoverned(have, d.want)
	d.found.add(&mismatch{kind: DisagreeSurplus, pod: have.pod, local: have.addr, direction: packet.direction, packet: packet.packet, addresses: 1,
		want: other, have: judgement(packet.by)})
}

// ungoverned returns what the other side does with packets of an address that it
// does not govern, and one with which g's does otherwise, if there is one.
func (d *disagreements) ungoverned(g *governed, other *meaning) (foundPacket, Judgement) {
	if other.closed.Contains(g.addr) {
		return d.example(g, model.Egress, passing), Judgement{Verdict: verdictName(false), Reason: ReasonUnknownPod}
	}
	return d.example(g, model.Egress, denial), Judgement{Verdict: verdictName(true), Reason: ReasonNotGoverned}
}

// samePod compares whose an address is. From another pod's what a pod sends is spoofed.
func (d *disagreements) samePod(want, have *governed) {
	if have.pod == want.pod || have.pod == "" || want.pod == "" {
		return
	}
	packet := d.example(want, model.Egress, passing)
	d.found.add(&mismatch{kind: DisagreePod, pod: want.pod, other: have.pod, local: want.addr, direction: packet.direction, packet: packet.packet, addresses: 1,
		want: judgement(packet.by), have: Judgement{Verdict: verdictName(false), Reason: ReasonSpoofed}})
}

// tables compares each pair of tables once.
func (d *disagreements) tables(ctx context.Context) error {
	results := make([][]space.Difference, len(d.pairs))
	totals := make([]int, len(d.pairs))
	err := inParallel(ctx, len(d.pairs), func(i int) error {
		results[i], totals[i] = d.pairs[i].compare(d.options.Most)
		return nil
	})
	for i, p := range d.pairs {
		for j := range results[i] {
			d.found.add(p.found(&results[i][j]))
		}
		d.found.total += totals[i] - len(results[i])
	}
	return err
}

// blockKinds are those of blocks of packets, by the kind that space knows them by.
var blockKinds = [...]string{space.Same: "", 1: DisagreeAllowed, 2: DisagreeDenied, 3: DisagreeReject, 4: DisagreeRule}

// compare returns the first and worst blocks, at most so many, and how many there are.
func (p *tablePair) compare(most int) (blocks []space.Difference, total int) {
	blocks = space.CompareTables(p.want.table, p.have.table, p.judge)
	total = len(blocks)
	slices.SortStableFunc(blocks, func(a, b space.Difference) int { return cmp.Compare(a.Kind, b.Kind) })
	return slices.Clone(blocks[:min(total, most)]), total
}

// judge tells deciders apart. Nobody is like nobody: no side has that at the end.
func (p *tablePair) judge(a, b int32) space.Kind {
	if p.want.label(a) == p.have.label(b) {
		return space.Same
	}
	x, y := actionOf(p.want.decider(a)), actionOf(p.have.decider(b))
	switch {
	case x == y:
		return 4
	case x.Allows() == y.Allows():
		return 3
	case x.Allows():
		return 2
	}
	return 1
}

// actionOf returns the action of a decider, a denial for nobody.
func actionOf(d *space.Decider) model.Action {
	if d == nil {
		return model.Deny
	}
	return d.Action
}

func (p *tablePair) found(b *space.Difference) *mismatch {
	local := p.locals[0]
	for _, l := range p.locals {
		if l.addr != b.Witness.Addr { // a pod to itself is judged by no rule
			local = l
			break
		}
	}
	return &mismatch{
		kind: blockKinds[b.Kind], pod: local.pod, local: local.addr, direction: p.Direction, packet: b.Witness, block: b, addresses: len(p.locals),
		want: judgement(p.want.decider(b.A)), have: judgement(p.have.decider(b.B)),
	}
}

// judgement returns what a decider says, nil for nobody.
func judgement(d *space.Decider) Judgement {
	if d == nil {
		return Judgement{Verdict: verdictName(false), Reason: ReasonUndecided}
	}
	j := Judgement{Verdict: verdictName(d.Action.Allows()), Reject: d.Action == model.Reject}
	switch {
	case d.Rule != "":
		j.Reason, j.Rule = ReasonRule, d.Rule
	case d.Policies != nil:
		j.Reason, j.Policies = ReasonDefaultDeny, d.Policies
	default:
		j.Reason = ReasonNotSelected
	}
	return j
}

// cells counts the stretches of addresses and ports that the tables of the other
// side have.
func (d *disagreements) cells() int {
	n, seen := 0, map[*decided]bool{}
	for _, p := range d.pairs {
		if !seen[p.have] {
			seen[p.have] = true
			n += cellsOf(p.have.table)
		}
	}
	return n
}

func cellsOf(t *space.Table) (n int) {
	sizes := make([]int, len(t.Decisions))
	var size func(id space.DecisionID) int
	size = func(id space.DecisionID) int {
		if id == space.NoDecision {
			return 0
		}
		if d := &t.Decisions[id]; sizes[id] == 0 {
			sizes[id] = len(d.Cells) + size(d.Before) + size(d.Else)
		}
		return sizes[id]
	}
	for _, r := range t.Ranges() {
		n += size(r.Decision)
	}
	return n
}

// example is a table, and what an example of its packets is to be.
type example struct {
	list *decided
	want int
}

// What an example is to be, where there is one; otherwise it is any packet.
const (
	denial = iota
	passing
)

// foundPacket is an example with who decides it.
type foundPacket struct {
	direction model.Direction
	packet    space.Packet
	by        *space.Decider
	ok        bool // it is as wanted
}

// example returns a packet of g of the kind that is wanted, of direction first if
// there is one.
func (d *disagreements) example(g *governed, first model.Direction, want int) foundPacket {
	p := d.packetOf(g, first, want)
	if !p.ok {
		if q := d.packetOf(g, 1-first, want); q.ok {
			return q
		}
	}
	return p
}

func (d *disagreements) packetOf(g *governed, dir model.Direction, want int) foundPacket {
	key := example{g.lists[dir], want}
	p, ok := d.packets[key]
	if !ok {
		p = firstPacket(g.lists[dir], want == passing)
		p.direction = dir
		d.packets[key] = p
	}
	return p
}

// firstPacket returns the first packet that passes, or does not, where no name has
// its address, and the first of all where there is none.
func firstPacket(l *decided, passes bool) foundPacket {
	var first foundPacket
	for i, r := range l.table.Ranges() {
		p := packetAt(l, r.First, r.Decision, passes)
		if p.ok {
			return p
		}
		if i == 0 {
			first = p
		}
	}
	return first
}

// packetAt is firstPacket among those of one address.
func packetAt(l *decided, a netip.Addr, id space.DecisionID, passes bool) foundPacket {
	for x := model.L4(0); x <= model.L4Last; {
		c := l.table.At(id, x)
		if by := l.decider(c.Rule); actionOf(by).Allows() == passes {
			return foundPacket{packet: space.Packet{Addr: a, L4: x}, by: by, ok: true}
		}
		x = c.Last + 1
	}
	return foundPacket{packet: space.Packet{Addr: a}, by: l.decider(l.table.At(id, 0).Rule)}
}
