package verify

import (
	"context"
	"slices"

	"github.com/trafficpolicy/trafficpolicy/model"
	"github.com/trafficpolicy/trafficpolicy/verify/pods"
)

// A policy that needs names and one that denies resolvers by a rule may each be
// right at pods of their own and wrong at a pod of both. A rule that is needed, or
// that denies, at some pod does so at one with fewer policies that has both: so the
// minimal pods of each such pair are enough.

// dnsJoin goes through pairs of policies.
type dnsJoin struct {
	*dnsCheck
	*dnsSense
	needers map[*model.Policy][]*dnsState  // the states in which a rule of the policy is needed
	deniers map[*model.Policy][]*dnsDenial // what rules of the policy deny
	kube    map[*dnsDenial]bool            // of these, what is denied is kube-dns
	tried   map[string]bool                // policies of pods that were looked at
}

// joinDNS looks at the pairs, where the states of each policy's own pods are known.
func (c *dnsCheck) joinDNS(ctx context.Context, d *dnsSense, states []*dnsState) error {
	j := &dnsJoin{c, d, map[*model.Policy][]*dnsState{}, map[*model.Policy][]*dnsDenial{}, map[*dnsDenial]bool{}, map[string]bool{}}
	for _, s := range states {
		j.addDenials(s)
	}
	if len(j.deniers) == 0 {
		return nil
	}
	if err := j.addNeeds(ctx, states); err != nil {
		return err
	}
	groups, err := d.a.groups(ctx)
	if err != nil {
		return err
	}
	for batch := range batches(pairsOf(groups), pairsAtOnce) {
		found := make([][]pods.Pod, len(batch))
		err := inParallel(ctx, len(batch), func(i int) error {
			found[i] = j.pods(&batch[i])
			return nil
		})
		if err != nil {
			return err
		}
		if err := j.lookAt(ctx, found); err != nil {
			return err
		}
	}
	return nil
}

func (j *dnsJoin) addDenials(s *dnsState) {
	for _, r := range s.resolvers {
		if !j.rules[r.rule] {
			j.deniers[r.rule.Policy] = append(j.deniers[r.rule.Policy], r)
		}
	}
	for _, r := range s.kube {
		if !r.rule.IsZero() {
			j.deniers[r.rule.Policy] = append(j.deniers[r.rule.Policy], r)
			j.kube[r] = true
		}
	}
}

func (j *dnsJoin) addNeeds(ctx context.Context, states []*dnsState) error {
	err := inParallel(ctx, len(states), func(i int) error {
		if !states[i].denies() { // else it is known
			j.findNeed(states[i])
		}
		return nil
	})
	for _, s := range states {
		if !s.need.IsZero() {
			j.needers[s.need.Policy] = append(j.needers[s.need.Policy], s)
		}
	}
	return err
}

// pods returns the pods of a pair at which there may be something to say. It
// changes nothing.
func (j *dnsJoin) pods(p *groupPair) []pods.Pod {
	if p.a == p.b || !j.mayDeny(p.a, p.b) && !j.mayDeny(p.b, p.a) {
		return nil
	}
	found, err := p.pods(j.a.space())
	if err != nil {
		j.a.unchecked(dnsCodes, err, slices.Concat(p.a.policies, p.b.policies)...)
		return nil
	}
	return found
}

// mayDeny reports whether a rule of h may take DNS from pods of g, about which
// nothing is said yet.
func (j *dnsJoin) mayDeny(g, h *group) bool {
	for _, q := range h.policies {
		for _, r := range j.deniers[q] {
			for _, p := range g.policies {
				for _, s := range j.needers[p] {
					if j.mayTake(r, s) {
						return true
					}
				}
			}
		}
	}
	return false
}

// mayTake reports whether a pod of s that is also one of r's may be without DNS by r.
func (j *dnsJoin) mayTake(r *dnsDenial, s *dnsState) bool {
	switch {
	case !j.kube[r]:
		return !j.rules[r.rule]
	case j.needs[s.need.Policy], !s.allowed.IsZero() && model.ComparePolicies(s.allowed.Policy, r.rule.Policy) < 0:
		return false // said, or kube-dns is asked before r
	}
	// A deny of everything takes what needs names as well.
	return !deniesEverything(r.rule.Rule()) || model.ComparePolicies(s.need.Policy, r.rule.Policy) < 0
}

// lookAt judges pods that were not looked at before.
func (j *dnsJoin) lookAt(ctx context.Context, found [][]pods.Pod) error {
	key := j.a.policyKeys()
	var at []subject
	for _, ps := range found {
		for i := range ps {
			if k := key(ps[i].Policies); !j.tried[k] {
				j.tried[k] = true
				at = append(at, j.a.hypothetical(&ps[i]))
			}
		}
	}
	states := make([]*dnsState, len(at))
	err := inParallel(ctx, len(at), func(i int) error {
		states[i] = j.look(&at[i])
		return nil
	})
	if err != nil {
		return err
	}
	for _, s := range states {
		j.say(j.dnsSense, s)
	}
	return nil
}
