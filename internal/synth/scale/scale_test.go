package scale

import (
	"bytes"
	"context"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"

	"github.com/trafficpolicy/trafficpolicy/compiler"
	"github.com/trafficpolicy/trafficpolicy/model"
)

// TestYAML holds that what is written decodes to what was made, without a finding.
func TestYAML(t *testing.T) {
	sets := map[string][]*model.Policy{
		"split":  Split(Dense(300), 7),
		"apart":  Policies(50, Apart, Spread),
		"joined": Policies(1000, Joined, Level),
	}
	for _, s := range Shapes {
		sets[s.Name] = []*model.Policy{Policy(s.Rules(300))}
	}
	for name, want := range sets {
		t.Run(name, func(t *testing.T) {
			var text bytes.Buffer
			if err := WriteYAML(&text, want); err != nil {
				t.Fatal(err)
			}
			in, err := compiler.Load(context.Background(), compiler.LoadOptions{Policies: []string{"-"}, Stdin: &text})
			if err != nil || len(in.Findings) > 0 {
				t.Fatal(err, in.Findings)
			}
			opts := cmp.Options{cmpopts.IgnoreTypes(model.Pos{}), cmpopts.IgnoreFields(model.Rule{}, "LastLine"), cmpopts.EquateEmpty()}
			if diff := cmp.Diff(want, in.Policies, opts, cmp.Comparer(func(a, b model.Peer) bool { return a.Kind == b.Kind && a.CIDR == b.CIDR })); diff != "" {
				t.Error(diff[:min(len(diff), 2000)])
			}
		})
	}
}

// TestShapes holds that each shape has as many rules as it was asked for, the
// same in each call.
func TestShapes(t *testing.T) {
	for _, s := range Shapes {
		for _, n := range []int{1, 40, 1000} {
			a, b := s.Rules(n), s.Rules(n)
			if len(a) != n {
				t.Errorf("%s: %d rules, want %d", s.Name, len(a), n)
			}
			if diff := cmp.Diff(List(Policy(a)).Rules, List(Policy(b)).Rules, cmpopts.IgnoreTypes(model.RuleRef{}), cmpopts.EquateComparable(Policy(a).Egress.Rules[0].Peers[0].CIDR)); diff != "" {
				t.Errorf("%s: %s", s.Name, diff)
			}
		}
	}
}
