package agree

import (
	"context"
	"errors"
	"fmt"
	"net/netip"
	"sync/atomic"
	"testing"

	"github.com/trafficpolicy/trafficpolicy/backends/bundle"
	"github.com/trafficpolicy/trafficpolicy/backends/ebpf"
	"github.com/trafficpolicy/trafficpolicy/backends/nftables"
	"github.com/trafficpolicy/trafficpolicy/compiler"
	"github.com/trafficpolicy/trafficpolicy/compiler/space"
	"github.com/trafficpolicy/trafficpolicy/internal/synth"
	"github.com/trafficpolicy/trafficpolicy/model"
	"github.com/trafficpolicy/trafficpolicy/verify/simulate"
)

// artifacts write a program for a backend and read that back.
var artifacts = []struct {
	name string
	emit func(*compiler.Program) (*bundle.Bundle, error)
	read func(*bundle.Bundle) (*space.Reading, error)
}{
	{bundle.EBPF, ebpf.Emit, ebpf.DecodeBundle},
	{bundle.NFTables, nftables.Emit, decodeScript},
}

// decodeBare is what a verifier understands of the bare script of a program.
func decodeBare(p *compiler.Program) (*space.Reading, error) {
	text, err := nftables.Script(p)
	if err != nil {
		return nil, err
	}
	return nftables.DecodeScript(text, nftables.NewLegend(p))
}

// TestDecodedAgreesWithSimulate draws clusters, compiles each pod's and each node's
// program for every backend, decodes it and compares it with the walk over the source
// rules, on every packet around every boundary, whatever domain names hold.
func TestDecodedAgreesWithSimulate(t *testing.T) {
	const cases, shards = 250, 8
	n := uint64(cases * soak(t))
	var packets atomic.Int64
	for shard := range uint64(shards) {
		t.Run(fmt.Sprint(shard), func(t *testing.T) {
			t.Parallel()
			for seed := shard; seed < n; seed += shards {
				c := synth.Small(seed)
				if seed/shards%2 == 1 {
					c = synth.Dense(seed)
				}
				d := &decodings{packets: &packets}
				if err := d.agree(c); err != nil {
					small := synth.Shrink(c, func(c *synth.Cluster) bool { return d.agree(c) != nil })
					t.Fatalf("seed %d: %v, %v\n%s%s", c.Seed, err, d.agree(small), small.PolicyYAML(), small.InventoryYAML())
				}
			}
		})
	}
	t.Cleanup(func() {
		if n := packets.Load(); n < 1_000_000 && !t.Failed() {
			t.Errorf("%d packets were compared, want more", n)
		}
	})
}

// decodings compares decoded artifacts with the policies that they come from.
type decodings struct{ packets *atomic.Int64 }

// agree returns the first disagreement between the artifacts of c and the
// policies' source.
func (d *decodings) agree(c *synth.Cluster) error {
	m, _ := modeOf(c)
	m.inventory, m.options.Resolve = true, nil // so that names are unknown to both
	in, err := load(c, m)
	if err != nil {
		return err
	}
	comp := compiler.NewCompiler(in, compiler.CompileOptions{Options: m.options, AllowUnresolved: true, AllowEmpty: true, SkipBroken: true})
	sim := simulate.New(in, m.options)
	for _, target := range targetsOf(in) {
		p, err := comp.Compile(context.Background(), target)
		if refusal := (*compiler.Refusal)(nil); errors.As(err, &refusal) {
			continue
		}
		if err == nil {
			err = d.program(p, in, sim)
		}
		if err != nil {
			return fmt.Errorf("%+v: %w", target, err)
		}
	}
	return nil
}

func (d *decodings) program(p *compiler.Program, in *compiler.Input, sim *simulate.Simulator) error {
	for _, a := range artifacts {
		b, err := a.emit(p)
		if err != nil {
			return err
		}
		r, err := a.read(b)
		if err == nil {
			err = d.reading(r, p, in, sim)
		}
		if err != nil {
			return fmt.Errorf("%s: %w", a.name, err)
		}
	}
	r, err := decodeBare(p)
	if err == nil {
		err = d.reading(r, p, in, sim)
	}
	if err != nil {
		return fmt.Errorf("script: %w", err)
	}
	return nil
}

// tableOf is a table of a class, worth comparing once.
type tableOf struct {
	class int
	table *space.Table
}

func (d *decodings) reading(got *space.Reading, p *compiler.Program, in *compiler.Input, sim *simulate.Simulator) error {
	pods := map[string]*model.Pod{}
	for _, pod := range in.Inventory.Pods {
		pods[pod.Ref()] = pod
	}
	subjects := map[netip.Addr]*space.Subject{}
	for i := range got.Subjects {
		subjects[got.Subjects[i].Addr] = &got.Subjects[i]
	}
	if len(subjects) != len(got.Subjects) {
		return errors.New("an address stands twice")
	}
	done := map[tableOf]bool{}
	for _, pod := range p.Pods {
		meta := pods[pod.Ref]
		for _, local := range pod.Addrs {
			s := subjects[local]
			if s == nil || s.Pod != pod.Ref {
				return fmt.Errorf("address %s of %s is not governed", local, pod.Ref)
			}
			for _, dir := range model.Directions {
				key := tableOf{pod.Class, s.Table(dir)}
				if done[key] {
					continue
				}
				done[key] = true
				walk := sim.Walk(sim.Select(meta.Namespace, meta.Labels), dir)
				if err := d.table(s.Table(dir), got.Deciders, walk, p.Classes[pod.Class].List(dir)); err != nil {
					return fmt.Errorf("pod %s, %s: %w", pod.Ref, dir, err)
				}
			}
		}
	}
	return nil
}

// table compares a table with the walk.
func (d *decodings) table(t *space.Table, deciders []space.Decider, walk *simulate.Walk, list *model.RuleList) error {
	points, choices := boundaryL4(list), subsets(atomsOf(list))
	for _, a := range boundaryAddrs(list, t.Family) {
		for _, x := range points {
			cell := t.Lookup(a, x)
			d.packets.Add(int64(len(choices)))
			for _, in := range choices {
				has := func(atom model.Atom) bool { return in[atom] }
				rule := decider(&cell, has)
				if rule == space.NoRule {
					return fmt.Errorf("%s %s: nothing decides", a, x)
				}
				want := walk.Decide(a, x, has)
				name := ""
				if !want.Rule.IsZero() {
					name = want.Rule.String()
				}
				if got := deciders[rule]; got.Rule != name || got.Action != want.Action {
					return fmt.Errorf("%s %s, %v: decoded %+v, simulated %v %v", a, x, in, got, want.Rule, want.Action)
				}
			}
		}
	}
	return nil
}
