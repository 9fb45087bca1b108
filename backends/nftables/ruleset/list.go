package ruleset

import (
	"errors"
	"fmt"
	"net/netip"
	"slices"

	"github.com/trafficpolicy/trafficpolicy/backends/nftables/command"
	"github.com/trafficpolicy/trafficpolicy/compiler/space"
	"github.com/trafficpolicy/trafficpolicy/model"
)

type listKey struct {
	use
	chain string
}

// step is one rule of a list that asks for the peer's address: a map, or a set
// of addresses with a verdict.
type step struct {
	at      pos
	set     string          // "" for every address
	verdict command.Verdict // "" in a map
	segment int             // how many groups of domain names stand before it
}

// named reports whether the step asks for a domain name.
func (s *step) named() bool { return s.set != "" && s.verdict.Kind != "" }

// list returns what the chain of a list decides.
func (d *decoder) list(name string, dir model.Direction, fam model.Family) (*space.Table, error) {
	key := listKey{use{dir, fam}, name}
	if t, ok := d.lists[key]; ok {
		return t, nil
	}
	b := newBuilder(d, key.use)
	t, err := b.list(d.t.chains[name])
	if err != nil {
		return nil, err
	}
	d.lists[key] = t
	return t, nil
}

// peer returns the fields that hold the other end's address: of a connection,
// and of a packet that conntrack leaves alone.
func (u use) peer() (tracked, untracked string) {
	ip, addr := "ip", "daddr"
	if u.fam == model.IPv6 {
		ip = "ip6"
	}
	if u.dir == model.Ingress {
		addr = "saddr"
	}
	return "ct original " + ip + " " + addr, ip + " " + addr
}

// list reads the rules of a list from the last to the first: each decides before
// what is behind it. Domain names decide nothing on the way: they are conditions of
// all that is decided behind them, which are written down at the end.
func (b *builder) list(c *chain) (*space.Table, error) {
	steps, err := b.steps(c)
	if err != nil {
		return nil, err
	}
	if err := b.segments(c, steps); err != nil {
		return nil, err
	}
	all := b.fam.All()
	ranges := []space.Range{{First: all.Addr(), Last: lastOf(all), Decision: space.NoDecision}}
	for i := range slices.Backward(steps) {
		s := &steps[i]
		if s.named() {
			continue
		}
		b.enter(s.segment)
		if s.set != "" {
			own, err := b.mapped(s.set)
			if err != nil {
				return nil, b.d.t.fail(c, s.at, "%v", err)
			}
			ranges = b.merge(ranges, own)
		} else {
			id, err := b.everyone(&s.verdict)
			if err != nil {
				return nil, b.d.t.fail(c, s.at, "%v", err)
			}
			ranges = b.everywhere(ranges, func(rest space.DecisionID) space.DecisionID { return b.then(id, rest) })
		}
		if b.spent() {
			return nil, fmt.Errorf("chain %q: %w", c.name, errTooMuch)
		}
	}
	decisions, ranges := b.conditions(ranges)
	if b.spent() {
		return nil, fmt.Errorf("chain %q: %w", c.name, errTooMuch)
	}
	return space.FromRanges(b.fam, ranges, decisions), nil
}

// errTooMuch is the error of lists that no compiler writes.
var errTooMuch = errors.New("it has too many distinct decisions to be written down")

// steps returns the steps of a list, of which the last ends every packet. Each
// stands twice, for packets with a connection and for those without; they must say
// the same.
func (b *builder) steps(c *chain) (steps []step, err error) {
	var untracked []step
	for _, l := range b.d.normal(c) {
		s, isUntracked, err := b.step(c, &l)
		if err != nil {
			return nil, err
		}
		if s.set != "" {
			if isUntracked {
				untracked = append(untracked, s)
			} else {
				steps = append(steps, s)
			}
			continue
		}
		steps, untracked = append(steps, s), append(untracked, s)
		if _, _, ok := b.d.verdictID(s.verdict.Target); ok || s.verdict.Kind == "accept" {
			return steps, same(b.d, c, steps, untracked)
		}
	}
	return nil, fmt.Errorf("chain %q does not end every packet", c.name)
}

func same(d *decoder, c *chain, steps, untracked []step) error {
	for i := range steps {
		if i >= len(untracked) || untracked[i].set != steps[i].set || untracked[i].verdict != steps[i].verdict {
			return d.t.fail(c, steps[i].at, "packets without a connection do not meet the same")
		}
	}
	if len(untracked) > len(steps) {
		return d.t.fail(c, untracked[len(steps)].at, "packets with a connection do not meet the same")
	}
	return nil
}

