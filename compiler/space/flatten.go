package space

import (
	"cmp"
	"slices"

	"github.com/trafficpolicy/trafficpolicy/model"
)

// Flatten computes the table of a list for one family. Prefixes of a peer with
// an Atom are ignored: the atom alone stands for it. The table of a list that is
// not Isolated has no rule anywhere. Returns a *LimitError where the decisions of
// the list are too many to write down.
func Flatten(list *model.RuleList, f model.Family) (*Table, error) {
	conds, err := newConditions(list)
	if err != nil {
		return nil, err
	}
	t := newTree(list, f)
	fl := flattener{
		list:  list,
		tree:  t,
		conds: conds,
		axis:  newAxis(ruleSets(list)),
		store: newStore(),
		known: make(map[inherited]DecisionID),
	}
	fl.lowest = newMinTree(fl.axis.slots())
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
// first rule among its ancestors' and its own.
type flattener struct {
	list   *model.RuleList
	tree   *tree
	conds  *conditions
	axis   *axis
	lowest *minTree
	store  *store
	known  map[inherited]DecisionID
	spans  []span // scratch
	cells  int    // computed so far
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
		id, err := fl.decide(int32(i), above)
		if err != nil {
			return nil, err
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

// decide returns the decision of node i, whose parent's is above, and applies the
// node's rules where it has children.
func (fl *flattener) decide(i int32, above DecisionID) (DecisionID, error) {
	n := &fl.tree.nodes[i]
	key := inherited{above, n.ruleset}
	id, ok := fl.known[key]
	leaf := n.end == i+1
	if ok && leaf {
		return id, nil
	}
	own := fl.win(n.rules)
	if ok {
		return id, nil
	}
	if i == 0 {
		own = fl.defaults(own)
	}
	slices.SortFunc(own, func(a, b Cell) int { return cmp.Compare(a.First, b.First) })
	own = mergeCells(own)
	if fl.cells += len(own); fl.cells > maxCells {
		return 0, &LimitError{What: "pieces of port ranges under distinct prefixes", Max: maxCells}
	}
	id = above
	if len(own) > 0 || i == 0 {
		id = fl.store.put(own, above)
	}
	fl.known[key] = id
	return id, nil
}

// win applies rules in order and returns the cells in which each is the first.
func (fl *flattener) win(rules []int32) []Cell {
	var won []Cell
	for _, r := range rules {
		for _, ports := range fl.list.Rules[r].L4 {
			s := fl.axis.span(ports)
			fl.spans = fl.lowest.above(fl.spans[:0], s, r)
			for _, w := range fl.spans {
				won = fl.conds.split(won, fl.axis.points(w), r)
			}
			if len(fl.spans) > 0 {
				fl.lowest.lower(s, r)
			}
		}
	}
	return won
}

// defaults adds the cells in which only rules under conditions match.
func (fl *flattener) defaults(own []Cell) []Cell {
	if fl.conds == nil {
		return own
	}
	fl.spans = fl.lowest.above(fl.spans[:0], span{0, fl.axis.slots()}, none-1)
	for _, s := range fl.spans {
		own = fl.conds.split(own, fl.axis.points(s), NoRule)
	}
	return own
}

// mergeCells joins cells that abut and agree; cells must be sorted.
func mergeCells(cells []Cell) []Cell {
	var out []Cell
	for _, c := range cells {
		out = appendCell(out, c)
	}
	return out
}
