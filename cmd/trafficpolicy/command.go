package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/signal"
	"strings"
	"syscall"

	"github.com/spf13/cobra"
)

// Exit codes, a contract. exitUsage beats exitFailed.
const (
	exitOK     = 0 // done, nothing to object to
	exitFailed = 1 // the input was judged and failed
	exitUsage  = 2 // could not judge, or not in full: usage, I/O, invalid policies
)

// errFailed ends a command with exitFailed after it has written its result.
// Errors that wrap it are printed; errFailed itself is not.
var errFailed = errors.New("failed")

// errUnchecked ends a command with exitUsage after it has written its result, and
// on stderr what it could not judge. It is not printed either.
var errUnchecked = errors.New("not everything could be judged")

// command is the program with its streams, so that a test can run it whole.
type command struct {
	Stdin          io.Reader
	Stdout, Stderr io.Writer
	Getenv         func(string) string
}

func newCommand() *command {
	return &command{Stdin: os.Stdin, Stdout: os.Stdout, Stderr: os.Stderr, Getenv: os.Getenv}
}

// Main runs the command line args and returns the exit code.
func (c *command) Main(args []string) int {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	return c.run(ctx, args)
}

// run is Main until ctx ends.
func (c *command) run(ctx context.Context, args []string) int {
	c.Stdin = &interruptible{ctx: ctx, r: c.Stdin}
	root := c.root()
	root.SetArgs(args)
	err := root.ExecuteContext(ctx)
	switch {
	case err == nil:
		return exitOK
	case err == errFailed:
		return exitFailed
	case err == errUnchecked:
		return exitUsage
	case errors.Is(err, context.Canceled):
		err = errors.New("interrupted")
	}
	fmt.Fprintf(c.Stderr, "trafficpolicy: %s\n", errorText(err))
	if errors.Is(err, errFailed) {
		return exitFailed
	}
	return exitUsage
}

// root builds the command tree. Cobra stays silent: Main prints once.
func (c *command) root() *cobra.Command {
	root := &cobra.Command{
		Use:           "trafficpolicy",
		Short:         "Compile and verify TrafficPolicy and GlobalTrafficPolicy objects",
		SilenceErrors: true,
		SilenceUsage:  true,
		Args:          knownCommand,
		RunE:          func(cmd *cobra.Command, _ []string) error { return cmd.Help() },

		PersistentPreRunE: applyProject,
	}
	root.SetIn(c.Stdin)
	root.SetOut(c.Stdout)
	root.SetErr(c.Stderr)
	common := &commonFlags{}
	common.register(root)
	root.AddCommand(
		c.compileCmd(common),
		c.configCmd(common),
		c.diffCmd(common),
		c.explainCmd(),
		c.inventoryCmd(common),
		c.keygenCmd(),
		c.lintCmd(common),
		c.listCmd(common),
		c.proveCmd(common),
		c.reachCmd(common),
		c.simulateCmd(common),
		c.verifyCmd(common),
		c.versionCmd(),
	)
	completeFlags(root)
	refuseShells(root)
	return root
}

// knownCommand objects to what is no command, and names those it may have meant.
func knownCommand(cmd *cobra.Command, args []string) error {
	if len(args) == 0 {
		return nil
	}
	text := fmt.Sprintf("unknown command %q for %q", args[0], cmd.CommandPath())
	if near := cmd.SuggestionsFor(args[0]); len(near) > 0 {
		text += ", did you mean " + strings.Join(near, " or ") + "?"
	}
	return errors.New(text)
}

// noArgs returns a check that there is no argument, which says what to give in its
// place otherwise.
func noArgs(instead string) cobra.PositionalArgs {
	return func(cmd *cobra.Command, args []string) error {
		if len(args) == 0 {
			return nil
		}
		return fmt.Errorf("%s takes no argument, and %q is one: %s", cmd.Name(), args[0], instead)
	}
}

// wantArgs returns a check for one argument for each of names, which says what to
// give otherwise.
func wantArgs(what string, names ...string) cobra.PositionalArgs {
	return func(cmd *cobra.Command, args []string) error {
		if len(args) == len(names) {
			return nil
		}
		return fmt.Errorf("%s takes %s, %s: %s given", cmd.Name(), strings.Join(names, " and "), what, count(len(args), "argument is", "arguments are"))
	}
}
