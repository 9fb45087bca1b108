package ebpf

import (
	"errors"
	"fmt"
	"net/netip"

	"github.com/trafficpolicy/trafficpolicy/model"
)

// locals checks the searches for records: each address of the tables has its own,
// and no other address has one. Each record stands at the end of one path of
// single values, so equal paths are one address.
func (c *checker) locals() error {
	l := &localChecker{checker: c, reached: make([]bool, len(c.records))}
	for f, h := range []int{HeaderLocal4, HeaderLocal6} {
		l.family, l.levels = model.Family(f), []int{1, 4}[f]
		if err := l.follow(Ref(c.word(h)), 0); err != nil {
			return fmt.Errorf("search for a record of %s: %w", l.family, err)
		}
	}
	for i, ok := range l.reached {
		if !ok {
			return fmt.Errorf("record %d of %s is not found", i, c.records[i].addr)
		}
	}
	return nil
}

type localChecker struct {
	*checker
	family  model.Family
	levels  int       // words of an address
	value   addrWords // of the words on the path so far
	reached []bool    // by record
}

// follow checks what an interval leads to; level words of the path are known.
func (l *localChecker) follow(r Ref, level int) error {
	switch {
	case r == NoRecord:
		return nil
	case r.Terminal():
		return l.end(r, level)
	case r.kind() > KindTree5 || r.word() != WordLocal+level || level == l.levels:
		return fmt.Errorf("reference %#x is no search of word %d", uint32(r), level)
	}
	n, err := l.open(r)
	if err != nil {
		return fmt.Errorf("slot %d: %w", r.slot(), err)
	}
	l.seen[r.slot()] = summary{state: done, words: 1 << r.word()}
	next := uint64(0) // first value of the interval
	for i := range n.leaves {
		base, count := l.leaf(&n, i)
		for j := range count {
			last := l.lastOf(&n, base, j)
			if r := Ref(l.word(base + n.keys + j)); r != NoRecord {
				if next != uint64(last) {
					return fmt.Errorf("slot %d: values %d to %d lead to one record", r.slot(), next, last)
				}
				l.value[level] = last
				if err := l.follow(r, level+1); err != nil {
					return err
				}
			}
			next = uint64(last) + 1
		}
	}
	return nil
}

// end checks the record at the end of a path.
func (l *localChecker) end(r Ref, level int) error {
	switch i := r.index(); {
	case r.verdict() != VerdictOther || i >= uint32(len(l.records)):
		return fmt.Errorf("terminal %#x is no record", uint32(r))
	case level != l.levels:
		return fmt.Errorf("record %d has more than one address", i)
	case l.reached[i]:
		return fmt.Errorf("record %d is found twice", i)
	case l.records[i].family != l.family || l.records[i].words != l.value:
		return fmt.Errorf("another address than %s leads to record %d", l.records[i].addr, i)
	default:
		l.reached[i] = true
	}
	return nil
}

// record is what the tables say of one.
type record struct {
	addr   netip.Addr
	words  addrWords
	family model.Family
	pod    uint32
}

// recordList returns the records by number, each of which must be there once.
func (t *Tables) recordList() ([]record, error) {
	n := 0
	for _, p := range t.Pods {
		n += len(p.Addrs)
	}
	out := make([]record, n)
	for i, p := range t.Pods {
		for _, a := range p.Addrs {
			switch {
			case !plain(a.Addr):
				return nil, fmt.Errorf("%q of pod %s is no plain address", a.Addr, p.Ref)
			case a.Record >= uint32(n):
				return nil, fmt.Errorf("record %d of %s is not one of %d", a.Record, a.Addr, n)
			case out[a.Record].addr.IsValid():
				return nil, fmt.Errorf("%s and %s have one record", out[a.Record].addr, a.Addr)
			}
			out[a.Record] = record{a.Addr, splitWords(a.Addr), model.FamilyOf(a.Addr), uint32(i)}
		}
	}
	if n >= int(NoMatch&indexMask) {
		return nil, errors.New("it has too many addresses")
	}
	return out, nil
}

// splitWords returns an address as words of a packet.
func splitWords(a netip.Addr) (w addrWords) {
	for i, b := range a.AsSlice() {
		w[i/4] = w[i/4]<<8 | uint32(b)
	}
	return w
}

// plain reports whether a is an address of a packet.
func plain(a netip.Addr) bool { return a.IsValid() && a.Zone() == "" && !a.Is4In6() }
