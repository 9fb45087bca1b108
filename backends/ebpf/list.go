package ebpf

import (
	"fmt"
	"strings"

	"github.com/trafficpolicy/trafficpolicy/compiler"
	"github.com/trafficpolicy/trafficpolicy/compiler/space"
	"github.com/trafficpolicy/trafficpolicy/model"
)

// maxL4Steps is how many nodes may be visited behind the words of an address.
const maxL4Steps = MaxSteps - 4

// lastWords is the last address of either family.
var lastWords = addrWords{lastKey, lastKey, lastKey, lastKey}

// listKey tells the lists apart: classes of the same policies share theirs.
type listKey struct {
	id string // of the default deny
	model.Family
}

func (e *emitter) listKey(class int, d model.Direction, f model.Family) listKey {
	return listKey{e.defaults[len(model.Directions)*class+int(d)].ID, f}
}

// lists writes what each class decides in both directions and families.
func (e *emitter) lists() error {
	jobs := e.jobs()
	pieces, stop := compiler.InOrder(len(jobs), func(i int) (*piece, error) { return jobs[i].result() })
	defer stop()
	for i := range jobs {
		p, err := pieces()
		if err != nil {
			return err
		}
		e.roots[jobs[i].key] = e.link(p)
		if e.err != nil {
			return e.err
		}
	}
	return nil
}

// job is one list of one family.
type job struct {
	key   listKey
	class *compiler.ProgramClass
	list  *model.RuleList
}

// jobs returns each list once, in the order of the classes.
func (e *emitter) jobs() []job {
	var out []job
	seen := map[listKey]bool{}
	for c := range e.p.Classes {
		for _, d := range model.Directions {
			for _, f := range model.Families {
				key := e.listKey(c, d, f)
				if seen[key] {
					continue
				}
				seen[key] = true
				out = append(out, job{key, &e.p.Classes[c], e.p.Classes[c].List(d)})
			}
		}
	}
	return out
}

// lister writes one list.
type lister struct {
	*recorder
	job
	table     *space.Table
	terminals []Ref // by rule of the list, 0 where not asked yet
	decisions []walk
	numbers   map[conditionals]uint32 // of chains
	gap       Ref                     // where no rule matches
}

// walk is where a decision begins, and the most nodes that it may visit; no
// decision has been written where steps is below zero.
type walk struct {
	ref   Ref
	steps int
}

func (l *lister) root() Ref {
	if !l.list.Isolated {
		return l.decider(VerdictAllow, notSelected)
	}
	l.terminals = make([]Ref, len(l.list.Rules))
	l.numbers = map[conditionals]uint32{}
	l.gap = l.decider(VerdictDeny, l.key.id)
	l.decisions = make([]walk, len(l.table.Decisions))
	for i := range l.decisions {
		l.decisions[i].steps = -1
	}
	ranges := l.table.Ranges()
	in := make([]stretch, 0, len(ranges))
	for _, r := range ranges {
		in = append(in, stretch{wordsOf(r.First), wordsOf(r.Last), l.decision(r.Decision).ref})
	}
	return l.addresses(WordPeer, l.key.Family).search(in, 0)
}

// decision returns where decision d begins: what comes before its cells, then
// they, then what is behind.
func (l *lister) decision(d space.DecisionID) walk {
	if d == space.NoDecision {
		return walk{l.gap, 0}
	}
	if w := l.decisions[d]; w.steps >= 0 {
		return w
	}
	dec := &l.table.Decisions[d]
	rest := l.decision(dec.Else)
	w := l.points(dec.Cells, rest)
	if dec.Before != space.NoDecision {
		before := l.points(l.table.Decisions[dec.Before].Cells, walk{NoMatch, 0})
		w = walk{l.sequence(before.ref, w.ref), 1 + before.steps + w.steps}
	}
	if w.steps > maxL4Steps {
		w = l.points(l.table.Cells(d), walk{l.gap, 0})
	}
	l.decisions[d] = w
	return w
}

// points returns the node that looks up the L4 point in cells; rest is what to do
// where there is none.
func (l *lister) points(cells []space.Cell, rest walk) walk {
	in := make([]interval, 0, 2*len(cells)+1)
	steps := rest.steps
	next := model.L4(0)
	for i := range cells {
		c := &cells[i]
		if c.First > next {
			in = join(in, uint32(c.First)-1, rest.ref)
		}
		in = join(in, uint32(c.Last), l.cell(c))
		next = c.Last + 1
		if c.If != nil {
			steps = max(steps, 1)
		}
	}
	if next <= model.L4Last {
		in = join(in, lastKey, rest.ref)
	}
	in[len(in)-1].last = lastKey
	if len(in) > 1 {
		steps++
	}
	return walk{l.search(WordL4, in), steps}
}

// cell returns what a cell says: its rule, or first the names before that.
func (l *lister) cell(c *space.Cell) Ref {
	own := l.gap
	if c.Rule != space.NoRule {
		own = l.ruleRef(c.Rule)
	}
	if len(c.If) == 0 {
		return own
	}
	key := conditionals{&c.If[0], len(c.If)}
	n, ok := l.numbers[key]
	if !ok {
		n = l.chainOf(l.links(c.If))
		l.numbers[key] = n
	}
	return l.chain(n, own)
}

func (l *lister) links(conds []space.Conditional) []Link {
	links := make([]Link, len(conds))
	for i, c := range conds {
		name, ok := strings.CutPrefix(string(c.Atom), "fqdn ")
		if !ok {
			l.fail(fmt.Errorf("%s: peer %q has no addresses that an artifact could hold", l.list.Rules[c.Rule].Ref, c.Atom))
		}
		links[i] = Link{name, l.ruleRef(c.Rule)}
	}
	return links
}

// ruleRef returns the terminal of rule i of the list.
func (l *lister) ruleRef(i int32) Ref {
	if l.terminals[i] == 0 {
		l.terminals[i] = l.rule(&l.list.Rules[i])
	}
	return l.terminals[i]
}
