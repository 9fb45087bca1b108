package nftables

import (
	"fmt"

	"github.com/trafficpolicy/trafficpolicy/backends/bundle"
	"github.com/trafficpolicy/trafficpolicy/model"
)

// verdict returns the chain of rule i of the list: it counts, and ends the packet.
func (l *lister) verdict(i int) string {
	r := &l.list.Rules[i]
	name := r.Ref.String()
	if old, ok := l.rules[name]; ok {
		if err := sameAction(old, r.Action.String()); err != nil {
			l.fail(err)
		}
		return gen("r_%s", old.ID)
	}
	text, err := comment(name)
	if err != nil {
		l.fail(err)
	}
	rule := bundle.Rule{ID: bundle.ID(name), Name: name, Action: r.Action.String()}
	l.rules[name] = rule
	l.objects = append(l.objects, object{rule: &ruleChain{rule, r.Action, l.side, text}})
	return gen("r_%s", rule.ID)
}

// sameAction is an error where a rule of the name that known has acts otherwise.
func sameAction(known bundle.Rule, action string) error {
	if known.Action != action {
		return fmt.Errorf("%s is both %s and %s", known.Name, known.Action, action)
	}
	return nil
}

// defaultDeny returns the chain for packets that no rule of the list matches.
func (l *lister) defaultDeny(id string) string {
	c := &denyChain{id, l.side}
	if !l.deny {
		l.deny = true
		l.objects = append(l.objects, object{deny: c})
	}
	return c.name()
}

// end adds what a denial does. A reject tells the sender: a reset to TCP, to
// others that it is prohibited; the kernel answers no resets, no ICMP errors and
// no multicast.
func (e *emitter) end(chain string, a model.Action) {
	if a == model.Reject {
		e.out.rule(chain, "meta l4proto tcp reject with tcp reset")
		e.out.rule(chain, "reject with icmpx type admin-prohibited")
		return
	}
	e.out.rule(chain, "drop")
}

// liftSelf adds, before a denial, that a pod reaches itself.
func (e *emitter) liftSelf(chain string, s side) {
	for _, f := range fams {
		e.out.rule(chain, "meta nfproto %s jump %s", f.nfproto, gen("self_%s%s", s.n, f.n))
	}
}
