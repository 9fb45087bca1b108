package ebpf

import (
	"encoding/binary"
	"fmt"

	"github.com/trafficpolicy/trafficpolicy/backends/bundle"
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

// decider returns the terminal of the decider with this id.
func (e *emitter) decider(verdict uint32, id string) Ref {
	i, ok := e.deciders[id]
	if !ok {
		if i = uint32(len(e.deciders)); int(i) == e.limits.deciders {
			e.fail(&LimitError{
				What: "rules and default denies that decide", Max: e.limits.deciders,
				Hint: "join rules of one action into one with several peers, or compile for fewer pods (--pod)",
			})
			return terminal(verdict, 0)
		}
		e.deciders[id] = i
		e.tables.Deciders = append(e.tables.Deciders, id)
	}
	return terminal(verdict, i)
}

// verdicts of actions.
var verdicts = [...]uint32{model.Allow: VerdictAllow, model.Deny: VerdictDeny, model.Reject: VerdictReject}

// rule returns the terminal of a rule.
func (e *emitter) rule(r *model.ListRule) Ref {
	name := r.Ref.String()
	known, ok := e.rules[name]
	if !ok {
		known = bundle.Rule{ID: bundle.ID(name), Name: name, Action: r.Action.String()}
		e.rules[name] = known
	}
	if known.Action != r.Action.String() {
		e.fail(fmt.Errorf("%s is both %s and %s", name, known.Action, r.Action))
	}
	return e.decider(verdicts[r.Action], known.ID)
}

// chainOf returns the number of the chain with these links.
func (e *emitter) chainOf(links []Link) uint32 {
	var key []byte
	for _, l := range links {
		key = binary.LittleEndian.AppendUint32(append(append(key, l.Name...), 0), uint32(l.Ref))
	}
	n, ok := e.chains[string(key)]
	if !ok {
		n = uint32(len(e.chains))
		e.chains[string(key)] = n
		e.tables.Chains = append(e.tables.Chains, links)
		if e.links += len(links); e.links > e.limits.links {
			e.fail(&LimitError{
				What: "entries in the lists of domain names that stand before other rules", Max: e.limits.links,
				Hint: "put the rules with domain names next to one another",
			})
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
