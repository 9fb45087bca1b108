//go:build linux

package main

import (
	"fmt"
	"io"
	"strings"

	"github.com/olekukonko/tablewriter"
	"github.com/olekukonko/tablewriter/renderer"
	"github.com/olekukonko/tablewriter/tw"
	"github.com/spf13/cobra"

	"github.com/trafficpolicy/trafficpolicy/internal/loader"
)

func (c *command) statsCmd() *cobra.Command {
	o := &output{}
	cmd := &cobra.Command{
		Use:   "stats",
		Short: "Print packets and bytes by rule",
		Long: `Stats prints how many packets and bytes each rule decided, those that no rule matched, and those that
were dropped before any rule was asked. A rule that keeps its name keeps its counter when a new bundle is
applied.`,
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
			s, err := l.Stats(cmd.Context())
			if err != nil {
				return err
			}
			if o.json() {
				return writeJSON(c.Stdout, s)
			}
			return writeStats(c.Stdout, s)
		},
	}
	o.register(cmd)
	return cmd
}

func writeStats(w io.Writer, s *loader.Stats) error {
	var b strings.Builder
	t := tablewriter.NewTable(&b,
		tablewriter.WithRenderer(renderer.NewBlueprint(tw.Rendition{Borders: tw.BorderNone, Settings: tw.Settings{
			Separators: tw.Separators{BetweenColumns: tw.Off}, Lines: tw.LinesNone,
		}})),
		tablewriter.WithHeaderAutoFormat(tw.Off),
		tablewriter.WithAlignment(tw.Alignment{tw.AlignRight, tw.AlignRight, tw.AlignLeft, tw.AlignLeft}),
		tablewriter.WithRowAutoWrap(tw.WrapNone),
	)
	t.Header("PACKETS", "BYTES", "ACTION", "BY")
	row := func(n loader.Count, action, by string) {
		t.Append(fmt.Sprint(n.Packets), fmt.Sprint(n.Bytes), action, by)
	}
	for _, r := range s.Rules {
		row(r.Count, r.Action, r.Rule)
	}
	for _, d := range s.DefaultDenies {
		row(d.Count, "deny", fmt.Sprintf("default deny, %s of %s", d.Direction, strings.Join(d.Policies, " ")))
	}
	row(s.Spoofed, "drop", "spoofed: not from the pod's address")
	row(s.Stray, "drop", "stray: not to the pod's address")
	row(s.Broken, "drop", "broken")
	row(s.Unknown, "drop", "unknown pods")
	row(s.Limited, "drop", "over the limit of connections")
	for _, o := range s.Others {
		row(o.Count, map[bool]string{true: "drop"}[o.Drop], o.Name)
	}
	row(s.Logged, "", "of the denied, logged")
	if err := t.Render(); err != nil {
		return err
	}
	for line := range strings.Lines(b.String()) {
		if _, err := fmt.Fprintln(w, strings.TrimRight(line, " \n")); err != nil {
			return err
		}
	}
	return nil
}
