package oracle

import (
	"fmt"
	"math/rand/v2"
	"net/netip"
	"slices"

	"github.com/trafficpolicy/trafficpolicy/model"
)

// Shape bounds the policy sets that [Random] draws. The zero value of a field
// is its default.
type Shape struct {
	Policies int // at most; 8
	Rules    int // a section at most; 4
	Atoms    int // different names a direction at most; 3, negative for none
	// Expressions adds matchExpressions, IPv6 prefixes of the other family.
	Expressions, IPv6 bool
}

// pools are small, so that what is drawn nests, abuts, repeats and covers.
var (
	pool4 = []string{"0.0.0.0/0", "0.0.0.0/1", "128.0.0.0/1", "10.0.0.0/8", "10.0.0.0/9", "10.128.0.0/9",
		"10.0.0.0/24", "10.0.0.0/25", "10.0.0.128/25", "10.0.0.0/32", "10.0.0.255/32", "255.255.255.255/32"}
	pool6    = []string{"::/0", "::/1", "8000::/1", "fd00::/8", "fd00::/9", "fd80::/9", "fd00::/128"}
	poolPort = []string{"tcp", "tcp/1-65535", "tcp/1-80", "tcp/80", "tcp/81-65535", "tcp/80-90", "tcp/85-100",
		"udp", "udp/53", "sctp", "icmp"}
	poolEgress = []string{"service:a/x", "service:a/*", "fqdn:a.example", "fqdn:b.example", "workload:a?app=x"}
	poolSource = []string{"service:a/x", "service:a/*", "namespace:a", "workload:a?app=x", "workload:b"}
)

// Random draws a set of valid policies with unique names. The same state of r
// draws the same set.
func Random(r *rand.Rand, shape Shape) []*model.Policy {
	if shape.Policies == 0 {
		shape.Policies = 8
	}
	if shape.Rules == 0 {
		shape.Rules = 4
	}
	if shape.Atoms == 0 {
		shape.Atoms = 3
	}
	g := generator{r, shape, [2][]string{pick(r, poolEgress, shape.Atoms), pick(r, poolSource, shape.Atoms)}}
	var out []*model.Policy
	for i := range 1 + r.IntN(shape.Policies) {
		out = append(out, g.policy(i))
	}
	return out
}

// pick returns n of the pool, or none.
func pick(r *rand.Rand, pool []string, n int) []string {
	var out []string
	for _, i := range r.Perm(len(pool)) {
		if len(out) < n {
			out = append(out, pool[i])
		}
	}
	return out
}

type generator struct {
	*rand.Rand
	shape Shape
	atoms [2][]string // by direction
}

// one returns an element of pool.
func (g *generator) one(pool []string) string { return pool[g.IntN(len(pool))] }

// often reports true in percent of a hundred calls.
func (g *generator) often(percent int) bool { return g.IntN(100) < percent }

func (g *generator) policy(i int) *model.Policy {
	p := &model.Policy{
		Kind:     model.GlobalTrafficPolicy,
		Name:     fmt.Sprintf("p%d", i),
		Priority: []int{1, 100, 100, 100, 500, 1000}[g.IntN(6)],
		Selector: g.selector(),
	}
	if g.often(70) {
		p.Kind, p.Namespace = model.TrafficPolicy, g.one([]string{"a", "a", "b"})
	}
	for _, d := range model.Directions {
		if g.often(70) {
			s := &model.Section{}
			for range g.IntN(g.shape.Rules + 1) {
				s.Rules = append(s.Rules, g.rule(d))
			}
			if d == model.Egress {
				p.Egress = s
			} else {
				p.Ingress = s
			}
		}
	}
	return p
}

