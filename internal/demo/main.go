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
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"os/signal"
	"path/filepath"
	"strings"
	"syscall"
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
	bundles, err := d.compile(ctx)
	if err != nil {
		return err
	}
	got, err := d.packets(ctx, bundles)
	if err != nil {
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
