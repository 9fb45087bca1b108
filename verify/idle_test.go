package verify

import (
	"slices"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/trafficpolicy/trafficpolicy/compiler"
	"github.com/trafficpolicy/trafficpolicy/compiler/space"
	"github.com/trafficpolicy/trafficpolicy/internal/synth"
	"github.com/trafficpolicy/trafficpolicy/model"
)

// TestIdleOfMany holds that what is left out of lists with many names makes no
// difference, on lists that are short enough to be asked whole.
func TestIdleOfMany(t *testing.T) {
	for seed := range uint64(soak(t, 2000)) {
		c := synth.Dense(seed)
		in := &compiler.Input{Policies: c.Policies, Inventory: &model.Inventory{}}
		a := NewAnalysis(in, compiler.Options{Resolve: c.Resolve})
		o := a.emptyOrder(model.Always, a.Unknown())
		for _, d := range model.Directions {
			list := a.Unknown().RuleList(c.Policies, d, compiler.ForAnalysis)
			found := space.Analyse(list, a.Families...)
			open := make([]bool, len(list.Rules))
			for i := range open {
				open[i] = found.Rules[i].Live
			}
			got, unknown := o.idleOfMany(newNameIndex(list), found, open)
			if diff := cmp.Diff(found.Idle(list, a.Families...), got); diff != "" || slices.Contains(unknown, true) {
				t.Fatalf("seed %d, %s, unknown %v: idle (-want +got):\n%s%s", seed, d, unknown, diff, c.PolicyYAML())
			}
		}
	}
}
