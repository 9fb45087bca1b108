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

// TestIdleWithNames holds that what is left out of lists with names makes no
// difference, on lists that are short enough to be asked whole: of all families and
// of IPv4 alone, whatever prefixes there are.
func TestIdleWithNames(t *testing.T) {
	shown := 0
	for seed := range uint64(soak(t, 2000)) {
		c := synth.Dense(seed)
		in := &compiler.Input{Policies: c.Policies, Inventory: &model.Inventory{}}
		a := NewAnalysis(in, compiler.Options{Resolve: c.Resolve})
		if seed%3 == 0 {
			a.Families = model.Families[:1]
		}
		o := a.emptyOrder(model.Always, a.Unknown())
		for _, d := range model.Directions {
			list := a.Unknown().RuleList(c.Policies, d, compiler.ForAnalysis)
			found := space.Analyse(list, a.Families...)
			open := make([]bool, len(list.Rules))
			for i := range open {
				open[i] = found.Rules[i].Live
			}
			for i := range open {
				if x := newNameIndex(list); open[i] && !x.seenEffect(int32(i), &found.Rules[i].Witness) && x.shownEffect(int32(i), a.Families) {
					shown++
				}
			}
			got, unknown := o.idleWithNames(newNameIndex(list), found, open)
			if diff := cmp.Diff(found.Idle(list, a.Families...), got); diff != "" || slices.Contains(unknown, true) {
				t.Fatalf("seed %d, %s, unknown %v: idle (-want +got):\n%s%s", seed, d, unknown, diff, c.PolicyYAML())
			}
		}
	}
	if shown < 100 {
		t.Errorf("of %d rules the effect is shown by an address of a rule behind, want more", shown)
	}
}
