package scale

import (
	"fmt"
	"math/rand/v2"
	"net/netip"
	"slices"

	"github.com/trafficpolicy/trafficpolicy/model"
)

// Policy returns a TrafficPolicy of the given egress rules.
func Policy(rules []model.Rule) *model.Policy {
	return &model.Policy{Kind: model.TrafficPolicy, Namespace: "a", Name: "p", Priority: 100,
		Selector: model.Selector{MatchLabels: labels("app", "web")}, Egress: &model.Section{Rules: rules}}
}

// List returns what the egress of p means to a pod that p alone selects.
func List(p *model.Policy) *model.RuleList {
	list := &model.RuleList{Isolated: true}
	for i := range p.Egress.Rules {
		r := &p.Egress.Rules[i]
		list.Rules = append(list.Rules, model.ListRule{
			Ref: model.RuleRef{Policy: p, Index: i}, Action: r.Action, L4: model.PortsL4(r.Ports),
			Peers: []model.ListPeer{{Prefixes: []netip.Prefix{r.Peers[0].CIDR}}},
		})
	}
	return list
}

// Split returns TrafficPolicies of the given egress rules, most each, that select
// different pods.
func Split(rules []model.Rule, most int) []*model.Policy {
	var out []*model.Policy
	for part := range slices.Chunk(rules, most) {
		p := Policy(part)
		p.Name = fmt.Sprintf("p%05d", len(out))
		p.Selector.MatchLabels = labels("app", p.Name)
		out = append(out, p)
	}
	return out
}

// Apart is a thousand label sets no two of which one pod can have.
func Apart(i int) model.Labels { return labels("app", fmt.Sprintf("a%d", i%1000)) }

// Joined is a thousand label sets of one to three keys, many of which one pod can have.
func Joined(i int) model.Labels {
	i %= 1000
	m := map[string]string{"app": fmt.Sprintf("a%d", i%250)}
	if i >= 250 {
		m["env"] = []string{"prod", "test", "dev"}[i/250-1]
	}
	if i%3 == 0 {
		m["tier"] = []string{"web", "db"}[i%2]
	}
	return model.NewLabels(m)
}

// Spread draws a priority, Level is always the same.
func Spread(rng *rand.Rand) int { return model.MinPriority + rng.IntN(model.MaxPriority) }
func Level(*rand.Rand) int      { return 100 }

// Policies returns n policies of five rules in one namespace, in evaluation order.
func Policies(n int, set func(int) model.Labels, priority func(*rand.Rand) int) []*model.Policy {
	rng := rand.New(rand.NewPCG(3, uint64(n)))
	var out []*model.Policy
	for i := range n {
		p := &model.Policy{Kind: model.TrafficPolicy, Namespace: "a", Name: fmt.Sprintf("p%d", i), Priority: priority(rng),
			Selector: model.Selector{MatchLabels: set(i)}, Egress: &model.Section{}}
		for range 5 {
			r := rule(model.Action(rng.IntN(3)), cidr(10<<24|rng.Uint32N(1<<24), 8+rng.IntN(25)))
			if rng.IntN(2) == 0 {
				port := uint16(1 + rng.IntN(1000))
				r.Ports = []model.Port{tcp(port, port)}
			}
			p.Egress.Rules = append(p.Egress.Rules, r)
		}
		out = append(out, p)
	}
	slices.SortFunc(out, model.ComparePolicies)
	return out
}

func labels(key, value string) model.Labels { return model.Labels{{Key: key, Value: value}} }
