package verify

import (
	"context"
	"net/netip"
	"slices"

	"go4.org/netipx"

	"github.com/trafficpolicy/trafficpolicy/compiler"
	"github.com/trafficpolicy/trafficpolicy/compiler/space"
	"github.com/trafficpolicy/trafficpolicy/model"
	"github.com/trafficpolicy/trafficpolicy/verify/pods"
)

// A rule has an effect where it takes a packet that what follows it would decide
// otherwise. What follows is of the same policy, or nothing, or of another policy.
// A pod with fewer policies leaves the rule more packets, and puts less between it
// and what follows. So for the first two it is enough to look at the policy's
// minimal pods; for the third at the minimal pods of each pair of policies.

// joinEffects looks at the pairs, for the rules that have had no effect so far.
func (o *order) joinEffects(ctx context.Context, groups []*group) error {
	idle := func(g *group) bool { return slices.ContainsFunc(g.policies, o.hasIdle) }
	if !slices.ContainsFunc(groups, idle) {
		return nil
	}
	j := &effectJoin{order: o, tried: map[string]bool{}, key: o.a.policyKeys()}
	for batch := range batches(pairsOf(groups), pairsAtOnce) {
		found, failed := make([][]pods.Pod, len(batch)), make([]error, len(batch))
		err := inParallel(ctx, len(batch), func(i int) error {
			found[i], failed[i] = j.pods(&batch[i])
			return nil
		})
		if err != nil {
			return err
		}
		for i, err := range failed {
			if err != nil {
				j.miss(&batch[i], err)
			}
		}
		if err := j.look(ctx, found); err != nil {
			return err
		}
	}
	return nil
}

// effectJoin goes through pairs of groups.
type effectJoin struct {
	*order
	key   func([]*model.Policy) string
	tried map[string]bool // policies of pods that were looked at
}

// pods returns the pods of a pair at which a rule of one group may come before one
// of the other that decides otherwise. It changes nothing.
func (j *effectJoin) pods(p *groupPair) ([]pods.Pod, error) {
	if p.a == p.b || !j.mayFollow(p.a, p.b) && !j.mayFollow(p.b, p.a) {
		return nil, nil
	}
	return p.pods(j.a.space())
}

// miss notes that the pods of a pair are not known.
func (j *effectJoin) miss(p *groupPair, err error) {
	if j.mayFollow(p.a, p.b) {
		j.partly[p.a] = err
	}
	if j.mayFollow(p.b, p.a) {
		j.partly[p.b] = err
	}
}

// look finds effects at pods that were not looked at before.
func (j *effectJoin) look(ctx context.Context, found [][]pods.Pod) error {
	r := j.newRound()
	r.effects = true
	for _, ps := range found {
		for i := range ps {
			p := &ps[i]
			key := j.key(p.Policies)
			if j.tried[key] {
				continue
			}
			j.tried[key] = true
			for _, q := range p.Policies {
				if j.hasIdle(q) {
					r.want(q, j.a.hypothetical(p))
				}
			}
		}
	}
	if err := r.run(ctx); err != nil {
		return err
	}
	for n, js := range r.of {
		j.mergeEffects(n, js)
	}
	return nil
}

// mergeAllEffects joins what is known of every policy at its subjects.
func (o *order) mergeAllEffects(of [][]*judged) {
	for n, js := range of {
		o.mergeEffects(n, js)
		for _, d := range model.Directions {
			o.markExempt(o.a.Policies[n], d)
		}
	}
}

// markExempt marks, for each family, the last live rule of p that denies all its
// packets: the guide recommends to end a policy with one.
func (o *order) markExempt(p *model.Policy, d model.Direction) {
	fates := o.of(p, d)
	for _, f := range o.a.Families {
		for i := len(fates) - 1; i >= 0; i-- {
			if fates[i].live && o.deniesAll(model.RuleRef{Policy: p, Direction: d, Index: i}, f) {
				fates[i].exempt = true
				break
			}
		}
	}
}

