//go:build linux

package main

import (
	"fmt"
	"io"
	"net/netip"
	"slices"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/trafficpolicy/trafficpolicy/internal/agent"
	"github.com/trafficpolicy/trafficpolicy/internal/loader"
	"github.com/trafficpolicy/trafficpolicy/internal/names"
)

func (c *command) namesCmd() *cobra.Command {
	o := &output{}
	cmd := &cobra.Command{
		Use:   "names",
		Short: "Print what domain names mean on this node",
		Long: `Names prints each domain name of the bundle in force with its addresses: those that the bundle has, and
those that the agent (tploader watch) has learned, with how long each has been in force and when the last
answer had it, as far as the agent has written that down, which it does once a minute. Whether the kernel
holds them status says.`,
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
			r, err := readNames(l)
			if err != nil {
				return err
			}
			if o.json() {
				return writeJSON(c.Stdout, r)
			}
			return r.write(c.Stdout, time.Now())
		},
	}
	o.register(cmd)
	return cmd
}

// namesReport is the result of names. Its JSON form is a contract.
type namesReport struct {
	Kept  bool         `json:"kept"` // an agent runs
	Names []nameReport `json:"names"`
}

type nameReport struct {
	Name      string       `json:"name"`
	Addresses []addrReport `json:"addresses"` // sorted
}

type addrReport struct {
	Address netip.Addr `json:"address"`
	From    string     `json:"from"` // bundle or learned
	// These are of learned addresses, as far as they are written down: since when it is
	// in force, when the last answer had it, when it goes if none has it any more.
	Since   time.Time `json:"since,omitzero"`
	Seen    time.Time `json:"seen,omitzero"`
	Expires time.Time `json:"expires,omitzero"`
	InUse   bool      `json:"inUse,omitempty"` // past that, and connections with it lived
}

// readNames joins the bundle in force, what was learned, and what the agent remembers.
func readNames(l *loader.Loader) (*namesReport, error) {
	b, err := l.Current()
	if err != nil {
		return nil, err
	}
	text, err := l.Memory()
	if err != nil {
		return nil, err
	}
	remembered, err := agent.Remembered(text)
	if err != nil {
		return nil, err
	}
	r := &namesReport{Kept: l.HasAgent(), Names: []nameReport{}}
	meaning := b.Meaning(l.Learned())
	for _, n := range b.Manifest.Names {
		report := nameReport{Name: n.Name, Addresses: []addrReport{}}
		for _, a := range meaning[n.Name] {
			x := addrReport{Address: a, From: "learned"}
			if slices.Contains(n.Addrs, a) {
				x.From = "bundle"
			} else if i := slices.IndexFunc(remembered[n.Name], func(m names.Remembered) bool { return m.Addr == a }); i >= 0 {
				m := remembered[n.Name][i]
				x.Since, x.Seen, x.Expires, x.InUse = m.Since, m.Seen, m.Expires, m.InUse
			}
			report.Addresses = append(report.Addresses, x)
		}
		r.Names = append(r.Names, report)
	}
	return r, nil
}

func (r *namesReport) write(w io.Writer, now time.Time) error {
	var b strings.Builder
	addrs := 0
	for _, n := range r.Names {
		addrs += len(n.Addresses)
	}
	fmt.Fprintf(&b, "%d names, %d addresses", len(r.Names), addrs)
	if !r.Kept && len(r.Names) > 0 {
		b.WriteString(": NOT KEPT, no agent runs (tploader watch)")
	}
	b.WriteString("\n")
	for _, n := range r.Names {
		fmt.Fprintf(&b, "%s\n", n.Name)
		if len(n.Addresses) == 0 {
			b.WriteString("  no address\n")
		}
		for _, a := range n.Addresses {
			fmt.Fprintf(&b, "  %s %s\n", a.Address, a.describe(now))
		}
	}
	_, err := io.WriteString(w, b.String())
	return err
}

func (a *addrReport) describe(now time.Time) string {
	age := func(t time.Time) string { return max(0, now.Sub(t)).Round(time.Second).String() }
	switch {
	case a.From == "bundle":
		return "of the bundle"
	case a.Since.IsZero():
		return "learned"
	case a.InUse:
		return fmt.Sprintf("in use: in force for %s, last answered %s ago", age(a.Since), age(a.Seen))
	}
	return fmt.Sprintf("in force for %s, last answered %s ago", age(a.Since), age(a.Seen))
}
