package main

import (
	"context"
	"errors"
	"fmt"

	"github.com/trafficpolicy/trafficpolicy/compiler"
	"github.com/trafficpolicy/trafficpolicy/internal/inputs"
)

// program compiles one target. Reasons why that must not be go to stderr and end the
// command with errFailed.
func (c *command) program(ctx context.Context, in *compiler.Input, o compiler.CompileOptions) (*compiler.Program, error) {
	if err := inputs.Invalid(in); err != nil {
		return nil, err
	}
	p, err := compiler.Compile(ctx, in, o)
	return p, c.refused(err)
}

// refused writes the reasons of a refusal, each on a line of its own, and returns
// errFailed for it; any other error it returns as it is.
func (c *command) refused(err error) error {
	refusal := (*compiler.Refusal)(nil)
	if !errors.As(err, &refusal) {
		return err
	}
	for _, r := range refusal.Reasons {
		fmt.Fprintf(c.Stderr, "trafficpolicy: %s\n", r)
	}
	return errFailed
}

// warnProgram says what the compiler warns of.
func (c *command) warnProgram(p *compiler.Program) {
	for _, w := range p.Warnings {
		c.warnf("%s", w)
	}
}