// deniesAll reports whether r denies every packet of f, whatever is not known.
func (o *order) deniesAll(r model.RuleRef, f model.Family) bool {
	rule := r.Rule()
	if rule.Action.Allows() || !model.PortsL4(rule.Ports).IsEvery() {
		return false
	}
	if len(rule.Peers) == 0 {
		return true
	}
	var set netipx.IPSetBuilder
	for i := range rule.Peers {
		for _, p := range o.resolver.Peer(&rule.Peers[i], r.Direction).Prefixes {
			set.AddPrefix(p)
		}
	}
	s, err := set.IPSet()
	return err == nil && s.ContainsPrefix(f.All())
}

// mergeEffects joins what subjects say of whether the rules of policy n have an effect.
func (o *order) mergeEffects(n int, js []*judged) {
	for _, s := range js {
		for _, d := range model.Directions {
			rules, idle := s.of(o.a.Policies[n], d)
			for i := range rules {
				f := &o.fates[n][d][i]
				f.effect = f.effect || rules[i].Live && !idle[i]
			}
		}
	}
}

// hasIdle reports whether a rule of p has had no effect so far.
func (o *order) hasIdle(p *model.Policy) bool {
	return anyIdle(o.of(p, model.Egress)) || anyIdle(o.of(p, model.Ingress))
}

func anyIdle(fates []ruleFate) bool {
	return slices.ContainsFunc(fates, func(f ruleFate) bool { return f.idle() })
}

// mayFollow reports whether, with the idle rules of g and the policies of h alone,
// some packet of such a rule passes to a rule of h that decides otherwise. With
// more policies there are fewer such packets.
func (j *effectJoin) mayFollow(g, h *group) bool {
	if j.alwaysJoined(g, h) {
		return false // the minimal pods have said all
	}
	for _, d := range model.Directions {
		for _, allow := range []bool{false, true} {
			if list := j.follow(g, h, d, allow); list != nil && j.follows(list, g) {
				return true
			}
		}
	}
	return false
}

// alwaysJoined reports whether every minimal pod of g is one of h too.
func (j *effectJoin) alwaysJoined(g, h *group) bool {
	return g.err == nil && !slices.ContainsFunc(g.minimal, func(p pods.Pod) bool {
		_, has := slices.BinarySearchFunc(p.Policies, h.policies[0], model.ComparePolicies)
		return !has
	})
}

// follow returns the idle rules of g that allow, or that deny, with the rules of
// the policies of h, and the default that is no effect of theirs; nil where there
// is nothing to follow.
func (j *effectJoin) follow(g, h *group, d model.Direction, allow bool) *model.RuleList {
	var first *model.Policy
	policies := slices.Clone(h.policies)
	for _, p := range g.policies {
		if anyIdle(j.of(p, d)) {
			policies = append(policies, p)
			if first == nil {
				first = p
			}
		}
	}
	otherwise := func(q *model.Policy) bool {
		return model.ComparePolicies(q, first) > 0 && slices.ContainsFunc(q.Rules(d), func(r model.Rule) bool { return r.Action.Allows() != allow })
	}
	if first == nil || !slices.ContainsFunc(h.policies, otherwise) {
		return nil
	}
	slices.SortFunc(policies, model.ComparePolicies)
	list := j.resolver.RuleList(policies, d, compiler.ForAnalysis)
	list.Rules = slices.DeleteFunc(list.Rules, func(r model.ListRule) bool {
		if slices.Contains(h.policies, r.Ref.Policy) {
			return false
		}
		return !j.fate(r.Ref).idle() || r.Action.Allows() != allow
	})
	if allow {
		list.Rules = append(list.Rules, model.ListRule{Action: model.Allow, L4: model.EveryL4, Peers: []model.ListPeer{{
			Index: -1, Prefixes: j.everyone(),
		}}})
	}
	return list
}

func (j *effectJoin) everyone() (all []netip.Prefix) {
	for _, f := range j.a.Families {
		all = append(all, f.All())
	}
	return all
}

// follows reports whether a rule of g in list has an effect.
func (j *effectJoin) follows(list *model.RuleList, g *group) bool {
	a := space.Reached(list, j.a.Families...)
	of := func(r model.RuleRef) bool { return !r.IsZero() && slices.Contains(g.policies, r.Policy) }
	idle, _ := j.idleRules(list, a, of)
	for i := range idle {
		if of(list.Rules[i].Ref) && a.Rules[i].Live && !idle[i] {
			return true
		}
	}
	return false
}
