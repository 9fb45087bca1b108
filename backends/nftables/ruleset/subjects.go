package ruleset

import (
	"cmp"
	"fmt"
	"maps"
	"net/netip"
	"slices"

	"github.com/trafficpolicy/trafficpolicy/backends/nftables/command"
	"github.com/trafficpolicy/trafficpolicy/compiler/space"
	"github.com/trafficpolicy/trafficpolicy/model"
)

// kinds of entry chains: what a pod sends, is sent, and is sent from the node's
// own output.
const (
	kindFrom = "from"
	kindTo   = "to"
	kindOut  = "out"
)

var kinds = []string{kindFrom, kindTo, kindOut}

// entryKey is an entry chain, by name, in the part in which it is used.
type entryKey struct {
	kind  string
	fam   model.Family
	chain string
}

// entry is what an entry chain leads to: the lists of its own direction and of
// the other, by name, and of kindOut the chain for packets to the pod.
type entry struct{ own, answer, to string }

func (d *decoder) entry(kind string, fam model.Family, chain string) (*entry, error) {
	key := entryKey{kind, fam, chain}
	if e, ok := d.entries[key]; ok {
		return e, nil
	}
	bound, err := d.formed(chain, d.forms["~"+kind+digit(fam)+"_C"])
	if err != nil {
		return nil, err
	}
	e := &entry{bound["tp_own"], bound["tp_answer"], bound["tp_to"]}
	d.entries[key] = e
	return e, nil
}

// lookedInto checks the maps that a rule of a base chain asks: they hold what
// this artifact puts there, and nothing of before.
func (d *decoder) lookedInto(c *chain, r *rule) error {
	for _, term := range r.terms {
		l, ok := term.(*command.Lookup)
		if !ok {
			continue
		}
		s := d.t.sets[l.Name]
		if l.Name == "tp_oif" { // the loader's
			if len(s.elements) > 0 {
				return d.t.fail(c, s.elements[0].at, "map %q is the loader's and has elements", l.Name)
			}
			continue
		}
		if s.old {
			return fmt.Errorf("map %q is not emptied first", l.Name)
		}
	}
	return nil
}

// subjects reads what each governed address may send and be sent.
func (d *decoder) subjects() error {
	for _, fam := range model.Families {
		chains, err := d.dispatched(fam)
		if err != nil {
			return err
		}
		if err := d.governed(fam, chains); err != nil {
			return err
		}
		for _, a := range slices.SortedFunc(maps.Keys(chains[kindFrom]), netip.Addr.Compare) {
			if err := d.subject(fam, a, chains); err != nil {
				return err
			}
		}
	}
	return nil
}

// chainsOf has the entry chains of the governed addresses by kind.
type chainsOf map[string]map[netip.Addr]string

func (d *decoder) dispatched(fam model.Family) (chainsOf, error) {
	if d.pod {
		return d.ownEnds(fam)
	}
	chains := chainsOf{}
	var closed []span
	for i, kind := range kinds {
		addrs, ranges, err := d.dispatch(kind, fam)
		if err != nil {
			return nil, err
		}
		chains[kind] = addrs
		if i > 0 && !slices.Equal(closed, ranges) {
			return nil, fmt.Errorf("map %q closes other addresses than %q", "tp_range_"+kind+digit(fam), "tp_range_from"+digit(fam))
		}
		closed = ranges
	}
	for _, s := range closed {
		d.reading.Closed = append(d.reading.Closed, space.AddrRange{First: s.first, Last: s.last})
	}
	return chains, nil
}

// governed checks that exactly the addresses of the governed pods are judged, in
// every place, and counted.
func (d *decoder) governed(fam model.Family, chains chainsOf) error {
	counted, err := d.counted(fam)
	if err != nil {
		return err
	}
	own := 0
	for i := range d.key.Pods {
		p := &d.key.Pods[i]
		for _, a := range ofFamily(p.Addrs, fam) {
			own++
			for _, kind := range kinds {
				if addrs, ok := chains[kind]; ok && addrs[a] == "" {
					return fmt.Errorf("address %s of %q is not judged (%s)", a, p.Ref, kind)
				}
			}
			if !counted[a] {
				return fmt.Errorf("address %s of %q is not in set %q", a, p.Ref, "tp_pods"+digit(fam))
			}
		}
	}
	for _, kind := range kinds {
		if addrs, ok := chains[kind]; ok && len(addrs) != own {
			return fmt.Errorf("%d addresses of family %s are judged (%s), and governed pods have %d", len(addrs), fam, kind, own)
		}
	}
	if len(counted) != own {
		return fmt.Errorf("set %q has %d addresses, the governed pods %d", "tp_pods"+digit(fam), len(counted), own)
	}
	return nil
}

