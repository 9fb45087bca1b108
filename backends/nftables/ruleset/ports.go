package ruleset

import (
	"fmt"
	"slices"
	"strconv"
	"strings"

	"github.com/trafficpolicy/trafficpolicy/backends/nftables/command"
	"github.com/trafficpolicy/trafficpolicy/compiler/space"
	"github.com/trafficpolicy/trafficpolicy/model"
)

// maxNested is how far chains may lead to one another: the kernel follows 16
// (NFT_JUMP_STACK_SIZE).
const maxNested = 16

// portChain is a chain that looks at ports, as packets with a connection or
// without one meet it.
type portChain struct {
	name      string
	untracked bool
}

// verdict returns the decision of a verdict in a list: a rule for every port, or
// a chain that looks at ports and returns where none of its rules matches.
func (b *builder) verdict(v *command.Verdict) (space.DecisionID, error) {
	if id, ok := b.verdicts[*v]; ok {
		return id, nil
	}
	id, err := b.readVerdict(v)
	if err == nil {
		b.verdicts[*v] = id
	}
	return id, err
}

func (b *builder) readVerdict(v *command.Verdict) (space.DecisionID, error) {
	if v.Target == "" {
		return 0, fmt.Errorf("%q has no place in a list", v.Kind)
	}
	if _, _, ok := b.d.verdictID(v.Target); ok {
		i, err := b.d.decider(v.Target, b.use)
		return b.whole(i), err
	}
	if v.Kind == "goto" {
		return 0, fmt.Errorf("%q is no chain that ends every packet, so what a list has behind it would be left out", v.Target)
	}
	with, err := b.ports(portChain{v.Target, false}, 0)
	if err != nil {
		return 0, err
	}
	without, err := b.ports(portChain{v.Target, true}, 0)
	if err != nil {
		return 0, err
	}
	if with != without {
		return 0, fmt.Errorf("chain %q does not do the same with packets without a connection", v.Target)
	}
	return with, nil
}

// ports returns the decision of a chain that looks at ports.
func (b *builder) ports(p portChain, depth int) (space.DecisionID, error) {
	if id, ok := b.chains[p]; ok {
		return id, nil
	}
	c := b.d.t.chains[p.name]
	if depth > maxNested {
		return 0, fmt.Errorf("chain %q: chains lead to one another more than %d times", p.name, maxNested)
	}
	var lines []portLine
	for i := range c.rules {
		l, err := b.portLine(c, &c.rules[i], p.untracked)
		if err != nil {
			return 0, err
		}
		lines = append(lines, l)
		if l.final {
			break
		}
	}
	id := space.NoDecision // of the rules behind the one at hand
	for _, l := range slices.Backward(lines) {
		if b.spent() {
			return 0, fmt.Errorf("chain %q: %w", p.name, errTooMuch)
		}
		switch {
		case l.chain == "":
			id = b.put(l.cells, id)
		default:
			through, err := b.ports(portChain{l.chain, p.untracked}, depth+1)
			if err != nil {
				return 0, err
			}
			if id = b.before(through, id); l.final {
				id = through
			}
		}
	}
	b.chains[p] = id
	return id, nil
}

// portLine is what a rule of a chain that looks at ports does: cells, or what
// another chain does. No cells are of a rule that no packet of this kind meets.
type portLine struct {
	cells []space.Cell
	chain string
	// final is set where no packet goes on to the rule behind it.
	final bool
}

// portLine reads a rule.
func (b *builder) portLine(c *chain, r *rule, untracked bool) (out portLine, err error) {
	var asks protoFields
	var lookup *command.Lookup
	var v *command.Verdict
	for _, t := range r.terms {
		switch t := t.(type) {
		case *command.Match:
			switch {
			case t.Field == "ct state" && condition(t) == "ct state untracked":
				if !untracked {
					return portLine{}, nil
				}
			case t.Field == "meta l4proto" && asks.packet == nil:
				asks.packet = t
			case t.Field == "ct protocol" && asks.tuple == nil:
				asks.tuple = t
			default:
				return out, b.d.t.fail(c, r.at, "%q has no place in a chain about ports", condition(t))
			}
		case *command.Lookup:
			lookup = t
		case *command.Verdict:
			v = t
		case *command.Count, *command.Comment:
		default:
			return out, b.d.t.fail(c, r.at, "it does what has no place in a chain about ports")
		}
	}
	on, err := b.protos(&asks, lookup, untracked)
	switch {
	case err != nil || on == nil:
	case lookup != nil:
		out.cells, err = b.portMap(lookup, on)
	case v != nil:
		out, err = b.portVerdict(v, on)
		out.final = asks == protoFields{} && (v.Kind != "jump" || out.chain == "")
	}
	if err != nil {
		err = b.d.t.fail(c, r.at, "%v", err)
	}
	return out, err
}

// protoFields is how a rule asks for the protocol: of the packet, and of the
// connection.
type protoFields struct{ packet, tuple *command.Match }

