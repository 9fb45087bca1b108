//go:build linux

package load

import (
	"fmt"
	"maps"
	"net/netip"
	"slices"

	graph "github.com/trafficpolicy/trafficpolicy/backends/ebpf"
	"github.com/trafficpolicy/trafficpolicy/backends/ebpf/bpf"
)

// namesOf is the inverse of nameEntries: which addresses have names with which
// entries for chains are what they are. An entry says what the first name of a chain
// leads to that has the address, so it does not always tell which names have it:
// then it is those that are to have it, if they fit. It is an error where none do.
func namesOf(entries map[bpf.NameKey]uint32, wanted map[string][]netip.Addr, t *graph.Tables, p *graph.Placement) (map[string][]netip.Addr, error) {
	f := newNameFinder(t, p)
	known := map[netip.Addr]map[string]bool{}
	out := map[string][]netip.Addr{}
	for n, addrs := range wanted {
		out[n] = nil
		for _, a := range addrs {
			if known[a] == nil {
				known[a] = map[string]bool{}
			}
			known[a][n] = true
			f.entries[a] = map[uint32]graph.Ref{}
		}
	}
	for k, ref := range entries {
		if int(k.Chain) >= len(t.Chains) {
			return nil, fmt.Errorf("domain names: there is no chain %d", k.Chain)
		}
		a := k.Address.Addr()
		if f.entries[a] == nil {
			f.entries[a] = map[uint32]graph.Ref{}
		}
		f.entries[a][k.Chain] = graph.Ref(ref)
	}
	for a := range f.entries {
		names := known[a]
		if !f.fits(a, names) {
			if names = f.most(a); !f.fits(a, names) {
				return nil, fmt.Errorf("domain names: no names have %s as the kernel has it", a)
			}
		}
		for n := range names {
			out[n] = append(out[n], a)
		}
	}
	for _, addrs := range out {
		slices.SortFunc(addrs, netip.Addr.Compare)
	}
	return out, nil
}

// nameFinder finds names by the entries of their addresses.
type nameFinder struct {
	tables    *graph.Tables
	placement *graph.Placement
	places    map[string][]linkPlace              // by name
	entries   map[netip.Addr]map[uint32]graph.Ref // by chain
}

// linkPlace is where a name stands.
type linkPlace struct {
	chain uint32
	index int
}

func newNameFinder(t *graph.Tables, p *graph.Placement) *nameFinder {
	f := &nameFinder{tables: t, placement: p, places: map[string][]linkPlace{}, entries: map[netip.Addr]map[uint32]graph.Ref{}}
	for c, chain := range t.Chains {
		for i := range chain {
			f.places[chain[i].Name] = append(f.places[chain[i].Name], linkPlace{uint32(c), i})
		}
	}
	return f
}

// fits reports whether an address of exactly these names has the entries that it has.
func (f *nameFinder) fits(a netip.Addr, names map[string]bool) bool {
	first := map[uint32]int{}
	for n := range names {
		for _, p := range f.places[n] {
			if i, ok := first[p.chain]; !ok || p.index < i {
				first[p.chain] = p.index
			}
		}
	}
	if len(first) != len(f.entries[a]) {
		return false
	}
	for c, i := range first {
		if have, ok := f.entries[a][c]; !ok || f.placement.Placed(&f.tables.Chains[c][i]) != have {
			return false
		}
	}
	return true
}

// most returns the most names that an address can have: none that would be found
// in a chain where no name is, or before one that leads where the entry does.
func (f *nameFinder) most(a netip.Addr) map[string]bool {
	from := map[uint32]int{} // by chain: the first that leads there
	for c, have := range f.entries[a] {
		chain := f.tables.Chains[c]
		from[c] = slices.IndexFunc(chain, func(l graph.Link) bool { return f.placement.Placed(&l) == have })
		if from[c] < 0 {
			return nil
		}
	}
	names := map[string]bool{}
	for c, i := range from {
		for _, l := range f.tables.Chains[c][i:] {
			names[l.Name] = !slices.ContainsFunc(f.places[l.Name], func(p linkPlace) bool {
				i, ok := from[p.chain]
				return !ok || p.index < i
			})
		}
	}
	maps.DeleteFunc(names, func(_ string, can bool) bool { return !can })
	return names
}
