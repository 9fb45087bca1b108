package space

import (
	"cmp"
	"slices"

	"github.com/trafficpolicy/trafficpolicy/model"
)

// node is one distinct prefix of a list. Nodes are sorted so that a node stands
// behind its ancestors and before whatever follows its subtree.
type node struct {
	block
	parent int32 // index of the closest block around it, -1 for the root
	end    int32 // index behind the last node of its subtree
	// rules are those that have a peer of exactly this block, ascending, each
	// once. Shared by the nodes of one ruleset.
	ruleset int32
	rules   []int32
}

// tree holds every prefix of the peers without an atom, of one family. Its first
// node is the family's /0, whether or not a peer has it.
type tree struct {
	nodes []node
	sets  int // distinct rulesets
}

// blockRule is one prefix of a rule, or of a unit.
type blockRule struct {
	block
	rule int32
}

// newTree returns the tree of pairs, which are sorted, each once.
func newTree(pairs []blockRule, f model.Family) *tree {
	rules := make([]int32, len(pairs))
	for i, p := range pairs {
		rules[i] = p.rule
	}
	distinct := 1
	for i := range pairs {
		if i == 0 || pairs[i].block != pairs[i-1].block {
			distinct++
		}
	}
	t := &tree{nodes: make([]node, 1, distinct)}
	t.nodes[0] = node{block: toBlock(f.All()), parent: -1}
	for i := 0; i < len(pairs); {
		j := i + 1
		for j < len(pairs) && pairs[j].block == pairs[i].block {
			j++
		}
		if own := rules[i:j:j]; pairs[i].block == t.nodes[0].block {
			t.nodes[0].rules = own
		} else {
			t.nodes = append(t.nodes, node{block: pairs[i].block, rules: own})
		}
		i = j
	}
	t.link()
	return t
}

// blockRules returns each block and rule of the peers without an atom, sorted,
// each pair once.
func blockRules(list *model.RuleList, f model.Family) []blockRule {
	if !list.Isolated {
		return nil
	}
	pairs := make([]blockRule, 0, len(list.Rules))
	for i := range list.Rules {
		for j := range list.Rules[i].Peers {
			p := &list.Rules[i].Peers[j]
			if p.Atom != "" {
				continue
			}
			for _, prefix := range p.Prefixes {
				if model.FamilyOf(prefix.Addr()) == f {
					pairs = append(pairs, blockRule{toBlock(prefix), int32(i)})
				}
			}
		}
	}
	return sortPairs(pairs)
}

// sortPairs sorts pairs and drops repetitions.
func sortPairs(pairs []blockRule) []blockRule {
	slices.SortFunc(pairs, func(a, b blockRule) int {
		return cmp.Or(a.block.compare(b.block), cmp.Compare(a.rule, b.rule))
	})
	return slices.Compact(pairs)
}

// link finds parents and subtree ends with a stack of the blocks that are open.
func (t *tree) link() {
	stack := []int32{0}
	for i := 1; i < len(t.nodes); i++ {
		for !t.nodes[stack[len(stack)-1]].contains(t.nodes[i].first) {
			t.nodes[stack[len(stack)-1]].end = int32(i)
			stack = stack[:len(stack)-1]
		}
		t.nodes[i].parent = stack[len(stack)-1]
		stack = append(stack, int32(i))
	}
	for _, i := range stack {
		t.nodes[i].end = int32(len(t.nodes))
	}
}

// internRulesets numbers equal lists of rules alike.
func (t *tree) internRulesets() {
	ids := make(map[string]int32)
	var buf []byte
	for i := range t.nodes {
		n := &t.nodes[i]
		buf = buf[:0]
		for _, r := range n.rules {
			buf = append(buf, byte(r), byte(r>>8), byte(r>>16), byte(r>>24))
		}
		id, ok := ids[string(buf)]
		if !ok {
			id = int32(len(ids))
			ids[string(buf)] = id
		}
		n.ruleset = id
	}
	t.sets = len(ids)
}
