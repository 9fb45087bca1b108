package space

import (
	"cmp"
	"math"
	"slices"

	"github.com/trafficpolicy/trafficpolicy/model"
)

// Flatten computes the table of a list for one family. Prefixes of a peer with
// an Atom are ignored: the atom alone stands for it. The table of a list that is
// not Isolated has no rule anywhere. Returns a *LimitError where the decisions of
// the list are too many to write down.
func Flatten(list *model.RuleList, f model.Family) (*Table, error) {
	return flatten(list, f, fewCells, realBounds)
}

func flatten(list *model.RuleList, f model.Family, few int, most bounds) (*Table, error) {
	conds, err := newConditions(list, most.conditionals)
	if err != nil {
		return nil, err
	}
	t := newTree(blockRules(list, f), f)
	t.internRulesets(len(list.Rules))
	fl := flattener{
		list:     list,
		few:      few,
		most:     most.cells,
		tree:     t,
		conds:    conds,
		axis:     newAxis(ruleSets(list)),
		store:    newStore(),
		known:    make(map[inherited]DecisionID),
		profiles: make(map[DecisionID]*profile),
	}
	fl.lowest = newMinTree(fl.axis.slots(), nil)
	fl.alone = newMinTree(fl.axis.slots(), nil)
	return fl.table(f)
}

func ruleSets(list *model.RuleList) []model.L4Set {
	if !list.Isolated {
		return nil
	}
	sets := make([]model.L4Set, len(list.Rules))
	for i := range list.Rules {
		sets[i] = list.Rules[i].L4
	}
	return sets
}

// flattener walks the tree from the root down. lowest holds, at each node, the
// first rule among its ancestors' and its own; alone is empty between uses.
type flattener struct {
	list          *model.RuleList
	few           int // fewCells, but in tests
	most          int // cells of the table
	tree          *tree
	conds         *conditions
	axis          *axis
	lowest, alone *minTree
	store         *store
	known         map[inherited]DecisionID
	profiles      map[DecisionID]*profile
	spans         []span // scratch
	won           []Cell // scratch
}

// inherited is all that a node's decision depends on: siblings with the same
// rules decide alike.
type inherited struct {
	parent  DecisionID
	ruleset int32
}

func (fl *flattener) table(f model.Family) (*Table, error) {
	nodes := fl.tree.nodes
	out := &Table{Family: f}
	decisions := make([]DecisionID, len(nodes))
	marks := make([]int, len(nodes))
	open := int32(-1) // the node whose rules were applied last
	for i := range nodes {
		n := &nodes[i]
		for ; open != n.parent; open = nodes[open].parent {
			fl.lowest.undo(marks[open])
		}
		marks[i] = fl.lowest.mark()
		above := NoDecision
		if n.parent >= 0 {
			above = decisions[n.parent]
		}
		id := fl.decide(int32(i), above)
		if fl.store.cells > fl.most {
			return nil, &LimitError{What: "stretches of ports under distinct prefixes", Max: fl.most}
		}
		decisions[i] = id
		open = int32(i)
		if i == 0 || id != above {
			out.Entries = append(out.Entries, Entry{n.prefix(f), id})
		}
	}
	out.Decisions = fl.store.decisions
	return out, nil
}

// decide returns the decision of node i, whose parent's is above. Afterwards
// lowest has the node's rules, unless no child will ask.
func (fl *flattener) decide(i int32, above DecisionID) DecisionID {
	n := &fl.tree.nodes[i]
	key := inherited{above, n.ruleset}
	id, ok := NoDecision, false
	if fl.tree.common[n.ruleset] {
		id, ok = fl.known[key]
	}
	if ok && n.end == i+1 {
		return id
	}
	mark := fl.lowest.mark()
	own, all := fl.win(fl.lowest, n.rules, fl.few+growth*len(n.rules))
	switch {
	case ok:
		return id
	case all && i == 0:
		id = fl.store.put(sortCells(fl.defaults(own)), NoDecision)
	case all && len(own) == 0:
		id = above
	case all:
		id = fl.store.put(sortCells(own), above)
	default:
		if id = fl.layered(n, above); id == NoDecision {
			fl.lowest.undo(mark)
			own, _ = fl.win(fl.lowest, n.rules, everyCell)
			if i == 0 {
				own = fl.defaults(own)
			}
			id = fl.store.put(sortCells(own), above)
		}
	}
	if fl.tree.common[n.ruleset] {
		fl.known[key] = id
	}
	return id
}

// everyCell is more cells than one node has: the axis has fewer points.
const everyCell = math.MaxInt

// win applies rules to t in order and returns the cells in which each is the
// first. It reports false, with some of the cells, where they are more than most.
// They are good until the next call.
func (fl *flattener) win(t *minTree, rules []int32, most int) (won []Cell, all bool) {
	won = fl.won[:0]
	for _, r := range rules {
		for _, ports := range fl.list.Rules[r].L4 {
			s := fl.axis.span(ports)
			if len(won) <= most {
				fl.spans = t.above(fl.spans, s, r, most)
				for _, w := range fl.spans {
					won = fl.conds.split(won, fl.axis.points(w), r)
				}
			}
			t.lower(s, r)
		}
	}
	fl.won = won
	return won, len(won) <= most
}

// defaults adds the cells in which only rules under conditions match.
func (fl *flattener) defaults(own []Cell) []Cell {
	if fl.conds == nil {
		return own
	}
	fl.spans = fl.lowest.above(fl.spans, span{0, fl.axis.slots()}, none-1, everyCell)
	for _, s := range fl.spans {
		own = fl.conds.split(own, fl.axis.points(s), NoRule)
	}
	return own
}

// sortCells sorts cells, in place, and joins those that abut and agree.
func sortCells(cells []Cell) []Cell {
	slices.SortFunc(cells, func(a, b Cell) int { return cmp.Compare(a.First, b.First) })
	out := cells[:0]
	for _, c := range cells {
		out = appendCell(out, c)
	}
	return out
}
