package nftables

import (
	"fmt"
	"math/rand/v2"
	"net/netip"
	"slices"
	"testing"

	"github.com/trafficpolicy/trafficpolicy/backends/bundle"
	"github.com/trafficpolicy/trafficpolicy/compiler"
	"github.com/trafficpolicy/trafficpolicy/compiler/space"
	"github.com/trafficpolicy/trafficpolicy/model"
)

// differ returns the first difference between what a program asks for and what an
// artifact was understood to decide.
func differ(p *compiler.Program, r *space.Reading) error {
	i := 0
	for _, pod := range p.Pods {
		for _, a := range pod.Addrs {
			k, ok := slices.BinarySearchFunc(r.Subjects, a, func(s space.Subject, a netip.Addr) int { return s.Addr.Compare(a) })
			if !ok || r.Subjects[k].Pod != pod.Ref {
				return fmt.Errorf("no subject %s with %s", pod.Ref, a)
			}
			i++
			for _, d := range model.Directions {
				if err := differTable(&p.Classes[pod.Class], d, model.FamilyOf(a), r.Subjects[k].Table(d), r.Deciders); err != nil {
					return fmt.Errorf("%s, %s: %w", a, d, err)
				}
			}
		}
	}
	if i != len(r.Subjects) {
		return fmt.Errorf("%d subjects, want %d", len(r.Subjects), i)
	}
	if !slices.Equal(r.Nodes, p.NodeAddrs) {
		return fmt.Errorf("nodes %v, want %v", r.Nodes, p.NodeAddrs)
	}
	for _, n := range p.Names {
		if !slices.Equal(r.Names[n.Name], n.Addrs) {
			return fmt.Errorf("name %q: %v, want %v", n.Name, r.Names[n.Name], n.Addrs)
		}
	}
	return nil
}

// differTable compares a table with a list. The default deny stands behind the
// list as a rule, so that neither side has a point without one: what both share is
// then looked at once.
func differTable(c *compiler.ProgramClass, d model.Direction, f model.Family, got *space.Table, deciders []space.Decider) error {
	list := c.List(d)
	all := *list
	if list.Isolated {
		all.Rules = append(slices.Clip(list.Rules), rule(model.Deny, cidrs("0.0.0.0/0", "::/0")))
	}
	want, err := space.Flatten(&all, f)
	if err != nil {
		return err
	}
	refs := bundle.PolicyRefs(c)
	for i := range got.Decisions {
		for _, cell := range got.Decisions[i].Cells {
			if cell.Rule == space.NoRule {
				return fmt.Errorf("a cell has no rule")
			}
		}
	}
	diffs := space.CompareTables(want, got, func(rule, decider int32) space.Kind {
		if decider == space.NoRule {
			if rule == space.NoRule && list.Isolated { // before the rest of a decision
				return space.Same
			}
			return 1
		}
		x := deciders[decider]
		switch {
		case rule == space.NoRule:
			if !list.Isolated && x.Rule == "" && x.Policies == nil && x.Action == model.Allow {
				return space.Same
			}
		case int(rule) == len(list.Rules):
			if x.Rule == "" && slices.Equal(x.Policies, refs) && x.Action == model.Deny {
				return space.Same
			}
		default:
			r := &list.Rules[rule]
			if x.Rule == r.Ref.String() && x.Action == r.Action {
				return space.Same
			}
		}
		return 1
	})
	if len(diffs) > 0 {
		return fmt.Errorf("%+v", diffs[0])
	}
	return nil
}

// decodes checks that bundle and script of a program decide what it asks for.
func decodes(t *testing.T, p *compiler.Program) {
	t.Helper()
	a := emit(t, p)
	r, err := Decode(a.Files, &a.Manifest)
	if err == nil {
		err = differ(p, r)
	}
	if err != nil {
		t.Fatalf("bundle: %v", err)
	}
	script, err := Script(p)
	if err != nil {
		t.Fatal(err)
	}
	if r, err = DecodeScript(script, NewLegend(p)); err == nil {
		err = differ(p, r)
	}
	if err != nil {
		t.Fatalf("script: %v", err)
	}
}

func TestDecode(t *testing.T) {
	open := sample()
	open.Classes[1].Ingress.Isolated = false
	for name, p := range map[string]*compiler.Program{
		"node": sample(), "pod": samplePod(), "unknown": sampleUnknown(), "open direction": open,
		"no pods": {Target: compiler.Target{Node: "n"}}, "no pod": {Target: compiler.Target{Pod: "a/b"}},
	} {
		t.Run(name, func(t *testing.T) { decodes(t, p) })
	}
}

func TestDecodeRandom(t *testing.T) {
	for seed := range uint64(300) {
		p := randomProgram(rand.New(rand.NewPCG(seed, 3)))
		if !t.Run(fmt.Sprint(seed), func(t *testing.T) { decodes(t, p) }) {
			return
		}
	}
}

// TestDecodeLayered: decisions that share what is before or behind them, many
// names, and names between maps, each with ports that cut the others'.
func TestDecodeLayered(t *testing.T) {
	for seed := range uint64(60) {
		rng := rand.New(rand.NewPCG(seed, 4))
		var rules []model.ListRule
		for range 2 + rng.IntN(6) {
			switch rng.IntN(3) {
			case 0: // many ports of everybody
				for i := range 50 + rng.IntN(100) {
					port := uint16(3 + rng.IntN(3)*i)
					rules = append(rules, rule(model.Action(rng.IntN(3)), cidrs([]string{"0.0.0.0/0", "::/0", "10.0.0.0/8"}[rng.IntN(3)]), tcp(port, port)))
				}
			case 1: // single hosts
				for range 1 + rng.IntN(30) {
					first := uint16(rng.IntN(400))
					rules = append(rules, rule(model.Action(rng.IntN(3)), cidrs(fmt.Sprintf("10.0.%d.%d/32", rng.IntN(2), rng.IntN(8))), tcp(first, first+uint16(rng.IntN(3)))))
				}
			default: // names
				for range 1 + rng.IntN(5) {
					first := uint16(rng.IntN(400))
					ports := []model.L4Range{tcp(first, first+uint16(rng.IntN(300))), udp(0, first)}[:rng.IntN(3)]
					rules = append(rules, rule(model.Action(rng.IntN(3)), fqdn([]string{"a.example", "b.example", "c.example"}[rng.IntN(3)]), ports...))
				}
			}
		}
		p := sample()
		p.Classes[0] = class("a", rules, nil)
		p.Names = []compiler.ProgramName{{Name: "a.example"}, {Name: "b.example", Addrs: addrs("10.0.0.1")}, {Name: "c.example", Addrs: addrs("10.0.0.1", "2001:db8::1")}}
		if !t.Run(fmt.Sprint(seed), func(t *testing.T) { decodes(t, p) }) {
			return
		}
	}
}
