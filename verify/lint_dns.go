package verify

import (
	"context"
	"fmt"
	"net/netip"
	"strings"

	"github.com/trafficpolicy/trafficpolicy/model"
)

// noDNS reports pods that need names and cannot resolve them (TP301): where
// kube-dns is denied, at the policy that needs names; where a rule denies the
// resolvers of the VPC or NodeLocal DNSCache, at that rule; each once.
func noDNS(ctx context.Context, a *Analysis) ([]model.Finding, error) {
	senses, err := a.senses(ctx)
	if err != nil {
		return nil, err
	}
	c := &dnsCheck{needs: map[*model.Policy]bool{}, rules: map[model.RuleRef]bool{}}
	for _, s := range senses {
		if err := c.check(ctx, newDNSSense(s)); err != nil {
			return nil, err
		}
	}
	return c.out, nil
}

// dnsCheck collects findings. It keeps about whom there is one: policies that need
// kube-dns, and rules that deny other resolvers.
type dnsCheck struct {
	needs map[*model.Policy]bool
	rules map[model.RuleRef]bool
	out   []model.Finding
}

func (c *dnsCheck) check(ctx context.Context, d *dnsSense) error {
	states := make([]*dnsState, len(d.subjects))
	err := inParallel(ctx, len(states), func(i int) error {
		states[i] = d.look(&d.subjects[i])
		return nil
	})
	if err != nil {
		return err
	}
	for _, s := range states {
		c.say(d, s)
	}
	if !d.possible {
		return nil
	}
	return c.joinDNS(ctx, d, states)
}

// say adds the findings about s that are not there yet.
func (c *dnsCheck) say(d *dnsSense, s *dnsState) {
	if s.need.IsZero() {
		return
	}
	if p := s.need.Policy; len(s.kube) > 0 && !c.needs[p] {
		c.needs[p] = true
		c.out = append(c.out, d.kubeDNSFinding(s))
	}
	for _, r := range s.resolvers {
		if !c.rules[r.rule] {
			c.rules[r.rule] = true
			c.out = append(c.out, d.resolverFinding(s, r))
		}
	}
}

// kubeDNSFinding is about the policy that needs names.
func (d *dnsSense) kubeDNSFinding(s *dnsState) model.Finding {
	var by []string
	related := []model.Related{needsNames(s.need)}
	suggestion := "allow " + kubeDNS.String() + " on UDP and TCP 53"
	for _, k := range s.kube {
		if k.rule.IsZero() {
			by = append(by, "the default deny takes "+k.ports())
			continue
		}
		does := does(k.rule.Rule().Action) + " " + k.ports()
		by = append(by, k.rule.String()+" "+does)
		related = append(related, relatedRule(k.rule, does+" to "+kubeDNS.String()))
		suggestion += ", before " + k.rule.String()
	}
	p := s.need.Policy
	f := aboutPolicy(d.finding(model.NoDNS, p.Pos, cannotAsk(s, kubeDNS.String(), strings.Join(by, ", "))), p)
	f.Related, f.Suggestion = related, suggestion
	f.Witness = s.at.witness(model.Egress, &s.kube[0].packet)
	return f
}

// resolverFinding is about the rule that denies.
func (d *dnsSense) resolverFinding(s *dnsState, r *dnsDenial) model.Finding {
	by := fmt.Sprintf("the %s takes %s", r.rule.Rule().Action, r.ports())
	f := aboutRule(d.finding(model.NoDNS, r.rule.Rule().Pos, cannotAsk(s, resolverNames(r.addrs), by)), r.rule)
	f.Related = []model.Related{needsNames(s.need)}
	f.Suggestion = "allow " + addrNames(r.addrs) + " on UDP and TCP 53 before it"
	f.Witness = s.at.witness(model.Egress, &r.packet)
	return f
}

func cannotAsk(s *dnsState, resolver, by string) string {
	return fmt.Sprintf("%s needs names, and pods such as %s cannot ask %s for them: %s", s.need, s.at.name(), resolver, by)
}

func needsNames(r model.RuleRef) model.Related { return relatedRule(r, "allows "+matches(r.Rule())) }

// ports names the points that are denied, such as "UDP and TCP 53".
func (d *dnsDenial) ports() string {
	var l []string
	for _, x := range d.points {
		l = append(l, x.Proto().String())
	}
	return joinAnd(l) + " 53"
}

// resolverNames says what addrs are.
func resolverNames(addrs []netip.Addr) string {
	var vpc []netip.Addr
	var l []string
	for _, a := range addrs {
		if a == nodeLocalDNS {
			l = append(l, "NodeLocal DNSCache "+a.String())
		} else {
			vpc = append(vpc, a)
		}
	}
	if len(vpc) > 0 {
		l = append([]string{plural(len(vpc), "the VPC resolver ", "the VPC resolvers ") + addrNames(vpc)}, l...)
	}
	return strings.Join(l, ", and ")
}

func addrNames(addrs []netip.Addr) string {
	var l []string
	for _, a := range addrs {
		l = append(l, a.String())
	}
	return joinAnd(l)
}
