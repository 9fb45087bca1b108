package main

import (
	"fmt"
	"io"
	"strconv"
	"strings"

	"github.com/spf13/cobra"

	"github.com/trafficpolicy/trafficpolicy/model"
	"github.com/trafficpolicy/trafficpolicy/verify"
)

func (c *command) listCmd(common *commonFlags) *cobra.Command {
	var pod, output string
	cmd := &cobra.Command{
		Use:   "list PATH... [-i INVENTORY] [--pod NAMESPACE/NAME]",
		Short: "List policies in the order in which they are evaluated",
		Long: `List policies in the order in which they are evaluated: kind, priority, selector,
the pods that each selects and those of them that are not enrolled and so not
enforced, its rules, and how many findings lint has about it.

With --pod only the policies that select this pod are listed: its own order of
evaluation. Without an inventory the pods are not known and the columns stay
empty.`,
		Example: `  trafficpolicy list policies/ -i cluster.json
  trafficpolicy list policies/ -i cluster.json --pod default/agent-pod
  trafficpolicy list policies/ -o json`,
		RunE: func(cmd *cobra.Command, args []string) error {
			if output != "text" && output != "json" {
				return fmt.Errorf("--output %q is not one of text, json", output)
			}
			o, err := common.options()
			if err != nil {
				return err
			}
			in, err := common.loadValid(cmd.Context(), c, args)
			if err != nil {
				return err
			}
			c.warnNoPolicy(in)
			l, err := verify.List(cmd.Context(), in, o, pod)
			if err != nil {
				return err
			}
			c.warnUnchecked(l.Unchecked)
			write := writeList
			if output == "json" {
				write = func(w io.Writer, l *verify.Listing) error { return writeJSON(w, l) }
			}
			if err := write(c.Stdout, l); err != nil || len(l.Unchecked) == 0 {
				return err
			}
			return errUnchecked
		},
	}
	p := cmd.Flags()
	p.StringVar(&pod, "pod", "", "list the policies of this pod alone, NAMESPACE/NAME")
	p.StringVarP(&output, "output", "o", "text", "form of the list (text|json)")
	return cmd
}

// writeList writes a table, below a line about the pod if one was asked for.
func writeList(w io.Writer, l *verify.Listing) error {
	if l.Pod != nil {
		fmt.Fprintf(w, "%s: %s\n", l.Pod.Name, podState(l))
	}
	if len(l.Policies) == 0 {
		return nil
	}
	t, flush := newTable(w)
	t.Header("PRIORITY", "POLICY", "SELECTOR", "PODS", "NOT ENROLLED", "RULES", "FINDINGS")
	for i := range l.Policies {
		if err := t.Append(listRow(&l.Policies[i])); err != nil {
			return fmt.Errorf("table: %w", err)
		}
	}
	return flush()
}

func podState(l *verify.Listing) string {
	switch {
	case l.Pod.Governed:
		return "governed by these policies"
	case len(l.Policies) == 0:
		return "no policy selects it, traffic is open"
	case !l.Pod.Enrolled:
		return "not enrolled, these policies are not enforced"
	}
	return "finished or on its node's network, these policies do not apply"
}

func listRow(p *verify.ListedPolicy) []string {
	selector := p.Selector
	if selector == "" {
		selector = "(every pod)"
	}
	pods, not := "-", "-"
	if p.Pods != nil {
		pods, not = strconv.Itoa(len(p.Pods)), strconv.Itoa(len(p.NotEnrolled))
	}
	return []string{strconv.Itoa(p.Priority), p.Policy, selector, pods, not, p.Rules.String(), findingCounts(p.Findings)}
}

// findingCounts returns how many findings there are by severity, worst first.
func findingCounts(fs []model.Finding) string {
	var n [model.Error + 1]int
	for i := range fs {
		n[fs[i].Severity]++
	}
	var parts []string
	for s := int(model.Error); s >= 0; s-- {
		if n[s] > 0 {
			plural := ""
			if n[s] > 1 {
				plural = "s"
			}
			parts = append(parts, fmt.Sprintf("%d %s%s", n[s], model.Severity(s), plural))
		}
	}
	if len(parts) == 0 {
		return "none"
	}
	return strings.Join(parts, ", ")
}
