//go:build linux

package load

import (
	"context"
	"fmt"
	"slices"

	"github.com/trafficpolicy/trafficpolicy/backends/bundle"
	"github.com/trafficpolicy/trafficpolicy/internal/loader"
	"github.com/trafficpolicy/trafficpolicy/internal/place"
)

// plan is a change to the policy in force. Every change loads a generation: it
// costs little, and so interfaces change in the same moment as everything else.
type plan struct {
	kernel *kernel
	change *loader.Change
	gen    *generation
	add    map[[8]byte]uint32 // ids that get a counter
	sizes  sizes
}

// Plan places the graph.
func (k *kernel) Plan(_ context.Context, c *loader.Change) (loader.Plan, error) {
	if c.Record.Options.MaxConnections > 0 {
		return nil, errLimit
	}
	d, err := k.open()
	if err != nil {
		return nil, err
	}
	taken := map[[8]byte]uint32{}
	var inst *instance
	if d != nil {
		inst = d.inst
		if taken, err = inst.ids(); err != nil {
			return nil, err
		}
		c.Record.Apply = max(c.Record.Apply, uint64(inst.generation())+1)
	}
	if c.Record.Apply > 1<<32-1 {
		return nil, fmt.Errorf("this namespace has had %d changes, which is all it can have (tploader remove begins anew)", uint64(1<<32-1))
	}
	number := uint32(c.Record.Apply)
	c.Record.Prefix = prefix(number)
	p := &plan{kernel: k, change: c}
	counters, add := counterNumbers(graphOf(c.Bundle).Tables.Deciders, taken)
	p.add = add
	if p.gen, err = newGeneration(number, c, interfaceNumbers(c.Bundle, c.Places), counters); err != nil {
		return nil, err
	}
	p.sizes, err = p.gen.sizes(len(taken)+len(add), inst)
	p.sizes.raw = slices.ContainsFunc(c.Places, func(p place.Place) bool { return p.Raw })
	return p, err
}

// Check has the kernel check the programs, if they are not loaded.
func (p *plan) Check(context.Context) error {
	if p.kernel.data != nil && p.kernel.data.inst.fits(p.sizes) && p.kernel.data.inst.current() {
		return nil
	}
	return tryLoad(p.pod(), p.sizes)
}

func (p *plan) pod() bool { return p.change.Bundle.Manifest.Scope == bundle.ScopePod }

// HoldingSize returns the bound for a description of programs, digests and
// addresses of the node.
func (p *plan) HoldingSize() int64 { return 4096 + 64*int64(len(p.gen.nodes)) }

// Switch writes the generation beside the one in force, attaches to what is not
// attached to, and flips.
func (p *plan) Switch(context.Context) error {
	k, r := p.kernel, p.change.Record
	if err := k.ensure(p.pod(), p.sizes); err != nil {
		return err
	}
	i := k.data.inst
	if err := writeEntries(i.maps[mapIDs], p.add); err != nil {
		return err
	}
	if err := p.gen.write(i); err != nil {
		return fmt.Errorf("load generation %.12s: %w", r.Generation, err)
	}
	fresh, err := k.data.attach(r.Interfaces)
	if err != nil {
		return err
	}
	t, err := p.takeover(fresh)
	if err != nil {
		return err
	}
	if _, err := t.run(k.data.shared); err != nil {
		return err
	}
	i.flip()
	// Connections may have begun between the look and the switch.
	crowded, err := t.run(k.data.shared)
	if err != nil {
		k.space.Log("warning: %v", err)
	}
	for _, text := range crowded {
		k.space.Log("warning: %s", text)
	}
	return nil
}

// Clean detaches and deletes what is not of the generation in force.
func (p *plan) Clean(context.Context) error {
	return p.kernel.clean(p.change.Record, p.change.Bundle)
}

// ensure makes room for a generation.
func (k *kernel) ensure(pod bool, s sizes) (err error) {
	if k.dir == "" {
		if k.dir, err = pinFolder(k.space.Key, true); err != nil {
			return err
		}
	}
	switch {
	case k.data == nil:
		sweep(k.dir)
		k.data, err = newDatapath(k.dir, pod, s)
	case !k.data.inst.fits(s) || !k.data.inst.current():
		err = k.data.grow(s)
	}
	return err
}
