package verify

import (
	"encoding/binary"
	"fmt"
	"net/netip"
	"slices"

	"github.com/trafficpolicy/trafficpolicy/model"
	"github.com/trafficpolicy/trafficpolicy/verify/pods"
)

// diffPod is the pods that the same policies govern, before and after.
type diffPod struct {
	example  string
	members  []string
	policies [2][]*model.Policy // in evaluation order
	avoid    func(netip.Addr) bool

	ids []int32 // of all its policies, sorted; of hypothetical pods only
}

// Bounds of what is looked at where no inventory says which pods exist.
const (
	maxDiffPairs = 1 << 21 // pairs of policies that one pod may have
	maxDiffPods  = 1 << 16 // pods
)

// pods returns one pod for each class that may differ.
func (d *differ) pods() ([]*diffPod, error) {
	if !d.hypothetical {
		return d.inventoryPods(), nil
	}
	found, err := d.hypotheticalPods()
	if err != nil {
		return nil, err
	}
	d.index = newPodOrder(found, len(d.all))
	return found, nil
}

// hypotheticalPods returns pods that together show every difference at every pod
// that could exist.
//
// Take any pod and a packet that it sees decided otherwise. Before, policy P
// decides it (or selects the pod and so closes the direction, or there is none
// such); after, policy Q. A pod that both select, and of other policies only some
// of those that select the first pod, has the same outcome: whatever stands before
// P matched the packet no more than it does there, and Q likewise. So the pods
// with a minimal set of policies among those that P and Q select suffice, for
// each P, each Q, and each pair. At least one of P and Q is not the same in both
// sets: otherwise both would have been asked both times.
func (d *differ) hypotheticalPods() ([]*diffPod, error) {
	var changed []int32
	for id := range d.all {
		if d.changed(int32(id)) {
			changed = append(changed, int32(id))
		}
	}
	g := &podGatherer{differ: d, space: pods.NewSpace(d.all), known: map[string]bool{}}
	if len(changed)*len(d.all) > maxDiffPairs {
		return nil, fmt.Errorf("%d of %d policies are not the same, which are more pairs than can be compared for every label assignment: give an inventory (-i) to compare for its pods",
			len(changed), len(d.all))
	}
	for _, r := range changed {
		if err := g.add(d.all[r]); err != nil {
			return nil, err
		}
		other := d.in[0]
		if d.in[0][r] {
			other = d.in[1]
		}
		for q := range d.all {
			if !other[q] || d.changed(int32(q)) && int32(q) < r {
				continue // nothing to compare with, or met the other way round
			}
			if err := g.add(d.all[r], d.all[q]); err != nil {
				return nil, err
			}
		}
	}
	return g.pods, nil
}

// podGatherer collects pods, each set of policies once.
type podGatherer struct {
	*differ
	space *pods.Space
	known map[string]bool
	pods  []*diffPod
}

func (g *podGatherer) add(ps ...*model.Policy) error {
	minimal, err := g.space.Minimal(ps...)
	if err != nil {
		return fmt.Errorf("%w: give an inventory (-i) to compare for its pods", err)
	}
	for i := range minimal {
		m := &minimal[i]
		p := &diffPod{ids: g.sorted(m.Policies)}
		key := spell(p.ids)
		if g.known[key] {
			continue
		}
		g.known[key] = true
		if len(g.pods) == maxDiffPods {
			return fmt.Errorf("more than %d combinations of policies can select one pod: give an inventory (-i) to compare for its pods", maxDiffPods)
		}
		if m.Namespace == "" {
			m.Namespace = g.space.FreeNamespace()
		}
		p.example = m.String()
		for _, q := range m.Policies {
			for i := range p.policies {
				if g.in[i][g.ids[q]] {
					p.policies[i] = append(p.policies[i], q)
				}
			}
		}
		g.pods = append(g.pods, p)
	}
	return nil
}

// sorted returns the ids of policies, in ascending order.
func (d *differ) sorted(policies []*model.Policy) []int32 {
	ids := make([]int32, len(policies))
	for i, p := range policies {
		ids[i] = d.ids[p]
	}
	slices.Sort(ids)
	return ids
}

// spell makes a key of a list of ids.
func spell(ids []int32) string {
	b := make([]byte, 0, 4*len(ids))
	for _, id := range ids {
		b = binary.BigEndian.AppendUint32(b, uint32(id))
	}
	return string(b)
}