// protos returns the part of the axis that a rule is about; nil where no packet
// of this kind meets it.
func (b *builder) protos(asks *protoFields, lookup *command.Lookup, untracked bool) (model.L4Set, error) {
	port := ""
	if lookup != nil {
		if len(lookup.Fields) != 1 || !lookup.Map {
			return nil, fmt.Errorf("it looks more than ports up")
		}
		port = lookup.Fields[0]
	}
	if untracked {
		switch {
		case asks.tuple != nil || strings.HasPrefix(port, "ct "):
			return nil, nil // it has no connection
		case port != "" && port != "th dport":
			return nil, fmt.Errorf("it does not ask for the packet's destination port")
		}
		return b.protoSet(asks.packet, port != "")
	}
	want := "ct original proto-dst"
	if b.dir == model.Ingress {
		want = "ct reply proto-src"
	}
	switch {
	case port != "" && port != want:
		return nil, fmt.Errorf("it does not ask for the connection's port, %q", want)
	case asks.packet != nil && (port == "" || asks.tuple == nil):
		return nil, fmt.Errorf("it asks for the protocol of the packet and not of the connection")
	}
	on, err := b.protoSet(asks.tuple, port != "")
	if err != nil || port == "" {
		return on, err
	}
	// The packet's own protocol is that of the connection, or an ICMP error.
	if asks.packet != nil {
		carried, err := b.protoSet(asks.packet, false)
		if err != nil {
			return nil, err
		}
		for _, r := range append(slices.Clone(on), model.L4Range{First: model.L4ICMP, Last: model.L4ICMP}) {
			if !carried.Contains(r.First) || !carried.Contains(r.Last) {
				return nil, fmt.Errorf("it leaves out packets of its connections, or ICMP about them")
			}
		}
	}
	return on, nil
}

// protoSet returns the part of the axis of a comparison of protocols; all of it
// without one. With ports, only protocols that have some may be asked for.
func (b *builder) protoSet(m *command.Match, ports bool) (model.L4Set, error) {
	if m == nil {
		if ports {
			return nil, fmt.Errorf("it asks for ports of every protocol")
		}
		return model.EveryL4, nil
	}
	var in [model.Other + 1]bool
	for _, v := range m.Values {
		p, ok := b.proto(v)
		if !ok {
			return nil, fmt.Errorf("protocol %q is none that rules tell apart in this family", v)
		}
		in[p] = true
	}
	var ranges []model.L4Range
	for p, isIn := range in {
		if isIn == (m.Op == "") {
			proto := model.Proto(p)
			ranges = append(ranges, model.L4Range{First: model.L4Of(proto, 0), Last: model.L4Of(proto, 65535)})
			if ports && !model.Proto(p).HasPorts() {
				return nil, fmt.Errorf("it asks for ports of a protocol that has none")
			}
		}
	}
	if m.Op == ">" {
		return nil, fmt.Errorf("it compares protocols by size")
	}
	return model.NewL4Set(ranges...), nil
}

func (b *builder) proto(word string) (model.Proto, bool) {
	switch word {
	case "tcp":
		return model.TCP, true
	case "udp":
		return model.UDP, true
	case "sctp":
		return model.SCTP, true
	case "icmp":
		return model.ICMP, b.fam == model.IPv4
	case "ipv6-icmp":
		return model.ICMP, b.fam == model.IPv6
	}
	return 0, false
}

// portVerdict returns what a verdict does with a part of the axis.
func (b *builder) portVerdict(v *command.Verdict, on model.L4Set) (portLine, error) {
	rule := space.NoRule
	if v.Kind != "return" {
		if v.Target == "" {
			return portLine{}, fmt.Errorf("%q has no place in a chain about ports", v.Kind)
		}
		if _, _, ok := b.d.verdictID(v.Target); !ok {
			if !slices.Equal(on, model.EveryL4) {
				return portLine{}, fmt.Errorf("%q leads only some protocols on", v.Target)
			}
			return portLine{chain: v.Target}, nil
		}
		var err error
		if rule, err = b.d.decider(v.Target, b.use); err != nil {
			return portLine{}, err
		}
		rule = b.mark(rule)
	}
	out := portLine{}
	for _, r := range on {
		out.cells = append(out.cells, space.Cell{L4Range: r, Rule: rule})
	}
	return out, nil
}

// portMap returns the cells of a map of ports, for each protocol.
func (b *builder) portMap(l *command.Lookup, on model.L4Set) ([]space.Cell, error) {
	one, err := b.portCells(l.Name)
	if err != nil {
		return nil, err
	}
	var out []space.Cell
	for p := model.TCP; p.HasPorts(); p++ {
		base := model.L4Of(p, 0)
		if !on.Contains(base) {
			continue
		}
		for _, c := range one {
			c.First, c.Last = c.First+base, c.Last+base
			out = append(out, c)
		}
	}
	b.left -= len(out)
	return out, nil
}

// portCells returns the elements of a map of ports, sorted and disjoint.
func (b *builder) portCells(name string) ([]space.Cell, error) {
	if cells, ok := b.portMaps[name]; ok {
		return cells, nil
	}
	s := b.d.t.sets[name]
	cells := make([]space.Cell, 0, len(s.elements))
	for i := range s.elements {
		e := &s.elements[i]
		first, last, isRange := strings.Cut(e.Key[0], "-")
		if !isRange {
			last = first
		}
		lo, errLo := strconv.ParseUint(first, 10, 16)
		hi, errHi := strconv.ParseUint(last, 10, 16)
		if errLo != nil || errHi != nil {
			return nil, fmt.Errorf("map %q: %q are no ports", name, e.Key[0])
		}
		out, err := b.portVerdict(e.Verdict, model.L4Set{{First: model.L4(lo), Last: model.L4(hi)}})
		if err != nil {
			return nil, fmt.Errorf("map %q: %s: %w", name, e.Key[0], err)
		}
		cells = append(cells, out.cells...)
	}
	slices.SortFunc(cells, func(x, y space.Cell) int { return int(x.First) - int(y.First) })
	for i := 1; i < len(cells); i++ {
		a, c := cells[i-1], cells[i]
		if a.L4Range == c.L4Range && a.Rule == c.Rule {
			cells = slices.Delete(cells, i, i+1)
			i--
		} else if a.Last >= c.First {
			return nil, fmt.Errorf("map %q: ports %d and %d overlap", name, a.First, c.First)
		}
	}
	b.portMaps[name] = cells
	return cells, nil
}
