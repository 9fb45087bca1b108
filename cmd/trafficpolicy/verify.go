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
	"github.com/trafficpolicy/trafficpolicy/compiler/space"
	"github.com/trafficpolicy/trafficpolicy/internal/inputs"
	"github.com/trafficpolicy/trafficpolicy/verify"
)

// verifyFlags are the flags of verify.
type verifyFlags struct {
	*commonFlags
	node, pod       string
	output, unknown string
	allowUnresolved bool
	allowEmpty      bool
	skipBroken      bool
}

func (c *command) verifyCmd(common *commonFlags) *cobra.Command {
	f := &verifyFlags{commonFlags: common}
	cmd := &cobra.Command{
		Use:   "verify BUNDLE -f POLICIES -i INVENTORY",
		Short: "Prove that a compiled artifact means what the policies say",
		Long: `Prove that a compiled artifact means what the policies say.

BUNDLE is what compile wrote: a bundle or a bare nftables script, in a file or, with
"-", on standard input. It is decoded by a reader that knows its form and nothing of
how it was written, and compared with the policies, over every address of both
families, port and protocol and whatever addresses domain names have: whether the
same rule or default deny decides, with the same action, at each governed address;
and whether the artifact knows the same pods, addresses of the node and of names.
What a bundle's manifest says has to fit as well.

The bundle says which node or pod it is for. A script does not: --node or --pod does.
Options must be those of compile. Of --unknown the artifact tells by itself whether
pods that it does not know are closed; give the flag to hold it to that.

The answer is "equivalent" (exit 0), or packets that differ with who decides them on
either side, or policies that must not be compiled (exit 1). An artifact that cannot
be read or decoded cannot be judged (exit 2).`,
		Example: `  trafficpolicy verify node-a.tar -f policies/ -i cluster.json
  trafficpolicy compile --node node-a -i cluster.json policies/ | trafficpolicy verify - -f policies/ -i cluster.json
  trafficpolicy verify node-a.nft --node node-a -f policies/ -i cluster.json -o json`,
		Args: wantArgs("what compile wrote", "BUNDLE"),
		RunE: func(cmd *cobra.Command, args []string) error { return c.verify(cmd.Context(), f, args[0]) },
	}
	p := cmd.Flags()
	p.StringVar(&f.node, "node", "", "node that a script is for")
	p.StringVar(&f.pod, "pod", "", "pod that a script is for (`NAMESPACE/NAME`)")
	p.StringVarP(&f.output, "output", "o", "text", "form of the answer (text|json)")
	p.StringVar(&f.unknown, "unknown", "auto", "what is to become of pods in the node's pod CIDRs that the artifact does not know: auto, whatever it says (auto|allow|deny)")
	p.BoolVar(&f.allowUnresolved, "allow-unresolved", false, "take deny rules whose peers resolve to nothing, as compile does")
	p.BoolVar(&f.allowEmpty, "allow-empty", false, "take no policy at all, as compile does")
	p.BoolVar(&f.skipBroken, "skip-broken", false, "leave out inventory objects that cannot be read, as compile does")
	return cmd
}

// check objects to values and to flags that do not go together.
func (f *verifyFlags) check(bundle string) error {
	_, err1 := inputs.Choose("output", f.output, "text", "json")
	_, err2 := inputs.Choose("unknown", f.unknown, "auto", "allow", "deny")
	if err := errors.Join(err1, err2); err != nil {
		return err
	}
	named := slices.Concat([]string{bundle}, f.policies, f.inventory)
	if i := slices.Index(named, "-"); i >= 0 && slices.Contains(named[i+1:], "-") {
		return errors.New(`standard input ("-") is named more than once, want it once`)
	}
	if f.node != "" && f.pod != "" {
		return errors.New("a script is for a node or for a pod: give --node or --pod, not both")
	}
	return nil
}

