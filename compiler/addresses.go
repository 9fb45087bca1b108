package compiler

import (
	"net/netip"
	"slices"

	"github.com/trafficpolicy/trafficpolicy/model"
)

// Addresses answers whose an address is (SEMANTICS section 2). HostNetwork pods
// share their node's addresses and finished pods no longer have theirs: neither
// owns any. A pod with a deletionTimestamp yields an address to one without.
// It is safe for concurrent use.
type Addresses struct {
	first map[netip.Addr]*model.Pod
	// shared holds the addresses that several pods claim with equal right, each
	// with all of them.
	shared map[netip.Addr][]*model.Pod
	// contested is set where any address was ever claimed by two pods, even if one
	// yields.
	contested bool
}

// NewAddresses indexes the pods of inv.
func NewAddresses(inv *model.Inventory) *Addresses {
	x := &Addresses{
		first:  make(map[netip.Addr]*model.Pod, len(inv.Pods)),
		shared: map[netip.Addr][]*model.Pod{},
	}
	for _, p := range inv.Pods {
		if !p.Subject() {
			continue
		}
		for _, a := range p.IPs {
			x.claim(a, p)
		}
	}
	return x
}

func (x *Addresses) claim(a netip.Addr, p *model.Pod) {
	owner, taken := x.first[a]
	x.contested = x.contested || taken && owner != p
	switch {
	case !taken, owner.Deleting && !p.Deleting:
		x.first[a] = p
		delete(x.shared, a)
	case owner == p, p.Deleting && !owner.Deleting:
	case x.shared[a] == nil:
		x.shared[a] = []*model.Pod{owner, p}
	default:
		x.shared[a] = append(x.shared[a], p)
	}
}

// Owners returns the pods whose address a is, in inventory order: none for an
// address that is no pod's own, several where pods claim it with equal right.
// a must be unmapped.
func (x *Addresses) Owners(a netip.Addr) []*model.Pod {
	if pods := x.shared[a]; pods != nil {
		return slices.Clone(pods)
	}
	if p := x.first[a]; p != nil {
		return []*model.Pod{p}
	}
	return nil
}

// Of returns the addresses that p owns, in the order of status.podIPs: those it
// claims less those it yields.
func (x *Addresses) Of(p *model.Pod) []netip.Addr {
	if !p.Subject() {
		return nil
	}
	var own []netip.Addr
	for _, a := range p.IPs {
		if x.first[a] == p || slices.Contains(x.shared[a], p) {
			own = append(own, a)
		}
	}
	return own
}

// Conflict is an address that several pods claim with equal right.
type Conflict struct {
	Addr netip.Addr
	Pods []*model.Pod // at least two, in inventory order
}

// Conflicts returns all conflicts, sorted by address.
func (x *Addresses) Conflicts() []Conflict {
	cs := make([]Conflict, 0, len(x.shared))
	for a, pods := range x.shared {
		cs = append(cs, Conflict{a, slices.Clone(pods)})
	}
	slices.SortFunc(cs, func(a, b Conflict) int { return a.Addr.Compare(b.Addr) })
	return cs
}

// conflicts returns those of the addresses of pods, sorted by address.
func (x *Addresses) conflicts(pods []*model.Pod) []Conflict {
	if len(x.shared) == 0 {
		return nil
	}
	found := map[netip.Addr]bool{}
	var cs []Conflict
	for _, p := range pods {
		for _, a := range p.IPs {
			if claim := x.shared[a]; slices.Contains(claim, p) && !found[a] {
				found[a] = true
				cs = append(cs, Conflict{a, slices.Clone(claim)})
			}
		}
	}
	slices.SortFunc(cs, func(a, b Conflict) int { return a.Addr.Compare(b.Addr) })
	return cs
}

// replace takes pods out of the index and others in, and reports whether it could:
// where several pods claim one address it cannot tell whose that is then, and the
// index is of no use any more.
func (x *Addresses) replace(removed, added []*model.Pod) bool {
	if x.contested {
		return false
	}
	for _, p := range removed {
		if p.Subject() {
			for _, a := range p.IPs {
				delete(x.first, a)
			}
		}
	}
	for _, p := range added {
		if p.Subject() {
			for _, a := range p.IPs {
				x.claim(a, p)
			}
		}
	}
	return !x.contested
}