// counted returns the addresses for a limit of connections.
func (d *decoder) counted(fam model.Family) (map[netip.Addr]bool, error) {
	name := "tp_pods" + digit(fam)
	s := d.t.sets[name]
	if err := sameSet(s, &command.Set{Name: name, Types: []string{"ipv" + digit(fam) + "_addr"}}); err != nil {
		return nil, err
	}
	if s.old {
		return nil, fmt.Errorf("set %q is not emptied first", name)
	}
	addrs, _, err := setAddrs(s)
	if err != nil {
		return nil, err
	}
	out := make(map[netip.Addr]bool, len(addrs))
	for _, a := range addrs {
		out[a] = true
	}
	return out, nil
}

// subject adds one governed address. Both ends of a connection, and its answers,
// are judged by the same two lists.
func (d *decoder) subject(fam model.Family, a netip.Addr, chains chainsOf) error {
	from, err := d.entry(kindFrom, fam, chains[kindFrom][a])
	if err != nil {
		return err
	}
	to, err := d.entry(kindTo, fam, chains[kindTo][a])
	if err != nil {
		return err
	}
	if from.own != to.answer || from.answer != to.own {
		return fmt.Errorf("address %s: chains %q and %q do not lead to the same lists", a, chains[kindFrom][a], chains[kindTo][a])
	}
	if !d.pod {
		out, err := d.entry(kindOut, fam, chains[kindOut][a])
		if err != nil {
			return err
		}
		behind, err := d.entry(kindTo, fam, out.to)
		if err != nil {
			return err
		}
		if *behind != *to || out.answer != from.own {
			return fmt.Errorf("address %s: chain %q does not lead where %q does", a, chains[kindOut][a], chains[kindTo][a])
		}
	}
	d.judged[a] = to
	s := space.Subject{Pod: d.owner[a].Ref, Addr: a}
	if s.Egress, err = d.list(from.own, model.Egress, fam); err != nil {
		return err
	}
	if s.Ingress, err = d.list(from.answer, model.Ingress, fam); err != nil {
		return err
	}
	d.reading.Subjects = append(d.reading.Subjects, s)
	return nil
}

// dispatch returns the chains of one kind by governed address, and the addresses
// of pods that are not known, whose packets end.
func (d *decoder) dispatch(kind string, fam model.Family) (map[netip.Addr]string, []span, error) {
	name := "tp_" + kind + digit(fam)
	single, err := d.spans(name)
	if err != nil {
		return nil, nil, err
	}
	chains := make(map[netip.Addr]string, len(single))
	for _, s := range single {
		if s.first != s.last {
			return nil, nil, fmt.Errorf("map %q: %s is more than an address", name, s)
		}
		chains[s.first] = s.chain
	}
	name = "tp_range_" + kind + digit(fam)
	ranges, err := d.spans(name)
	if err != nil {
		return nil, nil, err
	}
	unknown := "~unknown_" + kind + digit(fam)
	var closed []span
	known := 0
	for _, s := range ranges {
		switch {
		case d.role(s.chain) == unknown:
			if err := d.fixed(unknown); err != nil {
				return nil, nil, err
			}
			closed = append(closed, s.span)
		case s.first != s.last || chains[s.first] != s.chain:
			return nil, nil, fmt.Errorf("map %q: %s does not lead where %q says", name, s, "tp_"+kind+digit(fam))
		default:
			known++
		}
	}
	if len(ranges) > 0 && known != len(chains) {
		return nil, nil, fmt.Errorf("map %q has %d of %d governed addresses (a packet between two lookups would meet no policy)", name, known, len(chains))
	}
	return chains, merge(closed), nil
}

