package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"path/filepath"
	"strings"
	"text/tabwriter"
)

func (d *demo) step(format string, args ...any) { fmt.Fprintf(d.out, "\n== "+format+"\n", args...) }

// trafficpolicy shows the command line and runs it.
func (d *demo) trafficpolicy(ctx context.Context, stdin []byte, verb string, args ...string) ([]byte, error) {
	args = append(append([]string{verb}, d.inputs...), args...)
	fmt.Fprintf(d.out, "$ trafficpolicy %s\n", strings.Join(args, " "))
	return d.run(ctx, d.work, stdin, "trafficpolicy", args...)
}

func (d *demo) lint(ctx context.Context) error {
	d.step("lint the guide's OpenClaw and agent policies")
	out, err := d.trafficpolicy(ctx, nil, "lint")
	if err != nil {
		return err
	}
	_, err = d.out.Write(out)
	return err
}

// answer is the part of simulate's JSON that the table shows.
type answer struct {
	Verdict         string
	Reject          bool
	Egress, Ingress *struct{ Verdict, Reason, Rule string }
}

// why names what decided: the rule, or the reason without one.
func (a *answer) why() string {
	side := a.Ingress
	if a.Egress != nil && (a.Egress.Verdict != "allow" || a.Ingress == nil || a.Egress.Rule != "" && a.Ingress.Verdict == "allow") {
		side = a.Egress
	}
	switch {
	case side == nil:
		return ""
	case side.Rule == "":
		return side.Reason
	}
	return side.Rule
}

func (d *demo) simulate(ctx context.Context) ([]answer, error) {
	d.step("simulate %d calls", len(flows))
	out, err := d.trafficpolicy(ctx, flowsCSV(), "simulate", "--flows", "-", "-o", "json")
	if err != nil {
		return nil, err
	}
	var as []answer
	for line := range strings.Lines(string(out)) {
		var a answer
		if err := json.Unmarshal([]byte(line), &a); err != nil {
			return nil, fmt.Errorf("answer of simulate: %w", err)
		}
		as = append(as, a)
	}
	if len(as) != len(flows) {
		return nil, fmt.Errorf("simulate answered %d of %d calls", len(as), len(flows))
	}
	return as, nil
}

// backends enforce the policies, one after the other.
var backends = []string{"nftables", "ebpf"}

// compile returns the node's bundle for each backend.
func (d *demo) compile(ctx context.Context) ([][]byte, error) {
	d.step("compile for node-a")
	var bundles [][]byte
	for _, name := range backends {
		bundle, err := d.trafficpolicy(ctx, nil, "compile", "--node", "node-a", "--backend", name, "-o", "-")
		if err != nil {
			return nil, err
		}
		fmt.Fprintf(d.out, "%d bytes\n", len(bundle))
		bundles = append(bundles, bundle)
	}
	return bundles, nil
}

// packets makes the world, puts each bundle in force and makes the calls: what came
// of them, by backend. It returns nil, after saying why, where that cannot be done.
func (d *demo) packets(ctx context.Context, bundles [][]byte) ([][]string, error) {
	if why := kernelReason(); why != "" {
		d.step("packets: skipped, %s", why)
		return nil, nil
	}
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	var err error
	d.world, err = newWorld(ctx)
	if d.world != nil {
		defer d.world.close()
	}
	if errors.Is(err, fs.ErrPermission) && ctx.Err() == nil { // root, but in a container
		d.step("packets: skipped, %v", err)
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	d.step("apply in namespaces: %s", d.world.describe())
	var got [][]string
	for i, bundle := range bundles {
		if err := d.apply(ctx, bundle); err != nil {
			return nil, err
		}
		d.step("packets, %s: TCP connections, UDP requests and pings between the namespaces", backends[i])
		came, err := d.world.send()
		if err := errors.Join(err, ctx.Err()); err != nil {
			return nil, err
		}
		got = append(got, came)
	}
	_, err = d.tploader(ctx, nil, "remove", "--yes")
	return got, err
}

func (d *demo) apply(ctx context.Context, bundle []byte) error {
	out, err := d.tploader(ctx, bundle, "apply", "--node", "node-a", "-")
	if err != nil {
		return err
	}
	_, err = d.out.Write(out)
	return err
}

// tploader shows the command line and runs it in the node's namespace.
func (d *demo) tploader(ctx context.Context, stdin []byte, verb string, args ...string) ([]byte, error) {
	args = append([]string{"--netns", d.world.path(), "--state-dir", filepath.Join(d.work, "state"), verb}, args...)
	fmt.Fprintf(d.out, "$ tploader %s\n", strings.ReplaceAll(strings.Join(args, " "), d.work+"/", ""))
	return d.run(ctx, d.work, stdin, "tploader", args...)
}

// table prints what was simulated and what the kernel did, by backend; got is nil
// where it was not asked. The error wraps errDisagree where they differ.
func (d *demo) table(simulated []answer, got [][]string) error {
	tw := tabwriter.NewWriter(d.out, 0, 0, 2, ' ', 0)
	fmt.Fprintf(tw, "\nFROM\tTO\tPACKET\tSIMULATED\t%s\tAGREE\tDECIDED BY\n", strings.ToUpper(strings.Join(backends, "\t")))
	agreed := 0
	for i := range flows {
		f, s := &flows[i], simulated[i].Verdict
		if simulated[i].Reject {
			s = "reject"
		}
		kernel, agree := make([]string, len(backends)), "yes"
		for b := range backends {
			switch {
			case got == nil:
				kernel[b], agree = "-", "-"
			case got[b][i] != s:
				kernel[b], agree = got[b][i], "NO"
			default:
				kernel[b] = s
			}
		}
		if agree == "yes" {
			agreed++
		}
		fmt.Fprintf(tw, "%s\t%s\t%s\t%s\t%s\t%s\t%s\n", f.from, f.to, f.how(), s, strings.Join(kernel, "\t"), agree, simulated[i].why())
	}
	if err := tw.Flush(); err != nil {
		return err
	}
	if got == nil {
		fmt.Fprintf(d.out, "\n%d calls simulated; run as root to compare them with the kernel.\n", len(flows))
		return nil
	}
	fmt.Fprintf(d.out, "\nkernel and simulator agree on %d of %d calls, with either backend.\n", agreed, len(flows))
	if agreed < len(flows) {
		return errDisagree
	}
	return nil
}