func (g *generator) selector() model.Selector {
	labels := map[string]string{}
	var s model.Selector
	for _, key := range []string{"app", "env", "tier"} {
		if g.often(30) {
			labels[key] = g.one([]string{"x", "x", "y"})
		}
		if g.shape.Expressions && g.often(20) {
			req := model.Requirement{Key: key, Operator: []model.Operator{model.In, model.NotIn, model.Exists, model.DoesNotExist}[g.IntN(4)]}
			if req.Operator == model.In || req.Operator == model.NotIn {
				req.Values = [][]string{{"x"}, {"y"}, {"x", "y"}}[g.IntN(3)]
			}
			s.MatchExpressions = append(s.MatchExpressions, req)
		}
	}
	s.MatchLabels = model.NewLabels(labels)
	return s
}

func (g *generator) rule(d model.Direction) model.Rule {
	r := model.Rule{Action: []model.Action{model.Allow, model.Allow, model.Deny, model.Deny, model.Reject}[g.IntN(5)]}
	if !g.often(5) {
		for range 1 + g.IntN(3) {
			r.Peers = append(r.Peers, g.peer(d))
		}
	}
	if g.often(50) {
		for range 1 + g.IntN(3) {
			port, _ := parsePort(g.one(poolPort))
			r.Ports = append(r.Ports, port)
		}
	}
	return r
}

func (g *generator) peer(d model.Direction) model.Peer {
	if atoms := g.atoms[d]; len(atoms) > 0 && g.often(30) {
		p, _ := parsePeer(g.one(atoms))
		return p
	}
	pool := pool4
	if g.shape.IPv6 && g.often(40) {
		pool = pool6
	}
	return model.Peer{Kind: model.PeerCIDR, CIDR: netip.MustParsePrefix(g.one(pool))}
}

// Shrink returns a smallest set that still fails: no policy, rule, peer entry,
// port entry or condition of a selector can be left out. The policies given are not changed.
func Shrink(policies []*model.Policy, fails func([]*model.Policy) bool) []*model.Policy {
	for {
		smaller := lessByOne(policies)
		i := slices.IndexFunc(smaller, fails)
		if i < 0 {
			return policies
		}
		policies = smaller[i]
	}
}

// lessByOne returns every set that lacks one thing of policies, the largest
// things first. The last peer of a rule stays: a rule without peers means everyone.
func lessByOne(policies []*model.Policy) [][]*model.Policy {
	var out [][]*model.Policy
	for i := range policies {
		out = append(out, without(policies, i))
	}
	// change appends a set in which policy i is a copy that f has changed.
	change := func(i int, f func(p *model.Policy)) {
		p := *policies[i]
		p.Egress, p.Ingress = cloneSection(p.Egress), cloneSection(p.Ingress)
		f(&p)
		set := slices.Clone(policies)
		set[i] = &p
		out = append(out, set)
	}
	for i, p := range policies {
		for j := range p.Selector.MatchLabels {
			change(i, func(p *model.Policy) { p.Selector.MatchLabels = without(p.Selector.MatchLabels, j) })
		}
		for j := range p.Selector.MatchExpressions {
			change(i, func(p *model.Policy) { p.Selector.MatchExpressions = without(p.Selector.MatchExpressions, j) })
		}
		for _, d := range model.Directions {
			if p.Section(d) != nil && len(p.Rules(d)) == 0 {
				change(i, func(p *model.Policy) {
					if d == model.Egress {
						p.Egress = nil
					} else {
						p.Ingress = nil
					}
				})
			}
			for j, r := range p.Rules(d) {
				change(i, func(p *model.Policy) { p.Section(d).Rules = without(p.Rules(d), j) })
				for k := range r.Peers {
					if len(r.Peers) > 1 {
						change(i, func(p *model.Policy) { p.Rules(d)[j].Peers = without(r.Peers, k) })
					}
				}
				for k := range r.Ports {
					change(i, func(p *model.Policy) { p.Rules(d)[j].Ports = without(r.Ports, k) })
				}
			}
		}
	}
	return out
}

func without[T any](list []T, i int) []T { return slices.Delete(slices.Clone(list), i, i+1) }

func cloneSection(s *model.Section) *model.Section {
	if s == nil {
		return nil
	}
	return &model.Section{Rules: slices.Clone(s.Rules), Pos: s.Pos}
}
