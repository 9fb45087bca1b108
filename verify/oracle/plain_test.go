package oracle

import (
	"fmt"
	"net/netip"
	"slices"
	"testing"

	"github.com/trafficpolicy/trafficpolicy/model"
)

// plain reads the definitions of the findings once more. It asks Decide about
// every packet of every pod, one by one, of the set and of sets that lack a part.
type plain struct {
	in      Input
	pods    []Pod // one of those that agree in who selects them, and for whom they are the least
	packets [2][]Packet
}

func newPlain(t *testing.T, in Input) *plain {
	w, err := newWorld(in, in.Policies, scope{})
	if err != nil {
		t.Fatal(err)
	}
	p := &plain{in: in}
	candidates, _ := w.pods(scope{})
	seen := map[string]bool{}
	for _, c := range candidates {
		var key []bool // the packets of pods that agree in this are judged alike
		for _, q := range in.Policies {
			key = append(key, selects(q, c.Pod), selects(q, c.Pod) && p.least(q, c.Pod))
		}
		if k := fmt.Sprint(key); !seen[k] {
			seen[k] = true
			p.pods = append(p.pods, c.Pod)
		}
	}
	for _, d := range model.Directions {
		for i := range w.spaces[d].size() {
			p.packets[d] = append(p.packets[d], w.spaces[d].packet(i))
		}
	}
	return p
}

// with is the set without some policies and with others changed.
func (p *plain) with(keep func(*model.Policy) *model.Policy) Input {
	in := p.in
	in.Policies = nil
	for _, q := range p.in.Policies {
		if q = keep(q); q != nil {
			in.Policies = append(in.Policies, q)
		}
	}
	return in
}

// edited is the set where f has changed the rules of ref's section.
func (p *plain) edited(ref model.RuleRef, f func([]model.Rule) []model.Rule) Input {
	return p.with(func(q *model.Policy) *model.Policy {
		if q != ref.Policy {
			return q
		}
		c := *q
		c.Egress, c.Ingress = cloneSection(q.Egress), cloneSection(q.Ingress)
		s := c.Section(ref.Direction)
		s.Rules = f(s.Rules)
		return &c
	})
}

// every reports whether f holds for each packet of each pod that p selects.
func (p *plain) every(q *model.Policy, d model.Direction, f func(Pod, Packet) bool) bool {
	for _, pod := range p.pods {
		if !selects(q, pod) {
			continue
		}
		for _, packet := range p.packets[d] {
			if !f(pod, packet) {
				return false
			}
		}
	}
	return true
}

// own reports whether the rule alone matches the packet.
func (p *plain) own(ref model.RuleRef, pod Pod, packet Packet) bool {
	alone := *ref.Policy
	section := &model.Section{Rules: []model.Rule{*ref.Rule()}}
	alone.Egress, alone.Ingress = section, section
	in := p.in
	in.Policies = []*model.Policy{&alone}
	return Decide(in, pod, packet).Rule != ""
}

func (p *plain) codes() map[string]model.Code {
	out := map[string]model.Code{}
	for _, q := range p.in.Policies {
		owns, live := false, false
		for _, ref := range refs(q) {
			code, own := p.rule(ref)
			owns = owns || own
			switch code {
			case model.ShadowedRule, model.RedundantRule:
				out[ref.String()] = code
			case model.NoEffect:
				out[ref.String()] = code
				fallthrough
			default:
				live = live || own
				if own {
					p.entries(ref, out)
				}
			}
		}
		if owns && !live {
			out[q.Ref()] = model.OverriddenPolicy
		}
	}
	p.pairs(out)
	return out
}

// rule returns the code of a rule, "" for none, and whether it has own packets.
func (p *plain) rule(ref model.RuleRef) (code model.Code, own bool) {
	name, d := ref.String(), ref.Direction
	dead := p.every(ref.Policy, d, func(pod Pod, packet Packet) bool {
		own = own || p.own(ref, pod, packet)
		return Decide(p.in, pod, packet).Rule != name
	})
	if !dead {
		own = true
	}
	if own && dead {
		same := p.every(ref.Policy, d, func(pod Pod, packet Packet) bool {
			return !p.least(ref.Policy, pod) || !p.own(ref, pod, packet) ||
				Decide(p.in, pod, packet).Allow == (ref.Rule().Action == model.Allow)
		})
		if same {
			return model.RedundantRule, true
		}
		return model.ShadowedRule, true
	}
	if !own || p.exempt(ref) {
		return "", own
	}
	less := p.edited(ref, func(rules []model.Rule) []model.Rule { return without(rules, ref.Index) })
	if p.every(ref.Policy, d, func(pod Pod, packet Packet) bool {
		return Decide(p.in, pod, packet).Allow == Decide(less, pod, packet).Allow
	}) {
		return model.NoEffect, true
	}
	return "", true
}

// least reports whether no other pod that q selects has fewer labels than pod.
func (p *plain) least(q *model.Policy, pod Pod) bool {
	if q.Kind == model.GlobalTrafficPolicy && slices.ContainsFunc(p.in.Policies, func(o *model.Policy) bool {
		return o.Kind == model.TrafficPolicy && o.Namespace == pod.Namespace
	}) {
		return false
	}
	// All subsets of its labels but itself.
	for mask := range 1<<len(pod.Labels) - 1 {
		less := Pod{Namespace: pod.Namespace}
		for i, l := range pod.Labels {
			if mask>>i&1 == 1 {
				less.Labels = append(less.Labels, l)
			}
		}
		if selects(q, less) {
			return false
		}
	}
	return true
}

