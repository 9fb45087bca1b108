package main

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"net/netip"
	"os"
	"strings"

	"github.com/spf13/cobra"

	"github.com/trafficpolicy/trafficpolicy/compiler"
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
	var o compiler.Options
	choose := func(flag, value string, choices ...string) (int, error) {
		for i, c := range choices {
			if value == c {
				return i, nil
			}
		}
		return 0, fmt.Errorf("--%s %q is not one of %s", flag, value, strings.Join(choices, ", "))
	}
	isolation, err1 := choose("isolation", f.isolation, "both", "direction")
	enrollment, err2 := choose("enrollment", f.enrollment, "annotated", "all")
	families, err3 := choose("families", f.families, "auto", "ipv4", "dual")
	_, err4 := choose("color", f.color, "auto", "always", "never")
	if err := errors.Join(err1, err2, err3, err4); err != nil {
		return o, err
	}
	o.IsolateByDirection = isolation == 1
	o.AllEnrolled = enrollment == 1
	o.Families = compiler.FamilyMode(families)
	var err error
	o.Resolve, err = f.names()
	return o, err
}

// names joins --resolve and --resolve-file; a name in both gets the union.
func (f *commonFlags) names() (map[string][]netip.Addr, error) {
	names := map[string][]netip.Addr{}
	add := func(where, name, addr string) error {
		a, err := netip.ParseAddr(strings.TrimSpace(addr))
		if err != nil || a.Zone() != "" {
			return fmt.Errorf("%s: %q is not an IP address", where, addr)
		}
		n, ok := compiler.NormalizeFQDN(name)
		if !ok {
			return fmt.Errorf("%s: %q is not a domain name", where, name)
		}
		names[n] = append(names[n], a.Unmap())
		return nil
	}
	for _, r := range f.resolve {
		name, addrs, ok := strings.Cut(r, "=")
		if !ok || addrs == "" {
			return nil, fmt.Errorf("--resolve %q is not NAME=IP[,IP...]", r)
		}
		for _, a := range strings.Split(addrs, ",") {
			if err := add("--resolve "+r, name, a); err != nil {
				return nil, err
			}
		}
	}
	if f.resolveFile == "" {
		return names, nil
	}
	file, err := os.Open(f.resolveFile)
	if err != nil {
		return nil, fmt.Errorf("--resolve-file: %w", err)
	}
	defer file.Close()
	sc := bufio.NewScanner(file)
	for line := 1; sc.Scan(); line++ {
		text, _, _ := strings.Cut(sc.Text(), "#")
		fields := strings.Fields(text)
		if len(fields) == 0 {
			continue
		}
		where := fmt.Sprintf("%s:%d", f.resolveFile, line)
		if len(fields) == 1 {
			return nil, fmt.Errorf("%s: an address without a name", where)
		}
		for _, name := range fields[1:] {
			if err := add(where, name, fields[0]); err != nil {
				return nil, err
			}
		}
	}
	return names, sc.Err()
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
