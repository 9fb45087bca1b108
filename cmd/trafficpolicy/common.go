package main

import (
	"context"
	"errors"
	"fmt"
	"strings"

	"github.com/spf13/cobra"

	"github.com/trafficpolicy/trafficpolicy/compiler"
	"github.com/trafficpolicy/trafficpolicy/internal/inputs"
	"github.com/trafficpolicy/trafficpolicy/model"
)

// commonFlags are the flags of every command.
type commonFlags struct {
	policies    []string
	inventory   []string
	isolation   string
	enrollment  string
	families    string
	resolve     []string
	resolveFile string
	namespace   string
	color       string
}

func (f *commonFlags) register(root *cobra.Command) {
	p := root.PersistentFlags()
	p.StringArrayVarP(&f.policies, "filename", "f", nil, "policies: a file, a directory or - (repeatable)")
	p.StringArrayVarP(&f.inventory, "inventory", "i", nil, "cluster objects: a file, a directory or - (repeatable)")
	p.StringVar(&f.isolation, "isolation", "both", "what a selecting policy closes: both directions, or only each `direction` that one declares (both|direction)")
	p.StringVar(&f.enrollment, "enrollment", "annotated", "which pods are enforced: those with both annotations, or all (annotated|all)")
	p.StringVar(&f.families, "families", "auto", "address families to analyse (auto|ipv4|dual)")
	p.StringArrayVar(&f.resolve, "resolve", nil, "addresses of a domain name, as NAME=IP[,IP...] (repeatable)")
	p.StringVar(&f.resolveFile, "resolve-file", "", "addresses of domain names in hosts-file form")
	p.StringVar(&f.namespace, "namespace", "default", "namespace of a TrafficPolicy without one")
	p.StringVar(&f.color, "color", "auto", "colour in text output (auto|always|never)")
}

// options turns the flags into what the compiler takes.
func (f *commonFlags) options() (compiler.Options, error) {
	o, err := inputs.Options(f.isolation, f.enrollment, f.families)
	_, colorErr := inputs.Choose("color", f.color, "auto", "always", "never")
	if err := errors.Join(err, colorErr); err != nil {
		return o, err
	}
	o.Resolve, err = inputs.Names(f.resolve, f.resolveFile)
	return o, err
}

// loadOptions says what to read. extra are policy paths given as arguments.
func (f *commonFlags) loadOptions(c *command, extra []string) compiler.LoadOptions {
	return compiler.LoadOptions{
		Policies:  append(append([]string(nil), f.policies...), extra...),
		Inventory: f.inventory,
		Stdin:     c.Stdin,
		Namespace: f.namespace,
	}
}

// load reads the inputs. extra are policy paths given as arguments.
func (f *commonFlags) load(ctx context.Context, c *command, extra []string) (*compiler.Input, error) {
	return compiler.Load(ctx, f.loadOptions(c, extra))
}

// loadValid is load for commands that judge by what is known: invalid policies
// are an error that lists each finding of severity error on a line of its own,
// inventory objects that could not be read are left out with a warning.
func (f *commonFlags) loadValid(ctx context.Context, c *command, extra []string) (*compiler.Input, error) {
	in, err := f.load(ctx, c, extra)
	if err != nil {
		return nil, err
	}
	return in, c.checkInput(in, map[string]bool{})
}

// checkInput is what loadValid does with the findings of an input. Warnings that
// said holds are not repeated.
func (c *command) checkInput(in *compiler.Input, said map[string]bool) error {
	var b strings.Builder
	for i := range in.Findings {
		switch fd := &in.Findings[i]; {
		case fd.Severity != model.Error:
		case in.OfInventory(fd):
			if text := fmt.Sprintf("left out of the inventory: %s: %s [%s]", fd.Pos(), fd.Message, fd.Code); !said[text] {
				said[text] = true
				c.warnf("%s", text)
			}
		default:
			fmt.Fprintf(&b, "\n%s: %s: %s [%s]", fd.Pos(), fd.Severity, fd.Message, fd.Code)
		}
	}
	if b.Len() > 0 {
		return fmt.Errorf("the input is invalid:%s", b.String())
	}
	return nil
}
