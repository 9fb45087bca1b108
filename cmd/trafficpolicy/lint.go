package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"maps"
	"os"
	"runtime"
	"slices"
	"strings"

	"github.com/spf13/cobra"
	kubeversion "k8s.io/apimachinery/pkg/util/version"

	"github.com/trafficpolicy/trafficpolicy/compiler"
	"github.com/trafficpolicy/trafficpolicy/docs"
	"github.com/trafficpolicy/trafficpolicy/internal/fix"
	"github.com/trafficpolicy/trafficpolicy/internal/report"
	"github.com/trafficpolicy/trafficpolicy/internal/version"
	"github.com/trafficpolicy/trafficpolicy/model"
	"github.com/trafficpolicy/trafficpolicy/verify"
)

// lintFlags are the flags of lint.
type lintFlags struct {
	*commonFlags
	output     string
	outputFile string
	failOn     string
	only       []string
	disable    []string
	poseidon   string

	baseline, writeBaseline string

	fix, dryRun bool
}

func (c *command) lintCmd(common *commonFlags) *cobra.Command {
	f := &lintFlags{commonFlags: common}
	cmd := &cobra.Command{
		Use:   "lint PATH...",
		Short: "Report what is wrong with policies",
		Long: `Report what is wrong with policies.

Every PATH is a file, a directory (read recursively for .yaml, .yml, .json and .tpi) or
- for standard input. Each finding has a code, which "trafficpolicy explain"
explains. A comment "# trafficpolicy:ignore CODE reason" above a rule or at its end
accepts a finding of it, at the first line of a policy one of the whole policy; a
baseline accepts those of today. With an inventory (-i) the policies are also checked against the
objects of a cluster, such as

    kubectl get pods,services,endpointslices,namespaces,nodes -A -o json

With --fix, rules and entries that no packet reaches (TP101, TP102, TP103), and
policies that are given twice, are taken out of the files, where it is proven
that no packet of any pod gets another verdict. Accepted findings stay, and so
does what --only or --disable leaves out. All files must be of one cluster.

No finding at or above --fail-on: exit 0, else exit 1. Silence about a policy
means that the checks that ran found nothing; without an inventory those that
need one do not run. Where a check cannot judge a policy, a warning says so, and
the exit is 2 whatever was found, unless --only or --disable leaves its codes out.`,
		Example: `  trafficpolicy lint policies/
  kubectl get trafficpolicies,globaltrafficpolicies -A -o yaml | trafficpolicy lint -
  trafficpolicy lint policies/ -i cluster.json --fail-on warning
  trafficpolicy lint policies/ -o sarif --output-file findings.sarif
  trafficpolicy lint policies/ --write-baseline baseline.json
  trafficpolicy lint policies/ --fix --dry-run | git apply --allow-empty`,
		RunE: func(cmd *cobra.Command, args []string) error { return c.lint(cmd, f, args) },
	}
	p := cmd.Flags()
	p.StringVarP(&f.output, "output", "o", "text", "form of the report (text|json|sarif|junit|github|gitlab)")
	p.StringVar(&f.outputFile, "output-file", "", "write the report to this file, not to stdout")
	p.StringVar(&f.failOn, "fail-on", "error", "least severity that fails (error|warning|info|never)")
	p.StringSliceVar(&f.only, "only", nil, "report these codes alone")
	p.StringSliceVar(&f.disable, "disable", nil, "do not report these codes")
	p.StringVar(&f.baseline, "baseline", "", "leave out the findings that this file holds")
	p.StringVar(&f.writeBaseline, "write-baseline", "", "write today's findings to this file, and report none of them")
	p.BoolVar(&f.fix, "fix", false, "take rules, entries and copies that decide nothing out of the files, and report what is left")
	p.BoolVar(&f.dryRun, "dry-run", false, "with --fix: write the changes as a patch, and change no file")
	p.StringVar(&f.poseidon, "poseidon-version", "", "report fields that this version of Poseidon does not know, such as 0.7.2")
	return cmd
}

// reportForms writes a report in the form of -o.
var reportForms = map[string]func(w io.Writer, r *verify.Report, o reportOptions) error{
	"text": writeText,
	"json": func(w io.Writer, r *verify.Report, _ reportOptions) error { return writeJSON(w, r) },
	"sarif": func(w io.Writer, r *verify.Report, o reportOptions) error {
		help := func(c model.Code) string { return docs.Check(string(c)) }
		meaning := func(c model.Code) string { return docs.Meaning(string(c)) }
		return report.SARIF(w, o.places.findings(r.Findings), report.SARIFOptions{Version: version.Module(), Help: help, Meaning: meaning, Unchecked: uncheckedLines(r.Unchecked)})
	},
	"junit": func(w io.Writer, r *verify.Report, _ reportOptions) error {
		return report.JUnit(w, r.Findings, uncheckedLines(r.Unchecked))
	},
	"github": func(w io.Writer, r *verify.Report, o reportOptions) error {
		return report.GitHub(w, o.places.findings(r.Findings), uncheckedLines(r.Unchecked))
	},
	"gitlab": func(w io.Writer, r *verify.Report, o reportOptions) error {
		return report.GitLab(w, o.places.findings(r.Findings))
	},
}

