// Command demo shows the whole way from policy YAML to an enforced packet: it
// lints the guide's OpenClaw and agent policies, simulates calls, compiles the
// node's artifact, puts it in force in a network namespace that it makes, makes
// the calls with real packets and compares.
//
// It exits with 1 where kernel and simulator disagree. Without root it does all
// but the kernel part and says so. What it made is gone when it ends, also on
// Ctrl-C.
package main

import (
	"context"
	"embed"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"io"
	"io/fs"
	"os"
	"os/signal"
	"path/filepath"
	"strings"
	"syscall"
	"text/tabwriter"
)

//go:embed data/*.yaml
var data embed.FS

func main() {
	bin := flag.String("bin", "", "`directory` of trafficpolicy and tploader (default: build them)")
	flag.Parse()
	// SIGPIPE too: who reads no further gets no more, but what was made is undone.
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM, syscall.SIGHUP, syscall.SIGPIPE)
	code := run(ctx, *bin, os.Stdout, os.Stderr)
	stop()
	os.Exit(code)
}

// Exit codes, as those of trafficpolicy.
const (
	exitAgree    = 0
	exitDisagree = 1
	exitFailed   = 2
)

// demo is one run.
type demo struct {
	*programs
	out    io.Writer
	work   string // the directory with policies and cluster
	inputs []string
	world  *world // nil without a kernel
}

func run(ctx context.Context, bin string, out, stderr io.Writer) int {
	err := do(ctx, bin, out, stderr)
	switch {
	case err == nil:
		return exitAgree
	case errors.Is(err, errDisagree):
		return exitDisagree
	case ctx.Err() != nil:
		fmt.Fprintln(stderr, "demo: interrupted, cleaned up")
	default:
		fmt.Fprintf(stderr, "demo: %v\n", err)
	}
	return exitFailed
}

var errDisagree = errors.New("kernel and simulator disagree")

// do runs the demo's steps in order.
func do(ctx context.Context, bin string, out, stderr io.Writer) (err error) {
	work, err := os.MkdirTemp("", "trafficpolicy-demo-")
	if err != nil {
		return err
	}
	defer os.RemoveAll(work)
	d := &demo{out: out, work: work}
	if err := d.unpack(); err != nil {
		return err
	}
	if d.programs, err = find(ctx, bin, work, stderr); err != nil {
		return err
	}
	if err := d.lint(ctx); err != nil {
		return err
	}
	simulated, err := d.simulate(ctx)
	if err != nil {
		return err
	}
	bundle, err := d.compile(ctx)
	if err != nil {
		return err
	}
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	why := kernelReason()
	if why == "" {
		d.world, err = newWorld(ctx)
		if d.world != nil {
			defer d.world.close()
		}
		if errors.Is(err, fs.ErrPermission) && ctx.Err() == nil { // as in a container
			why, err = err.Error(), nil
		}
	}
	if err != nil {
		return err
	}
	if why != "" {
		d.step("packets: skipped, %s", why)
		return d.table(simulated, nil)
	}
	if err := d.apply(ctx, bundle); err != nil {
		return err
	}
	d.step("packets: TCP connections, UDP requests and pings between the namespaces")
	got, err := d.world.send()
	if err != nil {
		return err
	}
	if err := ctx.Err(); err != nil {
		return err
	}
	return d.table(simulated, got)
}

// unpack writes policies and cluster to the working directory.
func (d *demo) unpack() error {
	files, err := data.ReadDir("data")
	if err != nil {
		return err
	}
	d.inputs = []string{"-f", "policies", "-i", "cluster.yaml", "--resolve", databaseName + "=" + hosts["database"][0]}
	if err := os.Mkdir(filepath.Join(d.work, "policies"), 0o755); err != nil {
		return err
	}
	for _, f := range files {
		text, err := data.ReadFile("data/" + f.Name())
		if err != nil {
			return err
		}
		name := f.Name()
		if strings.HasSuffix(name, "-policy.yaml") {
			name = filepath.Join("policies", name)
		}
		if err := os.WriteFile(filepath.Join(d.work, name), text, 0o644); err != nil {
			return err
		}
	}
	return nil
}

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

func (d *demo) compile(ctx context.Context) ([]byte, error) {
	d.step("compile for node-a")
	bundle, err := d.trafficpolicy(ctx, nil, "compile", "--node", "node-a", "--backend", "nftables", "-o", "-")
	if err != nil {
		return nil, err
	}
	fmt.Fprintf(d.out, "%d bytes\n", len(bundle))
	return bundle, nil
}

func (d *demo) apply(ctx context.Context, bundle []byte) error {
	d.step("apply in namespaces: %s", d.world.describe())
	args := []string{"--netns", d.world.path(), "--state-dir", filepath.Join(d.work, "state"), "apply", "--node", "node-a", "-"}
	fmt.Fprintf(d.out, "$ tploader %s\n", strings.ReplaceAll(strings.Join(args, " "), d.work+"/", ""))
	out, err := d.run(ctx, d.work, bundle, "tploader", args...)
	if err != nil {
		return err
	}
	_, err = d.out.Write(out)
	return err
}

// table prints what was simulated and what the kernel did; got is nil where it
// was not asked. The error wraps errDisagree where the two differ.
func (d *demo) table(simulated []answer, got []string) error {
	tw := tabwriter.NewWriter(d.out, 0, 0, 2, ' ', 0)
	fmt.Fprintln(tw, "\nFROM\tTO\tPACKET\tSIMULATED\tKERNEL\tAGREE\tDECIDED BY")
	agreed := 0
	for i := range flows {
		f, s := &flows[i], simulated[i].Verdict
		if simulated[i].Reject {
			s = "reject"
		}
		k, agree := "-", "-"
		if got != nil {
			k, agree = got[i], "NO"
			if k == s {
				agree = "yes"
				agreed++
			}
		}
		fmt.Fprintf(tw, "%s\t%s\t%s\t%s\t%s\t%s\t%s\n", f.from, f.to, f.how(), s, k, agree, simulated[i].why())
	}
	if err := tw.Flush(); err != nil {
		return err
	}
	if got == nil {
		fmt.Fprintf(d.out, "\n%d calls simulated; run as root to compare them with the kernel.\n", len(flows))
		return nil
	}
	fmt.Fprintf(d.out, "\nkernel and simulator agree on %d of %d calls.\n", agreed, len(flows))
	if agreed < len(flows) {
		return errDisagree
	}
	return nil
}