// step reads one rule of a list.
func (b *builder) step(c *chain, l *line) (s step, untracked bool, err error) {
	s.at = l.at
	var field string
	for _, t := range l.rule.terms {
		switch t := t.(type) {
		case *command.Match:
			if condition(t) != "ct state untracked" {
				return s, false, b.d.t.fail(c, l.at, "%q has no place in a list", condition(t))
			}
			untracked = true
		case *command.Lookup:
			if len(t.Fields) != 1 || s.set != "" {
				return s, false, b.d.t.fail(c, l.at, "%q has no place in a list", l.text())
			}
			field, s.set = t.Fields[0], t.Name
		case *command.Verdict:
			s.verdict = *t
		case *command.Count, *command.Comment:
		default:
			return s, false, b.d.t.fail(c, l.at, "%q has no place in a list", l.text())
		}
	}
	want, of := b.peer()
	if untracked {
		want = of
	}
	if field != want && (field != "" || untracked) {
		return s, false, b.d.t.fail(c, l.at, "%q does not ask for the other end's address, %q", l.text(), want)
	}
	return s, untracked, nil
}

// everyone returns the decision of a rule for every address. Accept is that of a
// direction of which no policy speaks.
func (b *builder) everyone(v *command.Verdict) (space.DecisionID, error) {
	if v.Kind == "accept" {
		return b.whole(b.d.addDecider("", space.Decider{Action: model.Allow})), nil
	}
	return b.verdict(v)
}

// mapped returns the elements of a map as sorted, disjoint ranges.
func (b *builder) mapped(name string) ([]space.Range, error) {
	s := b.d.t.sets[name]
	out := make([]space.Range, 0, len(s.elements))
	for i := range s.elements {
		e := &s.elements[i]
		first, last, ok := command.Addrs(e.Key[0])
		if !ok {
			return nil, fmt.Errorf("map %q: %q is no range of addresses", name, e.Key[0])
		}
		id, err := b.verdict(e.Verdict)
		if err != nil {
			return nil, fmt.Errorf("map %q: %s: %w", name, e.Key[0], err)
		}
		out = append(out, space.Range{First: first, Last: last, Decision: id})
	}
	byFirst := func(x, y space.Range) int { return x.First.Compare(y.First) }
	if !slices.IsSortedFunc(out, byFirst) {
		slices.SortFunc(out, byFirst)
	}
	out = slices.Compact(out)
	for i := 1; i < len(out); i++ {
		if !out[i-1].Last.Less(out[i].First) {
			return nil, fmt.Errorf("map %q: %s-%s and %s-%s overlap", name, out[i-1].First, out[i-1].Last, out[i].First, out[i].Last)
		}
	}
	return out, nil
}

// merge returns what own decides before what is behind it, ranges.
func (b *builder) merge(ranges, own []space.Range) []space.Range {
	out := make([]space.Range, 0, len(ranges)+2*len(own))
	b.left -= cap(out)
	add := func(first, last netip.Addr, id space.DecisionID) {
		if n := len(out); n > 0 && out[n-1].Decision == id {
			out[n-1].Last = last
			return
		}
		out = append(out, space.Range{First: first, Last: last, Decision: id})
	}
	j := 0
	for i := range ranges {
		r := ranges[i]
		at := r.First // first address that is not written
		for ; j < len(own) && !r.Last.Less(own[j].First); j++ {
			o := own[j]
			if at.Less(o.First) {
				add(at, o.First.Prev(), r.Decision)
				at = o.First
			}
			id := b.then(o.Decision, r.Decision)
			if r.Last.Less(o.Last) {
				add(at, r.Last, id)
				at = netip.Addr{}
				break // the rest of it is in the next range
			}
			add(at, o.Last, id)
			if at = o.Last.Next(); o.Last == r.Last {
				at = netip.Addr{}
			}
		}
		if at.IsValid() {
			add(at, r.Last, r.Decision)
		}
	}
	return out
}

// everywhere changes the decision of every range.
func (b *builder) everywhere(ranges []space.Range, f func(space.DecisionID) space.DecisionID) []space.Range {
	out := ranges[:0]
	for _, r := range ranges {
		r.Decision = f(r.Decision)
		if n := len(out); n > 0 && out[n-1].Decision == r.Decision {
			out[n-1].Last = r.Last
			continue
		}
		out = append(out, r)
	}
	return out
}

// lastOf returns the last address of p.
func lastOf(p netip.Prefix) netip.Addr {
	_, last, _ := command.Addrs(p.String())
	return last
}
