//go:build linux

package main

import (
	"errors"
	"fmt"
	"math"
	"net/netip"
	"os"
	"path"
	"slices"
	"strings"

	"github.com/spf13/cobra"
	"golang.org/x/term"

	"github.com/trafficpolicy/trafficpolicy/backends/bundle"
	"github.com/trafficpolicy/trafficpolicy/internal/loader"
)

// targetFlags say where and how bundles are applied.
type targetFlags struct {
	ifaces         []string
	node           string
	nodeAddrs      []string
	maxConnections uint32
}

// applyFlags are the flags of apply.
type applyFlags struct {
	targetFlags
	dryRun bool
	last   bool
	trust  trustFlags
}

func (c *command) applyCmd() *cobra.Command {
	f := &applyFlags{}
	cmd := &cobra.Command{
		Use:   "apply [BUNDLE|-]",
		Short: "Put a bundle in force, in one step",
		Long: `Apply reads a whole bundle from a file, or from standard input, checks it, loads it
beside what is in force and switches. Whatever fails leaves the policy in force as it was. Applying
what is in force already changes nothing, but mends what drifted and attaches pods that have appeared.

With --trusted a bundle must be signed by one of the keys given (trafficpolicy compile --sign). They are
remembered: without the flag the keys of the last apply count, for every verb that puts a bundle in force.`,
		Example: `  trafficpolicy compile -f policies -i cluster.json --node n1 --backend nftables | tploader apply
  trafficpolicy compile -f policies -i cluster.json --node n1 --backend ebpf | tploader apply
  tploader apply n1.tar --node n1 --trusted /etc/trafficpolicy/trusted
  tploader apply --netns /run/netns/pod1 pod1.tar
  tploader apply --last`,
		Args: cobra.MaximumNArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error { return c.apply(cmd, f, args) },
	}
	f.register(cmd)
	p := cmd.Flags()
	p.BoolVar(&f.dryRun, "dry-run", false, "check everything and change nothing")
	p.BoolVar(&f.last, "last", false, "apply what is in force again or, after a boot, what was in force on this node before it")
	p.BoolVar(&f.trust.unsigned, "unsigned", false, "forget the trusted keys, and take a bundle whoever made it")
	f.trust.register(cmd)
	return cmd
}

func (f *targetFlags) register(cmd *cobra.Command) {
	p := cmd.Flags()
	p.StringArrayVar(&f.ifaces, "iface", nil, "attach only to interfaces whose names match this `glob`, and to those whatever their kind (repeatable)")
	p.StringVar(&f.node, "node", "", "name of this node (default the host name)")
	p.StringArrayVar(&f.nodeAddrs, "node-addr", nil, "one more `address` of the node, which may always reach its pods (repeatable)")
	p.Uint32Var(&f.maxConnections, "max-connections", 0, "nftables: most tracked connections of one pod, 0 for no limit")
}

func (c *command) apply(cmd *cobra.Command, f *applyFlags, args []string) error {
	o, err := f.options()
	if err != nil {
		return err
	}
	o.DryRun = f.dryRun
	if f.last && (len(args) > 0 || f.changed(cmd)) {
		return errors.New("--last applies a stored bundle with its flags: it takes no bundle, --iface, --node-addr or --max-connections")
	}
	open := loader.OpenOptions{Create: !f.dryRun}
	if err := f.trust.into(&open); err != nil {
		return err
	}
	if !f.last {
		if open.Bundle, err = c.readBundle(args, open.Trusted); err != nil {
			return err
		}
	}
	l, err := c.open(cmd.Context(), open)
	if err != nil {
		return err
	}
	defer l.Close()
	var res *loader.Result
	if f.last {
		res, err = l.Again(cmd.Context(), o.Node, f.dryRun)
	} else {
		res, err = l.Apply(cmd.Context(), open.Bundle, o)
	}
	if err != nil {
		return err
	}
	c.reportApply(res, f.dryRun)
	return nil
}

func (f *applyFlags) changed(cmd *cobra.Command) bool {
	return slices.ContainsFunc([]string{"iface", "node-addr", "max-connections"}, cmd.Flags().Changed)
}

// options checks the flags and puts them in order, so that the same flags in
// another order are the same.
func (f *targetFlags) options() (loader.ApplyOptions, error) {
	o := loader.ApplyOptions{Node: f.node}
	o.MaxConnections = f.maxConnections
	if f.maxConnections > math.MaxInt32 {
		return o, fmt.Errorf("--max-connections %d is more than %d", f.maxConnections, math.MaxInt32)
	}
	for _, g := range f.ifaces {
		if _, err := path.Match(g, ""); err != nil || g == "" {
			return o, fmt.Errorf("--iface %q is no glob of interface names", g)
		}
		o.Interfaces = append(o.Interfaces, g)
	}
	slices.Sort(o.Interfaces)
	o.Interfaces = slices.Compact(o.Interfaces)
	for _, s := range f.nodeAddrs {
		a, err := netip.ParseAddr(s)
		if err != nil || a.Zone() != "" {
			return o, fmt.Errorf("--node-addr %q is no IP address", s)
		}
		o.NodeAddrs = append(o.NodeAddrs, a.Unmap())
	}
	slices.SortFunc(o.NodeAddrs, netip.Addr.Compare)
	o.NodeAddrs = slices.Compact(o.NodeAddrs)
	if o.Node == "" {
		name, err := os.Hostname()
		if err != nil {
			return o, fmt.Errorf("host name: %w (--node names the node)", err)
		}
		o.Node = strings.ToLower(name) // as kubelet does
	}
	return o, nil
}

// readBundle reads and checks the bundle: a file, or standard input for "-" and
// for nothing. It stops reading where something is wrong.
func (c *command) readBundle(args []string, trusted *bundle.Keyring) (*loader.Bundle, error) {
	in := c.Stdin
	if len(args) > 0 && args[0] != "-" {
		f, err := os.Open(args[0])
		if err != nil {
			return nil, err
		}
		defer f.Close()
		in = f
	} else if isTerminal(in) {
		return nil, errors.New("no bundle: give a file, or pipe one into standard input")
	}
	return backends.Read(in, trusted)
}

func isTerminal(s any) bool {
	f, ok := s.(*os.File)
	return ok && term.IsTerminal(int(f.Fd()))
}

// reportApply says what was done: the result to stdout, what to look at to
// stderr.
func (c *command) reportApply(res *loader.Result, dryRun bool) {
	for _, p := range res.Places {
		if p.Interface == "" {
			c.logf("warning: pod %s: address %s %s", p.Pod, p.Addr, p.Reason)
		}
	}
	for _, d := range res.Drift {
		c.logf("drift: %s", d)
	}
	r := res.Record
	what := "is in force"
	switch {
	case !res.Changed:
		what = "was in force already, nothing changed"
	case dryRun && res.Loaded:
		what = "would be loaded and put in force"
	case dryRun:
		what = "is in force, interfaces or flags would change"
	}
	fmt.Fprintf(c.Stdout, "%s %s: generation %.12s %s, %d interfaces\n", r.Scope, r.Name, r.Generation, what, len(r.Interfaces))
}
