package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"slices"

	"github.com/spf13/cobra"

	"github.com/trafficpolicy/trafficpolicy/compiler"
	"github.com/trafficpolicy/trafficpolicy/verify/flat"
	"github.com/trafficpolicy/trafficpolicy/verify/simulate"
)

// simulateFlags are the flags of simulate.
type simulateFlags struct {
	*commonFlags
	src, dst, proto, port string
	flows                 string
	fast                  bool
	output, expect        string
	live                  string
}

func (c *command) simulateCmd(common *commonFlags) *cobra.Command {
	f := &simulateFlags{commonFlags: common}
	cmd := &cobra.Command{
		Use:   "simulate -f POLICIES -i INVENTORY {--src X --dst Y [--proto P] [--port N] | --flows FILE [--fast]}",
		Short: "Say what happens to a flow, and why",
		Long: `Say what happens to a flow, and why.

An end is NAMESPACE/POD, an IP address (that of a running pod is the pod), or
NAMESPACE?k=v,k=v for an enrolled pod with those labels that need not exist; the
destination may also be svc:NAMESPACE/NAME, where --port is the Service's port,
or a domain name, whose addresses --resolve gives.

The answer is allow, deny, or mixed where it differs between address families,
addresses of the destination, or values of a name that does not resolve; mixed
lists the cases. Text output shows each rule that was tried. Without an inventory
the addresses of services, namespaces and workloads are unknown, not none.

With --flows each line is a flow, as CSV with a header (src,dst,proto,port) or as
JSON objects with those keys, and each line of the output is its answer in JSON,
or {"error", "line"} for a line that is no flow (exit 2 at the end). --fast looks
the rules up in tables instead of trying them one by one; the answers are the
same, of which the first hundred and one in a thousand are tried both ways.

With --live domain names also have the addresses that the tploader of this node has
learned: what happens to the flow here and now. It reads a file and asks nobody.`,
		Example: `  trafficpolicy simulate -f policies/ -i cluster.json --src default/agent-pod --dst 8.8.8.8 --port 443
  trafficpolicy simulate -f policies/ -i cluster.json --src default/agent-pod --dst svc:kube-system/kube-dns --proto udp --port 53 --expect allow
  trafficpolicy simulate -f p.yaml --src 'default?app=agent' --dst 100.100.100.200 --port 80 -o json
  trafficpolicy simulate -f policies/ -i cluster.json --src default/agent-pod --dst rds.example.com --port 3306 --live
  trafficpolicy simulate -f policies/ -i cluster.json --flows flows.csv --fast`,
		Args: noArgs("policies are given by -f, the path of --live by --live=PATH"),
		RunE: func(cmd *cobra.Command, _ []string) error { return c.simulate(cmd, f) },
	}
	p := cmd.Flags()
	p.StringVar(&f.src, "src", "", "where the flow comes from")
	p.StringVar(&f.dst, "dst", "", "where it goes")
	p.StringVar(&f.proto, "proto", "tcp", "tcp, udp, sctp, icmp, other or an IP protocol number")
	p.StringVar(&f.port, "port", "", "destination port, 0 to 65535; needed where a rule looks at it")
	p.StringVar(&f.flows, "flows", "", "judge the flows of this file (- for standard input)")
	p.BoolVar(&f.fast, "fast", false, "look the rules of --flows up in tables; for many flows or many rules")
	p.StringVar(&f.live, "live", "", "domain names also have the addresses that the node has learned, as tploader keeps them in this file or state `directory`")
	p.Lookup("live").NoOptDefVal = liveDefault
	p.StringVarP(&f.output, "output", "o", "text", "form of the answer (text|json)")
	p.StringVar(&f.expect, "expect", "", "exit 1 where a verdict is another (allow|deny)")
	return cmd
}

