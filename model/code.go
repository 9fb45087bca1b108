package model

// Code is a finding's code, such as TP101. Codes are never reused.
type Code string

// CodeInfo is what every finding of a code has in common.
type CodeInfo struct {
	Code     Code
	Name     string   // kebab case
	Severity Severity // by default
}

// Codes of findings. docs/checks.md has a page for each.
const (
	ParseError         Code = "TP001"
	UnknownField       Code = "TP002"
	InvalidValue       Code = "TP003"
	MissingField       Code = "TP004"
	PriorityRange      Code = "TP005"
	PeerKindCode       Code = "TP006"
	FQDNInIngress      Code = "TP007"
	WrongPeerList      Code = "TP008"
	DuplicateObject    Code = "TP009"
	CIDRForm           Code = "TP010"
	ImplicitDefault    Code = "TP011"
	NewerField         Code = "TP012"
	ShadowedRule       Code = "TP101"
	RedundantRule      Code = "TP102"
	UnreachablePeer    Code = "TP103"
	NoEffect           Code = "TP104"
	PriorityConflict   Code = "TP201"
	PriorityTie        Code = "TP202"
	OverriddenPolicy   Code = "TP203"
	NoDNS              Code = "TP301"
	ClosedDirection    Code = "TP302"
	UnknownReference   Code = "TP401"
	NoAddresses        Code = "TP402"
	SelectsNothing     Code = "TP403"
	NotEnrolled        Code = "TP404"
	ClusterTooOld      Code = "TP405"
	NotACS             Code = "TP406"
	MetadataReachable  Code = "TP501"
	BroadSelector      Code = "TP502"
	CanBypass          Code = "TP503"
	PrivateReachable   Code = "TP504"
	PriorityBand       Code = "TP601"
	FQDNOverlap        Code = "TP602"
	FQDNDeny           Code = "TP603"
	FQDNFirst          Code = "TP604"
	Mergeable          Code = "TP605"
	BaselineOverridden Code = "TP606"
	UnusedSuppression  Code = "TP701"
)

// Codes lists every code in order.
var Codes = []CodeInfo{
	{ParseError, "parse-error", Error},
	{UnknownField, "unknown-field", Error},
	{InvalidValue, "invalid-value", Error},
	{MissingField, "missing-field", Error},
	{PriorityRange, "priority-range", Error},
	{PeerKindCode, "peer-kind", Error},
	{FQDNInIngress, "fqdn-in-ingress", Error},
	{WrongPeerList, "wrong-peer-list", Error},
	{DuplicateObject, "duplicate-object", Error},
	{CIDRForm, "cidr-form", Warning},
	{ImplicitDefault, "implicit-default", Warning},
	{NewerField, "newer-field", Warning},
	{ShadowedRule, "shadowed-rule", Error},
	{RedundantRule, "redundant-rule", Warning},
	{UnreachablePeer, "unreachable-peer", Warning},
	{NoEffect, "no-effect", Info},
	{PriorityConflict, "priority-conflict", Error},
	{PriorityTie, "priority-tie", Info},
	{OverriddenPolicy, "overridden-policy", Warning},
	{NoDNS, "no-dns", Warning},
	{ClosedDirection, "closed-direction", Warning},
	{UnknownReference, "unknown-reference", Warning},
	{NoAddresses, "no-addresses", Warning},
	{SelectsNothing, "selects-nothing", Warning},
	{NotEnrolled, "not-enrolled", Warning},
	{ClusterTooOld, "cluster-too-old", Warning},
	{NotACS, "not-acs", Info},
	{MetadataReachable, "metadata-reachable", Warning},
	{BroadSelector, "broad-selector", Info},
	{CanBypass, "can-bypass", Warning},
	{PrivateReachable, "private-reachable", Info},
	{PriorityBand, "priority-band", Info},
	{FQDNOverlap, "fqdn-overlap", Warning},
	{FQDNDeny, "fqdn-deny", Warning},
	{FQDNFirst, "fqdn-first", Warning},
	{Mergeable, "mergeable", Info},
	{BaselineOverridden, "baseline-overridden", Warning},
	{UnusedSuppression, "unused-suppression", Warning},
}

var codeInfo = func() map[Code]CodeInfo {
	m := make(map[Code]CodeInfo, len(Codes))
	for _, c := range Codes {
		m[c.Code] = c
	}
	return m
}()

// Info returns what is known of c; the zero CodeInfo for an unknown code.
func (c Code) Info() CodeInfo { return codeInfo[c] }

// NewFinding returns a finding of code c with its name and default severity,
// scope Always, placed at p.
func NewFinding(c Code, p Pos, message string) Finding {
	info := c.Info()
	return Finding{Code: c, Name: info.Name, Severity: info.Severity, Scope: Always, Message: message}.At(p)
}