func (c *command) verify(ctx context.Context, f *verifyFlags, path string) error {
	if err := f.check(path); err != nil {
		return err
	}
	o, err := f.options()
	if err != nil {
		return err
	}
	a, err := c.openArtifact(path, compiler.Target{Node: f.node, Pod: f.pod})
	if err != nil {
		return err
	}
	in, err := f.load(ctx, c, nil)
	if err != nil {
		return err
	}
	p, have, err := c.sides(ctx, f, a, in, compiler.CompileOptions{
		Options: o, Target: a.target,
		AllowUnresolved: f.allowUnresolved, AllowEmpty: f.allowEmpty, SkipBroken: f.skipBroken,
		UnknownDeny: f.unknown == "deny",
	})
	if err != nil {
		return err
	}
	c.warnProgram(p)
	e, err := verify.Artifact(ctx, p, have, verify.EquivalenceOptions{})
	if err != nil {
		return err
	}
	v := a.verified(e, p)
	write := v.text
	if f.output == "json" {
		write = v.json
	}
	if err := write(c.Stdout); err != nil {
		return err
	}
	if !v.Equivalent {
		return errFailed
	}
	return nil
}

// sides returns what the policies say and what the artifact does. Without --unknown
// the artifact says what is to become of unknown pods.
func (c *command) sides(ctx context.Context, f *verifyFlags, a *artifact, in *compiler.Input, o compiler.CompileOptions) (*compiler.Program, *space.Reading, error) {
	var have *space.Reading
	var err error
	if a.bundle != nil {
		if have, err = a.decode(); err != nil {
			return nil, nil, err
		}
	}
	p, err := c.program(ctx, in, o)
	if err != nil {
		return nil, nil, err
	}
	if a.bundle == nil {
		if have, err = a.decodeScript(p); err != nil {
			return nil, nil, err
		}
	}
	if f.unknown == "auto" && len(have.Closed) > 0 {
		o.UnknownDeny = true
		p, err = c.program(ctx, in, o)
	}
	return p, have, err
}

// verified is the answer. Its JSON form is a contract.
type verified struct {
	// Equivalent is set where no packet differs and the manifest fits.
	Equivalent bool         `json:"equivalent"`
	Artifact   artifactName `json:"artifact"`
	// Unknown is what is to become of pods that the artifact does not know: allow or deny.
	Unknown     string                    `json:"unknown"`
	Differences []verify.Disagreement     `json:"differences"`
	Omitted     int                       `json:"omitted"`  // differences that are not listed
	Manifest    []string                  `json:"manifest"` // what of it does not fit, in sentences
	Summary     verify.EquivalenceSummary `json:"summary"`
}

// verified joins the proof with what the manifest says.
func (a *artifact) verified(e *verify.Equivalence, p *compiler.Program) *verified {
	v := &verified{
		Artifact: a.name(), Unknown: "allow", Manifest: []string{},
		Differences: e.Differences, Omitted: e.Omitted, Summary: e.Summary,
	}
	if p.UnknownDeny != nil {
		v.Unknown = "deny"
	}
	if a.bundle != nil {
		v.Manifest = append(v.Manifest, a.bundle.Manifest.Misfits(p)...)
	}
	v.Equivalent = e.Equivalent && len(v.Manifest) == 0
	return v
}

func (v *verified) json(w io.Writer) error { return writeJSON(w, v) }

func (v *verified) text(w io.Writer) error {
	var b strings.Builder
	answer := "equivalent"
	if !v.Equivalent {
		answer = "not equivalent"
	}
	fmt.Fprintf(&b, "%s: %s\n%s\n", answer, v.Artifact.text(), v.Summary.Text())
	if v.Unknown == "deny" {
		b.WriteString("pods that it does not know are closed\n")
	}
	if !v.Equivalent {
		e := verify.Equivalence{Differences: v.Differences, Omitted: v.Omitted}
		fmt.Fprintf(&b, "\n%s", e.Text("policies", "artifact"))
	}
	for _, m := range v.Manifest {
		fmt.Fprintf(&b, "manifest: %s\n", printable(m))
	}
	_, err := io.WriteString(w, b.String())
	return err
}
