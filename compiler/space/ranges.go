package space

import (
	"net/netip"

	"github.com/trafficpolicy/trafficpolicy/model"
)

// FromRanges returns a table that decides as ranges say: sorted, disjoint, without
// gaps over all of the family's space. It keeps both slices. Writing ranges as
// prefixes of longest-prefix meaning can take many times more of them.
func FromRanges(f model.Family, ranges []Range, decisions []Decision) *Table {
	return &Table{Family: f, Decisions: decisions, ranges: ranges}
}

// Ranges returns the table as disjoint, sorted ranges that cover the family's
// space, equal neighbours merged. They may be the table's own and must not be changed.
func (t *Table) Ranges() []Range {
	if t.ranges != nil {
		return t.ranges
	}
	s := sweep{table: t, next: t.Family.All().Addr()}
	s.out = make([]Range, 0, 2*len(t.Entries)) // what is around an entry goes on behind it
	for i := range t.Entries {
		p := t.Entries[i].Prefix
		for len(s.open) > 0 && !s.top().Prefix.Contains(p.Addr()) {
			s.close()
		}
		if len(s.open) > 0 {
			s.emit(p.Addr().Prev(), s.top().Decision)
		}
		s.open = append(s.open, &t.Entries[i])
	}
	for len(s.open) > 0 {
		s.close()
	}
	return s.out
}

// sweep goes through the addresses in order with a stack of the entries around
// the current one.
type sweep struct {
	table *Table
	open  []*Entry
	next  netip.Addr // first address not yet emitted; the zero Addr behind the last of the space
	out   []Range
}

func (s *sweep) top() *Entry { return s.open[len(s.open)-1] }

// close emits the rest of the innermost entry and leaves it.
func (s *sweep) close() {
	e := s.top()
	s.emit(lastAddr(e.Prefix), e.Decision)
	s.open = s.open[:len(s.open)-1]
}

// emit appends the addresses from next to last, which may be none.
func (s *sweep) emit(last netip.Addr, d DecisionID) {
	if !last.IsValid() || !s.next.IsValid() || last.Less(s.next) {
		return
	}
	if n := len(s.out); n > 0 && s.out[n-1].Decision == d {
		s.out[n-1].Last = last
	} else {
		s.out = append(s.out, Range{s.next, last, d})
	}
	s.next = last.Next()
}

// lastAddr returns the last address of p.
func lastAddr(p netip.Prefix) netip.Addr {
	b := toBlock(p)
	if p.Addr().Is4() {
		return b.last().addr(0)
	}
	return b.last().addr(1)
}
