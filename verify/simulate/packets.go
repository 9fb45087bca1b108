package simulate

import (
	"fmt"
	"net/netip"
	"slices"
	"strings"

	"github.com/trafficpolicy/trafficpolicy/model"
)

// read lists the readings of a flow between two ends: one for each address
// that an end may stand for, at least one. The first is the one that is shown
// where all have the same verdict.
func (w *worker) read(f Flow, src, dst *end) ([]packet, error) {
	switch {
	case dst.service != nil:
		return w.toService(f, src, dst.service)
	case dst.name != "":
		return w.toName(f, src, dst.name)
	case dst.pod == nil:
		return w.toAddress(f, src, dst.addr)
	case src.pod == nil:
		return w.fromAddress(f, src, dst.pod), nil
	}
	return w.betweenPods(f, src.pod, dst.pod)
}

// betweenPods pairs the addresses of two pods that are both given by name: one
// packet for each family that both have, in the order of the source's addresses.
func (w *worker) betweenPods(f Flow, src, dst *subject) ([]packet, error) {
	from, to := src.addrs, dst.addrs
	switch {
	case len(from) == 0:
		return nil, noAddress(src)
	case len(to) == 0:
		return nil, noAddress(dst)
	}
	out := w.packets[:0]
	for i, a := range from {
		fam := model.FamilyOf(a)
		if first(from[:i], fam).IsValid() || !first(to, fam).IsValid() {
			continue
		}
		out = append(out, newPacket(f, fam, party{src, a}, party{dst, first(to, fam)}))
	}
	w.packets = out
	if len(out) == 0 {
		return nil, fmt.Errorf("%s (%s) and %s (%s) have no address family in common", src.name(), addrNames(from), dst.name(), addrNames(to))
	}
	if len(out) > 1 {
		for i := range out {
			out[i].conditions = []string{out[i].family.String()}
		}
	}
	return out, nil
}

func noAddress(p *subject) error {
	return fmt.Errorf("%s has no address of its own, which a flow between two pods needs", p.name())
}

func addrNames(addrs []netip.Addr) string {
	names := make([]string, len(addrs))
	for i, a := range addrs {
		names[i] = a.String()
	}
	return strings.Join(names, ", ")
}

// newPacket returns a packet that no Service translates.
func newPacket(f Flow, fam model.Family, src, dst party) packet {
	x := f.point(fam)
	return packet{src: src, dst: dst, to: remote{addr: dst.addr}, family: fam, egress: x, ingress: x}
}

// alternative is what an end may be in packets of one family. condition is set
// where there are others.
type alternative struct {
	party
	condition string
}

// sources returns what the source may be in packets of a family: a pod given by
// name with its address, none where it lacks the family; or each pod whose the
// address is, and nobody's pod where there is none.
func (w *worker) sources(src *end, fam model.Family) []alternative {
	if src.pod != nil {
		w.from = append(w.from[:0], alternative{party: party{src.pod, first(src.pod.addrs, fam)}})
	} else {
		w.from = w.owners(w.from[:0], src.addr)
	}
	return w.from
}

// targets returns whose pod the destination address a may be.
func (w *worker) targets(a netip.Addr) []alternative {
	w.to = w.owners(w.to[:0], a)
	return w.to
}

// owners appends whose pod the address a may be.
func (s *Simulator) owners(out []alternative, a netip.Addr) []alternative {
	if i, ok := s.owner(a); ok {
		return append(out, alternative{party: party{&s.subjects[i], a}})
	}
	if !s.contested {
		return append(out, alternative{party: party{nil, a}})
	}
	pods := s.addresses.Owners(a)
	for _, p := range pods {
		out = append(out, alternative{party: party{s.subject(p), a}, condition: fmt.Sprintf("%s is %s", a, p.Ref())})
	}
	if len(pods) == 0 {
		out = append(out, alternative{party: party{nil, a}})
	}
	return out
}

