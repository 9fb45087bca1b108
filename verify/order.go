package verify

import (
	"context"
	"slices"

	"github.com/trafficpolicy/trafficpolicy/compiler"
	"github.com/trafficpolicy/trafficpolicy/compiler/space"
	"github.com/trafficpolicy/trafficpolicy/model"
	"github.com/trafficpolicy/trafficpolicy/verify/pods"
)

// order is what first match makes of every rule in one sense: at the pods that
// could exist, or at those of an inventory. What is dead at each of its subjects
// is dead at every pod.
type order struct {
	a        *Analysis
	scope    model.Scope
	resolver *compiler.Resolver
	fates    [][2][]ruleFate // by number of the policy and direction
	// unknown are policies, by number, to which more pods matter than can be looked
	// at: nothing is said of them. partly are groups of which only effects are not
	// known in full, and why.
	unknown []bool
	partly  map[*group]error
}

// ruleFate is what becomes of one rule at all subjects of its policy.
type ruleFate struct {
	own, live bool
	// effect: some packet has another verdict without the rule. exempt: it is a
	// cover-all deny that the guide recommends.
	effect, exempt bool
	// unsure: whether it has an effect, or which of its packets are decided
	// otherwise, is not known.
	unsure bool
	// otherwise: of a dead rule, some of its packets are decided otherwise.
	otherwise bool
	// at is the subject that rule speaks of, where own: one at which the rule is
	// live, else one that tells whether its packets are decided otherwise.
	at   *judged
	rule *space.RuleAnalysis
	// dead are the entries of a live rule that never match first.
	dead []deadEntry
}

// idle reports whether the rule is reached, and nothing shows that it has an
// effect or should be there without.
func (f *ruleFate) idle() bool { return f.live && !f.effect && !f.exempt && !f.unsure }

// deadEntry is a peer or port entry that no packet reaches, as seen at a subject.
type deadEntry struct {
	port  bool
	index int // in the rule's Peers or Ports of the analysis
	space.EntryAnalysis
	at *judged
}

// judged is a subject with the analysis of the rules that it was asked for.
type judged struct {
	subject
	wanted []*model.Policy // in evaluation order, each once
	rules  [2][][]space.RuleAnalysis
	idle   [2][][]bool // live and without effect; nil unless asked for
}

// ref returns the rule at index i of the subject's list.
func (j *judged) ref(d model.Direction, i int32) model.RuleRef {
	for _, p := range j.policies {
		n := int32(len(p.Rules(d)))
		if i < n {
			return model.RuleRef{Policy: p, Direction: d, Index: int(i)}
		}
		i -= n
	}
	return model.RuleRef{}
}

// has reports whether j was asked for p.
func (j *judged) has(p *model.Policy) bool {
	_, ok := slices.BinarySearchFunc(j.wanted, p, model.ComparePolicies)
	return ok
}

// of returns the analysis of p's rules and which of them are idle, nil where j was
// not asked.
func (j *judged) of(p *model.Policy, d model.Direction) (rules []space.RuleAnalysis, idle []bool) {
	i, ok := slices.BinarySearchFunc(j.wanted, p, model.ComparePolicies)
	if !ok {
		return nil, nil
	}
	return j.rules[d][i], j.idle[d][i]
}

// analyse looks at the rules of wanted, and at their effects.
func (j *judged) analyse(o *order, effects bool) {
	slices.SortFunc(j.wanted, model.ComparePolicies)
	j.wanted = slices.Compact(j.wanted)
	policies := j.policies
	if !effects { // policies behind those that are wanted do not matter to them
		last := j.wanted[len(j.wanted)-1]
		policies = policies[:slices.Index(policies, last)+1]
	}
	for _, d := range model.Directions {
		j.rules[d], j.idle[d] = make([][]space.RuleAnalysis, len(j.wanted)), make([][]bool, len(j.wanted))
		if slices.ContainsFunc(j.wanted, func(p *model.Policy) bool { return len(p.Rules(d)) > 0 }) {
			j.analyseDirection(o, d, policies, effects)
		}
	}
}

