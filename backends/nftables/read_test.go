package nftables

import (
	"math/rand/v2"
	"slices"
	"strings"
	"testing"

	"github.com/trafficpolicy/trafficpolicy/backends/bundle"
	"github.com/trafficpolicy/trafficpolicy/compiler"
)

// sealed is the bundle that a reader gets.
func sealed(t *testing.T, p *compiler.Program) *bundle.Bundle {
	t.Helper()
	a, err := Emit(p)
	if err != nil {
		t.Fatal(err)
	}
	if a.Manifest, err = a.Manifest.Seal(a.Files); err != nil {
		t.Fatal(err)
	}
	return a
}

func TestReadAccepts(t *testing.T) {
	programs := []*compiler.Program{sample(), samplePod(), sampleUnknown(), {Target: compiler.Target{Node: "n"}, NodeName: "n"}, {Target: compiler.Target{Pod: "a/b"}}}
	for seed := range uint64(100) {
		programs = append(programs, randomProgram(rand.New(rand.NewPCG(seed, 2))))
	}
	for i, p := range programs {
		b := sealed(t, p)
		pods, err := Read(b)
		if err != nil {
			t.Errorf("program %d: %v", i, err)
		} else if len(pods.Pods) != len(p.Pods) {
			t.Errorf("program %d: %d pods, want %d", i, len(pods.Pods), len(p.Pods))
		}
	}
}

// What the manifest says of the payload has to be so.
func TestReadRefuses(t *testing.T) {
	for _, tt := range []struct {
		name   string
		change func(m *bundle.Manifest)
		want   string
	}{
		{"backend", func(m *bundle.Manifest) { m.Backend = bundle.EBPF }, "for backend ebpf"},
		{"scope", func(m *bundle.Manifest) { m.Scope = bundle.ScopePod }, `scope "pod"`},
		{"one pod more", func(m *bundle.Manifest) { m.Counts.Pods++ }, "pods"},
		{"one pod less", func(m *bundle.Manifest) { m.Counts.Pods-- }, "pods"},
		{"one element more", func(m *bundle.Manifest) { m.Counts.Elements++ }, "elements"},
		{"one element less", func(m *bundle.Manifest) { m.Counts.Elements-- }, "elements"},
		{"no classes", func(m *bundle.Manifest) { m.Counts.Classes = 0 }, "is of class 0"},
		{"a rule more", func(m *bundle.Manifest) {
			name := "TrafficPolicy/z/z#egress[0]"
			m.Rules = append(slices.Clone(m.Rules), bundle.Rule{ID: bundle.ID(name), Name: name, Action: "allow"})
		}, "is not in the payload"},
		{"a rule less", func(m *bundle.Manifest) { m.Rules = m.Rules[1:] }, "is of no rule or default deny"},
		{"another action", func(m *bundle.Manifest) {
			m.Rules = slices.Clone(m.Rules)
			m.Rules[0].Action = map[string]string{"allow": "deny", "deny": "reject", "reject": "allow"}[m.Rules[0].Action]
		}, "and in the payload"},
		{"no default denies", func(m *bundle.Manifest) { m.Defaults = nil }, "is of no rule or default deny"},
		{"a name more", func(m *bundle.Manifest) {
			m.Names = append(slices.Clone(m.Names), bundle.KnownName{ID: bundle.ID("z.example"), Name: "z.example"})
		}, `"z.example" has no set`},
	} {
		b := sealed(t, sample())
		tt.change(&b.Manifest)
		if _, err := Read(b); err == nil || !strings.Contains(err.Error(), tt.want) {
			t.Errorf("%s: error %v, want %q", tt.name, err, tt.want)
		}
	}
	for _, action := range []string{"allow", "deny", "reject"} { // each is in the sample
		if !slices.ContainsFunc(sealed(t, sample()).Manifest.Rules, func(r bundle.Rule) bool { return r.Action == action }) {
			t.Errorf("the sample has no rule that does %s", action)
		}
	}
}
