package agree

import (
	"context"
	"errors"
	"fmt"
	"net/netip"
	"sync/atomic"
	"testing"

	"github.com/trafficpolicy/trafficpolicy/backends/ebpf"
	"github.com/trafficpolicy/trafficpolicy/compiler"
	"github.com/trafficpolicy/trafficpolicy/compiler/space"
	"github.com/trafficpolicy/trafficpolicy/internal/synth"
	"github.com/trafficpolicy/trafficpolicy/model"
	"github.com/trafficpolicy/trafficpolicy/verify/simulate"
)

// TestGraphAgreesWithSimulate draws clusters, compiles each pod's and each node's
// program to a graph, decodes it and compares it with the walk over the source
// rules, on every packet around every boundary, whatever domain names hold.
func TestGraphAgreesWithSimulate(t *testing.T) {
	const cases, shards = 400, 8
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
				g := &graphs{packets: &packets}
				if err := g.agree(c); err != nil {
					small := synth.Shrink(c, func(c *synth.Cluster) bool { return g.agree(c) != nil })
					t.Fatalf("seed %d: %v, %v\n%s%s", c.Seed, err, g.agree(small), small.PolicyYAML(), small.InventoryYAML())
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

// graphs compares graphs with the policies that they come from.
type graphs struct{ packets *atomic.Int64 }

// judged tells apart what is worth comparing once.
type judged struct {
	class int
	model.Direction
	model.Family
	root ebpf.Ref
}

// agree returns the first disagreement between the graphs of c and the policies'
// source.
func (g *graphs) agree(c *synth.Cluster) error {
	m, _ := modeOf(c)
	m.inventory, m.options.Resolve = true, nil // so that names are unknown to both
	in, err := load(c, m)
	if err != nil {
		return err
	}
	o := compiler.CompileOptions{Options: m.options, AllowUnresolved: true, AllowEmpty: true, SkipBroken: true}
	comp := compiler.NewCompiler(in, o)
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
		if err := g.program(p, in, sim); err != nil {
			return fmt.Errorf("%+v: %w", target, err)
		}
	}
	return nil
}

func (g *graphs) program(p *compiler.Program, in *compiler.Input, sim *simulate.Simulator) error {
	a, err := ebpf.Emit(p)
	if err != nil {
		return err
	}
	dec, err := ebpf.Decode(a.Files)
	if err != nil {
		return err
	}
	if err := proven(p, a, func() (*space.Reading, error) { return dec.Reading(&a.Manifest) }); err != nil {
		return err
	}
	names := map[string]string{"": ""}
	for _, r := range a.Manifest.Rules {
		names[r.ID] = r.Name
	}
	for _, d := range a.Manifest.Defaults {
		names[d.ID] = ""
	}
	pods := map[string]*model.Pod{}
	for _, pod := range in.Inventory.Pods {
		pods[pod.Ref()] = pod
	}
	done := map[judged]bool{}
	for _, pod := range p.Pods {
		meta := pods[pod.Ref]
		for _, d := range model.Directions {
			list := p.Classes[pod.Class].List(d)
			walk := sim.Walk(sim.Select(meta.Namespace, meta.Labels), d)
			for _, local := range pod.Addrs {
				root, ok := dec.Root(d, local)
				key := judged{pod.Class, d, model.FamilyOf(local), root}
				if ok && done[key] {
					continue
				}
				done[key] = true
				if err := g.address(dec, names, walk, list, local); err != nil {
					return fmt.Errorf("pod %s, %s: %w", pod.Ref, d, err)
				}
			}
		}
	}
	return nil
}

// address compares what a graph decides for one address of a pod with the walk,
// by single packets and by the decoded table.
func (g *graphs) address(dec *ebpf.Decoded, names map[string]string, walk *simulate.Walk, list *model.RuleList, local netip.Addr) error {
	f := model.FamilyOf(local)
	root, ok := dec.Root(list.Direction, local)
	if !ok {
		return fmt.Errorf("%s is not known", local)
	}
	table, err := dec.Table(root, f)
	if err != nil {
		return err
	}
	choices := subsets(atomsOf(list))
	for _, a := range boundaryAddrs(list, f) {
		for _, x := range boundaryL4(list) {
			cell := table.Lookup(a, x)
			g.packets.Add(int64(len(choices)))
			for _, in := range choices {
				w := walk.Decide(a, x, func(atom model.Atom) bool { return in[atom] })
				want := fmt.Sprintf("%s %s", w.Rule, w.Action)
				got, _ := dec.Judge(&ebpf.Packet{
					Direction: list.Direction, Local: local, Peer: a, L4: x,
					In: func(name string) bool { return in[model.Atom("fqdn "+name)] },
				})
				if s := fmt.Sprintf("%s %s", names[got.Decider], got.Action); s != want {
					return fmt.Errorf("%s %s, %v: graph says %s, simulate %s", a, x, in, s, want)
				}
				i := decider(&cell, func(a model.Atom) bool { return in[a] })
				action, ok := dec.Action(uint32(i))
				if s := fmt.Sprintf("%s %s", names[dec.Tables.Deciders[i]], action); !ok || s != want {
					return fmt.Errorf("%s %s, %v: table says %s, simulate %s", a, x, in, s, want)
				}
			}
		}
	}
	return nil
}
