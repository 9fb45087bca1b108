package names

import (
	"net/netip"
	"time"
)

// Name is a domain name to keep.
type Name struct {
	// Name is in compiler.NormalizeFQDN's form, as a bundle has it. No search
	// domain is ever appended.
	Name string
	// Static are addresses that the operator gave (--resolve), unmapped. They are
	// enforced always, and an answer that holds exactly one of them is not refused.
	Static []netip.Addr
	// Hold keeps addresses while resolvers fail without the bound of Config.Stale.
	// It is for names that rules only deny: to let go of what they close would open it.
	Hold bool
}

// Known is everything that is to be enforced, and how it differs from what was
// enforced last. What it refers to is shared and must not be changed.
type Known struct {
	// Addrs has every name that was set, also those without addresses. Addresses are
	// unmapped, sorted (IPv4 first) and distinct, learned and static ones together.
	Addrs map[string][]netip.Addr
	// Whole says that what was enforced before is not known: the first call of a
	// process, or the first after [Learner.Resync]. Changes are then from nothing:
	// whatever else the backend holds for names must go.
	Whole bool
	// Changes since the last call that succeeded, sorted by name. A name that is no
	// longer kept is there with what it had, and is not in Addrs.
	Changes []Change
	// Since is when the earliest of the changes became known.
	Since time.Time
}

// Change is how the addresses of one name differ from those enforced last; both
// are sorted. Both are empty for a name that is new, or gone, and has no address.
type Change struct {
	Name           string
	Added, Removed []netip.Addr
}
