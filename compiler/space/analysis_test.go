package space

import (
	"fmt"
	"slices"
	"testing"

	"github.com/trafficpolicy/trafficpolicy/model"
)

func TestAnalyseRandom(t *testing.T) {
	eachRandomList(t, 4000, func(list *model.RuleList, f model.Family) error {
		families := []model.Family{f}
		if len(list.Rules)%3 == 0 {
			families = model.Families[:]
		}
		return checkAnalysis(list, families)
	})
}

func checkAnalysis(list *model.RuleList, families []model.Family) error {
	w := newWorld(list, families...)
	a := Analyse(list, families...)
	idle := a.Idle(list, families...)
	for i, want := range w.truths() {
		got := &a.Rules[i]
		if idle[i] != (want.Live && !want.Effect) {
			return fmt.Errorf("rule %d: idle %v, want %+v", i, idle[i], want)
		}
		if err := checkRule(w, int32(i), got, &want); err != nil {
			return fmt.Errorf("rule %d: %w\ngot  %+v\nwant %+v", i, err, *got, want)
		}
	}
	return nil
}

func checkRule(w *world, i int32, got *RuleAnalysis, want *truth) error {
	r := &w.list.Rules[i]
	if got.Own != want.Own || got.Live != want.Live {
		return fmt.Errorf("own or live")
	}
	if !got.Live && got.Own && got.Taken != want.Taken {
		return fmt.Errorf("taken")
	}
	if got.Own {
		p := packetOf(&got.Witness)
		if !p.matches(r) {
			return fmt.Errorf("witness is not of the rule")
		}
		if won := w.winner(p, -1); won != got.Winner || got.Live != (won == i) {
			return fmt.Errorf("witness is decided by %d", won)
		}
		if !got.Live && want.Taken[other(r)] && w.allows(got.Winner) == r.Action.Allows() {
			return fmt.Errorf("witness is decided by the same action")
		}
	}
	if err := checkCover(w, i, got, want); err != nil {
		return err
	}
	for j := range got.Peers {
		if err := checkEntry(w, i, &got.Peers[j], want.Peers[j], func(p packet) bool { return p.matches(r) && p.peer(&r.Peers[j]) }); err != nil {
			return fmt.Errorf("peer %d: %w", j, err)
		}
	}
	if len(got.Ports) != len(want.Ports) {
		return fmt.Errorf("number of port entries")
	}
	for j, port := range sourcePorts(r) {
		if err := checkEntry(w, i, &got.Ports[j], want.Ports[j], func(p packet) bool { return p.matches(r) && port.L4().Contains(p.x) }); err != nil {
			return fmt.Errorf("port %d: %w", j, err)
		}
	}
	return nil
}

// checkCover returns an error where the cover of a dead rule is not what its doc
// comment promises.
func checkCover(w *world, i int32, got *RuleAnalysis, want *truth) error {
	if got.Live || !got.Own {
		if len(got.Cover) > 0 || got.Omitted > 0 {
			return fmt.Errorf("cover of a rule that is live or has no packet")
		}
		return nil
	}
	differs := false
	for _, r := range got.Cover {
		if !want.Takers[r] {
			return fmt.Errorf("cover has %d, which takes none of its packets", r)
		}
		differs = differs || w.allows(r) != w.allows(i)
	}
	if differs != want.Taken[other(&w.list.Rules[i])] {
		return fmt.Errorf("cover has no rule of the other action")
	}
	var hole error
	w.each(func(p packet) {
		if p.matches(&w.list.Rules[i]) && !slices.ContainsFunc(got.Cover, func(r int32) bool { return p.matches(&w.list.Rules[r]) }) {
			hole = fmt.Errorf("cover leaves out %+v", p)
		}
	})
	return hole
}

// other returns the index in Taken of the action that r does not have.
func other(r *model.ListRule) int {
	if r.Action.Allows() {
		return 0
	}
	return 1
}

func packetOf(w *Packet) packet {
	in := make(map[model.Atom]bool)
	for _, a := range w.In {
		in[a] = true
	}
	return packet{w.Addr, w.L4, in}
}

func checkEntry(w *world, i int32, got *EntryAnalysis, want entryTruth, own func(packet) bool) error {
	if got.Own != want.Own || got.Live != want.Live {
		return fmt.Errorf("got %+v, want %+v", *got, want)
	}
	if !got.Own {
		return nil
	}
	p := packetOf(&got.Witness)
	if !own(p) {
		return fmt.Errorf("witness %+v is not of the entry", p)
	}
	if won := w.winner(p, -1); won != got.Winner || got.Live && won != i {
		return fmt.Errorf("witness is decided by %d, want %d", won, got.Winner)
	}
	return nil
}
