package nftables

import (
	"errors"
	"fmt"
	"strings"

	"github.com/trafficpolicy/trafficpolicy/compiler/space"
	"github.com/trafficpolicy/trafficpolicy/model"
)

// target returns the verdict of a decision of the current table: a goto to the
// chain of one rule, a jump to a chain that looks at ports and returns where no
// rule matches, or "" where none ever does.
func (l *lister) target(d space.DecisionID) string {
	if d == space.NoDecision {
		return ""
	}
	if t, ok := l.targets[d]; ok {
		return t
	}
	dec := &l.table.Decisions[d]
	t := ""
	switch {
	case dec.Before == space.NoDecision && len(dec.Cells) == 0:
		t = l.target(dec.Else)
	case dec.Before == space.NoDecision && len(dec.Cells) == 1 && dec.Cells[0].L4Range == model.AllL4:
		if r := dec.Cells[0].Rule; r != space.NoRule {
			t = "goto " + l.verdict(l.index[r])
		}
	default:
		t = "jump " + l.ports(d)
	}
	l.targets[d] = t
	return t
}

// ports returns the chain of a decision that looks at ports: first what is
// before its cells, then the cells of each protocol, then what is behind.
//
// The port of a connection stands in its tuple, so replies and ICMP errors meet
// the same rules; nft wants to know that the packet's own protocol may carry it.
func (l *lister) ports(d space.DecisionID) string {
	if name, ok := l.tracked[d]; ok {
		return name
	}
	rules := append([]string{"ct state untracked goto " + l.untracked(d)}, l.portRules(d, l.tupleField())...)
	l.tracked[d] = l.internChain("ports_"+l.side.n+l.fam.n, rules)
	return l.tracked[d]
}

// untracked returns the chain of a decision for untracked packets.
func (l *lister) untracked(d space.DecisionID) string {
	name, ok := l.raw[d]
	if !ok {
		name = l.internChain("raw_"+l.side.n+l.fam.n, l.portRules(d, packetField))
		l.raw[d] = name
	}
	return name
}

// field says how rules ask for protocol and port.
type field struct {
	proto string // selector of the protocol
	port  string // match of one protocol and selector of the port; %s is the protocol
	raw   bool   // from the packet: chains of untracked packets
}

var packetField = field{"meta l4proto", "meta l4proto %s th dport", true}

func (l *lister) tupleField() field {
	return field{"ct protocol", "meta l4proto { %[1]s, " + l.fam.icmp + " } ct protocol %[1]s ct " + l.side.port, false}
}

func (l *lister) portRules(d space.DecisionID, in field) []string {
	dec := &l.table.Decisions[d]
	var rules []string
	if dec.Before != space.NoDecision {
		for _, c := range l.table.Decisions[dec.Before].Cells {
			if c.Rule == space.NoRule {
				l.fail(errors.New("a decision before others holds a cell without a rule"))
			}
		}
		rules = append(rules, l.through(dec.Before, in, "jump"))
	}
	var pieces [model.Other + 1][]piece
	for _, c := range dec.Cells {
		for _, p := range c.Split() {
			pieces[p.Proto] = append(pieces[p.Proto], piece{p, l.cellVerdict(c.Rule)})
		}
	}
	for proto, ps := range pieces {
		if len(ps) > 0 {
			rules = append(rules, l.protoRule(model.Proto(proto), ps, in))
		}
	}
	if t := l.target(dec.Else); t != "" {
		rules = append(rules, l.through(dec.Else, in, "goto"))
	}
	return rules
}

// through returns the rule that goes to decision d's chain, in the form that
// reads ports where in does.
func (l *lister) through(d space.DecisionID, in field, how string) string {
	t := l.target(d)
	if strings.HasPrefix(t, "goto ") {
		return t
	}
	if in.raw {
		return how + " " + l.untracked(d)
	}
	return how + " " + l.ports(d)
}

// piece is a stretch of ports of one protocol with its verdict.
type piece struct {
	model.Port
	verdict string
}

// cellVerdict: where no rule of the segment matches, the chain returns.
func (l *lister) cellVerdict(rule int32) string {
	if rule == space.NoRule {
		return "return"
	}
	return "goto " + l.verdict(l.index[rule])
}

func (l *lister) protoRule(proto model.Proto, ps []piece, in field) string {
	if !proto.HasPorts() {
		return fmt.Sprintf("%s %s %s", in.proto, l.protoMatch(proto), ps[0].verdict)
	}
	if len(ps) == 1 && ps[0].First == 0 && ps[0].Last == 65535 {
		return fmt.Sprintf("%s %s %s", in.proto, l.protoMatch(proto), ps[0].verdict)
	}
	elements := make([]string, len(ps))
	for i, p := range ps {
		elements[i] = fmt.Sprintf("%d-%d : %s", p.First, p.Last, p.verdict)
		if p.First == p.Last {
			elements[i] = fmt.Sprintf("%d : %s", p.First, p.verdict)
		}
	}
	return fmt.Sprintf(in.port, l.protoMatch(proto)) + " vmap @" + l.internMap("port", "inet_service", elements)
}

// protoMatch returns what a protocol selector is compared with.
func (l *lister) protoMatch(p model.Proto) string {
	switch p {
	case model.TCP:
		return "tcp"
	case model.UDP:
		return "udp"
	case model.SCTP:
		return "sctp"
	case model.ICMP:
		return l.fam.icmp
	}
	return "!= { tcp, udp, sctp, " + l.fam.icmp + " }"
}
