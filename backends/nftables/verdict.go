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
	id := bundle.ID(name)
	chain := gen("r_%s", id)
	if old, ok := l.rules[name]; ok {
		if old.Action != r.Action.String() {
			l.fail(fmt.Errorf("%s is both %s and %s", name, old.Action, r.Action))
		}
		return chain
	}
	l.oneMore()
	l.rules[name] = bundle.Rule{ID: id, Name: name, Action: r.Action.String()}
	text, err := comment(name)
	if err != nil {
		l.fail(err)
	}
	counter := RulePrefix + id
	l.out.chain(chain)
	l.out.counter(counter)
	if r.Action.Allows() {
		l.out.rule(chain, `counter name "%s" accept %s`, counter, text)
		return chain
	}
	l.liftSelf(chain, l.side)
	l.out.rule(chain, `counter name "%s" %s`, counter, text)
	l.out.rule(chain, "%s", logged(counter))
	l.end(chain, r.Action)
	return chain
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

// defaultDeny returns the chain for packets of direction s that no rule of a
// class matches.
func (e *emitter) defaultDeny(id string, s side) string {
	chain := gen("d_%s", id)
	if _, ok := e.known[chain]; ok {
		return chain
	}
	e.oneMore()
	e.known[chain] = chain
	counter := DefaultPrefix + id
	e.out.chain(chain)
	e.out.counter(counter)
	e.liftSelf(chain, s)
	e.out.rule(chain, `counter name "%s"`, counter)
	e.out.rule(chain, "%s", logged(counter))
	e.end(chain, model.Deny)
	return chain
}
