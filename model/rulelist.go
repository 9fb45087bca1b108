package model

import "net/netip"

// Family is an address family.
type Family uint8

const (
	IPv4 Family = iota
	IPv6
)

// Families lists both.
var Families = [...]Family{IPv4, IPv6}

// String returns "IPv4" or "IPv6".
func (f Family) String() string {
	if f == IPv6 {
		return "IPv6"
	}
	return "IPv4"
}

// FamilyOf returns the family of a, which must be valid and unmapped.
func FamilyOf(a netip.Addr) Family {
	if a.Is4() {
		return IPv4
	}
	return IPv6
}

// All returns the prefix of every address of f.
func (f Family) All() netip.Prefix {
	if f == IPv6 {
		return netip.PrefixFrom(netip.IPv6Unspecified(), 0)
	}
	return netip.PrefixFrom(netip.IPv4Unspecified(), 0)
}

// Atom names an unknown set of addresses: the same set wherever the same Atom
// stands, different Atoms independent of one another. It reads as the peer it
// stands for, such as "fqdn rds.example" or "service default/redis". The empty
// Atom is none.
type Atom string

// RuleList is what one direction of one class of pods means: the rules of its
// policies in evaluation order, names resolved. The first rule that matches
// decides; where none does, the default deny of the class.
type RuleList struct {
	Direction Direction
	// Isolated is false where no rule is ever tried and every packet passes:
	// --isolation=direction, and no selecting policy declares the direction.
	Isolated bool
	Rules    []ListRule
}

// ListRule is one rule of a RuleList.
type ListRule struct {
	Ref    RuleRef
	Action Action
	Peers  []ListPeer // at least one
	L4     L4Set      // never empty
}

// ListPeer is one resolved peer.
type ListPeer struct {
	Index int // in the rule's peer list; -1 where that is empty and means everyone
	// Prefixes are masked, unmapped, disjoint and sorted: IPv4 first, then by
	// address. They may be none.
	Prefixes []netip.Prefix
	// Atom is set where the peer's addresses are not known. In the rule lists
	// that artifacts are built from it also stands for every fqdn, whose
	// addresses may change under the artifact; Prefixes are then those known now.
	Atom Atom
}

// Conditional is a rule of a list, by its index, that matches where the address
// is in an atom.
type Conditional struct {
	Atom Atom
	Rule int32
}
