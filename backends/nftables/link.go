package nftables

import "github.com/trafficpolicy/trafficpolicy/model"

// link writes the objects of a recording that the generation does not have yet, and
// returns the name of its list. Objects are numbered as they come, so the order of
// recordings decides what is called how.
func (e *emitter) link(p *recording) string {
	names := make([]string, len(p.objects))
	for i := range p.objects {
		switch o := &p.objects[i]; {
		case o.rule != nil:
			e.ruleChain(o.rule)
		case o.deny != nil:
			e.denyChain(o.deny)
		default:
			e.interned(o, i, names)
		}
	}
	return names[p.root]
}

// interned writes object i of a recording where it is new, and adds its name to names,
// which has those of the objects before it.
func (e *emitter) interned(o *object, i int, names []string) {
	key := string(o.key[:])
	if name, ok := e.known[key]; ok {
		names[i] = name
		return
	}
	names[i] = gen("%s_%d", o.kind, e.number[o.kind])
	e.number[o.kind]++
	e.known[key] = names[i]
	for part, b := range e.out.parts() {
		o.commands[part].write(b, names)
	}
	e.out.count += o.count
}

// ruleChain writes the verdict chain of a rule where it is new: it counts, and
// ends the packet.
func (e *emitter) ruleChain(c *ruleChain) {
	if old, ok := e.rules[c.Name]; ok {
		if err := sameAction(old, c.Action); err != nil {
			e.fail(err)
		}
		return
	}
	e.oneMore()
	e.rules[c.Name] = c.Rule
	chain, counter := gen("r_%s", c.ID), RulePrefix+c.ID
	e.out.chain(chain)
	e.out.counter(counter)
	if c.action.Allows() {
		e.out.rule(chain, `counter name "%s" accept %s`, counter, c.comment)
		return
	}
	e.liftSelf(chain, c.side)
	e.out.rule(chain, `counter name "%s" %s`, counter, c.comment)
	e.out.rule(chain, "%s", logged(counter))
	e.end(chain, c.action)
}

// denyChain writes the chain for packets that no rule of a list matches, where it
// is new.
func (e *emitter) denyChain(c *denyChain) {
	chain := c.name()
	if _, ok := e.known[chain]; ok {
		return
	}
	e.oneMore()
	e.known[chain] = chain
	counter := DefaultPrefix + c.id
	e.out.chain(chain)
	e.out.counter(counter)
	e.liftSelf(chain, c.side)
	e.out.rule(chain, `counter name "%s"`, counter)
	e.out.rule(chain, "%s", logged(counter))
	e.end(chain, model.Deny)
}
