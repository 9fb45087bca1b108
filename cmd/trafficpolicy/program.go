package main

import (
	"context"
	"errors"
	"fmt"
	"strings"

	"github.com/trafficpolicy/trafficpolicy/compiler"
	"github.com/trafficpolicy/trafficpolicy/model"
)

// program compiles one target. Reasons why that must not be go to stderr and end the
// command with errFailed.
func (c *command) program(ctx context.Context, in *compiler.Input, o compiler.CompileOptions) (*compiler.Program, error) {
	if err := invalid(in); err != nil {
		return nil, err
	}
	p, err := compiler.Compile(ctx, in, o)
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

// invalid is an error that lists the problems of the policies. Those of single
// inventory objects are the compiler's to judge: the object is broken.
func invalid(in *compiler.Input) error {
	var b strings.Builder
	for i := range in.Findings {
		if fd := &in.Findings[i]; fd.Severity == model.Error && !in.OfInventory(fd) {
			fmt.Fprintf(&b, "\n%s: %s: %s [%s]", fd.Pos(), fd.Severity, fd.Message, fd.Code)
		}
	}
	if b.Len() > 0 {
		return fmt.Errorf("the input is invalid:%s", b.String())
	}
	return nil
}
