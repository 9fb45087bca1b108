package mutate

import (
	"fmt"
	"iter"
	"net/netip"
	"slices"

	"github.com/trafficpolicy/trafficpolicy/model"
)

// Policies yields mutations of a policy set, in evaluation order. What is given is
// not changed; policies that are the same are shared.
func Policies(set []*model.Policy) iter.Seq2[string, []*model.Policy] {
	return func(yield func(string, []*model.Policy) bool) {
		p := &policyChanger{set: set, yield: yield}
		for i := range set {
			p.policy(i)
		}
	}
}

type policyChanger struct {
	set   []*model.Policy
	yield func(string, []*model.Policy) bool
	done  bool
}

// try yields the set with q in the place of policy i, nil for none.
func (p *policyChanger) try(i int, q *model.Policy, format string, args ...any) {
	if p.done {
		return
	}
	set := slices.Clone(p.set)
	if q == nil {
		set = slices.Delete(set, i, i+1)
	} else {
		set[i] = q
	}
	slices.SortStableFunc(set, model.ComparePolicies)
	p.done = !p.yield(fmt.Sprintf("%s: ", p.set[i].Ref())+fmt.Sprintf(format, args...), set)
}

func (p *policyChanger) policy(i int) {
	was := p.set[i]
	p.try(i, nil, "left out")
	for _, n := range []int{was.Priority - 1, was.Priority + 1, model.MinPriority, model.MaxPriority} {
		if n != was.Priority && n >= model.MinPriority && n <= model.MaxPriority {
			q := *was
			q.Priority = n
			p.try(i, &q, "priority %d", n)
		}
	}
	for j := range was.Selector.MatchLabels {
		q := *was
		q.Selector.MatchLabels = slices.Delete(slices.Clone(was.Selector.MatchLabels), j, j+1)
		p.try(i, &q, "without label %d", j)
	}
	for _, d := range model.Directions {
		p.section(i, d)
	}
}

func (p *policyChanger) section(i int, d model.Direction) {
	was := p.set[i].Section(d)
	with := func(s *model.Section, format string, args ...any) {
		q := *p.set[i]
		if d == model.Ingress {
			q.Ingress = s
		} else {
			q.Egress = s
		}
		p.try(i, &q, "%s "+format, append([]any{d}, args...)...)
	}
	if was == nil {
		with(&model.Section{}, "declared")
		return
	}
	with(nil, "left out")
	rules := func(rules []model.Rule, format string, args ...any) {
		with(&model.Section{Rules: rules}, format, args...)
	}
	for n, rule := range was.Rules {
		rules(slices.Delete(slices.Clone(was.Rules), n, n+1), "without rule %d", n)
		rules(slices.Insert(slices.Clone(was.Rules), n, rule), "rule %d twice", n)
		if n+1 < len(was.Rules) {
			swapped := slices.Clone(was.Rules)
			swapped[n], swapped[n+1] = swapped[n+1], swapped[n]
			rules(swapped, "rules %d and %d swapped", n, n+1)
		}
		for what, changed := range changedRules(&rule) {
			all := slices.Clone(was.Rules)
			all[n] = changed
			rules(all, "rule %d %s", n, what)
		}
	}
}

// changedRules yields a rule with one change.
func changedRules(r *model.Rule) iter.Seq2[string, model.Rule] {
	return func(yield func(string, model.Rule) bool) {
		for _, a := range []model.Action{model.Allow, model.Deny, model.Reject} {
			if q := *r; a != r.Action {
				if q.Action = a; !yield(a.String(), q) {
					return
				}
			}
		}
		for j, p := range r.Peers {
			if q := *r; len(r.Peers) > 1 {
				if q.Peers = slices.Delete(slices.Clone(r.Peers), j, j+1); !yield(fmt.Sprintf("without peer %d", j), q) {
					return
				}
			}
			for _, cidr := range changedPrefixes(p) {
				q := *r
				q.Peers = slices.Clone(r.Peers)
				if q.Peers[j].CIDR = cidr; !yield(fmt.Sprintf("peer %d is %s", j, cidr), q) {
					return
				}
			}
		}
		for j, p := range r.Ports {
			if q := *r; len(r.Ports) > 1 {
				if q.Ports = slices.Delete(slices.Clone(r.Ports), j, j+1); !yield(fmt.Sprintf("without port %d", j), q) {
					return
				}
			}
			for _, port := range changedPorts(p) {
				q := *r
				q.Ports = slices.Clone(r.Ports)
				if q.Ports[j] = port; !yield(fmt.Sprintf("port %d is %s", j, port.L4()), q) {
					return
				}
			}
		}
	}
}

func changedPrefixes(p model.Peer) (out []netip.Prefix) {
	if p.Kind != model.PeerCIDR {
		return nil
	}
	if n := p.CIDR.Bits(); n > 0 {
		out = append(out, netip.PrefixFrom(p.CIDR.Addr(), n-1).Masked())
	}
	if n := p.CIDR.Bits(); n < p.CIDR.Addr().BitLen() {
		out = append(out, netip.PrefixFrom(p.CIDR.Addr(), n+1))
	}
	return out
}

func changedPorts(p model.Port) (out []model.Port) {
	if !p.Proto.HasPorts() {
		return nil
	}
	with := func(change func(q *model.Port)) {
		q := p
		change(&q)
		if q.First <= q.Last && q != p {
			out = append(out, q)
		}
	}
	with(func(q *model.Port) { q.First++ })
	with(func(q *model.Port) { q.Last = max(q.Last, q.Last+1) }) // not beyond 65535
	if p.First > 1 {
		with(func(q *model.Port) { q.First-- })
		with(func(q *model.Port) { q.Last-- })
	}
	with(func(q *model.Port) {
		q.Proto = map[model.Proto]model.Proto{model.TCP: model.UDP, model.UDP: model.TCP, model.SCTP: model.TCP}[p.Proto]
	})
	return out
}
