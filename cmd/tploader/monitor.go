//go:build linux

package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net"
	"strings"

	"github.com/spf13/cobra"

	"github.com/trafficpolicy/trafficpolicy/internal/loader"
)

func (c *command) monitorCmd() *cobra.Command {
	o := &output{}
	count := 0
	cmd := &cobra.Command{
		Use:   "monitor",
		Short: "Print denied packets as they happen",
		Long: `Monitor prints each denied packet that the kernel logs: when, whose, from where to where, and the rule
or the policies that denied it. The kernel logs 100 a second (eBPF: and processor); stats counts all of them. Packets that
came faster than they could be read are counted. It ends with Ctrl-C, or after --count packets.`,
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			if err := o.check(); err != nil {
				return err
			}
			if count < 0 {
				return fmt.Errorf("--count %d is negative", count)
			}
			return c.monitor(cmd.Context(), o, count)
		},
	}
	o.register(cmd)
	cmd.Flags().IntVar(&count, "count", 0, "end after `N` packets, 0 for never")
	return cmd
}

func (c *command) monitor(ctx context.Context, o *output, count int) error {
	if err := c.enter(); err != nil {
		return err
	}
	m, err := backends.NewMonitor(ctx, c.inForce)
	if err != nil {
		return err
	}
	defer m.Close()
	print := c.printEvent
	if o.json() {
		print = func(e *loader.Event) error { return json.NewEncoder(c.Stdout).Encode(e) }
	}
	for n := 0; ; {
		events, lost, err := m.Next(ctx)
		if errors.Is(err, context.Canceled) {
			return nil
		}
		if err != nil {
			return err
		}
		if lost > 0 {
			c.logf("%d denied packets came too fast and are not shown", lost)
		}
		for i := range events {
			if err := print(&events[i]); err != nil {
				return err
			}
			if n++; n == count {
				return nil
			}
		}
	}
}

// inForce returns the bundle in force and gives the lock up again.
func (c *command) inForce(ctx context.Context) (*loader.Bundle, error) {
	l, err := backends.Open(ctx, loader.OpenOptions{StateDir: c.stateDir, Log: c.logf})
	if err != nil {
		return nil, err
	}
	defer l.Close()
	return l.Current()
}

// printEvent writes an event as one line.
func (c *command) printEvent(e *loader.Event) error {
	var b strings.Builder
	b.WriteString(e.Time.Format("2006-01-02T15:04:05.000000Z"))
	if e.Pod != "" {
		b.WriteString(" " + e.Pod)
	}
	if e.Direction != "" {
		b.WriteString(" " + e.Direction)
	}
	if e.Src.IsValid() {
		fmt.Fprintf(&b, " %s > %s %s", end(e.Src.String(), e.SrcPort), end(e.Dst.String(), e.DstPort), e.Proto)
	}
	if e.Type != nil {
		fmt.Fprintf(&b, " type %d code %d", *e.Type, *e.Code)
	}
	switch {
	case e.Rule != "":
		b.WriteString(" denied by " + e.Rule)
	case e.Policies != nil:
		b.WriteString(" default deny of " + strings.Join(e.Policies, " "))
	default:
		b.WriteString(" " + e.Reason)
	}
	_, err := fmt.Fprintln(c.Stdout, b.String())
	return err
}

func end(addr string, port *uint16) string {
	if port == nil {
		return addr
	}
	return net.JoinHostPort(addr, fmt.Sprint(*port))
}
