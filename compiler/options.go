package compiler

import "net/netip"

// Options is how policies are read, the same for every command. The zero
// Options is the default.
type Options struct {
	// IsolateByDirection closes only the directions that some selecting policy
	// declares (--isolation=direction).
	IsolateByDirection bool
	// AllEnrolled treats every pod as enrolled (--enrollment=all).
	AllEnrolled bool
	Families    FamilyMode
	// Resolve holds the known addresses of domain names, keyed by
	// [NormalizeFQDN]'s form; unmapped.
	Resolve map[string][]netip.Addr
}

// FamilyMode says which address families an analysis covers. Artifacts always
// decide both.
type FamilyMode uint8

const (
	FamiliesAuto FamilyMode = iota // IPv4 alone where no address anywhere is IPv6
	FamiliesIPv4
	FamiliesDual
)
