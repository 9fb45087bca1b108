//go:build linux

package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/signal"
	"syscall"

	"github.com/spf13/cobra"

	ebpf "github.com/trafficpolicy/trafficpolicy/backends/ebpf/load"
	nftables "github.com/trafficpolicy/trafficpolicy/backends/nftables/load"
	"github.com/trafficpolicy/trafficpolicy/internal/loader"
	"github.com/trafficpolicy/trafficpolicy/internal/netns"
)

// Exit codes, a contract.
const (
	exitOK     = 0 // done; for status: everything is in force
	exitFailed = 1 // status: nothing is in force, it drifted, or a pod is unattached
	exitUsage  = 2 // not done, and why is on stderr
)

// errFailed ends a command with exitFailed after it has written its result.
var errFailed = errors.New("failed")

// command is the program with its streams, so that a test can run it whole.
type command struct {
	Stdin          io.Reader
	Stdout, Stderr io.Writer

	netns    string
	stateDir string
}

func newCommand() *command {
	return &command{Stdin: os.Stdin, Stdout: os.Stdout, Stderr: os.Stderr}
}

// Main runs the command line args and returns the exit code. With --netns the
// calling goroutine has entered that network namespace for good.
func (c *command) Main(args []string) int {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	root := c.root()
	root.SetArgs(args)
	err := root.ExecuteContext(ctx)
	switch {
	case err == nil:
		return exitOK
	case err == errFailed:
		return exitFailed
	}
	fmt.Fprintf(c.Stderr, "tploader: %v\n", err)
	return exitUsage
}

// root builds the command tree. Cobra stays silent: Main prints once.
func (c *command) root() *cobra.Command {
	root := &cobra.Command{
		Use:   "tploader",
		Short: "Put compiled traffic policies into the kernel of this node",
		Long: `tploader loads the bundles that "trafficpolicy compile" writes, switches from one
policy to the next in one step, and reports what the kernel enforces.

Exit codes: 0 done, 1 status or verify found something wrong, 2 not done.`,
		SilenceErrors: true,
		SilenceUsage:  true,
		Args:          cobra.NoArgs,
		RunE:          func(cmd *cobra.Command, _ []string) error { return cmd.Help() },
	}
	root.SetIn(c.Stdin)
	root.SetOut(c.Stdout)
	root.SetErr(c.Stderr)
	p := root.PersistentFlags()
	p.StringVar(&c.netns, "netns", "", "work inside the network namespace of this file, such as /run/netns/NAME or /proc/PID/ns/net")
	p.StringVar(&c.stateDir, "state-dir", "/var/lib/trafficpolicy", "where the bundles in force are kept")
	root.AddCommand(
		c.applyCmd(),
		c.statusCmd(),
		c.statsCmd(),
		c.monitorCmd(),
		c.namesCmd(),
		c.watchCmd(),
		c.rollbackCmd(),
		c.removeCmd(),
		c.verifyCmd(),
		c.versionCmd(),
	)
	return root
}

// backends are what bundles can be for.
var backends = loader.Backends{nftables.Backend{}, ebpf.Backend{}}

// enter goes where --netns says.
func (c *command) enter() error {
	if c.netns == "" {
		return nil
	}
	return netns.Enter(c.netns)
}

// open enters the network namespace and takes its lock.
func (c *command) open(ctx context.Context, o loader.OpenOptions) (*loader.Loader, error) {
	if err := c.enter(); err != nil {
		return nil, err
	}
	o.StateDir = c.stateDir
	o.Log = c.logf
	return backends.Open(ctx, o)
}

// logf writes a progress line or warning.
func (c *command) logf(format string, args ...any) {
	fmt.Fprintf(c.Stderr, "tploader: "+format+"\n", args...)
}
