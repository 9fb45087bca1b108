package space

import (
	"slices"
	"sort"
)

// fewCells is how many cells a decision may have, besides some for each of its
// own rules, before its first part is shared with its siblings.
const fewCells = 64

// profile is what layered decisions need to know of the decision above them.
type profile struct {
	cells []Cell       // written out
	rules []int32      // that have a cell, ascending
	early []DecisionID // by number of rules: the cells of the first so many; NoDecision where not yet asked
}

func (fl *flattener) profile(id DecisionID) *profile {
	p := fl.profiles[id]
	if p == nil {
		p = &profile{cells: resolve(fl.store.decisions, id)}
		for i := range p.cells {
			if r := p.cells[i].Rule; r != NoRule {
				p.rules = append(p.rules, r)
			}
		}
		slices.Sort(p.rules)
		p.rules = slices.Compact(p.rules)
		p.early = slices.Repeat([]DecisionID{NoDecision}, len(p.rules)+1)
		fl.profiles[id] = p
		fl.store.cells += len(p.cells)
	}
	return p
}

// layered returns the decision of n as three layers: what decides above and is
// before n's rules, n's rules by themselves, and the rest of what decides above.
// That is possible where nothing above stands between n's rules; else, or where
// the chain would grow too long, it returns NoDecision.
func (fl *flattener) layered(n *node, above DecisionID) DecisionID {
	if above == NoDecision || fl.store.depth[above] >= maxLayered {
		return NoDecision
	}
	p := fl.profile(above)
	first, last := n.rules[0], n.rules[len(n.rules)-1]
	cut := sort.Search(len(p.rules), func(i int) bool { return p.rules[i] >= first })
	if cut == 0 || cut < len(p.rules) && p.rules[cut] <= last {
		return NoDecision
	}
	own, _ := fl.win(fl.alone, n.rules, everyCell)
	fl.alone.undo(0)
	return fl.store.intern(Decision{fl.before(p, cut), sortCells(own), above})
}

// before returns the decision of p's first rules alone, as many as cut says.
func (fl *flattener) before(p *profile, cut int) DecisionID {
	if p.early[cut] == NoDecision {
		var cells []Cell
		for _, c := range p.cells {
			if c.Rule != NoRule && c.Rule <= p.rules[cut-1] {
				cells = append(cells, c)
			}
		}
		p.early[cut] = fl.store.intern(Decision{NoDecision, cells, NoDecision})
	}
	return p.early[cut]
}
