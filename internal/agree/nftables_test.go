package agree

import (
	"context"
	"errors"
	"fmt"
	"net/netip"
	"sync/atomic"
	"testing"

	"github.com/trafficpolicy/trafficpolicy/backends/nftables"
	"github.com/trafficpolicy/trafficpolicy/compiler"
	"github.com/trafficpolicy/trafficpolicy/compiler/space"
	"github.com/trafficpolicy/trafficpolicy/internal/synth"
	"github.com/trafficpolicy/trafficpolicy/model"
	"github.com/trafficpolicy/trafficpolicy/verify/simulate"
)

// TestRulesAgreeWithSimulate draws clusters, compiles each pod's and each node's
// program to nftables, decodes bundle and script, and compares both with the walk
// over the source rules, on every packet around every boundary, whatever domain
// names hold.
func TestRulesAgreeWithSimulate(t *testing.T) {
	const cases, shards = 200, 8
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
				r := &rulesets{packets: &packets}
				if err := r.agree(c); err != nil {
					small := synth.Shrink(c, func(c *synth.Cluster) bool { return r.agree(c) != nil })
					t.Fatalf("seed %d: %v, %v\n%s%s", c.Seed, err, r.agree(small), small.PolicyYAML(), small.InventoryYAML())
				}
			}
		})
	}
	t.Cleanup(func() {
		if n := packets.Load(); n < 500_000 && !t.Failed() {
			t.Errorf("%d packets were compared, want more", n)
		}
	})
}

// rulesets compares decoded nftables artifacts with the policies that they come from.
type rulesets struct{ packets *atomic.Int64 }

// agree returns the first disagreement between the artifacts of c and the
// policies' source.
func (r *rulesets) agree(c *synth.Cluster) error {
	m, _ := modeOf(c)
	m.inventory, m.options.Resolve = true, nil // so that names are unknown to both
	in, err := load(c, m)
	if err != nil {
		return err
	}
	comp := compiler.NewCompiler(in, compiler.CompileOptions{Options: m.options, AllowUnresolved: true, AllowEmpty: true, SkipBroken: true})
	sim := simulate.New(in, m.options)
	var targets []compiler.Target
	for _, n := range in.Inventory.Nodes {
		targets = append(targets, compiler.Target{Node: n.Name})
	}
	for _, p := range in.Inventory.Pods {
		targets = append(targets, compiler.Target{Pod: p.Ref()})
	}
	for _, target := range targets {
		p, err := comp.Compile(context.Background(), target)
		if refusal := (*compiler.Refusal)(nil); errors.As(err, &refusal) {
			continue
		}
		if err != nil {
			return err
		}
		if err := r.program(p, in, sim); err != nil {
			return fmt.Errorf("%+v: %w", target, err)
		}
	}
	return nil
}

func (r *rulesets) program(p *compiler.Program, in *compiler.Input, sim *simulate.Simulator) error {
	a, err := nftables.Emit(p)
	if err != nil {
		return err
	}
	reading, err := nftables.Decode(a.Files, &a.Manifest)
	if err != nil {
		return fmt.Errorf("bundle: %w", err)
	}
	if err := r.reading(reading, p, in, sim); err != nil {
		return fmt.Errorf("bundle: %w", err)
	}
	script, err := nftables.Script(p)
	if err != nil {
		return err
	}
	if reading, err = nftables.DecodeScript(script, nftables.NewLegend(p)); err == nil {
		err = r.reading(reading, p, in, sim)
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

func (r *rulesets) reading(got *space.Reading, p *compiler.Program, in *compiler.Input, sim *simulate.Simulator) error {
	pods := map[string]*model.Pod{}
	for _, pod := range in.Inventory.Pods {
		pods[pod.Ref()] = pod
	}
	subjects := map[netip.Addr]*space.Subject{}
	for i := range got.Subjects {
		subjects[got.Subjects[i].Addr] = &got.Subjects[i]
	}
	done := map[tableOf]bool{}
	for _, pod := range p.Pods {
		meta := pods[pod.Ref]
		for _, local := range pod.Addrs {
			s := subjects[local]
			if s == nil || s.Pod != pod.Ref {
				return fmt.Errorf("address %s of %s is not governed", local, pod.Ref)
			}
			for _, d := range model.Directions {
				key := tableOf{pod.Class, s.Table(d)}
				if done[key] {
					continue
				}
				done[key] = true
				walk := sim.Walk(sim.Select(meta.Namespace, meta.Labels), d)
				if err := r.table(s.Table(d), got.Deciders, walk, p.Classes[pod.Class].List(d)); err != nil {
					return fmt.Errorf("pod %s, %s: %w", pod.Ref, d, err)
				}
			}
		}
	}
	if len(subjects) != len(got.Subjects) {
		return fmt.Errorf("an address stands twice")
	}
	return nil
}

// table compares a table with the walk.
func (r *rulesets) table(t *space.Table, deciders []space.Decider, walk *simulate.Walk, list *model.RuleList) error {
	points, names := boundaryL4(list), subsets(atomsOf(list))
	for _, a := range boundaryAddrs(list, t.Family) {
		for _, x := range points {
			cell := t.Lookup(a, x)
			for _, in := range names {
				r.packets.Add(1)
				rule := cell.Rule
				for _, c := range cell.If {
					if in[c.Atom] {
						rule = c.Rule
						break
					}
				}
				if rule == space.NoRule {
					return fmt.Errorf("%s %s: nothing decides", a, x)
				}
				want := walk.Decide(a, x, func(atom model.Atom) bool { return in[atom] })
				name := ""
				if !want.Rule.IsZero() {
					name = want.Rule.String()
				}
				if got := deciders[rule]; got.Rule != name || got.Action != want.Action {
					return fmt.Errorf("%s %s, %v: rules say %+v, simulate %v %v", a, x, in, got, want.Rule, want.Action)
				}
			}
		}
	}
	return nil
}
