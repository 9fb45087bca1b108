package verify

import (
	"slices"

	"github.com/trafficpolicy/trafficpolicy/compiler/space"
	"github.com/trafficpolicy/trafficpolicy/model"
)

// Labels of decisions. Without an inventory those of rules tell the policy as
// well, since it says at which pod a difference is shown.
const (
	byDefault label = iota // no rule matches: deny
	byNobody               // no policy closes the direction: allow
	byRule                 // plus 1 for an allow, plus twice the policy's id
)

func (l label) allows() bool { return l&1 == 1 }

// policy returns the id of the policy that decides, false where none does.
func (l label) policy() (id int32, ok bool) { return int32(l-byRule) / 2, l >= byRule }

// label returns the labels of a list's rules.
func (d *differ) label(list *model.RuleList) func(int32) label {
	return func(rule int32) label {
		if rule == space.NoRule {
			if list.Isolated {
				return byDefault
			}
			return byNobody
		}
		r := &list.Rules[rule]
		l := byRule
		if d.hypothetical {
			l += label(2 * d.ids[r.Ref.Policy])
		}
		if r.Action.Allows() {
			l++
		}
		return l
	}
}

// judge returns how decisions differ at p, as far as that is shown at p.
func (d *differ) judge(p *diffPod, dir model.Direction) func(a, b label) verdictKind {
	shown := map[[2]label]bool{}
	return func(a, b label) verdictKind {
		if a.allows() == b.allows() {
			return 0
		}
		if d.hypothetical {
			first, known := shown[[2]label{a, b}]
			if !known {
				first = d.index.first(p, d.comesTo(0, a, dir), d.comesTo(1, b, dir))
				shown[[2]label{a, b}] = first
			}
			if !first {
				return 0
			}
		}
		if b.allows() {
			return opened
		}
		return closed
	}
}

// firstTo reports whether no pod with fewer policies becomes governed, or not
// governed, as p does.
func (d *differ) firstTo(p *diffPod, what string) bool {
	if !d.hypothetical {
		return true
	}
	none := func(i int) need {
		return need{policy: -1, holds: func(q *diffPod) bool { return len(q.policies[i]) == 0 }}
	}
	some := func(i int) need {
		return need{policy: -1, holds: func(q *diffPod) bool { return len(q.policies[i]) > 0 }}
	}
	if what == Gained {
		return d.index.first(p, none(0), some(1))
	}
	return d.index.first(p, some(0), none(1))
}

// need is what a pod must have for a decision to come about.
type need struct {
	policy int32 // that selects it, -1 for none in particular
	holds  func(*diffPod) bool
}

// comesTo returns what a pod needs for set i to decide a packet by l, given that
// some pod with more policies has it decided so.
func (d *differ) comesTo(i int, l label, dir model.Direction) need {
	if id, ok := l.policy(); ok {
		return need{policy: id, holds: func(*diffPod) bool { return true }}
	}
	return need{policy: -1, holds: func(q *diffPod) bool { return d.isolated(q.policies[i], dir) == (l == byDefault) }}
}

// isolated reports whether policies close the direction, as [model.RuleList] has it.
func (d *differ) isolated(policies []*model.Policy, dir model.Direction) bool {
	return slices.ContainsFunc(policies, func(p *model.Policy) bool { return !d.options.IsolateByDirection || p.Section(dir) != nil })
}

// podOrder answers which pods have fewer policies than another.
type podOrder struct {
	all      []*diffPod
	byPolicy [][]*diffPod // by id
}

func newPodOrder(all []*diffPod, policies int) *podOrder {
	x := &podOrder{all: all, byPolicy: make([][]*diffPod, policies)}
	for _, p := range all {
		for _, id := range p.ids {
			x.byPolicy[id] = append(x.byPolicy[id], p)
		}
	}
	return x
}

// first reports whether no pod meets both needs with some of the policies of p,
// but not all.
func (x *podOrder) first(p *diffPod, a, b need) bool {
	among := x.all
	for _, n := range []need{a, b} {
		if n.policy >= 0 && len(x.byPolicy[n.policy]) < len(among) {
			among = x.byPolicy[n.policy]
		}
	}
	for _, q := range among {
		if len(q.ids) < len(p.ids) && q.meets(a) && q.meets(b) && within(q.ids, p.ids) {
			return false
		}
	}
	return true
}

func (p *diffPod) meets(n need) bool {
	if n.policy >= 0 {
		if _, ok := slices.BinarySearch(p.ids, n.policy); !ok {
			return false
		}
	}
	return n.holds(p)
}

// within reports whether every element of a is in b; both are sorted.
func within(a, b []int32) bool {
	for _, x := range a {
		for len(b) > 0 && b[0] < x {
			b = b[1:]
		}
		if len(b) == 0 || b[0] != x {
			return false
		}
	}
	return true
}