// exempt reports whether the rule is the last cover-all deny that wins anything.
func (p *plain) exempt(ref model.RuleRef) bool {
	covers := func(ref model.RuleRef, f model.Family) bool {
		if ref.Rule().Action == model.Allow {
			return false
		}
		wins := false
		return p.every(ref.Policy, ref.Direction, func(pod Pod, packet Packet) bool {
			wins = wins || Decide(p.in, pod, packet).Rule == ref.String()
			return model.FamilyOf(packet.Addr) != f || p.own(ref, pod, packet)
		}) && wins
	}
	for _, f := range p.in.Families {
		later := ref
		last := covers(ref, f)
		for later.Index = ref.Index + 1; later.Index < len(ref.Policy.Rules(ref.Direction)); later.Index++ {
			last = last && !covers(later, f)
		}
		if last {
			return true
		}
	}
	return false
}

// entries adds the entries without which, of those up to them, the live rule
// wins as much.
func (p *plain) entries(ref model.RuleRef, out map[string]model.Code) {
	try := func(name string, upTo func(n int, r *model.Rule), n int) {
		cut := func(n int) Input {
			return p.edited(ref, func(rules []model.Rule) []model.Rule {
				if upTo(n, &rules[ref.Index]); n == 0 { // an empty list would be everyone
					rules[ref.Index].Peers = []model.Peer{{Kind: model.PeerService}}
					rules[ref.Index].Ports = nil
				}
				return rules
			})
		}
		with, less := cut(n+1), cut(n)
		less.Peers, with.Peers = nobody{p.in.Peers}, nobody{p.in.Peers}
		own := false
		entry := *ref.Rule()
		dead := p.every(ref.Policy, ref.Direction, func(pod Pod, packet Packet) bool {
			own = own || p.ownEntry(ref, entry, name, n, pod, packet)
			return (Decide(with, pod, packet).Rule == ref.String()) == (Decide(less, pod, packet).Rule == ref.String())
		})
		if dead && own {
			out[name] = model.UnreachablePeer
		}
	}
	for j := range ref.Rule().Peers {
		try(ref.Peer(j), func(n int, r *model.Rule) { r.Peers = r.Peers[:n] }, j)
	}
	for j := range ref.Rule().Ports {
		try(ref.Port(j), func(n int, r *model.Rule) { r.Ports = r.Ports[:n] }, j)
	}
}

// ownEntry reports whether the rule with no other entry of the list matches the
// packet.
func (p *plain) ownEntry(ref model.RuleRef, r model.Rule, name string, j int, pod Pod, packet Packet) bool {
	if name == ref.Port(j) {
		r.Ports = r.Ports[j : j+1]
	} else {
		r.Peers = r.Peers[j : j+1]
	}
	alone := *ref.Policy
	section := &model.Section{Rules: []model.Rule{r}}
	alone.Egress, alone.Ingress = section, section
	in := p.in
	in.Policies = []*model.Policy{&alone}
	return Decide(in, pod, packet).Rule != ""
}

// nobody resolves the service without a name to no addresses.
type nobody struct{ known Peers }

func (n nobody) Peers(p *model.Peer, d model.Direction) ([]netip.Prefix, bool) {
	if p.Kind == model.PeerService && p.Service.Name == "" {
		return nil, false
	}
	return n.known.Peers(p, d)
}

func (p *plain) pairs(out map[string]model.Code) {
	for _, a := range p.in.Policies {
		for _, b := range p.in.Policies {
			if a.Priority != b.Priority || model.ComparePolicies(a, b) >= 0 {
				continue
			}
			together := func(pod Pod) bool { return selects(a, pod) && selects(b, pod) }
			if !slices.ContainsFunc(p.pods, together) {
				continue
			}
			only := func(k func(*model.Policy) bool) Input {
				return p.with(func(q *model.Policy) *model.Policy {
					if k(q) {
						return q
					}
					return nil
				})
			}
			smaller := only(func(q *model.Policy) bool { return q.Priority < a.Priority })
			onlyA, onlyB := only(func(q *model.Policy) bool { return q == a }), only(func(q *model.Policy) bool { return q == b })
			out[Pair(a, b)] = model.PriorityTie
			for _, d := range model.Directions {
				if !p.every(a, d, func(pod Pod, packet Packet) bool {
					x, y := Decide(onlyA, pod, packet), Decide(onlyB, pod, packet)
					return !together(pod) || Decide(smaller, pod, packet).Rule != "" || x.Rule == "" || y.Rule == "" || x.Allow == y.Allow
				}) {
					out[Pair(a, b)] = model.PriorityConflict
				}
			}
		}
	}
}

func cloneSection(s *model.Section) *model.Section {
	if s == nil {
		return nil
	}
	return &model.Section{Rules: slices.Clone(s.Rules)}
}

func without[T any](list []T, i int) []T { return slices.Delete(slices.Clone(list), i, i+1) }
