package verify

import (
	"context"
	"fmt"
	"maps"
	"slices"

	"github.com/trafficpolicy/trafficpolicy/compiler"
	"github.com/trafficpolicy/trafficpolicy/compiler/space"
	"github.com/trafficpolicy/trafficpolicy/model"
	"github.com/trafficpolicy/trafficpolicy/verify/pods"
)

// RemovableCodes are the codes of findings about what no packet reaches: a rule,
// or an entry of one, that could go.
var RemovableCodes = []model.Code{model.ShadowedRule, model.RedundantRule, model.UnreachablePeer}

// inAnyCluster returns o for what is to hold in every cluster: of both address
// families, as artifacts decide both, and whatever addresses a name gets.
func inAnyCluster(o compiler.Options) compiler.Options {
	o.Families, o.Resolve = compiler.FamiliesDual, nil
	return o
}

// Removable returns findings of [RemovableCodes] about rules and entries of
// policies, sorted in evaluation order, that no packet of any pod reaches in any
// cluster: also where Lint, for addresses of one family or names that it was
// given addresses of, says less. With all of them taken out each packet meets
// the same rule as before, and no further ones become removable: only what never
// matches first goes.
func Removable(ctx context.Context, policies []*model.Policy, o compiler.Options) ([]model.Finding, error) {
	in := &compiler.Input{Policies: policies, Inventory: &model.Inventory{}}
	a := NewAnalysis(in, inAnyCluster(o))
	rules, err := deadRules(ctx, a)
	if err != nil {
		return nil, err
	}
	entries, err := unreachablePeers(ctx, a)
	return append(rules, entries...), err
}

// Unchanged proves that each packet of each pod that could exist is decided by
// the same policy with the same action in after as in before, which has the same
// policies with more rules, peers or ports. The proof is that of [Compare], of
// both families and for every value of what is not known. The error says what
// differs, or why that cannot be told.
//
// It suffices to ask, for each policy P with fewer rules, the pods with a minimal
// set of policies before P among those that P selects. A packet that a removed rule
// of P decides at some pod it decides, too, at the minimal pod that has before P
// none but policies of that pod: nothing before it matched there either. So P
// decides the packet at both. What P decides there in after is the first of its
// rules left that matches, again at both.
func Unchanged(ctx context.Context, before, after []*model.Policy, o compiler.Options) error {
	u := &unchanged{options: inAnyCluster(o), after: map[*model.Policy]*model.Policy{}, ids: map[*model.Policy]label{}}
	u.resolver = compiler.NewResolver(&model.Inventory{}, u.options)
	if len(before) != len(after) {
		return fmt.Errorf("there were %d policies, and would be %d", len(before), len(after))
	}
	subjects := map[string][]*model.Policy{}
	s := pods.NewSpace(before)
	for i, p := range before {
		q := after[i]
		if p.Ref() != q.Ref() || p.Priority != q.Priority || !sameSelector(&p.Selector, &q.Selector) ||
			(p.Egress == nil) != (q.Egress == nil) || (p.Ingress == nil) != (q.Ingress == nil) {
			return fmt.Errorf("%s would become another policy, %s", p.Ref(), q.Ref())
		}
		u.after[p], u.ids[p], u.ids[q] = q, label(i), label(i)
	}
	for i, p := range before {
		if samePolicy(p, after[i]) {
			continue
		}
		earlier := func(q *model.Policy) bool { return model.ComparePolicies(q, p) < 0 }
		minimal, err := s.MinimalAmong(earlier, p)
		if err != nil {
			return err
		}
		for j := range minimal {
			subjects[u.spell(minimal[j].Policies)] = minimal[j].Policies
		}
	}
	keys := slices.Sorted(maps.Keys(subjects))
	return inParallel(ctx, len(keys), func(i int) error { return u.at(subjects[keys[i]]) })
}

// unchanged compares the policies of a pod with those that take their place.
type unchanged struct {
	options  compiler.Options
	resolver *compiler.Resolver
	after    map[*model.Policy]*model.Policy
	ids      map[*model.Policy]label // the same of both
}

func (u *unchanged) spell(policies []*model.Policy) string {
	ids := make([]int32, len(policies))
	for i, p := range policies {
		ids[i] = int32(u.ids[p])
	}
	return spell(ids)
}

// at compares at the pods that policies select.
func (u *unchanged) at(policies []*model.Policy) error {
	after := make([]*model.Policy, len(policies))
	for i, p := range policies {
		after[i] = u.after[p]
	}
	for _, d := range model.Directions {
		lists := [2]*model.RuleList{u.resolver.RuleList(policies, d, compiler.ForAnalysis), u.resolver.RuleList(after, d, compiler.ForAnalysis)}
		for _, f := range model.Families {
			if err := u.compare(lists, d, f); err != nil {
				return err
			}
		}
	}
	return nil
}

func (u *unchanged) compare(lists [2]*model.RuleList, d model.Direction, f model.Family) error {
	c := comparison{judge: func(a, b label) verdictKind {
		if a == b {
			return 0
		}
		return closed
	}}
	for i, s := range []*side{&c.a, &c.b} {
		var err error
		if s.table, err = space.Flatten(lists[i], f); err != nil {
			return err
		}
		s.label = u.label(lists[i])
	}
	found := &blocks{}
	if err := c.run(found.add); err != nil || len(found.order) == 0 {
		return err
	}
	w := &found.order[0].witness
	return fmt.Errorf("%s, %s: decided by %s, and would be by %s", d, packetName(&w.Packet), decidedBy(lists[0], w.a), decidedBy(lists[1], w.b))
}

// label tells decisions apart by policy and action.
func (u *unchanged) label(list *model.RuleList) func(int32) label {
	return func(rule int32) label {
		if rule == space.NoRule {
			return -1
		}
		r := &list.Rules[rule]
		return u.ids[r.Ref.Policy]*3 + label(r.Action)
	}
}

func decidedBy(list *model.RuleList, rule int32) string {
	if rule == space.NoRule {
		return "no rule"
	}
	return list.Rules[rule].Ref.String()
}
