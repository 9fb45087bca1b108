package verify

import (
	"context"
	"fmt"
	"slices"

	"github.com/trafficpolicy/trafficpolicy/compiler"
	"github.com/trafficpolicy/trafficpolicy/model"
)

// LintOptions is how to lint. The zero LintOptions runs every check.
type LintOptions struct {
	compiler.Options
	// Only, unless empty, names the codes to report; Disable those not to, also
	// of Only. A check none of whose codes is wanted does not run.
	Only, Disable []model.Code

	maxPods int // of tests: see [pods.Space]
}

// wants reports whether findings of code c are to be reported.
func (o *LintOptions) wants(c model.Code) bool {
	return (len(o.Only) == 0 || slices.Contains(o.Only, c)) && !slices.Contains(o.Disable, c)
}

// Report is what [Lint] found. Its JSON form is a contract.
type Report struct {
	Findings []model.Finding `json:"findings"` // sorted by [model.CompareFindings], never nil
	Summary  Summary         `json:"summary"`
	// HiddenInvalid counts errors of the input itself (TP001 to TP009) that Only
	// or Disable leave out of Findings.
	HiddenInvalid int `json:"-"`
	// Unchecked is what could not be judged: silence about it proves nothing.
	Unchecked []Unchecked `json:"unchecked,omitempty"`
}

// Summary counts what was read and found.
type Summary struct {
	Files      int `json:"files"`
	Policies   int `json:"policies"`
	Rules      int `json:"rules"`
	Errors     int `json:"errors"`
	Warnings   int `json:"warnings"`
	Infos      int `json:"infos"`
	Suppressed int `json:"suppressed"` // findings that a comment or the baseline took out
}

// AtLeast returns how many findings have severity s or a worse one.
func (s *Summary) AtLeast(worst model.Severity) int {
	switch worst {
	case model.Error:
		return s.Errors
	case model.Warning:
		return s.Errors + s.Warnings
	}
	return s.Errors + s.Warnings + s.Infos
}

// check is one check. It reports findings of its codes only.
type check struct {
	codes []model.Code
	run   func(context.Context, *Analysis) ([]model.Finding, error)
}

// checks lists every check that looks at valid input. What is wrong with the
// input itself is found when it is read.
var checks = []check{
	{[]model.Code{model.ShadowedRule, model.RedundantRule}, deadRules},
	{[]model.Code{model.UnreachablePeer}, unreachablePeers},
	{[]model.Code{model.NoEffect}, noEffect},
	{[]model.Code{model.PriorityConflict, model.PriorityTie}, equalPriorities},
	{[]model.Code{model.OverriddenPolicy}, overriddenPolicies},
	{[]model.Code{model.UnknownReference, model.NoAddresses}, peerAddresses},
	{[]model.Code{model.SelectsNothing}, selectsNothing},
	{[]model.Code{model.NotEnrolled}, notEnrolled},
	{[]model.Code{model.ClusterTooOld}, clusterTooOld},
	{[]model.Code{model.NotACS}, notACS},
	{[]model.Code{model.NoDNS}, noDNS},
	{[]model.Code{model.ClosedDirection}, closedDirections},
	{[]model.Code{model.MetadataReachable}, metadataReachable},
	{[]model.Code{model.PrivateReachable}, privateReachable},
	{[]model.Code{model.BroadSelector}, broadSelectors},
	{[]model.Code{model.CanBypass}, canBypass},
	{[]model.Code{model.PriorityBand}, priorityBands},
	{[]model.Code{model.FQDNOverlap}, namesThatOverlap},
	{[]model.Code{model.FQDNDeny}, namesDenied},
	{[]model.Code{model.FQDNFirst}, namesBeforeDenials},
	{[]model.Code{model.Mergeable}, mergeablePolicies},
	{[]model.Code{model.BaselineOverridden}, overriddenBaselines},
}

// Lint runs the checks on in and joins what they find to what was found in
// reading it. It returns an error only where ctx ends or a check cannot judge.
func Lint(ctx context.Context, in *compiler.Input, o LintOptions) (*Report, error) {
	r := &Report{Findings: []model.Finding{}}
	r.add(&o, in.Findings)
	a := NewAnalysis(in, o.Options)
	a.effects, a.maxPods = o.wants(model.NoEffect), o.maxPods
	for _, c := range checks {
		if !slices.ContainsFunc(c.codes, o.wants) {
			continue
		}
		if err := ctx.Err(); err != nil {
			return nil, err
		}
		found, err := c.run(ctx, a)
		if err != nil {
			return nil, fmt.Errorf("check %s: %w", c.codes[0], err)
		}
		r.add(&o, found)
	}
	r.Unchecked = a.uncheckedFor(o.wants)
	r.suppress(&o, in)
	model.SortFindings(r.Findings)
	r.count(in)
	return r, nil
}

// add takes over the findings that are wanted.
func (r *Report) add(o *LintOptions, found []model.Finding) {
	r.Findings = slices.Grow(r.Findings, len(found)) // there can be one a rule
	for _, f := range found {
		switch {
		case o.wants(f.Code):
			r.Findings = append(r.Findings, f)
		case f.Severity == model.Error && f.Code <= model.DuplicateObject:
			r.HiddenInvalid++
		}
	}
}

// suppress takes out what comments of the input accept, and adds a finding for
// each comment that accepts nothing. Whether one about a code that was not looked
// for, or not everywhere, accepts something is not known.
func (r *Report) suppress(o *LintOptions, in *compiler.Input) {
	kept, n, unused := suppress(r.Findings, in.Suppressions, in.Policies)
	r.Findings, r.Summary.Suppressed = kept, n
	if !o.wants(model.UnusedSuppression) {
		return
	}
	for i := range unused {
		c := &unused[i]
		looked := o.wants(c.Code) && (in.InventoryGiven || !needsInventory(c.Code)) && (len(o.Resolve) > 0 || c.Code != model.FQDNOverlap) && (in.VersionGiven || c.Code != model.NewerField) &&
			!slices.ContainsFunc(r.Unchecked, func(u Unchecked) bool { return u.about(c.Code) })
		if known := c.Code.Info().Code != ""; !known || looked {
			r.Findings = append(r.Findings, model.NewFinding(model.UnusedSuppression, c.Pos, unusedMessage(c)))
		}
	}
}

// needsInventory reports whether only an inventory brings findings of code c.
func needsInventory(c model.Code) bool {
	return c >= model.UnknownReference && c <= model.NotACS || c == model.CanBypass
}

// Keep replaces the findings by those of them that are kept, and counts the
// others as suppressed.
func (r *Report) Keep(kept []model.Finding, suppressed int) {
	r.Findings = kept
	r.Summary.Suppressed += suppressed
	r.countSeverities()
}

func (r *Report) count(in *compiler.Input) {
	s := &r.Summary
	s.Files, s.Policies = in.Files, len(in.Policies)
	for _, p := range in.Policies {
		s.Rules += len(p.Rules(model.Egress)) + len(p.Rules(model.Ingress))
	}
	r.countSeverities()
}

func (r *Report) countSeverities() {
	s := &r.Summary
	s.Errors, s.Warnings, s.Infos = 0, 0, 0
	for _, f := range r.Findings {
		switch f.Severity {
		case model.Error:
			s.Errors++
		case model.Warning:
			s.Warnings++
		default:
			s.Infos++
		}
	}
}