func (j *judged) analyseDirection(o *order, d model.Direction, policies []*model.Policy, effects bool) {
	list := o.resolver.RuleList(policies, d, compiler.ForAnalysis)
	found := space.Analyse(list, o.a.Families...)
	var idle []bool
	if effects {
		idle = o.idleAmong(list, found, j.has)
	}
	k, from := 0, 0
	for _, p := range policies {
		to := from + len(p.Rules(d))
		if k < len(j.wanted) && j.wanted[k] == p {
			j.rules[d][k] = slices.Clone(found.Rules[from:to])
			if effects {
				j.idle[d][k] = slices.Clone(idle[from:to])
			}
			k++
		}
		from = to
	}
}

// newOrder returns the order at the pods that could exist, names resolved by r.
func newOrder(ctx context.Context, a *Analysis, scope model.Scope, r *compiler.Resolver) (*order, error) {
	o := a.emptyOrder(scope, r)
	groups, err := a.groups(ctx)
	if err != nil {
		return nil, err
	}
	minimal := o.newRound()
	minimal.effects = a.effects
	for _, g := range groups {
		reaching, all, err := g.reaching(a.space())
		if err != nil {
			o.skip(g, err)
		} else if !all {
			o.partly[g] = g.err
		}
		for _, p := range g.policies {
			for i := range reaching {
				minimal.want(p, a.hypothetical(&reaching[i]))
			}
		}
	}
	if err := minimal.run(ctx); err != nil {
		return nil, err
	}
	for n, js := range minimal.of {
		o.mergeAll(n, js)
	}
	if a.effects {
		o.mergeAllEffects(minimal.of)
		if err := o.joinEffects(ctx, groups); err != nil {
			return nil, err
		}
		for g, err := range o.partly {
			o.leaveOpen(g, effectCodes, err, (*ruleFate).idle)
		}
	}
	return o, o.tell(ctx, groups, minimal)
}

// tell asks, for policies with dead rules, the pods that have no label more than
// the policy asks for which rules take their packets. Many are minimal pods too.
func (o *order) tell(ctx context.Context, groups []*group, minimal *round) error {
	exact, untold := o.newRound(), map[*group]error{}
	exact.done = minimal.known
	for _, g := range groups {
		var subjects []pods.Pod
		for _, p := range g.policies {
			if !o.hasDead(p) {
				continue
			}
			if subjects == nil {
				var err error
				if subjects, err = g.exact(o.a.space()); err != nil {
					untold[g] = err
				}
			}
			for i := range subjects {
				exact.want(p, o.a.hypothetical(&subjects[i]))
			}
		}
	}
	if err := exact.run(ctx); err != nil {
		return err
	}
	for n, js := range exact.of {
		o.tellAll(n, js)
	}
	for g, err := range untold {
		o.leaveOpen(g, tellCodes, err, func(f *ruleFate) bool { return f.isDead() && !f.otherwise })
	}
	return nil
}

// newOrderOf returns the order at the given subjects, all the pods there are.
func newOrderOf(ctx context.Context, a *Analysis, scope model.Scope, r *compiler.Resolver, subjects []subject) (*order, error) {
	o := a.emptyOrder(scope, r)
	all := o.newRound()
	all.effects = a.effects
	for _, s := range subjects {
		for _, p := range s.policies {
			all.want(p, s)
		}
	}
	if err := all.run(ctx); err != nil {
		return nil, err
	}
	for n, js := range all.of {
		o.mergeAll(n, js)
		o.tellAll(n, js)
	}
	if a.effects {
		o.mergeAllEffects(all.of)
	}
	return o, nil
}

// skip leaves out the policies of g, since which pods matter to them is not known.
func (o *order) skip(g *group, err error) {
	for _, p := range g.policies {
		o.unknown[o.a.numbers()[p]] = true
	}
	o.a.unchecked(orderedCodes, err, g.policies...)
}

// leaveOpen marks the rules of g that are as given as unsure: pods that cannot be
// looked at, because of err, may show that they are not.
func (o *order) leaveOpen(g *group, codes []model.Code, err error, given func(*ruleFate) bool) {
	for _, p := range g.policies {
		for _, d := range model.Directions {
			fates := o.of(p, d)
			for i := range fates {
				if given(&fates[i]) {
					fates[i].unsure = true
					o.a.unchecked(codes, err, p)
				}
			}
		}
	}
}

