//go:build linux

package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"

	"github.com/spf13/cobra"

	"github.com/trafficpolicy/trafficpolicy/compiler"
	"github.com/trafficpolicy/trafficpolicy/internal/inputs"
	"github.com/trafficpolicy/trafficpolicy/internal/loader"
	"github.com/trafficpolicy/trafficpolicy/verify"
)

// verifyFlags are the flags of verify: with policies those of compile.
type verifyFlags struct {
	output
	policies, inventory              []string
	isolation, enrollment, namespace string
	resolve                          []string
	resolveFile, unknown             string
	allowUnresolved                  bool
	allowEmpty                       bool
	skipBroken                       bool
}

func (c *command) verifyCmd() *cobra.Command {
	f := &verifyFlags{}
	cmd := &cobra.Command{
		Use:   "verify [-f POLICIES... -i INVENTORY...]",
		Short: "Prove that the kernel holds what the bundle in force says, or what policies say",
		Long: `Verify decodes what the kernel holds, read back from nftables or the BPF maps, and compares it with
the bundle in force, decoded in the same way; with policies and an inventory, with these instead, as
"trafficpolicy verify" does with an artifact: over every address of both families, port and protocol, by the same rule
or default deny and with the same action, at each governed address.

Numbers of counters and of the generation are the loader's and do not count; nor do addresses that the node
has beyond its bundle, or has learned of domain names. What status finds is said too.

Options must be those that the bundle was compiled with.

Exit codes: 0 equivalent, in force and every pod attached; 1 a packet differs, with who decides it on either side, or
status finds something; 2 the bundle or the kernel could not be read, or the policies are invalid.`,
		Example: `  tploader verify
  tploader verify -f policies -i cluster.json -o json`,
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error { return c.verify(cmd.Context(), f) },
	}
	f.register(cmd)
	p := cmd.Flags()
	p.StringArrayVarP(&f.policies, "filename", "f", nil, "policies: a file, a directory or - (repeatable)")
	p.StringArrayVarP(&f.inventory, "inventory", "i", nil, "cluster objects: a file, a directory or - (repeatable)")
	p.StringVar(&f.isolation, "isolation", "both", "what a selecting policy closes: both directions, or only each `direction` that one declares (both|direction)")
	p.StringVar(&f.enrollment, "enrollment", "annotated", "which pods are enforced: those with both annotations, or all (annotated|all)")
	p.StringVar(&f.namespace, "namespace", "default", "namespace of a TrafficPolicy without one")
	p.StringArrayVar(&f.resolve, "resolve", nil, "addresses of a domain name, as NAME=IP[,IP...] (repeatable)")
	p.StringVar(&f.resolveFile, "resolve-file", "", "addresses of domain names in hosts-file form")
	p.StringVar(&f.unknown, "unknown", "auto", "what is to become of pods in the node's pod CIDRs that the bundle does not know: auto, whatever the kernel does (auto|allow|deny)")
	p.BoolVar(&f.allowUnresolved, "allow-unresolved", false, "take deny rules whose peers resolve to nothing, as compile does")
	p.BoolVar(&f.allowEmpty, "allow-empty", false, "take no policy at all, as compile does")
	p.BoolVar(&f.skipBroken, "skip-broken", false, "leave out inventory objects that cannot be read, as compile does")
	return cmd
}

// given reports whether there are policies to compare with.
func (f *verifyFlags) given() bool { return len(f.policies)+len(f.inventory) > 0 }

func (c *command) verify(ctx context.Context, f *verifyFlags) error {
	compile, err := f.options()
	if err != nil {
		return err
	}
	in, err := c.loadPolicies(ctx, f)
	if err != nil {
		return err
	}
	l, err := c.open(ctx, loader.OpenOptions{})
	if err != nil {
		return err
	}
	defer l.Close()
	r, err := l.Readings(ctx)
	if errors.Is(err, loader.ErrNothing) {
		s, serr := l.Status(ctx)
		if serr != nil {
			return serr
		}
		return c.answer(f, &verified{Status: s})
	}
	if err != nil {
		return err
	}
	v := &verified{Against: againstBundle, Status: r.Status, Altered: r.Altered}
	if f.given() {
		v.Against = againstPolicies
	}
	if r.Kernel != nil {
		e, err := c.prove(ctx, f, in, compile, r)
		if err != nil {
			return err
		}
		v.take(e)
	}
	return c.answer(f, v)
}

// options checks the flags.
func (f *verifyFlags) options() (o compiler.CompileOptions, err error) {
	if err := f.check(); err != nil {
		return o, err
	}
	if o.Options, err = inputs.Options(f.isolation, f.enrollment, "auto"); err != nil {
		return o, err
	}
	if _, err := inputs.Choose("unknown", f.unknown, "auto", "allow", "deny"); err != nil {
		return o, err
	}
	named := slices.Concat(f.policies, f.inventory)
	if i := slices.Index(named, "-"); i >= 0 && slices.Contains(named[i+1:], "-") {
		return o, errors.New(`standard input ("-") is named more than once, want it once`)
	}
	o.AllowUnresolved, o.AllowEmpty, o.SkipBroken = f.allowUnresolved, f.allowEmpty, f.skipBroken
	o.Resolve, err = inputs.Names(f.resolve, f.resolveFile)
	return o, err
}

