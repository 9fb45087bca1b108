package agree

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"net/netip"
	"slices"
	"sync/atomic"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/trafficpolicy/trafficpolicy/backends/bundle"
	"github.com/trafficpolicy/trafficpolicy/compiler"
	"github.com/trafficpolicy/trafficpolicy/compiler/space"
	"github.com/trafficpolicy/trafficpolicy/internal/synth"
	"github.com/trafficpolicy/trafficpolicy/internal/synth/scale"
	"github.com/trafficpolicy/trafficpolicy/model"
	"github.com/trafficpolicy/trafficpolicy/verify"
)

// proven reports where verify finds that the artifact a of p, as its decoder reads
// it, is not what p says, or its manifest not what it is to be.
func proven(p *compiler.Program, a *bundle.Bundle, read func(*bundle.Bundle) (*space.Reading, error)) error {
	r, err := read(a)
	if err != nil {
		return err
	}
	e, err := verify.Artifact(context.Background(), p, r, verify.EquivalenceOptions{})
	switch {
	case err != nil:
		return err
	case !e.Equivalent:
		return fmt.Errorf("verify: %s", e.Text("policies", "artifact"))
	}
	if wrong := a.Manifest.Misfits(p); len(wrong) > 0 {
		return fmt.Errorf("manifest: %q", wrong)
	}
	return nil
}

// TestVerifyProves draws clusters, compiles every node and pod of them for both
// backends and has verify prove what their decoders read, with scripts. Then it
// changes one rule: where that decides a packet both backends' artifacts differ,
// in the same packets.
func TestVerifyProves(t *testing.T) {
	const cases, shards = 120, 4
	n := uint64(cases * soak(t))
	var differ atomic.Int64
	for shard := range uint64(shards) {
		t.Run(fmt.Sprint(shard), func(t *testing.T) {
			t.Parallel()
			for seed := shard; seed < n; seed += shards {
				c := synth.Small(seed)
				if seed/shards%2 == 1 {
					c = synth.Dense(seed)
				}
				if err := verifyCluster(c, &differ); err != nil {
					small := synth.Shrink(c, func(c *synth.Cluster) bool { return verifyCluster(c, new(atomic.Int64)) != nil })
					t.Fatalf("seed %d: %v, %v\n%s%s", c.Seed, err, verifyCluster(small, new(atomic.Int64)), small.PolicyYAML(), small.InventoryYAML())
				}
			}
		})
	}
	t.Cleanup(func() {
		if n := differ.Load(); n < cases/2 && !t.Failed() {
			t.Errorf("%d changes decided a packet, want more", n)
		}
	})
}

func verifyCluster(c *synth.Cluster, differ *atomic.Int64) error {
	m, rng := modeOf(c)
	m.inventory = true
	in, err := load(c, m)
	if err != nil {
		return err
	}
	comp := compiler.NewCompiler(in, compiler.CompileOptions{Options: m.options, AllowUnresolved: true, AllowEmpty: true, SkipBroken: true})
	for _, target := range targetsOf(in) {
		p, err := comp.Compile(context.Background(), target)
		if refusal := (*compiler.Refusal)(nil); errors.As(err, &refusal) {
			continue
		}
		if err != nil {
			return err
		}
		for _, a := range artifacts {
			bundle, err := a.emit(p)
			if err != nil {
				return err
			}
			if err := proven(p, bundle, a.read); err != nil {
				return fmt.Errorf("%s of %+v: %w", a.name, target, err)
			}
		}
		if err := verifyScript(p); err != nil {
			return fmt.Errorf("script of %+v: %w", target, err)
		}
		if err := verifyChanged(p, changed(rng, p), differ); err != nil {
			return fmt.Errorf("%+v: %w", target, err)
		}
	}
	return nil
}

func targetsOf(in *compiler.Input) (targets []compiler.Target) {
	for _, n := range in.Inventory.Nodes {
		targets = append(targets, compiler.Target{Node: n.Name})
	}
	for _, p := range in.Inventory.Pods {
		targets = append(targets, compiler.Target{Pod: p.Ref()})
	}
	return targets
}

func verifyScript(p *compiler.Program) error {
	r, err := decodeBare(p)
	if err != nil {
		return err
	}
	e, err := verify.Artifact(context.Background(), p, r, verify.EquivalenceOptions{})
	if err == nil && !e.Equivalent {
		err = fmt.Errorf("verify: %s", e.Text("policies", "script"))
	}
	return err
}

