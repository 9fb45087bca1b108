package ebpf

import (
	"github.com/trafficpolicy/trafficpolicy/compiler/space"
	"github.com/trafficpolicy/trafficpolicy/model"
)

// maxLinks bounds the entries of all chains: a loader resolves each of them
// against the addresses of its name.
const maxLinks = 1 << 20

// maxNameAddrs bounds the addresses of the names of all chains: a loader enters each
// of them for each chain, at about 80 bytes of kernel memory.
const maxNameAddrs = 1 << 22

// notSelected is the decider of directions that no policy speaks of.
const notSelected = ""

// verdicts of actions.
var verdicts = [...]uint32{model.Allow: VerdictAllow, model.Deny: VerdictDeny, model.Reject: VerdictReject}

// decider returns the index of a decider, and notes its rule.
func (e *emitter) decider(d *decider) uint32 {
	if d.rule.Name != "" {
		if known, ok := e.rules[d.rule.Name]; !ok {
			e.rules[d.rule.Name] = d.rule
		} else if err := sameAction(known, d.rule.Action); err != nil {
			e.fail(err)
		}
	}
	i, ok := e.deciders[d.id]
	if !ok {
		if i = uint32(len(e.deciders)); int(i) == e.limits.deciders {
			e.fail(&LimitError{
				What: "rules and default denies that decide", Max: e.limits.deciders,
				Hint: "join rules of one action into one with several peers, or compile for fewer pods (--pod)",
			})
			return 0
		}
		e.deciders[d.id] = i
		e.tables.Deciders = append(e.tables.Deciders, d.id)
	}
	return i
}

// chainOf returns the number of the chain with these links.
func (e *emitter) chainOf(links []Link) uint32 {
	key := linksKey(links)
	n, ok := e.chains[key]
	if !ok {
		n = uint32(len(e.chains))
		e.chains[key] = n
		e.tables.Chains = append(e.tables.Chains, links)
		if e.links += len(links); e.links > e.limits.links {
			e.fail(linksError(e.limits.links))
		}
		for _, l := range links {
			e.nameAddrs += e.addrsOf[l.Name]
		}
		if e.nameAddrs > e.limits.addresses {
			e.fail(&LimitError{
				What: "addresses of domain names, counted in each list of names that stand before other rules", Max: e.limits.addresses,
				Hint: "put the rules with domain names next to one another, or give fewer addresses with --resolve",
			})
		}
	}
	return n
}

// conditionals are the names before a rule, told apart by where they stand in
// memory: cells share them.
type conditionals struct {
	first *space.Conditional
	n     int
}