// check objects to flags that do not go together.
func (f *simulateFlags) check(cmd *cobra.Command) error {
	if !slices.Contains([]string{"text", "json"}, f.output) {
		return fmt.Errorf("--output %q is not one of text, json", f.output)
	}
	if !slices.Contains([]string{"", "allow", "deny"}, f.expect) {
		return fmt.Errorf("--expect %q is not one of allow, deny", f.expect)
	}
	if f.flows == "" {
		if f.src == "" || f.dst == "" {
			return errors.New("no flow to judge: give --src and --dst, or --flows")
		}
		return nil
	}
	for _, name := range []string{"src", "dst", "proto", "port"} {
		if cmd.Flags().Changed(name) {
			return fmt.Errorf("--%s and --flows do not go together", name)
		}
	}
	for _, path := range append(slices.Clone(f.policies), f.inventory...) {
		if path == "-" && f.flows == "-" {
			return errors.New("standard input is named twice, by --flows and by -f or -i")
		}
	}
	return nil
}

func (c *command) simulate(cmd *cobra.Command, f *simulateFlags) error {
	if err := f.check(cmd); err != nil {
		return err
	}
	flow := simulate.Flow{Src: f.src, Dst: f.dst, Proto: f.proto}
	if cmd.Flags().Changed("port") {
		port, err := simulate.ParsePort(f.port)
		if err != nil {
			return err
		}
		flow.Port, flow.HasPort = port, true
	}
	o, err := f.options()
	if err != nil {
		return err
	}
	if f.live != "" {
		if err := addLive(o.Resolve, f.live); err != nil {
			return err
		}
	}
	in, err := f.loadValid(cmd.Context(), c, nil)
	if err != nil {
		return err
	}
	c.warnNoPolicy(in)
	s := simulate.New(in, o)
	if f.flows != "" {
		return c.simulateFlows(cmd.Context(), f, s)
	}
	res, err := s.Judge(flow)
	if err != nil {
		return err
	}
	for _, n := range res.Notes {
		c.warnf("%s", n)
	}
	if err := c.writeResult(f, res); err != nil {
		return err
	}
	if f.expect != "" && string(res.Verdict) != f.expect {
		return c.unexpected("the verdict is %s, not %s as expected", res.Verdict, f.expect)
	}
	return nil
}

// unexpected says why --expect is not met, and is the end of the command.
func (c *command) unexpected(format string, args ...any) error {
	fmt.Fprintf(c.Stderr, "trafficpolicy: "+format+"\n", args...)
	return errFailed
}

func (c *command) writeResult(f *simulateFlags, res *simulate.Result) error {
	if f.output == "json" {
		return writeJSON(c.Stdout, res)
	}
	return res.WriteText(c.Stdout, simulate.TextOptions{Color: c.useColor(f.commonFlags, c.Stdout)})
}

// simulateFlows answers every flow of a file.
func (c *command) simulateFlows(ctx context.Context, f *simulateFlags, s *simulate.Simulator) error {
	r := c.Stdin
	if f.flows != "-" {
		file, err := os.Open(f.flows)
		if err != nil {
			return fmt.Errorf("--flows: %w", err)
		}
		defer file.Close()
		r = io.Reader(file)
	}
	var tables flat.Tables
	if f.fast {
		s = s.With(tables.Shortcut)
	}
	said := map[string]bool{}
	sum, err := s.Stream(ctx, r, c.Stdout, func(n string) {
		if !said[n] {
			said[n] = true
			c.warnf("%s", n)
		}
	})
	if err != nil {
		return fmt.Errorf("--flows %s: %w", f.flows, err)
	}
	if n := tables.TooLarge(); n > 0 {
		c.warnf("--fast: %d of the rule lists had too many decisions for a table, so their flows were tried rule by rule", n)
	}
	met := map[string]int{"": sum.Flows - sum.Unread, "allow": sum.Allowed, "deny": sum.Denied}[f.expect]
	switch {
	case sum.Unread > 0:
		return fmt.Errorf("%d of %d flows could not be judged, see \"error\" in the output", sum.Unread, sum.Flows)
	case met < sum.Flows:
		return c.unexpected("%d of %d flows are not %s as expected", sum.Flows-met, sum.Flows, f.expect)
	}
	return nil
}

// warnNoPolicy says on stderr that the input holds no policy.
func (c *command) warnNoPolicy(in *compiler.Input) {
	if len(in.Policies) == 0 {
		c.warnf("no policy in the input: traffic is open")
	}
}
