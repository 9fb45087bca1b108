//go:build linux

package main

import (
	"fmt"
	"io"
	"strings"

	"github.com/spf13/cobra"

	"github.com/trafficpolicy/trafficpolicy/backends/bundle"
	"github.com/trafficpolicy/trafficpolicy/internal/loader"
)

func (c *command) statusCmd() *cobra.Command {
	o := &output{}
	cmd := &cobra.Command{
		Use:   "status",
		Short: "Say what is in force, and whether the kernel holds what was applied",
		Long: `Status compares the kernel with what was applied, looks for the interfaces of the bundle's pods, and
cleans up what a tploader that was killed has left. Exit code 1: nothing is in force, the kernel holds
something else than was applied, or a pod's interface is not attached to.`,
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			if err := o.check(); err != nil {
				return err
			}
			l, err := c.open(cmd.Context(), loader.OpenOptions{})
			if err != nil {
				return err
			}
			defer l.Close()
			s, err := l.Status(cmd.Context())
			if err != nil {
				return err
			}
			if o.json() {
				err = writeJSON(c.Stdout, s)
			} else {
				err = writeStatus(c.Stdout, s)
			}
			if err == nil && !s.OK() {
				err = errFailed
			}
			return err
		},
	}
	o.register(cmd)
	return cmd
}

func writeStatus(w io.Writer, s *loader.Status) error {
	var b strings.Builder
	if s.Generation == "" {
		b.WriteString("nothing is in force\n")
	} else {
		fmt.Fprintf(&b, "%s %s, backend %s", s.Scope, s.Name, s.Backend)
		if s.Scope == "pod" && s.Node != "" {
			fmt.Fprintf(&b, ", on node %s", s.Node)
		}
		fmt.Fprintf(&b, "\ngeneration %.12s, sequence %d, applied %s\n", s.Generation, s.Sequence, s.Applied)
		if !s.InForce {
			b.WriteString("NOT IN FORCE: the kernel has nothing of it\n")
		}
	}
	if s.Previous != "" {
		fmt.Fprintf(&b, "before it: generation %.12s\n", s.Previous)
	}
	for _, id := range s.Trusted {
		fmt.Fprintf(&b, "trusted: key %s\n", id)
	}
	if s.MaxConnections > 0 {
		fmt.Fprintf(&b, "limit: %d tracked connections a pod\n", s.MaxConnections)
	}
	for _, d := range s.Drift {
		fmt.Fprintf(&b, "DRIFT: %s\n", d)
	}
	attached := 0
	for _, p := range s.Pods {
		if p.Attached {
			attached++
		}
	}
	if s.Generation != "" {
		fmt.Fprintf(&b, "%d pods, %d of them attached, %d interfaces\n", len(s.Pods), attached, len(s.Interfaces))
	}
	for _, p := range s.Pods {
		writePod(&b, p)
	}
	if n := s.Names; n != nil {
		fmt.Fprintf(&b, "%d domain names, %d addresses", n.Names, n.Addresses)
		if !n.Kept {
			b.WriteString(" (NOT KEPT: no agent runs, addresses stay as they are)")
		}
		b.WriteString("\n")
	}
	if t := s.Connections; t != nil {
		fmt.Fprintf(&b, "connection table: %d of %d", t.Count, t.Max)
		if t.High {
			fmt.Fprintf(&b, " (ABOVE 80%%: %s)", fullTable[s.Backend])
		}
		b.WriteString("\n")
	}
	_, err := io.WriteString(w, b.String())
	return err
}

// fullTable says what becomes of a full table of connections.
var fullTable = map[string]string{
	bundle.NFTables: "new connections of every pod fail when it is full",
	bundle.EBPF:     "when it is full, those that have been silent longest are forgotten",
}

func writePod(b *strings.Builder, p loader.PodStatus) {
	addrs := make([]string, len(p.Addresses))
	for i, a := range p.Addresses {
		addrs[i] = a.String()
	}
	fmt.Fprintf(b, "  %s %s", p.Pod, strings.Join(addrs, ","))
	if p.Interface != "" {
		fmt.Fprintf(b, " on %s", p.Interface)
	}
	if !p.Attached {
		fmt.Fprintf(b, " UNATTACHED: %s", p.Reason)
	}
	b.WriteString("\n")
}