// fromAddress pairs an address with a pod given by name.
func (w *worker) fromAddress(f Flow, src *end, dst *subject) []packet {
	fam := model.FamilyOf(src.addr)
	to := []alternative{{party: party{dst, first(dst.addrs, fam)}}}
	return w.pair(f, fam, w.sources(src, fam), to)
}

// toAddress pairs the source with one address.
func (w *worker) toAddress(f Flow, src *end, a netip.Addr) ([]packet, error) {
	fam := model.FamilyOf(a)
	if src.pod == nil && model.FamilyOf(src.addr) != fam {
		return nil, fmt.Errorf("no packet goes from %s to %s: one is IPv4, the other IPv6", src.addr, a)
	}
	return w.pair(f, fam, w.sources(src, fam), w.targets(a)), nil
}

// toName pairs the source with each known address of a domain name, or with an
// unknown one of each family.
func (w *worker) toName(f Flow, src *end, name string) ([]packet, error) {
	addrs := w.options.Resolve[name]
	if len(addrs) == 0 {
		return w.toUnresolved(f, src, name)
	}
	var out []packet
	for i, a := range addrs {
		if slices.Contains(addrs[:i], a) || src.pod == nil && model.FamilyOf(src.addr) != model.FamilyOf(a) {
			continue
		}
		ps, err := w.toAddress(f, src, a)
		if err != nil {
			return nil, err
		}
		for j := range ps {
			ps[j].conditions = append([]string{fmt.Sprintf("%s is %s", name, a)}, ps[j].conditions...)
		}
		out = append(out, ps...)
	}
	if len(out) == 0 {
		return nil, fmt.Errorf("%s has no address of the family of %s", name, src.addr)
	}
	return out, nil
}

// toUnresolved pairs the source with an unknown address of each family that it
// has; of each that the analysis covers, where it has no address itself.
func (w *worker) toUnresolved(f Flow, src *end, name string) ([]packet, error) {
	has := []netip.Addr{src.addr}
	if src.pod != nil {
		has = src.pod.addrs
	}
	var families []model.Family
	for _, a := range has {
		if fam := model.FamilyOf(a); !slices.Contains(families, fam) {
			families = append(families, fam)
		}
	}
	if len(families) == 0 {
		families = w.families
	}
	var out []packet
	for _, fam := range families {
		ps := w.pair(f, fam, w.sources(src, fam), []alternative{{}})
		for i := range ps {
			ps[i].to = remote{name: name, family: fam}
			if len(families) > 1 {
				ps[i].conditions = append([]string{fam.String()}, ps[i].conditions...)
			}
		}
		out = append(out, ps...)
	}
	return out, nil
}

// pair makes the packets of every source with every destination. They are valid
// until it is called again.
func (w *worker) pair(f Flow, fam model.Family, from, to []alternative) []packet {
	out := w.packets[:0]
	for _, a := range from {
		for _, b := range to {
			p := newPacket(f, fam, a.party, b.party)
			for _, c := range [...]string{a.condition, b.condition} {
				if c != "" {
					p.conditions = append(p.conditions, c)
				}
			}
			out = append(out, p)
		}
	}
	w.packets = out
	return out
}

// notes says which addresses of the ends several pods claim.
func (s *Simulator) notes(ends ...end) []string {
	if !s.contested {
		return nil
	}
	var out []string
	for _, e := range ends {
		addrs := []netip.Addr{e.addr}
		if e.pod != nil {
			addrs = e.pod.addrs
		}
		for _, a := range addrs {
			pods := s.addresses.Owners(a)
			if len(pods) < 2 {
				continue
			}
			refs := make([]string, len(pods))
			for i, p := range pods {
				refs[i] = p.Ref()
			}
			out = append(out, fmt.Sprintf("%s is claimed by %s", a, strings.Join(refs, " and ")))
		}
	}
	return out
}
