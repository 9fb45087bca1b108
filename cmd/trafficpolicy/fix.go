package main

import (
	"context"
	"errors"
	"fmt"
	"strings"

	"github.com/trafficpolicy/trafficpolicy/compiler"
	"github.com/trafficpolicy/trafficpolicy/internal/fix"
	"github.com/trafficpolicy/trafficpolicy/model"
	"github.com/trafficpolicy/trafficpolicy/verify"
)

// fix changes the files of in, of which r was found, or with --dry-run plans to,
// and says on stderr what goes and what could not.
func (c *command) fix(ctx context.Context, f *lintFlags, in *compiler.Input, r *verify.Report, o fix.Options) (*fix.Plan, error) {
	plan, err := fix.Make(ctx, in, r, o)
	if errors.Is(err, fix.ErrInvalid) {
		c.warnf("%v", err)
		if f.dryRun { // which has no report
			c.listErrors(in)
		}
		return &fix.Plan{Input: in, Report: r}, nil
	}
	if err != nil {
		return nil, fmt.Errorf("--fix: %w", err)
	}
	did := "fixed"
	if f.dryRun {
		did = "would fix"
	} else if err := plan.Write(); err != nil {
		return nil, fmt.Errorf("--fix: %w", err)
	}
	for i := range plan.Removed {
		fmt.Fprintln(c.Stderr, removedLine(&plan.Removed[i]))
	}
	for _, text := range plan.Kept {
		c.warnf("not fixed: %s", text)
	}
	if f.baseline != "" && len(plan.Removed) > 0 {
		c.warnf("rules behind those that went have other numbers now, by which the baseline does not know them: write it anew")
	}
	for i := range plan.Files {
		if plan.Files[i].Empty() {
			c.warnf("%s holds nothing any more", model.Printable(plan.Files[i].Path))
		}
	}
	fmt.Fprintf(c.Stderr, "%s %s in %s, left: %s\n", did, removedCount(plan.Removed), count(len(plan.Files), "file", "files"),
		summaryLine(&plan.Report.Summary, plan.Input.Skipped))
	return plan, nil
}

// listErrors writes the errors of an input to stderr.
func (c *command) listErrors(in *compiler.Input) {
	for i := range in.Findings {
		if fd := &in.Findings[i]; fd.Severity == model.Error {
			fmt.Fprintf(c.Stderr, "%s: %s: %s [%s]\n", fd.Pos(), fd.Severity, fd.Message, fd.Code)
		}
	}
}

// removedCount is "2 findings" or "2 findings and 1 copy".
func removedCount(removed []fix.Removed) string {
	findings, copies := 0, 0
	for _, r := range removed {
		switch {
		case r.Code == "":
			copies++
		case !r.Again:
			findings++
		}
	}
	text := count(findings, "finding", "findings")
	if copies > 0 {
		text += " and " + count(copies, "copy", "copies")
	}
	return text
}

// removedLine is "p.yaml:7:3: removed TrafficPolicy/a/p#egress[1] [TP102]: ...".
func removedLine(r *fix.Removed) string {
	var b strings.Builder
	fmt.Fprintf(&b, "%s: removed %s", r.Pos, r.Name)
	if r.Code != "" {
		fmt.Fprintf(&b, " [%s]", r.Code)
	}
	fmt.Fprintf(&b, ": %s", r.Why)
	return b.String()
}