// loadPolicies reads the policies, if there are any; problems with them are an error.
func (c *command) loadPolicies(ctx context.Context, f *verifyFlags) (*compiler.Input, error) {
	if !f.given() {
		return nil, nil
	}
	in, err := compiler.Load(ctx, compiler.LoadOptions{Policies: f.policies, Inventory: f.inventory, Stdin: c.Stdin, Namespace: f.namespace})
	if err != nil {
		return nil, err
	}
	return in, inputs.Invalid(in)
}

// prove compares the kernel with the policies or, without any, with the bundle.
func (c *command) prove(ctx context.Context, f *verifyFlags, in *compiler.Input, o compiler.CompileOptions, r *loader.Readings) (*verify.Equivalence, error) {
	beyond := verify.EquivalenceOptions{Nodes: r.Nodes}
	if in == nil {
		return verify.Readings(ctx, r.Bundle, r.Kernel, beyond)
	}
	o.Target = compiler.Target{Node: r.Manifest.Name}
	if r.Bundle.PodScope {
		o.Target = compiler.Target{Pod: r.Manifest.Name}
	}
	o.UnknownDeny = f.unknown == "deny" || f.unknown == "auto" && len(r.Kernel.Closed) > 0
	p, err := compiler.Compile(ctx, in, o)
	if refusal := (*compiler.Refusal)(nil); errors.As(err, &refusal) {
		for _, r := range refusal.Reasons {
			c.logf("%s", r)
		}
		return nil, errFailed
	}
	if err != nil {
		return nil, err
	}
	for _, w := range p.Warnings {
		c.logf("warning: %s", w)
	}
	return verify.Artifact(ctx, p, r.Kernel, beyond)
}

// What the kernel was compared with.
const (
	againstBundle   = "bundle"
	againstPolicies = "policies"
)

// verified is the answer. Its JSON form is a contract.
type verified struct {
	// Equivalent is set where no packet differs and status finds nothing.
	Equivalent bool   `json:"equivalent"`
	Against    string `json:"against,omitempty"` // bundle or policies
	// Altered is why the kernel could not be understood: it was changed.
	Altered     string                    `json:"altered,omitempty"`
	Differences []verify.Disagreement     `json:"differences"`
	Omitted     int                       `json:"omitted"` // differences that are not listed
	Summary     verify.EquivalenceSummary `json:"summary"`
	Status      *loader.Status            `json:"status"`
}

func (v *verified) take(e *verify.Equivalence) {
	v.Equivalent = e.Equivalent && v.Status.OK()
	v.Differences, v.Omitted, v.Summary = e.Differences, e.Omitted, e.Summary
}

// answer writes the answer.
func (c *command) answer(f *verifyFlags, v *verified) (err error) {
	if v.Differences == nil {
		v.Differences = []verify.Disagreement{}
	}
	if f.json() {
		err = writeJSON(c.Stdout, v)
	} else {
		err = v.text(c.Stdout)
	}
	if err == nil && !v.Equivalent {
		err = errFailed
	}
	return err
}

func (v *verified) text(w io.Writer) error {
	var b strings.Builder
	s := v.Status
	switch {
	case s.Generation == "":
		b.WriteString("not equivalent: nothing is in force\n")
	case v.Equivalent:
		fmt.Fprintf(&b, "equivalent: the kernel and the %s, of %s %s, backend %s, generation %.12s\n", v.Against, s.Scope, s.Name, s.Backend, s.Generation)
	case v.Altered == "" && len(v.Differences) == 0:
		fmt.Fprintf(&b, "no packet differs, but not all is in order: the kernel and the %s, of %s %s, backend %s, generation %.12s\n", v.Against, s.Scope, s.Name, s.Backend, s.Generation)
	default:
		fmt.Fprintf(&b, "not equivalent: the kernel and the %s, of %s %s, backend %s, generation %.12s\n", v.Against, s.Scope, s.Name, s.Backend, s.Generation)
	}
	switch {
	case v.Altered != "":
		fmt.Fprintf(&b, "the kernel holds what no loader writes: %s\n", v.Altered)
	case s.Generation != "":
		fmt.Fprintf(&b, "%s\n", v.Summary.Text())
	}
	v.found(&b)
	if len(v.Differences) > 0 {
		e := verify.Equivalence{Differences: v.Differences, Omitted: v.Omitted}
		fmt.Fprintf(&b, "\n%s", e.Text(v.Against, "kernel"))
	}
	_, err := io.WriteString(w, b.String())
	return err
}

// found adds what status finds.
func (v *verified) found(b *strings.Builder) {
	s := v.Status
	if s.Generation != "" && !s.InForce {
		b.WriteString("NOT IN FORCE: the kernel has nothing of it\n")
	}
	for _, d := range s.Drift {
		fmt.Fprintf(b, "DRIFT: %s\n", d)
	}
	for _, p := range s.Pods {
		if !p.Attached {
			writePod(b, p)
		}
	}
}
