package verify

import (
	"context"
	"fmt"
	"slices"

	"github.com/trafficpolicy/trafficpolicy/model"
)

// deadRules reports rules that no packet reaches: TP101 where one of the rules
// that take their packets decides otherwise, else TP102.
func deadRules(ctx context.Context, a *Analysis) ([]model.Finding, error) {
	var out []model.Finding
	err := a.inEach(ctx, func(o, said *order) {
		dead := func(r model.RuleRef, f *ruleFate) bool { return f.isDead() && !f.unsure && !said.fate(r).isDead() }
		n := 0
		o.eachRule(func(r model.RuleRef, f *ruleFate) {
			if dead(r, f) {
				n++
			}
		})
		out = slices.Grow(out, n) // up to one a rule, and large
		o.eachRule(func(r model.RuleRef, f *ruleFate) {
			if dead(r, f) {
				out = append(out, o.deadRule(r, f))
			}
		})
	})
	return out, err
}

func (o *order) deadRule(r model.RuleRef, f *ruleFate) model.Finding {
	code, what := model.RedundantRule, "redundant"
	if f.otherwise {
		code, what = model.ShadowedRule, "never reached"
	}
	taker := f.at.ref(r.Direction, f.rule.Winner)
	// A rule that decides the witness may match less of it than the cover.
	lead := taker
	if !slices.Contains(f.rule.Cover, f.rule.Winner) {
		lead = f.at.ref(r.Direction, f.rule.Cover[0])
	}
	takes := fmt.Sprintf("%s, which %s, comes first and matches every packet of it", lead, does(lead.Rule().Action))
	if n := len(f.rule.Cover) + f.rule.Omitted - 1; n > 0 {
		takes = fmt.Sprintf("%s and %d other %s come first and match every packet of it", lead, n, plural(n, "rule", "rules"))
	}
	out := o.finding(code, r.Rule().Pos, "the %s is %s: %s%s", r.Rule().Action, what, takes, assuming(&f.rule.Witness))
	out = aboutRule(out, r)
	for _, c := range f.rule.Cover {
		by := f.at.ref(r.Direction, c)
		out.Related = append(out.Related, relatedRule(by, decidesFirst(by)))
	}
	out.RelatedOmitted = f.rule.Omitted
	out.Witness = f.at.witness(r.Direction, &f.rule.Witness)
	out.Suggestion = o.remove("delete the rule")
	if f.otherwise {
		out.Suggestion = moveBefore(r, taker) + ", or " + o.remove("delete it")
	}
	return out
}

// decidesFirst says what of a packet a rule before decides, such as "denies
// 10.0.0.0/8 first".
func decidesFirst(r model.RuleRef) string {
	return does(r.Rule().Action) + " " + matches(r.Rule()) + " first"
}

// does returns the verb of an action.
func does(a model.Action) string {
	switch a {
	case model.Allow:
		return "allows"
	case model.Reject:
		return "rejects"
	}
	return "denies"
}

// matches says in short what a rule matches, such as "10.0.0.0/8 TCP 80 and 2 more".
func matches(r *model.Rule) string {
	s := "everyone"
	if len(r.Peers) > 0 {
		s = shortPeer(&r.Peers[0])
		if n := len(r.Peers) - 1; n > 0 {
			s += fmt.Sprintf(" and %d more %s", n, plural(n, "peer", "peers"))
		}
	}
	if len(r.Ports) > 0 {
		s += " on " + r.Ports[0].String()
		if n := len(r.Ports) - 1; n > 0 {
			s += fmt.Sprintf(" and %d more", n)
		}
	}
	return s
}

// shortPeer returns the peer's name, of a cidr the prefix alone.
func shortPeer(p *model.Peer) string {
	if p.Kind == model.PeerCIDR {
		return p.CIDR.String()
	}
	return p.String()
}

// moveBefore says how r could come before taker.
func moveBefore(r, taker model.RuleRef) string {
	switch {
	case r.Policy == taker.Policy:
		return fmt.Sprintf("move it before %s[%d]", taker.Direction, taker.Index)
	case taker.Policy.Priority > model.MinPriority:
		return fmt.Sprintf("give %s a priority below %d, that of %s", r.Policy.Ref(), taker.Policy.Priority, taker.Policy.Ref())
	}
	return fmt.Sprintf("give %s, of priority %d, a greater one than %d", taker.Policy.Ref(), taker.Policy.Priority, r.Policy.Priority)
}
