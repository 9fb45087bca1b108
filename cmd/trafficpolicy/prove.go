package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"maps"
	"slices"
	"strings"

	"github.com/spf13/cobra"

	"github.com/trafficpolicy/trafficpolicy/compiler"
	"github.com/trafficpolicy/trafficpolicy/internal/report"
	"github.com/trafficpolicy/trafficpolicy/model"
	"github.com/trafficpolicy/trafficpolicy/verify"
)

func (c *command) proveCmd(common *commonFlags) *cobra.Command {
	var output, outputFile string
	cmd := &cobra.Command{
		Use:   "prove PATH... [-i INVENTORY]",
		Short: "Prove or refute assertions about every packet",
		Long: `Prove or refute assertions about every packet.

PATH is a file of assertions, or policies: a file with Kubernetes objects or a
directory. Policies can be named by -f as well.

An assertion names pods, a direction, peers and ports, and the verdict that every
such packet is to have:

    assertions:
    - name: metadata is never reachable
      pods: {namespace: default, selector: {matchLabels: {app: agent}}}
      direction: egress
      peers: [metadata]
      expect: deny

It is proven, for every packet and whatever the addresses of unresolved names
are, or refuted by one packet, which simulate takes. With an inventory (-i) it is
about the pods there, else about every label assignment that its selector
matches. One that speaks of no packet is vacuous, which fails unless it says
allowVacuous: true.

All are proven: exit 0, else exit 1.`,
		Example: `  trafficpolicy prove policies/ assertions.yaml
  trafficpolicy prove -f policies/ -i cluster.json assertions.yaml -o junit --output-file prove.xml`,
		RunE: func(cmd *cobra.Command, args []string) error {
			named := slices.Concat(args, common.policies, common.inventory)
			if i := slices.Index(named, "-"); i >= 0 && slices.Contains(named[i+1:], "-") {
				return errors.New(`standard input ("-") is named more than once, want it once`)
			}
			paths, err := c.proveArgs(args)
			if err != nil {
				return err
			}
			if len(paths.policies) > 0 && !cmd.Flags().Changed("filename") {
				common.policies = nil // of a project file: arguments take its place
			}
			return c.prove(cmd.Context(), common, output, outputFile, paths)
		},
	}
	cmd.Flags().StringVarP(&output, "output", "o", "text", "form of the answer (text|json|junit)")
	cmd.Flags().StringVar(&outputFile, "output-file", "", "write the answer to this file, not to stdout")
	return cmd
}

// proveForms writes proofs in the form of -o.
var proveForms = map[string]func(w io.Writer, p *verify.Proofs, color bool) error{
	"text":  writeProofsText,
	"json":  func(w io.Writer, p *verify.Proofs, _ bool) error { return writeJSON(w, p) },
	"junit": func(w io.Writer, p *verify.Proofs, _ bool) error { return writeProofsJUnit(w, p) },
}

func (c *command) prove(ctx context.Context, f *commonFlags, output, outputFile string, args proveArgs) error {
	write := proveForms[output]
	switch {
	case write == nil:
		return fmt.Errorf("--output %q is not one of %s", output, strings.Join(slices.Sorted(maps.Keys(proveForms)), ", "))
	case len(args.assertions) == 0:
		return errors.New("nothing to prove: name files of assertions")
	case len(args.policies)+len(f.policies)+len(f.inventory) == 0:
		return errors.New("no policies to prove it of: name them as arguments or with -f")
	}
	o, err := f.options()
	if err != nil {
		return err
	}
	assertions, err := c.loadAssertions(ctx, args.assertions)
	if err != nil {
		return err
	}
	in, err := f.loadValid(ctx, c, args.policies)
	if err != nil {
		return err
	}
	c.warnNoPolicy(in)
	p, err := verify.Prove(ctx, in, o, assertions)
	if err != nil {
		return err
	}
	if err := c.output(outputFile, func(w io.Writer) error { return write(w, p, c.useColor(f, w)) }); err != nil {
		return err
	}
	if p.Summary.Failed > 0 {
		return errFailed
	}
	return nil
}

