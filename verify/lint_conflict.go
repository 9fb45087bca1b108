package verify

import (
	"context"
	"fmt"

	"github.com/trafficpolicy/trafficpolicy/model"
	"github.com/trafficpolicy/trafficpolicy/verify/pods"
)

// maxPairFindings bounds the findings about pairs of policies: a thousand
// policies of one priority for all pods have half a million pairs.
const maxPairFindings = 100_000

var errManyPairs = fmt.Errorf("more than %d pairs of policies of equal priority can select one pod", maxPairFindings)

// pairsAtOnce is how many pairs of groups are judged before findings are counted.
const pairsAtOnce = 4096

// equalPriorities reports each two policies of equal priority that can select one
// pod: TP201 where a packet's verdict depends on which is tried first, else TP202.
//
// Neither needs an inventory: a conflict at one of its pods is one at a pod that
// could exist, for some value of what is not known.
func equalPriorities(ctx context.Context, a *Analysis) ([]model.Finding, error) {
	groups, err := a.groups(ctx)
	if err != nil {
		return nil, err
	}
	finder := newConflictFinder(a)
	var out []model.Finding
	levels := byPriority(groups)
	for i, at := range levels {
		pairs := pairsOf(at)
		for batch := range batches(pairs, pairsAtOnce) {
			found := make([][]model.Finding, len(batch))
			err := inParallel(ctx, len(batch), func(i int) error {
				found[i] = finder.judge(&batch[i])
				return nil
			})
			if err != nil {
				return nil, err
			}
			for _, fs := range found {
				out = append(out, fs...)
			}
			if len(out) > maxPairFindings {
				a.unchecked(equalCodes, errManyPairs, policiesOf(levels[i:])...)
				return out[:maxPairFindings], nil
			}
		}
	}
	return out, nil
}

// policiesOf returns the policies of groups.
func policiesOf(levels [][]*group) []*model.Policy {
	var out []*model.Policy
	for _, at := range levels {
		for _, g := range at {
			out = append(out, g.policies...)
		}
	}
	return out
}

// pods returns the pods of p, of one priority, at which conflicts show: those with
// a minimal set of policies of smaller priority. With an error it is some of them,
// if there are any.
func (c *conflictFinder) pods(p *groupPair) ([]pods.Pod, error) {
	if p.a == p.b && p.a.err == nil {
		return p.a.minimal, nil
	}
	a, b := p.a.policies[0], p.b.policies[0]
	smaller := func(q *model.Policy) bool { return q.Priority < a.Priority }
	found, err := c.analysis.space().MinimalAmong(smaller, a, b)
	if err != nil {
		found, err = c.analysis.space().MinimalAmong(touching(smaller, p.a.policies), a, b)
	}
	if err != nil {
		found, _ = c.analysis.space().MinimalAmong(func(*model.Policy) bool { return false }, a, b)
	}
	return found, err
}

// judge returns a finding for each two policies of p that some pod can have both.
func (c *conflictFinder) judge(p *groupPair) []model.Finding {
	if p.a == p.b && len(p.a.policies) == 1 {
		return nil
	}
	found, missing := c.pods(p)
	if len(found) == 0 {
		return nil
	}
	var crowds []*crowd
	for i := range found {
		crowds = append(crowds, c.crowd(&found[i]))
	}
	var out []model.Finding
	p.each(func(a, b *model.Policy) {
		for _, crowd := range crowds {
			x, err := crowd.conflict(a, b)
			switch {
			case err != nil:
				c.analysis.unchecked(equalCodes, err, a, b)
				return
			case x != nil:
				out = append(out, c.conflictFinding(x))
				return
			}
		}
		if missing != nil && c.mayConflict(a, b) {
			c.analysis.unchecked(equalCodes, missing, a, b)
			return
		}
		out = append(out, c.tieFinding(a, b, crowds[0]))
	})
	return out
}

// mayConflict reports whether a and b conflict where no other policy is.
func (c *conflictFinder) mayConflict(a, b *model.Policy) bool {
	x, err := c.crowd(&pods.Pod{Policies: []*model.Policy{a, b}}).conflict(a, b)
	return x != nil || err != nil
}

func (c *conflictFinder) conflictFinding(x *conflict) model.Finding {
	a, b := x.a.Policy, x.b.Policy
	s := c.analysis.hypothetical(x.pod)
	does := func(r model.RuleRef) string { return does(r.Rule().Action) + " " + packetName(&x.packet) }
	f := model.NewFinding(model.PriorityConflict, a.Pos, fmt.Sprintf(
		"%s and %s have equal priority %d and decide %s differently for pods such as %s: %s %s it, %s %s it%s",
		a.Ref(), b.Ref(), a.Priority, packetName(&x.packet), s.name(), x.a, verb(x.a), x.b, verb(x.b), assuming(&x.packet)))
	f = aboutPolicy(f, a)
	f.Related = []model.Related{relatedRule(x.b, does(x.b)), relatedRule(x.a, does(x.a)+", and is tried first")}
	f.Witness = s.witness(x.a.Direction, &x.packet)
	f.Suggestion = "give the two policies different priorities: the smaller number is evaluated first"
	return f
}

func verb(r model.RuleRef) string { return does(r.Rule().Action) }

func (c *conflictFinder) tieFinding(a, b *model.Policy, at *crowd) model.Finding {
	s := c.analysis.hypothetical(at.pod)
	f := model.NewFinding(model.PriorityTie, a.Pos, fmt.Sprintf(
		"%s and %s have equal priority %d and can select one pod, such as %s: no packet depends on which is tried first, until one of them changes",
		a.Ref(), b.Ref(), a.Priority, s.name()))
	f = aboutPolicy(f, a)
	f.Related = []model.Related{relatedPolicy(b, "has the same priority")}
	f.Suggestion = "give the two policies different priorities, or merge them"
	return f
}
