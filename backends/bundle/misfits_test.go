package bundle

import (
	"net/netip"
	"slices"
	"strings"
	"testing"

	"github.com/trafficpolicy/trafficpolicy/compiler"
	"github.com/trafficpolicy/trafficpolicy/model"
)

// described is a program with what its manifest is to be.
func described() (*compiler.Program, Manifest) {
	policy := &model.Policy{Kind: model.TrafficPolicy, Namespace: "default", Name: "a"}
	rule := model.ListRule{Ref: model.RuleRef{Policy: policy}, Action: model.Reject}
	p := &compiler.Program{
		Target: compiler.Target{Pod: "default/a"}, NodeName: "n", PodAddrs: []netip.Addr{netip.MustParseAddr("10.0.0.1")},
		Pods:    []compiler.ProgramPod{{Ref: "default/a", Addrs: []netip.Addr{netip.MustParseAddr("10.0.0.1")}}},
		Classes: []compiler.ProgramClass{{Policies: []*model.Policy{policy}, Egress: &model.RuleList{Rules: []model.ListRule{rule}}, Ingress: &model.RuleList{Direction: model.Ingress}}},
		Names:   []compiler.ProgramName{{Name: "x.example", Addrs: []netip.Addr{netip.MustParseAddr("203.0.113.7")}}},
	}
	name := rule.Ref.String()
	return p, Describe(p, EBPF, map[string]Rule{name: {ID: ID(name), Name: name, Action: "reject"}}, 42)
}

func TestMisfits(t *testing.T) {
	for _, tt := range []struct {
		name   string
		change func(m *Manifest)
		want   []string
	}{
		{"nothing", func(*Manifest) {}, nil},
		{"elements", func(m *Manifest) { m.Counts.Elements = 7 }, nil},
		{"a rule that decides nothing", func(m *Manifest) { m.Rules, m.Counts.Rules = nil, 0 }, nil},
		{"scope", func(m *Manifest) { m.Scope, m.PodAddrs = ScopeNode, nil }, []string{`scope is "node", not "pod"`}},
		{"node", func(m *Manifest) { m.Node = "o" }, []string{`node is "o", not "n"`}},
		{"an address", func(m *Manifest) { m.PodAddrs = nil }, []string{"podAddrs are [], not [10.0.0.1]"}},
		{"an action", func(m *Manifest) { m.Rules[0].Action = "deny" }, []string{`rule "TrafficPolicy/default/a#egress[0]" has action "deny", not "reject"`}},
		{"a rule", func(m *Manifest) { m.Rules[0].Name = "TrafficPolicy/default/b#egress[0]" }, []string{
			`rule "TrafficPolicy/default/b#egress[0]" is no policy's that selects a pod here`}},
		{"a default's class", func(m *Manifest) { m.Defaults[1].Class = 1 }, []string{`defaults[1] is not that of ingress of class 0, ["TrafficPolicy/default/a"]`}},
		{"a default less", func(m *Manifest) { m.Defaults = m.Defaults[:1] }, []string{`defaults[1] is not that of ingress of class 0, ["TrafficPolicy/default/a"]`}},
		{"a default more", func(m *Manifest) { m.Defaults = append(m.Defaults, m.Defaults[0]) }, []string{"it has 3 defaults, not 2"}},
		{"a name less", func(m *Manifest) { m.Names = nil }, []string{`domain name "x.example" is missing`}},
		{"a name more", func(m *Manifest) { m.Names = append(m.Names, KnownName{Name: "y.example"}) }, []string{`domain name "y.example" is in no rule`}},
		{"a name's address", func(m *Manifest) { m.Names[0].Addrs = nil }, []string{`domain name "x.example" has addresses [], not [203.0.113.7]`}},
		{"pods", func(m *Manifest) { m.Counts.Pods = 2 }, []string{"counts are 2 pods, "}},
		{"names", func(m *Manifest) { m.Counts.Names = 0 }, []string{"counts are "}},
		{"rules", func(m *Manifest) { m.Counts.Rules = 9 }, []string{"counts are "}},
	} {
		p, m := described()
		m.Rules, m.Defaults, m.Names = slices.Clone(m.Rules), slices.Clone(m.Defaults), slices.Clone(m.Names)
		tt.change(&m)
		got := m.Misfits(p)
		if len(got) != len(tt.want) || len(got) > 0 && !strings.HasPrefix(got[0], tt.want[0]) {
			t.Errorf("%s: %q, want %q", tt.name, got, tt.want)
		}
	}
}

// Of very many misfits the first are said.
func TestMisfitsBound(t *testing.T) {
	for _, tt := range []struct {
		n    int
		last string
	}{{mostMisfits - 1, "counts are "}, {mostMisfits, "1 more do not fit"}, {1000, "981 more do not fit"}} {
		p, m := described()
		for range tt.n {
			m.Rules = append(m.Rules, Rule{Name: "TrafficPolicy/default/b#egress[0]"})
		}
		got := m.Misfits(p)
		if n := len(got); n == 0 || n > mostMisfits+1 || !strings.HasPrefix(got[n-1], tt.last) {
			t.Errorf("%d rules: %d sentences, the last %q", tt.n, n, got[n-1])
		}
	}
}
