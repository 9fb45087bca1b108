package main

import (
	"encoding/csv"
	"errors"
	"fmt"
	"io"
	"maps"
	"slices"
	"strings"

	"github.com/spf13/cobra"

	"github.com/trafficpolicy/trafficpolicy/verify"
)

func (c *command) reachCmd(common *commonFlags) *cobra.Command {
	var output, outputFile string
	var o verify.ReachOptions
	cmd := &cobra.Command{
		Use:   "reach -f POLICIES -i INVENTORY [--from X] [--to Y]",
		Short: "Say who can talk to whom",
		Long: `Say who can talk to whom: pods of one namespace that the same policies govern,
as one group, and addresses. A flow is open where the egress of its source and the
ingress of its destination allow it; flows from and to addresses are judged at the
pods' end alone, and pods may be among these addresses.

X and Y are each NAMESPACE, NAMESPACE/POD, NAMESPACE?k=v,k=v, a CIDR or IP address,
or svc:NAMESPACE/NAME, the addresses of a Service; Y also a domain name that --resolve
has addresses of. Traffic between two ends that no
policy governs is open, and is left out unless both are asked for. So is that of a
pod to itself and of a node to its pods. Pods on their node's network are addresses.
Pods without an address are in no group; they are counted and named below.`,
		Example: `  trafficpolicy reach -f policies/ -i cluster.json
  trafficpolicy reach -f policies/ -i cluster.json --from default --to svc:kube-system/kube-dns
  trafficpolicy reach -f policies/ -i cluster.json --to 100.100.100.200 -o csv
  trafficpolicy reach -f policies/ -i cluster.json -o svg --output-file reach.svg`,
		Args: noArgs("policies are given by -f"),
		RunE: func(cmd *cobra.Command, _ []string) error {
			write := reachForms[output]
			if write == nil {
				return fmt.Errorf("--output %q is not one of %s", output, strings.Join(slices.Sorted(maps.Keys(reachForms)), ", "))
			}
			if len(common.inventory) == 0 {
				return errors.New("no inventory: reach is about the pods of a cluster, which -i gives")
			}
			var err error
			if o.Options, err = common.options(); err != nil {
				return err
			}
			in, err := common.loadValid(cmd.Context(), c, nil)
			if err != nil {
				return err
			}
			c.warnNoPolicy(in)
			r, err := verify.FindReach(cmd.Context(), in, o)
			if err != nil {
				return err
			}
			return c.output(outputFile, func(w io.Writer) error { return write(w, r) })
		},
	}
	p := cmd.Flags()
	p.StringVar(&o.From, "from", "", "only flows from here")
	p.StringVar(&o.To, "to", "", "only flows to here")
	p.StringVarP(&output, "output", "o", "text", "form of the answer (text|json|csv|dot|svg)")
	p.StringVar(&outputFile, "output-file", "", "write the answer to this file, not to stdout")
	return cmd
}

// reachForms writes an answer in the form of -o.
var reachForms = map[string]func(w io.Writer, r *verify.Reach) error{
	"text": writeReachText,
	"json": func(w io.Writer, r *verify.Reach) error { return writeJSON(w, r) },
	"csv":  writeReachCSV,
	"dot":  writeReachDOT,
	"svg":  writeReachSVG,
}

// writeReachText writes a table, and below it which pods are not in it.
func writeReachText(w io.Writer, r *verify.Reach) error {
	switch {
	case len(r.Flows) == 0 && (r.OpenShown || len(r.Open) == 0):
		fmt.Fprintln(w, "nothing is open")
	case len(r.Flows) == 0 && len(r.Open) == len(r.Groups):
		fmt.Fprintln(w, "everything is open")
	case len(r.Flows) == 0:
		fmt.Fprintln(w, "nothing is open at pods that a policy governs, everything between the others is")
	default:
		t, flush := newTable(w)
		t.Header("FROM", "TO", "PORTS")
		for i := range r.Flows {
			f := &r.Flows[i]
			row := []string{flowEnd(r, f, f.From), flowEnd(r, f, f.To), flowPorts(f)}
			for i := range row {
				row[i] = strings.Join(wrap(row[i], lineLength), "\n")
			}
			if err := t.Append(row); err != nil {
				return fmt.Errorf("table: %w", err)
			}
		}
		if err := flush(); err != nil {
			return err
		}
	}
	for i, line := range reachNotes(r) {
		if i == 0 {
			fmt.Fprintln(w)
		}
		fmt.Fprintln(w, line)
	}
	return nil
}

// reachNotes says of which pods there are no flows, and why.
func reachNotes(r *verify.Reach) []string {
	var notes []string
	if len(r.Open) > 0 {
		notes = append(notes, "no policy governs "+groupNames(r, r.Open))
	}
	if n := len(r.NoAddress); n > 0 {
		shown := min(n, shownDeciders)
		names := moreThan(strings.Join(r.NoAddress[:shown], "; "), n-shown)
		notes = append(notes, fmt.Sprintf("%s without an address left out: %s", count(n, "pod", "pods"), names))
	}
	return notes
}

// flowEnd names an end of f: its groups, or the addresses where it has none.
func flowEnd(r *verify.Reach, f *verify.ReachFlow, groups []int) string {
	if len(groups) == 0 {
		return prefixList(f.Prefixes)
	}
	return groupNames(r, groups)
}

// groupNames names groups, the first few if they are many.
func groupNames(r *verify.Reach, groups []int) string {
	var names []string
	for _, g := range groups[:min(len(groups), shownDeciders)] {
		names = append(names, r.Groups[g].Name)
	}
	if more := len(groups) - len(names); more > 0 {
		names = append(names, count(more, "more group", "more groups"))
	}
	return strings.Join(names, "; ")
}

// flowPorts says which ports are open, and how far.
func flowPorts(f *verify.ReachFlow) string {
	var parts []string
	for _, p := range []struct {
		ports []string
		how   string
	}{{f.Ports, ""}, {f.Some, " between some of them"}, {f.Maybe, " where a name resolves so"}} {
		if len(p.ports) > 0 {
			parts = append(parts, verify.PortText(p.ports)+p.how)
		}
	}
	return strings.Join(parts, "; ")
}

// writeReachCSV writes one line for each two ends.
func writeReachCSV(w io.Writer, r *verify.Reach) error {
	out := csv.NewWriter(w)
	out.Write([]string{"from", "to", "ports", "some", "maybe"})
	for i := range r.Flows {
		f := &r.Flows[i]
		for _, from := range csvEnds(r, f, f.From) {
			for _, to := range csvEnds(r, f, f.To) {
				out.Write([]string{from, to, strings.Join(f.Ports, " "), strings.Join(f.Some, " "), strings.Join(f.Maybe, " ")})
			}
		}
	}
	out.Flush()
	return out.Error()
}

// csvEnds returns each end of a flow: its groups, or all of its prefixes as one.
func csvEnds(r *verify.Reach, f *verify.ReachFlow, groups []int) []string {
	if len(groups) == 0 {
		var parts []string
		for _, p := range f.Prefixes {
			parts = append(parts, p.String())
		}
		return []string{strings.Join(parts, " ")}
	}
	var names []string
	for _, g := range groups {
		names = append(names, r.Groups[g].Name)
	}
	return names
}
