// Tpsynth writes a believable cluster of any size from a seed, the input of
// benchmarks: what kubectl would print of it, and the policies apart. It is a tool
// of this repository and not shipped.
package main

import (
	"errors"
	"flag"
	"fmt"
	"io"
	"iter"
	"os"

	"github.com/trafficpolicy/trafficpolicy/internal/synth"
)

func main() {
	if err := run(os.Args[1:], os.Stdout, os.Stderr); err != nil {
		if !errors.Is(err, flag.ErrHelp) {
			fmt.Fprintln(os.Stderr, "tpsynth:", err)
		}
		os.Exit(2)
	}
}

// run writes what args ask for: the inventory to stdout unless -inventory says
// where, and policies where -policies-out says.
func run(args []string, stdout, stderr io.Writer) error {
	s := synth.DefaultSizes
	flags := flag.NewFlagSet("tpsynth", flag.ContinueOnError)
	flags.SetOutput(stderr)
	flags.Uint64Var(&s.Seed, "seed", s.Seed, "what is drawn depends on this and the sizes alone")
	flags.IntVar(&s.Nodes, "nodes", s.Nodes, "nodes")
	flags.IntVar(&s.Namespaces, "namespaces", s.Namespaces, "namespaces of applications, beside four of the system")
	flags.IntVar(&s.Pods, "pods", s.Pods, "pods")
	flags.IntVar(&s.Services, "services", s.Services, "Services of applications")
	flags.IntVar(&s.Policies, "policies", s.Policies, "policies of both kinds")
	flags.IntVar(&s.Rules, "rules", s.Rules, "rules of all policies together")
	flags.IntVar(&s.LongestList, "longest-list", s.LongestList, "most CIDRs of one rule")
	flags.IntVar(&s.Enrolled, "enrolled", s.Enrolled, "percentage of workloads under the agent")
	flags.IntVar(&s.Virtual, "virtual", s.Virtual, "percentage of virtual nodes")
	flags.IntVar(&s.DualStack, "dual-stack", s.DualStack, "percentage of namespaces with IPv6 too")
	flags.IntVar(&s.Faults, "faults", s.Faults, "how many of a million objects and rules are wrong")
	flags.BoolVar(&s.Workloads, "workloads", s.Workloads, "add Deployments and other workloads")
	format := flags.String("format", "json", "json, one List as kubectl prints it, or yaml, a stream of documents")
	inventory := flags.String("inventory", "-", "file for the objects of the cluster; - is standard output, \"\" none")
	policies := flags.String("policies-out", "", "file for the policies, which are YAML if its name does not end in .json; - is standard output")
	if err := flags.Parse(args); err != nil {
		return err
	}
	if flags.NArg() > 0 {
		return fmt.Errorf("%q is no flag", flags.Arg(0))
	}
	write, ok := formats[*format]
	if !ok {
		return fmt.Errorf("-format %q is not one of json, yaml", *format)
	}
	f, err := synth.NewFleet(s)
	if err != nil {
		return err
	}
	if err := to(*policies, stdout, policyFormat(*policies), f.Policies()); err != nil {
		return err
	}
	return to(*inventory, stdout, write, f.Inventory())
}

type writer = func(io.Writer, iter.Seq[map[string]any]) error

var formats = map[string]writer{"json": synth.WriteJSON, "yaml": synth.WriteYAML}

func policyFormat(file string) writer {
	if len(file) > 5 && file[len(file)-5:] == ".json" {
		return synth.WriteJSON
	}
	return synth.WriteYAML
}

// to writes objects to a file, "-" for stdout, "" for nowhere.
func to(file string, stdout io.Writer, write writer, objects iter.Seq[map[string]any]) error {
	switch file {
	case "":
		return nil
	case "-":
		return write(stdout, objects)
	}
	f, err := os.Create(file)
	if err != nil {
		return err
	}
	if err := write(f, objects); err != nil {
		f.Close()
		return err
	}
	return f.Close()
}
