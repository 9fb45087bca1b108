package simulate

import (
	"encoding/binary"
	"math"
	"net/netip"
	"sync"

	"go4.org/netipx"

	"github.com/trafficpolicy/trafficpolicy/model"
)

// words is the rules of a walk once more, as a few machine words each, so that a
// walk over many rules need not open one that cannot match. They decide nothing:
// a word holds every address and point that its rule could match, and perhaps
// more, and the rules that it lets through are read as they stand. Each kind of
// word is made when the first packet asks for it.
type words struct {
	once4, once6, onceL4 sync.Once

	// By index in Walk.rules, or nil where no rule can match in that family.
	ip4 []hull4
	ip6 []hull6
	l4  []hullL4
}

// hull4 is a stretch of IPv4 addresses: first and the span that follow it, so
// that one subtraction and one comparison tell whether it holds an address.
type hull4 struct{ first, span uint32 }

// hull6 is a stretch of IPv6 addresses, both ends inclusive.
type hull6 struct{ first, last uint128 }

// hullL4 is a stretch of the L4 axis, as hull4 is of addresses.
type hullL4 struct{ first, span model.L4 }

// uint128 is an IPv6 address as a number.
type uint128 struct{ hi, lo uint64 }

func (a uint128) less(b uint128) bool { return a.hi < b.hi || a.hi == b.hi && a.lo < b.lo }

func toUint128(a netip.Addr) uint128 {
	b := a.As16()
	return uint128{binary.BigEndian.Uint64(b[:8]), binary.BigEndian.Uint64(b[8:])}
}

func toUint32(a netip.Addr) uint32 {
	b := a.As4()
	return binary.BigEndian.Uint32(b[:])
}

// none4 and none6 stand for a rule that matches nothing. They hold the
// last address all the same, where the rule itself then says no.
var (
	none4 = hull4{first: math.MaxUint32}
	none6 = hull6{uint128{math.MaxUint64, math.MaxUint64}, uint128{math.MaxUint64, math.MaxUint64}}
)

// search goes through the rules of a walk that a packet could match: those that
// its words let through or, where there is a shortcut, those that it names.
type search struct {
	*Walk
	four  bool // the family; ip4 or ip6 is the address
	ip4   uint32
	ip6   uint128
	l4    model.L4
	anyL4 bool // the point is not known: a rule may look at it and say so

	// Where short is set: the rule that matches in any case, -1 for none, and those
	// before it that match where the address is in an unresolved peer.
	short      bool
	rule       int
	conditions []model.Conditional
}

// search begins at a packet whose remote address is a, unmapped.
func (w *Walk) search(a netip.Addr, x point) search {
	s := search{Walk: w, l4: model.L4Of(x.proto, x.port), anyL4: !x.known}
	if w.shortcut != nil && x.known {
		rule, conditions, ok := w.shortcut.Find(a, s.l4)
		if s.short, s.rule, s.conditions = ok, int(rule), conditions; ok {
			return s
		}
	}
	w.words.onceL4.Do(w.makeL4)
	if s.four = a.Is4(); s.four {
		w.words.once4.Do(w.make4)
		s.ip4 = toUint32(a)
	} else {
		w.words.once6.Do(w.make6)
		s.ip6 = toUint128(a)
	}
	return s
}

// next returns the index of the first rule from i on that the packet could
// match, or the number of rules where there is none.
func (s *search) next(i int) int {
	if s.short {
		return s.named(i)
	}
	for ; ; i++ {
		if s.four {
			i = next4(s.words.ip4, s.ip4, i)
		} else {
			i = next6(s.words.ip6, s.ip6, i)
		}
		if i < 0 {
			return len(s.rules)
		}
		if h := &s.words.l4[i]; s.anyL4 || s.l4-h.first <= h.span {
			return i
		}
	}
}

// named is next where there is a shortcut.
func (s *search) named(i int) int {
	for len(s.conditions) > 0 {
		if at := int(s.conditions[0].Rule); at >= i {
			return at
		}
		s.conditions = s.conditions[1:]
	}
	if s.rule >= i {
		return s.rule
	}
	return len(s.rules)
}

// next4 returns the first index from i on whose hull holds a, -1 without one. The
// loop is written out eight times because it is what a long walk consists of.
func next4(hulls []hull4, a uint32, i int) int {
	for ; i+8 <= len(hulls); i += 8 {
		h := (*[8]hull4)(hulls[i:])
		switch {
		case a-h[0].first <= h[0].span:
			return i
		case a-h[1].first <= h[1].span:
			return i + 1
		case a-h[2].first <= h[2].span:
			return i + 2
		case a-h[3].first <= h[3].span:
			return i + 3
		case a-h[4].first <= h[4].span:
			return i + 4
		case a-h[5].first <= h[5].span:
			return i + 5
		case a-h[6].first <= h[6].span:
			return i + 6
		case a-h[7].first <= h[7].span:
			return i + 7
		}
	}
	for ; i < len(hulls); i++ {
		if a-hulls[i].first <= hulls[i].span {
			return i
		}
	}
	return -1
}

func next6(hulls []hull6, a uint128, i int) int {
	for ; i < len(hulls); i++ {
		if h := &hulls[i]; !a.less(h.first) && !h.last.less(a) {
			return i
		}
	}
	return -1
}

func (w *Walk) make4() {
	hulls, some := make([]hull4, len(w.rules)), false
	for i, r := range w.rules {
		first, last, ok := r.hull(model.IPv4)
		if hulls[i] = none4; ok {
			hulls[i] = hull4{toUint32(first), toUint32(last) - toUint32(first)}
			some = true
		}
	}
	if some {
		w.words.ip4 = hulls
	}
}

func (w *Walk) make6() {
	hulls, some := make([]hull6, len(w.rules)), false
	for i, r := range w.rules {
		first, last, ok := r.hull(model.IPv6)
		if hulls[i] = none6; ok {
			hulls[i] = hull6{toUint128(first), toUint128(last)}
			some = true
		}
	}
	if some {
		w.words.ip6 = hulls
	}
}

func (w *Walk) makeL4() {
	w.words.l4 = make([]hullL4, len(w.rules))
	for i, r := range w.rules {
		h := hullL4{0, model.L4Last}
		for j, p := range r.rule.Ports {
			at := p.L4()
			if j == 0 {
				h = hullL4{at.First, at.Last - at.First}
				continue
			}
			last := max(h.first+h.span, at.Last)
			h.first = min(h.first, at.First)
			h.span = last - h.first
		}
		w.words.l4[i] = h
	}
}

// hull returns the first and the last address of a family that the rule could
// match, and false where there is none. An unresolved peer can be anything.
func (r *walkRule) hull(f model.Family) (first, last netip.Addr, ok bool) {
	if r.everyone || len(r.unknown) > 0 {
		return f.All().Addr(), netipx.PrefixLastIP(f.All()), true
	}
	for i := range r.resolved {
		for _, p := range r.resolved[i].prefixes {
			if model.FamilyOf(p.Addr()) != f {
				continue
			}
			if !ok || p.Addr().Less(first) {
				first = p.Addr()
			}
			if end := netipx.PrefixLastIP(p); !ok || last.Less(end) {
				last = end
			}
			ok = true
		}
	}
	return first, last, ok
}
