package verify

import (
	"cmp"
	"maps"
	"net/netip"
	"slices"
	"strconv"
	"strings"

	"github.com/trafficpolicy/trafficpolicy/compiler/space"
	"github.com/trafficpolicy/trafficpolicy/model"
)

// describe turns blocks into changes: newly allowed before newly denied, each by
// address and port.
func (d *differ) describe(p *diffPod, lists [2]*model.RuleList, found []*block) []Change {
	slices.SortStableFunc(found, func(a, b *block) int {
		return cmp.Or(cmp.Compare(a.kind, b.kind), a.ranges[0].From().Compare(b.ranges[0].From()), cmp.Compare(a.l4[0].First, b.l4[0].First), cmp.Compare(a.when.String(), b.when.String()))
	})
	out := make([]Change, len(found))
	for i, b := range found {
		c := Change{Direction: lists[0].Direction.String(), Change: NewlyAllowed, Peers: b.prefixes(), Ports: portNames(b.l4), Condition: b.when.String(),
			Before: deciders(lists[0], b.before), After: deciders(lists[1], b.after), when: b.when, l4: b.l4}
		if b.kind == closed {
			c.Change = NewlyDenied
		}
		c.Before.Verdict, c.After.Verdict = verdictName(b.kind == closed), verdictName(b.kind == opened)
		c.Witness = DiffWitness{
			Witness: witnessOf(p.example, lists[0].Direction, b.witness.Packet),
			In:      b.witness.In,
			Before:  deciderName(lists[0], b.witness.a),
			After:   deciderName(lists[1], b.witness.b),
		}
		out[i] = c
	}
	return out
}

func verdictName(allow bool) string {
	if allow {
		return "allow"
	}
	return "deny"
}

// witnessOf returns a packet of pod as simulate takes it.
func witnessOf(pod string, dir model.Direction, p space.Packet) model.Witness {
	w := model.Witness{Src: pod, Dst: p.Addr.String(), Proto: p.L4.Proto().String(), Port: p.L4.Port()}
	if dir == model.Ingress {
		w.Src, w.Dst = w.Dst, w.Src
	}
	return w
}

// portNames returns the parts of a set as readers write them, "any" for every point.
func portNames(set model.L4Set) []string {
	if set.IsEvery() {
		return []string{"any"}
	}
	var out []string
	for _, r := range set {
		for _, p := range r.Split() {
			out = append(out, p.String())
		}
	}
	return out
}

// PortText returns ports as entries of Ports name them in a sentence: "every
// protocol and port", "TCP 80, UDP", or where that is shorter "everything but UDP 53".
func PortText(ports []string) string {
	set := portSet(ports)
	if set.IsEvery() {
		return "every protocol and port"
	}
	if rest := portNames(complement(set)); len(rest) < len(ports) {
		return "everything but " + strings.Join(rest, ", ")
	}
	return strings.Join(ports, ", ")
}

// portSet is the inverse of portNames.
func portSet(names []string) model.L4Set {
	var rs []model.L4Range
	for _, s := range names {
		name, ports, some := strings.Cut(s, " ")
		proto, _ := model.ParseProto(name, model.IPv4)
		first, last, isRange := strings.Cut(ports, "-")
		switch a, b := portNumber(first), portNumber(last); {
		case s == "any":
			return model.EveryL4
		case !proto.HasPorts():
			rs = append(rs, model.L4Range{First: model.L4Of(proto, 0), Last: model.L4Of(proto, 0)})
		case !some:
			rs = append(rs, model.L4Range{First: model.L4Of(proto, 0), Last: model.L4Of(proto, 65535)})
		case !isRange:
			rs = append(rs, model.L4Range{First: model.L4Of(proto, a), Last: model.L4Of(proto, a)})
		default:
			rs = append(rs, model.L4Range{First: model.L4Of(proto, a), Last: model.L4Of(proto, b)})
		}
	}
	return model.NewL4Set(rs...)
}

func portNumber(s string) uint16 {
	n, _ := strconv.ParseUint(s, 10, 16)
	return uint16(n)
}

// complement returns the points that are not in set.
func complement(set model.L4Set) model.L4Set {
	var out model.L4Set
	next := model.L4(0)
	for _, r := range set {
		if next < r.First {
			out = append(out, model.L4Range{First: next, Last: r.First - 1})
		}
		next = r.Last + 1
	}
	if next <= model.L4Last {
		out = append(out, model.L4Range{First: next, Last: model.L4Last})
	}
	return out
}

// deciders names rules of a list, which may include space.NoRule.
func deciders(list *model.RuleList, rules map[int32]bool) Deciders {
	var d Deciders
	sorted := slices.Sorted(maps.Keys(rules))
	if len(sorted) > 0 && sorted[0] == space.NoRule { // comes last
		sorted = append(sorted[1:], space.NoRule)
	}
	for _, r := range sorted[:min(len(sorted), maxDeciders)] {
		d.By = append(d.By, deciderName(list, r))
	}
	d.Omitted = len(sorted) - len(d.By)
	return d
}

// deciderName returns the name of a rule, or why there is none.
func deciderName(list *model.RuleList, rule int32) string {
	switch {
	case rule != space.NoRule:
		return list.Rules[rule].Ref.String()
	case list.Isolated:
		return DefaultDeny
	}
	return NotSelected
}

// inAny reports whether one of prefixes holds a.
func inAny(prefixes []netip.Prefix, a netip.Addr) bool {
	return slices.ContainsFunc(prefixes, func(p netip.Prefix) bool { return p.Contains(a) })
}
