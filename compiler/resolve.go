package compiler

import (
	"net/netip"

	"github.com/trafficpolicy/trafficpolicy/model"
)

// Resolver answers which addresses a peer means (SEMANTICS section 3). It is
// safe for concurrent use.
type Resolver struct{}

// Problem is why a peer has no addresses.
type Problem uint8

const (
	Resolved         Problem = iota
	NoAddresses              // it exists and has no addresses just now
	UnknownReference         // the inventory holds no such Service or namespace
	IsExternalName           // a Service of type ExternalName
	UnknownName              // an fqdn without known addresses
	NoInventory              // no object of the needed kind was given at all
)

// Resolution is what a peer means.
type Resolution struct {
	// Prefixes are masked, unmapped, disjoint and sorted: IPv4 first, then by
	// address. Shared; do not change.
	Prefixes []netip.Prefix
	Problem  Problem
}

// Unknown reports whether the addresses are an unknown set rather than none:
// an analysis takes such a peer as an atom.
func (r *Resolution) Unknown() bool { return r.Problem == UnknownName || r.Problem == NoInventory }

// NewResolver returns a resolver of names against inv.
func NewResolver(inv *model.Inventory, o Options) *Resolver { return &Resolver{} }

// Peer resolves one peer. Results are kept: equal peers resolve once.
func (r *Resolver) Peer(p *model.Peer) *Resolution { return nil }

// ListMode says what an fqdn or unresolved peer becomes in a rule list.
type ListMode uint8

const (
	// ForAnalysis: what is unknown is an atom, a known fqdn is its addresses.
	ForAnalysis ListMode = iota
	// ForArtifact: every fqdn is an atom that carries its known addresses, since
	// they change under the artifact; anything else unknown matches nothing.
	ForArtifact
)

// RuleList returns the rules of policies for direction d, in order. policies
// are those that select one class, sorted by [model.ComparePolicies].
func (r *Resolver) RuleList(policies []*model.Policy, d model.Direction, m ListMode) *model.RuleList {
	return nil
}