// loadAssertions reads files of assertions; what is wrong with them is an error
// that lists each problem on a line of its own.
func (c *command) loadAssertions(ctx context.Context, paths []string) ([]*compiler.Assertion, error) {
	assertions, findings, err := compiler.LoadAssertions(ctx, paths, c.Stdin)
	if err != nil {
		return nil, err
	}
	var b strings.Builder
	for i := range findings {
		switch fd := &findings[i]; fd.Severity {
		case model.Error:
			fmt.Fprintf(&b, "\n%s: %s: %s [%s]", fd.Pos(), fd.Severity, fd.Message, fd.Code)
		default:
			c.warnf("%s: %s [%s]", fd.Pos(), fd.Message, fd.Code)
		}
	}
	if b.Len() > 0 {
		return nil, fmt.Errorf("the assertions are invalid:%s", b.String())
	}
	if len(assertions) == 0 {
		return nil, fmt.Errorf("no assertion in %s", strings.Join(paths, ", "))
	}
	return assertions, nil
}

var outcomeColors = map[verify.Outcome]string{verify.Proven: "\x1b[32m", verify.Refuted: "\x1b[31m", verify.Vacuous: "\x1b[33m"}

func writeProofsText(w io.Writer, p *verify.Proofs, color bool) error {
	var b strings.Builder
	for i := range p.Assertions {
		a := &p.Assertions[i]
		outcome := fmt.Sprintf("%-7s", a.Outcome)
		if color {
			outcome = outcomeColors[a.Outcome] + outcome + "\x1b[0m"
		}
		fmt.Fprintf(&b, "%s  %s%s\n", outcome, a.Name, proofScope(a))
		for line := range strings.Lines(proofDetails(a) + proofMissing(a)) {
			fmt.Fprintf(&b, "         %s", line)
		}
	}
	s := p.Summary
	fmt.Fprintf(&b, "\n%d proven, %d refuted, %d vacuous, %s\n", s.Proven, s.Refuted, s.Vacuous, comparedFor(p.Pods, p.Families))
	_, err := io.WriteString(w, b.String())
	return err
}

func proofScope(a *verify.Proof) string {
	if a.Pods > 0 {
		return " (" + count(a.Pods, "pod", "pods") + ")"
	}
	return ""
}

// proofDetails says in lines what stands against an assertion.
func proofDetails(a *verify.Proof) string {
	switch {
	case a.Outcome == verify.Vacuous && a.Failed:
		return a.Why + " (allowVacuous: true permits that)\n"
	case a.Outcome == verify.Vacuous:
		return a.Why + ", as allowed\n"
	case a.Witness == nil:
		return ""
	}
	w := a.Witness
	text := fmt.Sprintf("%s expected, but %s by %s\n", a.Expect, w.Verdict, w.By)
	if a.Condition != "" {
		text += "where " + a.Condition + "\n"
	}
	return text + "packet: " + packetFlags(&w.Witness) + "\n"
}

// proofMissing says in lines which peers an assertion does not speak of.
func proofMissing(a *verify.Proof) string {
	var b strings.Builder
	for _, why := range a.Missing {
		fmt.Fprintf(&b, "not asked: %s\n", why)
	}
	return b.String()
}

// writeProofsJUnit writes one case an assertion.
func writeProofsJUnit(w io.Writer, p *verify.Proofs) error {
	cases := make([]report.Case, len(p.Assertions))
	for i := range p.Assertions {
		a := &p.Assertions[i]
		cases[i] = report.Case{Name: a.Name, Class: "prove." + a.Direction, File: a.File, Line: a.Line}
		if a.Failed {
			details := proofDetails(a) + proofMissing(a)
			cases[i].Failure, _, _ = strings.Cut(string(a.Outcome)+": "+details, "\n")
			cases[i].Details = details
		}
	}
	return report.JUnitCases(w, "trafficpolicy prove", cases)
}