func (a *Analysis) emptyOrder(scope model.Scope, r *compiler.Resolver) *order {
	o := &order{a: a, scope: scope, resolver: r}
	o.fates = make([][2][]ruleFate, len(a.Policies))
	o.unknown, o.partly = make([]bool, len(a.Policies)), map[*group]error{}
	for i, p := range a.Policies {
		for _, d := range model.Directions {
			o.fates[i][d] = make([]ruleFate, len(p.Rules(d)))
		}
	}
	return o
}

// of returns the fates of p's rules.
func (o *order) of(p *model.Policy, d model.Direction) []ruleFate {
	return o.fates[o.a.numbers()[p]][d]
}

func (o *order) hasDead(p *model.Policy) bool {
	dead := func(f ruleFate) bool { return f.own && !f.live }
	return slices.ContainsFunc(o.of(p, model.Egress), dead) || slices.ContainsFunc(o.of(p, model.Ingress), dead)
}

// mergeAll joins what subjects say of whether the rules of policy n live.
func (o *order) mergeAll(n int, js []*judged) {
	for _, j := range js {
		for _, d := range model.Directions {
			rules, _ := j.of(o.a.Policies[n], d)
			for i := range rules {
				o.fates[n][d][i].merge(j, &rules[i])
			}
		}
	}
}

func (f *ruleFate) merge(j *judged, r *space.RuleAnalysis) {
	if !r.Own {
		return
	}
	if !f.own {
		f.own = true
		f.dead = deadEntries(j, r)
	} else {
		f.dead = slices.DeleteFunc(f.dead, func(e deadEntry) bool { return e.of(r).Live })
	}
	if r.Live && !f.live {
		f.live, f.at, f.rule = true, j, r
	}
}

func deadEntries(j *judged, r *space.RuleAnalysis) []deadEntry {
	var out []deadEntry
	for port, entries := range [][]space.EntryAnalysis{r.Peers, r.Ports} {
		for i, e := range entries {
			if e.Own && !e.Live {
				out = append(out, deadEntry{port == 1, i, e, j})
			}
		}
	}
	return out
}

// of returns what r says of the entry.
func (e *deadEntry) of(r *space.RuleAnalysis) *space.EntryAnalysis {
	if e.port {
		return &r.Ports[e.index]
	}
	return &r.Peers[e.index]
}

// tellAll joins what subjects say of who takes the packets of policy n's dead rules.
func (o *order) tellAll(n int, js []*judged) {
	for _, j := range js {
		for _, d := range model.Directions {
			rules, _ := j.of(o.a.Policies[n], d)
			for i := range rules {
				f, r := &o.fates[n][d][i], &rules[i]
				if !r.Own || f.live {
					continue
				}
				allow := o.a.Policies[n].Rules(d)[i].Action.Allows()
				otherwise := r.Taken[0] && allow || r.Taken[1] && !allow
				if f.at == nil || otherwise && !f.otherwise {
					f.at, f.rule, f.otherwise = j, r, otherwise
				}
			}
		}
	}
}

// round collects subjects with the policies to be judged there.
type round struct {
	o     *order
	key   func([]*model.Policy) string
	known map[string]*judged
	all   []*judged
	of    [][]*judged // by number of the policy
	// effects asks whether rules have an effect as well.
	effects bool
	done    map[string]*judged // subjects of an earlier round, which may have the answer
}

func (o *order) newRound() *round {
	return &round{o: o, key: o.a.policyKeys(), known: map[string]*judged{}, of: make([][]*judged, len(o.a.Policies))}
}

// want has p judged at s. Subjects with the same policies are one.
func (r *round) want(p *model.Policy, s subject) {
	key, n := r.key(s.policies), r.o.a.numbers()[p]
	if j := r.done[key]; j != nil && j.has(p) {
		r.of[n] = append(r.of[n], j)
		return
	}
	j := r.known[key]
	if j == nil {
		j = &judged{subject: s}
		r.known[key] = j
		r.all = append(r.all, j)
	}
	j.wanted = append(j.wanted, p)
	r.of[n] = append(r.of[n], j)
}

func (r *round) run(ctx context.Context) error {
	return inParallel(ctx, len(r.all), func(i int) error {
		r.all[i].analyse(r.o, r.effects)
		return nil
	})
}