// reportOptions is what a form may want to know besides the report.
type reportOptions struct {
	color   bool
	skipped map[string]int // objects of other kinds
	places  *places        // what services that hold a repository call a file
}

func (c *command) lint(cmd *cobra.Command, f *lintFlags, args []string) error {
	o, failOn, err := f.options(args)
	if err != nil {
		return err
	}
	if len(args)+len(f.policies)+len(f.inventory) == 0 {
		return errors.New("nothing to lint: name files or directories, or - for standard input")
	}
	load := f.loadOptions(c, args)
	load.PoseidonVersion = f.poseidon
	in, err := compiler.Load(cmd.Context(), load)
	if err != nil {
		return err
	}
	// Parsing left a heap of nodes that nothing holds any more. Without this call
	// the garbage collector takes it as the measure of what lint may need.
	runtime.GC()
	judge := func(ctx context.Context, in *compiler.Input) (*verify.Report, error) {
		r, err := verify.Lint(ctx, in, o)
		if err != nil {
			return nil, err
		}
		return r, c.applyBaseline(f, r)
	}
	r, err := judge(cmd.Context(), in)
	if err != nil {
		return err
	}
	places, err := newPlaces()
	if err != nil {
		return err
	}
	write := func(w io.Writer) error {
		return reportForms[f.output](w, r, reportOptions{color: c.useColor(f.commonFlags, w), skipped: in.Skipped, places: places})
	}
	if f.fix {
		plan, err := c.fix(cmd.Context(), f, in, r, fix.Options{Load: load, Compile: o.Options, Report: judge, Copies: len(o.Only) == 0})
		if err != nil {
			return err
		}
		in, r = plan.Input, plan.Report
		if f.dryRun {
			write = func(w io.Writer) error { return plan.WritePatch(w, places.root) }
			if !plan.Below(places.dir) && plan.Below(places.root) {
				c.warnf("the patch is for the root of the repository, %s: git apply leaves out what is not below the folder that it runs in", places.root)
			}
		}
	}
	c.warnLint(in, r)
	err = c.output(f.outputFile, write)
	switch {
	case err != nil:
		return err
	case len(r.Unchecked) > 0:
		return errUnchecked
	case failOn != nil && r.Summary.AtLeast(*failOn) > 0:
		return errFailed
	}
	return nil
}

// applyBaseline takes out of r what a baseline holds, and writes one if asked to.
func (c *command) applyBaseline(f *lintFlags, r *verify.Report) error {
	if f.baseline != "" {
		file, err := os.Open(f.baseline)
		if err != nil {
			return fmt.Errorf("--baseline: %w", err)
		}
		defer file.Close()
		b, err := report.ReadBaseline(file)
		if err != nil {
			return fmt.Errorf("--baseline %s: %w", f.baseline, err)
		}
		r.Keep(b.Filter(r.Findings))
	}
	if f.writeBaseline != "" {
		b := report.NewBaseline(r.Findings)
		if err := c.output(f.writeBaseline, b.Write); err != nil {
			return err
		}
		r.Keep(b.Filter(r.Findings))
	}
	return nil
}

// options checks the flags before anything is read. failOn is nil for never.
func (f *lintFlags) options(args []string) (o verify.LintOptions, failOn *model.Severity, err error) {
	var errs []error
	check := func(err error) { errs = append(errs, err) }
	o.Options, err = f.commonFlags.options()
	check(err)
	o.Only, err = parseCodes("only", f.only)
	check(err)
	o.Disable, err = parseCodes("disable", f.disable)
	check(err)
	failOn, err = parseFailOn(f.failOn)
	check(err)
	if reportForms[f.output] == nil {
		check(fmt.Errorf("--output %q is not one of %s", f.output, strings.Join(slices.Sorted(maps.Keys(reportForms)), ", ")))
	}
	if f.baseline != "" && f.writeBaseline != "" {
		check(errors.New("--baseline and --write-baseline exclude each other"))
	}
	if f.dryRun && !f.fix {
		check(errors.New("--dry-run is for --fix"))
	}
	if f.fix && f.writeBaseline != "" {
		check(errors.New("--fix and --write-baseline exclude each other"))
	}
	if f.fix && slices.Contains(slices.Concat(args, f.policies), "-") {
		check(errors.New(`--fix changes files, and standard input ("-") is none`))
	}
	if _, err := kubeversion.ParseGeneric(f.poseidon); f.poseidon != "" && err != nil {
		check(fmt.Errorf("--poseidon-version %q is not a version such as 0.7.2", f.poseidon))
	}
	return o, failOn, errors.Join(errs...)
}