// led is a stretch of keys that lead to a chain.
type led struct {
	span
	chain string
}

// spans returns the elements of a dispatch map, sorted and disjoint.
func (d *decoder) spans(name string) ([]led, error) {
	s := d.t.sets[name]
	out := make([]led, 0, len(s.elements))
	for i := range s.elements {
		e := &s.elements[i]
		first, last, ok := command.Addrs(e.Key[0])
		if !ok || e.Verdict.Target == "" {
			return nil, fmt.Errorf("map %q: %s : %s is no address with a chain", name, e.Key[0], e.Verdict.Kind)
		}
		out = append(out, led{span{first, last}, e.Verdict.Target})
	}
	slices.SortFunc(out, func(x, y led) int { return cmp.Or(x.first.Compare(y.first), x.last.Compare(y.last)) })
	out = slices.Compact(out)
	for i := 1; i < len(out); i++ {
		if !out[i-1].last.Less(out[i].first) {
			return nil, fmt.Errorf("map %q: %s and %s overlap", name, out[i-1], out[i])
		}
	}
	return out, nil
}

// ownEnds returns the chains of a pod's own namespace: by the addresses that its
// packets carry. What carries another ends.
func (d *decoder) ownEnds(fam model.Family) (chainsOf, error) {
	out := chainsOf{kindFrom: {}, kindTo: {}}
	var in [3]string // chains by map
	for i, name := range []string{"tp_send", "tp_recv", "tp_through"} {
		for _, e := range d.t.sets[name].elements {
			if e.Verdict.Target == "" {
				return nil, fmt.Errorf("map %q: %s leads nowhere", name, e.Key[0])
			}
			if e.Key[0] != "ipv"+digit(fam) {
				continue
			}
			if in[i] != "" && in[i] != e.Verdict.Target {
				return nil, fmt.Errorf("map %q has %s twice", name, e.Key[0])
			}
			in[i] = e.Verdict.Target
		}
	}
	if in == [3]string{} && len(d.key.Pods) == 0 {
		return out, nil
	}
	for i, name := range []string{"tp_send", "tp_recv", "tp_through"} {
		if in[i] == "" {
			return nil, fmt.Errorf("map %q has nothing for family %s", name, fam)
		}
	}
	ip := "ip"
	if fam == model.IPv6 {
		ip = "ip6"
	}
	if err := d.ownEnd(in[0], ip+" saddr", "~src_other", out[kindFrom]); err != nil {
		return nil, err
	}
	if err := d.ownEnd(in[1], ip+" daddr", "~dst_other", out[kindTo]); err != nil {
		return nil, err
	}
	_, err := d.formed(in[2], d.forms["~through"+digit(fam)])
	return out, err
}

// ownEnd adds the chains that a chain leads single addresses to; others end.
func (d *decoder) ownEnd(name, field, other string, to map[netip.Addr]string) error {
	c := d.t.chains[name]
	lines := d.normal(c)
	for i := range lines {
		l := &lines[i]
		if i == len(lines)-1 {
			if l.text() != "goto "+other {
				return d.t.fail(c, l.at, "%q stands where %q should", l.text(), "goto "+other)
			}
			return d.fixed(other)
		}
		values := l.values(field)
		if values == nil || len(l.conds) != 1 || l.does != "goto "+l.to && l.does != "jump "+l.to {
			return d.t.fail(c, l.at, "%q does not lead addresses of the pod on", l.text())
		}
		for _, v := range values {
			a, err := netip.ParseAddr(v)
			if err != nil {
				return d.t.fail(c, l.at, "%q is no single address", v)
			}
			if to[a] == "" {
				to[a] = d.name(l.to)
			}
		}
	}
	return fmt.Errorf("chain %q ends where %q should stand", name, "goto "+other)
}

// values returns what a rule compares a field with; nil where it does not ask
// whether the field is one of some values.
func (l *line) values(field string) []string {
	for _, t := range l.rule.terms {
		if m, ok := t.(*command.Match); ok && m.Field == field && m.Op == "" {
			return m.Values
		}
	}
	return nil
}
