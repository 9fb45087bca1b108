package verify

import (
	"cmp"
	"net/netip"
	"slices"

	"github.com/trafficpolicy/trafficpolicy/model"
)

// hosts tells which addresses of a family are one pod's. Pods that claim one
// address with equal right cannot be told apart by it, and are one host. The zero
// value is ready to use: each address is then a host of its own.
type hosts struct{ parent map[netip.Addr]netip.Addr }

// join makes those of addrs that are of one family one host.
func (h *hosts) join(addrs []netip.Addr) {
	for i, a := range addrs {
		for _, b := range addrs[:i] {
			if model.FamilyOf(a) != model.FamilyOf(b) {
				continue
			}
			if a, b := h.of(a), h.of(b); a != b {
				if h.parent == nil {
					h.parent = map[netip.Addr]netip.Addr{}
				}
				h.parent[a] = b
			}
		}
	}
}

// of returns the address that stands for the host of a.
func (h *hosts) of(a netip.Addr) netip.Addr {
	for {
		up, ok := h.parent[a]
		if !ok {
			return a
		}
		if over, ok := h.parent[up]; ok {
			h.parent[a] = over // halves the way for the next
		}
		a = up
	}
}

// hostID is the number of a host, where something is about that host alone.
type hostID int32

const (
	noHost    hostID = -1
	manyHosts hostID = -2 // or one, where it makes no difference which
)

// join returns what is about both.
func (s hostID) join(t hostID) hostID {
	switch s {
	case noHost, t:
		return t
	}
	return manyHosts
}

// number fills in r.addrs, and what the groups have of hosts.
func (r *reacher) number(h *hosts) {
	numbers := map[netip.Addr]hostID{}
	var in [][]int32 // by host, the groups
	for i, g := range r.groups {
		g.sole = [2]hostID{noHost, noHost}
		for _, a := range g.addrs {
			n, ok := numbers[h.of(a)]
			if !ok {
				n = hostID(len(in))
				numbers[h.of(a)] = n
				in = append(in, nil)
			}
			if k := len(in[n]); k == 0 || in[n][k-1] != int32(i) {
				in[n] = append(in[n], int32(i))
			}
			f := model.FamilyOf(a)
			g.sole[f] = g.sole[f].join(n)
			r.addrs = append(r.addrs, reachAddr{a, int32(i), n})
		}
	}
	slices.SortFunc(r.addrs, func(a, b reachAddr) int { return cmp.Or(a.addr.Compare(b.addr), cmp.Compare(a.group, b.group)) })
	for _, groups := range in {
		r.relate(groups)
	}
}

// relate notes that groups have a host in common.
func (r *reacher) relate(groups []int32) {
	if len(groups) < 2 {
		return
	}
	for _, i := range groups {
		g := r.groups[i]
		if g.kin == nil {
			g.kin = map[int32]bool{}
		}
		for _, j := range groups {
			g.kin[j] = true
		}
	}
}

// near marks the groups that have a host in common with one of groups, which
// each has with itself.
func (r *reacher) near(groups []int) []bool {
	out := make([]bool, len(r.groups))
	for _, i := range groups {
		out[i] = true
		for j := range r.groups[i].kin {
			out[j] = true
		}
	}
	return out
}
