package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"maps"
	"slices"
	"strings"

	"github.com/spf13/cobra"

	"github.com/trafficpolicy/trafficpolicy/compiler"
	"github.com/trafficpolicy/trafficpolicy/verify"
)

func (c *command) diffCmd(common *commonFlags) *cobra.Command {
	var output string
	cmd := &cobra.Command{
		Use:   "diff OLD NEW [-i INVENTORY]",
		Short: "Say which traffic a change of policies allows and denies",
		Long: `Say which traffic a change of policies allows and denies.

OLD and NEW are each a file, a directory, - for standard input, or git:REV:PATH,
the file or directory PATH (from the repository's root, or with ./ from here) at
revision REV. What decides a packet may change freely: only traffic with another
verdict than before is shown, as blocks of addresses and ports, each with one
packet of it and the rules that decide before and after.

With an inventory (-i) the answer is for its pods and pod templates. Without one
it is for every label assignment that the policies can tell apart; a difference
is then shown for the pods with the fewest policies that have it.

Nothing differs: exit 0, else exit 1.`,
		Example: `  trafficpolicy diff old/ new/
  trafficpolicy diff git:main:policies git:HEAD:policies -i cluster.json
  trafficpolicy diff git:origin/main:policies policies -o markdown > comment.md`,
		Args: wantArgs("the policies before and after", "OLD", "NEW"),
		RunE: func(cmd *cobra.Command, args []string) error { return c.diff(cmd.Context(), common, output, args) },
	}
	cmd.Flags().StringVarP(&output, "output", "o", "text", "form of the answer (text|json|markdown)")
	return cmd
}

// diffForms writes a diff in the form of -o.
var diffForms = map[string]func(w io.Writer, d *verify.Diff, color bool) error{
	"text":     writeDiffText,
	"json":     func(w io.Writer, d *verify.Diff, _ bool) error { return writeJSON(w, d) },
	"markdown": func(w io.Writer, d *verify.Diff, _ bool) error { return writeDiffMarkdown(w, d) },
}

func (c *command) diff(ctx context.Context, f *commonFlags, output string, args []string) error {
	write := diffForms[output]
	if write == nil {
		return fmt.Errorf("--output %q is not one of %s", output, strings.Join(slices.Sorted(maps.Keys(diffForms)), ", "))
	}
	if len(f.policies) > 0 {
		return errors.New("-f has no place here: OLD and NEW are the policies")
	}
	o, err := f.options()
	if err != nil {
		return err
	}
	stdin, err := c.stdinOnce(slices.Concat(args, f.inventory))
	if err != nil {
		return err
	}
	var sides [2]*compiler.Input
	said := map[string]bool{}
	for i, arg := range args {
		if sides[i], err = c.loadSide(ctx, f, arg, stdin, said); err != nil {
			return err
		}
	}
	d, err := verify.Compare(ctx, sides[0], sides[1], o)
	if err != nil {
		return err
	}
	if err := write(c.Stdout, d, c.useColor(f, c.Stdout)); err != nil {
		return err
	}
	if !d.Same {
		return errFailed
	}
	return nil
}

// stdinOnce reads standard input if one of paths names it, so that it can be
// looked at twice; nil where none does.
func (c *command) stdinOnce(paths []string) ([]byte, error) {
	n := 0
	for _, p := range paths {
		if p == "-" {
			n++
		}
	}
	switch n {
	case 0:
		return nil, nil
	case 1:
		text, err := io.ReadAll(c.Stdin)
		if err != nil {
			return nil, fmt.Errorf("read standard input: %w", err)
		}
		return text, nil
	}
	return nil, errors.New(`standard input ("-") is named more than once, want it once`)
}

// loadSide reads OLD or NEW together with the inventory.
func (c *command) loadSide(ctx context.Context, f *commonFlags, arg string, stdin []byte, said map[string]bool) (*compiler.Input, error) {
	load := compiler.LoadOptions{Policies: []string{arg}, Inventory: f.inventory, Stdin: bytes.NewReader(stdin), Namespace: f.namespace}
	name := func(file string) string { return file }
	if strings.HasPrefix(arg, gitPrefix) {
		g, err := readGit(ctx, arg)
		if err != nil {
			return nil, err
		}
		defer g.Close()
		for _, file := range g.skipped {
			c.warnf("%s: %s is a link or submodule and is not followed", arg, file)
		}
		load.Policies[0], name = g.path, g.name
	}
	in, err := compiler.Load(ctx, load)
	if err != nil {
		return nil, err
	}
	for i := range in.Findings {
		fd := &in.Findings[i]
		fd.File = name(fd.File)
		fd.Message = strings.ReplaceAll(fd.Message, load.Policies[0], name(load.Policies[0]))
	}
	if err := c.checkInput(in, said); err != nil {
		return nil, fmt.Errorf("%s: %w", arg, err)
	}
	if len(in.Policies) == 0 {
		c.warnf("%s: no policy in the input: traffic is open", arg)
	}
	return in, nil
}
