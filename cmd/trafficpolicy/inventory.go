package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"slices"
	"strings"

	"github.com/spf13/cobra"
	"golang.org/x/term"

	"github.com/trafficpolicy/trafficpolicy/compiler"
	"github.com/trafficpolicy/trafficpolicy/model"
)

func (c *command) inventoryCmd(common *commonFlags) *cobra.Command {
	var output string
	cmd := &cobra.Command{
		Use:   "inventory PATH... [-o FILE]",
		Short: "Write cluster objects in a compact form that loads fast",
		Long: `Write cluster objects in a compact form that loads fast.

Every PATH, and every -i, is a file, a directory or - for standard input, as it is
for -i of the other commands, which take what is written here in its place and say
the same of it: nothing that any of them looks at is left out, places in the files
and what is wrong with an object included. It does not change with the files.

Objects that cannot be read are named on standard error and kept as such: lint
reports them, and compile refuses them. Anything else that makes the other commands
end with 2, such as an invalid policy, does so here too, once everything is
written; a text that ends in the middle is no inventory, and nothing is written.`,
		Example: `  kubectl get pods,services,endpointslices,namespaces,nodes -A -o json | trafficpolicy inventory - -o cluster.tpi
  trafficpolicy inventory cluster.json -o cluster.tpi
  trafficpolicy lint policies/ -i cluster.tpi`,
		RunE: func(cmd *cobra.Command, args []string) error {
			return c.inventory(cmd.Context(), common, output, args)
		},
	}
	cmd.Flags().StringVarP(&output, "output", "o", "-", "write to this `file` (- for standard output)")
	return cmd
}

func (c *command) inventory(ctx context.Context, f *commonFlags, output string, args []string) error {
	file, terminal := c.Stdout.(*os.File)
	paths := slices.Concat(args, f.inventory)
	switch {
	case len(f.policies) > 0:
		return errors.New("-f has no place here: name what to read as arguments, policies too")
	case len(paths) == 0:
		return errors.New("name what to read: files, directories or - for standard input")
	case output == "":
		return errors.New("--output is empty, give a file or -")
	case output == "-" && terminal && term.IsTerminal(int(file.Fd())):
		return errors.New("a compact inventory is no text for a terminal: give -o FILE")
	}
	if _, err := f.options(); err != nil {
		return err
	}
	in, compact, err := compiler.Snapshot(ctx, compiler.LoadOptions{Inventory: paths, Stdin: c.Stdin, Namespace: f.namespace})
	if err != nil {
		return err
	}
	if err := c.writeWhole(output, compact); err != nil {
		return err
	}
	writeContents(c.Stderr, in)
	return c.warnKept(in)
}

// warnKept names every error of the input. Those that are not of one object of the
// inventory are what the other commands do not take.
func (c *command) warnKept(in *compiler.Input) error {
	var unread error
	for i := range in.Findings {
		fd := &in.Findings[i]
		if fd.Severity != model.Error {
			continue
		}
		c.warnf("kept as it is: %s: %s [%s]", fd.Pos(), fd.Message, fd.Code)
		if !in.OfInventory(fd) {
			unread = errUnchecked
		}
	}
	return unread
}

// writeContents says in a line what there is.
func writeContents(w io.Writer, in *compiler.Input) {
	inv := in.Inventory
	var parts []string
	add := func(n int, one, many string) {
		if n > 0 {
			parts = append(parts, count(n, one, many))
		}
	}
	add(len(inv.Pods), "pod", "pods")
	add(len(inv.Services), "Service", "Services")
	add(len(inv.Endpoints), "EndpointSlice or Endpoints", "EndpointSlices and Endpoints")
	add(len(inv.Namespaces), "namespace", "namespaces")
	add(len(inv.Nodes), "node", "nodes")
	add(len(inv.Templates), "pod template", "pod templates")
	add(len(in.Policies), "policy", "policies")
	add(len(inv.Broken), "object that cannot be read", "objects that cannot be read")
	if len(parts) == 0 {
		parts = []string{"nothing"}
	}
	fmt.Fprintf(w, "kept %s\n", strings.Join(append(parts, skippedKinds(in.Skipped)...), ", "))
}
