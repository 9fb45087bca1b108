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
	return c.programOf(ctx, compiler.NewCompiler(in, o), o.Target)
}

// programOf is program for an input that is valid.
func (c *command) programOf(ctx context.Context, all *compiler.Compiler, t compiler.Target) (*compiler.Program, error) {
	p, err := all.Compile(ctx, t)
	if refusal := (*compiler.Refusal)(nil); errors.As(err, &refusal) {
		for _, r := range refusal.Reasons {
			fmt.Fprintf(c.Stderr, "trafficpolicy: %s\n", r)
		}
		return nil, errFailed
	}
	return p, err
}

// warnProgram says what the compiler warns of.
func (c *command) warnProgram(p *compiler.Program) {
	for _, w := range p.Warnings {
		c.warnf("%s", w)
	}
}
