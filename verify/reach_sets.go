package verify

import (
	"cmp"
	"fmt"
	"net/netip"
	"slices"
	"sync"

	"go4.org/netipx"

	"github.com/trafficpolicy/trafficpolicy/compiler/space"
	"github.com/trafficpolicy/trafficpolicy/model"
)

// l4ID names a pair of sets of L4 points: those that are allowed whatever the
// atoms are, and those that are for some value.
type l4ID int32

// l4Sets numbers such pairs. It is safe for concurrent use; numbers depend on the
// order of calls and must not be seen.
type l4Sets struct {
	mu    sync.Mutex
	ids   map[string]l4ID
	pairs []l4Pair

	profileIDs map[string]profileID
	profiles   []l4Profile
}

type l4Pair struct{ sure, possible model.L4Set }

// of returns the pair that cells of a list allow.
func (s *l4Sets) of(list *model.RuleList, cells []space.Cell) l4ID {
	allows := func(rule int32) bool {
		if rule == space.NoRule {
			return !list.Isolated
		}
		return list.Rules[rule].Action.Allows()
	}
	var p l4Pair
	for at := model.L4(0); at <= model.L4Last; {
		var c space.Cell
		c, cells = cellAt(cells, at)
		sure, possible := allows(c.Rule), allows(c.Rule)
		for _, cond := range c.If {
			sure, possible = sure && allows(cond.Rule), possible || allows(cond.Rule)
		}
		r := model.L4Range{First: at, Last: c.Last}
		if sure {
			p.sure = append(p.sure, r)
		}
		if possible {
			p.possible = append(p.possible, r)
		}
		at = c.Last + 1
	}
	return s.intern(l4Pair{model.NewL4Set(p.sure...), model.NewL4Set(p.possible...)})
}

func (s *l4Sets) intern(p l4Pair) l4ID {
	key := fmt.Sprint([]model.L4Range(p.sure), []model.L4Range(p.possible))
	s.mu.Lock()
	defer s.mu.Unlock()
	id, ok := s.ids[key]
	if !ok {
		if s.ids == nil {
			s.ids = map[string]l4ID{}
		}
		id = l4ID(len(s.pairs))
		s.ids[key] = id
		s.pairs = append(s.pairs, p)
	}
	return id
}

// l4Profile is what policies say of the addresses of one group: a few entries,
// sorted, one for each id.
type l4Profile []l4Said

// l4Said is one thing that policies say, and of which host alone.
type l4Said struct {
	id   l4ID
	host hostID // manyHosts where that is all the same
}

// with adds that id is said of an address of host.
func (p l4Profile) with(id l4ID, host hostID) l4Profile {
	for i := range p {
		if p[i].id == id {
			p[i].host = p[i].host.join(host)
			return p
		}
	}
	return append(p, l4Said{id, host})
}

// profileID names an l4Profile; noProfile is that of a group without an address.
type profileID int32

const noProfile profileID = -1

// profile returns the number of p, which it sorts.
func (s *l4Sets) profile(p l4Profile) profileID {
	if len(p) == 0 {
		return noProfile
	}
	slices.SortFunc(p, func(a, b l4Said) int { return cmp.Compare(a.id, b.id) })
	key := fmt.Sprint(p)
	s.mu.Lock()
	defer s.mu.Unlock()
	id, ok := s.profileIDs[key]
	if !ok {
		if s.profileIDs == nil {
			s.profileIDs = map[string]profileID{}
		}
		id = profileID(len(s.profiles))
		s.profileIDs[key] = id
		s.profiles = append(s.profiles, p)
	}
	return id
}

// l4Addrs is the addresses for which policies say one thing.
type l4Addrs struct {
	id     l4ID
	ranges []netipx.IPRange
}

func (a *l4Addrs) add(first, last netip.Addr) {
	if n := len(a.ranges); n > 0 && a.ranges[n-1].To().Next() == first {
		a.ranges[n-1] = netipx.IPRangeFrom(a.ranges[n-1].From(), last)
		return
	}
	a.ranges = append(a.ranges, netipx.IPRangeFrom(first, last))
}

// intersect returns the points in both sets.
func intersect(a, b model.L4Set) model.L4Set {
	var out model.L4Set
	for len(a) > 0 && len(b) > 0 {
		if first, last := max(a[0].First, b[0].First), min(a[0].Last, b[0].Last); first <= last {
			out = append(out, model.L4Range{First: first, Last: last})
		}
		if a[0].Last < b[0].Last {
			a = a[1:]
		} else {
			b = b[1:]
		}
	}
	return out
}

// union returns the points in either set.
func union(a, b model.L4Set) model.L4Set { return model.NewL4Set(slices.Concat(a, b)...) }

// minus returns the points of a that are not in b.
func minus(a, b model.L4Set) model.L4Set { return intersect(a, complement(b)) }