// changed returns p with another action of one rule, or a rule less.
func changed(rng *rand.Rand, p *compiler.Program) *compiler.Program {
	q := *p
	q.Classes = slices.Clone(p.Classes)
	for i := range q.Classes {
		c := &q.Classes[i]
		for _, list := range []**model.RuleList{&c.Egress, &c.Ingress} {
			if n := len((*list).Rules); n > 0 && rng.IntN(2) == 0 {
				l := **list
				l.Rules = slices.Clone(l.Rules)
				j := rng.IntN(n)
				if rng.IntN(2) == 0 {
					l.Rules[j].Action = model.Action((int(l.Rules[j].Action) + 1 + rng.IntN(2)) % 3)
				} else {
					l.Rules = slices.Delete(l.Rules, j, j+1)
				}
				*list, c.Memo = &l, nil
				return &q // other classes have the rule with its own action
			}
		}
	}
	return &q
}

// verifyChanged compares the answers for artifacts of q, measured by p, of both backends.
func verifyChanged(p, q *compiler.Program, differ *atomic.Int64) error {
	var first *verify.Equivalence
	for _, a := range artifacts {
		bundle, err := a.emit(q)
		if err != nil {
			return nil // a rule that does two things
		}
		r, err := a.read(bundle)
		if err != nil {
			return fmt.Errorf("%s: %w", a.name, err)
		}
		e, err := verify.Artifact(context.Background(), p, r, verify.EquivalenceOptions{Most: 1000})
		if err != nil {
			return err
		}
		e.Summary.Cells = 0 // each backend has its own
		if first == nil {
			first = e
			continue
		}
		if len(p.Names) > 0 { // a packet is found under some value of the names, and either may find another
			if first.Equivalent != e.Equivalent {
				return fmt.Errorf("%s is equivalent: %v, %s: %v", artifacts[0].name, first.Equivalent, a.name, e.Equivalent)
			}
			continue
		}
		if d := cmp.Diff(first, e, cmp.Comparer(func(a, b netip.Addr) bool { return a == b }), cmp.Comparer(func(a, b netip.Prefix) bool { return a == b })); d != "" {
			return fmt.Errorf("%s and %s differ otherwise: %s", artifacts[0].name, a.name, d)
		}
	}
	if !first.Equivalent {
		differ.Add(1)
	}
	return nil
}

// largeProgram is a pod of one policy with so many rules.
func largeProgram(rules []model.Rule) *compiler.Program {
	policy := &model.Policy{Kind: model.TrafficPolicy, Namespace: "default", Name: "large", Priority: 1, Egress: &model.Section{Rules: rules}}
	in := &compiler.Input{Policies: []*model.Policy{policy}, Inventory: &model.Inventory{}}
	resolver := compiler.NewResolver(in.Inventory, compiler.Options{})
	class := compiler.ProgramClass{Policies: in.Policies}
	class.Egress = resolver.RuleList(in.Policies, model.Egress, compiler.ForArtifact)
	class.Ingress = resolver.RuleList(in.Policies, model.Ingress, compiler.ForArtifact)
	return &compiler.Program{
		Target: compiler.Target{Node: "n"}, NodeName: "n",
		Pods:    []compiler.ProgramPod{{Ref: "default/a", Addrs: []netip.Addr{netip.MustParseAddr("10.0.0.1"), netip.MustParseAddr("fd00::1")}}},
		Classes: []compiler.ProgramClass{class},
	}
}

// BenchmarkVerify measures the proof of an artifact of 100,000 rules: reading it and
// comparing it with the policies, which are parsed before.
func BenchmarkVerify(b *testing.B) {
	for _, a := range artifacts {
		for _, shape := range scale.Shapes {
			b.Run(a.name+"/"+shape.Name, func(b *testing.B) {
				p := largeProgram(shape.Rules(100_000))
				artifact, err := a.emit(p)
				if err != nil {
					b.Skip(err)
				}
				b.ReportAllocs()
				var cells int
				for b.Loop() {
					r, err := a.read(artifact)
					if err != nil {
						b.Fatal(err)
					}
					e, err := verify.Artifact(context.Background(), p, r, verify.EquivalenceOptions{})
					if err != nil || !e.Equivalent {
						b.Fatal(err, e.Text("policies", "artifact"))
					}
					cells = e.Summary.Cells
					if wrong := artifact.Manifest.Misfits(p); len(wrong) > 0 {
						b.Fatal(wrong)
					}
				}
				b.ReportMetric(float64(cells), "cells")
			})
		}
	}
}
