package agree

import (
	"context"
	"fmt"
	"net/netip"
	"testing"

	"github.com/trafficpolicy/trafficpolicy/backends/bundle"
	"github.com/trafficpolicy/trafficpolicy/backends/ebpf"
	"github.com/trafficpolicy/trafficpolicy/backends/nftables"
	"github.com/trafficpolicy/trafficpolicy/compiler"
	"github.com/trafficpolicy/trafficpolicy/compiler/space"
	"github.com/trafficpolicy/trafficpolicy/internal/synth/scale"
	"github.com/trafficpolicy/trafficpolicy/model"
	"github.com/trafficpolicy/trafficpolicy/verify"
)

// proven reports where verify finds that the artifact a of p, as its decoder reads
// it, is not what p says, or its manifest not what it is to be.
func proven(p *compiler.Program, a *bundle.Bundle, read func() (*space.Reading, error)) error {
	r, err := read()
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
	if wrong := a.Manifest.Misfits(p, r); len(wrong) > 0 {
		return fmt.Errorf("manifest: %q", wrong)
	}
	return nil
}

// artifacts write a program for a backend and read that back.
var artifacts = []struct {
	name string
	emit func(*compiler.Program) (*bundle.Bundle, error)
	read func(*bundle.Bundle) (*space.Reading, error)
}{
	{bundle.EBPF, ebpf.Emit, func(b *bundle.Bundle) (*space.Reading, error) {
		d, err := ebpf.Decode(b.Files)
		if err != nil {
			return nil, err
		}
		return d.Reading(&b.Manifest)
	}},
	{bundle.NFTables, nftables.Emit, func(b *bundle.Bundle) (*space.Reading, error) { return nftables.Decode(b.Files, &b.Manifest) }},
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
					if wrong := artifact.Manifest.Misfits(p, r); len(wrong) > 0 {
						b.Fatal(wrong)
					}
				}
				b.ReportMetric(float64(cells), "cells")
			})
		}
	}
}