func parseFailOn(s string) (*model.Severity, error) {
	for _, v := range []model.Severity{model.Error, model.Warning, model.Info} {
		if s == v.String() {
			return &v, nil
		}
	}
	if s == "never" {
		return nil, nil
	}
	return nil, fmt.Errorf("--fail-on %q is not one of error, warning, info, never", s)
}

// parseCodes reads codes of findings, or their names.
func parseCodes(flag string, words []string) ([]model.Code, error) {
	var codes []model.Code
	for _, w := range words {
		c, err := parseCode(strings.TrimSpace(w))
		if err != nil {
			return nil, fmt.Errorf("--%s: %w", flag, err)
		}
		codes = append(codes, c)
	}
	return codes, nil
}

// parseCode reads a code, or the name of one, in upper or lower case.
func parseCode(s string) (model.Code, error) {
	for _, info := range model.Codes {
		if strings.EqualFold(s, string(info.Code)) || strings.EqualFold(s, info.Name) {
			return info.Code, nil
		}
	}
	if near := compiler.Nearest(s, codeNames()); len(near) > 0 {
		return "", fmt.Errorf("there is no finding %q, did you mean %q?", s, near[0])
	}
	return "", fmt.Errorf("there is no finding %q", s)
}

// warnLint says on stderr why a clean report may mean little.
func (c *command) warnLint(in *compiler.Input, r *verify.Report) {
	invalid := slices.ContainsFunc(in.Findings, func(f model.Finding) bool { return f.Severity == model.Error })
	if len(in.Policies) == 0 && !invalid {
		c.warnf("the input holds no policy")
	}
	if r.HiddenInvalid > 0 {
		c.warnf("errors of the input that --only or --disable hides: %d; what they are about was not checked", r.HiddenInvalid)
	}
	c.warnUnchecked(r.Unchecked)
}

// warnUnchecked says on stderr what could not be judged.
func (c *command) warnUnchecked(us []verify.Unchecked) {
	for _, line := range uncheckedLines(us) {
		c.warnf("%s", line)
	}
}

func uncheckedLines(us []verify.Unchecked) []string {
	var lines []string
	for i := range us {
		lines = append(lines, us[i].String())
	}
	return lines
}

// writeText writes the findings and a line that counts them.
func writeText(w io.Writer, r *verify.Report, o reportOptions) error {
	if err := report.Text(w, r.Findings, report.TextOptions{Color: o.color}); err != nil {
		return err
	}
	line := summaryLine(&r.Summary, o.skipped)
	if len(r.Unchecked) > 0 {
		line += ": not everything could be checked, see the warnings"
	}
	_, err := fmt.Fprintln(w, line)
	return err
}

// summaryLine is "2 errors, 1 warning (3 policies, 7 rules, 2 files)".
func summaryLine(s *verify.Summary, skipped map[string]int) string {
	var found []string
	for _, c := range []struct {
		n         int
		one, many string
	}{{s.Errors, "error", "errors"}, {s.Warnings, "warning", "warnings"}, {s.Infos, "info", "infos"}, {s.Suppressed, "suppressed", "suppressed"}} {
		if c.n > 0 {
			found = append(found, count(c.n, c.one, c.many))
		}
	}
	if found == nil {
		found = []string{"no findings"}
	}
	read := []string{count(s.Policies, "policy", "policies"), count(s.Rules, "rule", "rules"), count(s.Files, "file", "files")}
	read = append(read, skippedKinds(skipped)...)
	return strings.Join(found, ", ") + " (" + strings.Join(read, ", ") + ")"
}

// skippedKinds says how many objects of each kind mean nothing to policies.
func skippedKinds(skipped map[string]int) (texts []string) {
	for _, kind := range slices.Sorted(maps.Keys(skipped)) {
		texts = append(texts, fmt.Sprintf("skipped %d of kind %s", skipped[kind], kind))
	}
	return texts
}

func count(n int, one, many string) string {
	if n == 1 {
		return "1 " + one
	}
	return fmt.Sprintf("%d %s", n, many)
}
