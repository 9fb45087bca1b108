package space

import (
	"cmp"
	"encoding/binary"
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
	nodes  []node
	common []bool          // by ruleset: several nodes have it
	memory recycler[piece] // of the pieces of a walk
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

// sortPairs sorts pairs, which come in order of their rules, by block, and drops
// repetitions.
func sortPairs(pairs []blockRule) []blockRule {
	const few = 512
	if len(pairs) <= few {
		slices.SortFunc(pairs, func(a, b blockRule) int {
			return cmp.Or(a.block.compare(b.block), cmp.Compare(a.rule, b.rule))
		})
	} else {
		radixSort(pairs)
	}
	return slices.Compact(pairs)
}

// radixSort sorts by block, stable: byte after byte, from the length to the first
// of the address, leaving out those that are the same in all.
func radixSort(pairs []blockRule) {
	const bytes = 17
	var differ block
	for i := range pairs {
		differ.first.hi |= pairs[i].first.hi ^ pairs[0].first.hi
		differ.first.lo |= pairs[i].first.lo ^ pairs[0].first.lo
		differ.bits |= pairs[i].bits ^ pairs[0].bits
	}
	from, to := pairs, make([]blockRule, len(pairs))
	for k := range bytes {
		if differ.byteAt(k) == 0 {
			continue
		}
		var at [256]int
		for i := range from {
			at[from[i].byteAt(k)]++
		}
		sum := 0
		for v, n := range at {
			at[v], sum = sum, sum+n
		}
		for i := range from {
			v := from[i].byteAt(k)
			to[at[v]] = from[i]
			at[v]++
		}
		from, to = to, from
	}
	if &from[0] != &pairs[0] {
		copy(pairs, from)
	}
}

// byteAt returns byte k of what blocks are sorted by, the least significant first.
func (b *block) byteAt(k int) byte {
	switch {
	case k == 0:
		return b.bits
	case k <= 8:
		return byte(b.first.lo >> (8 * (k - 1)))
	}
	return byte(b.first.hi >> (8 * (k - 9)))
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

// internRulesets numbers equal lists of rules alike, of a list of so many rules.
func (t *tree) internRulesets(rules int) {
	alone := make([]int32, rules) // number, plus one, of the ruleset of one rule, which most are
	many := make(map[string]int32)
	var buf []byte
	t.common = make([]bool, 0, len(t.nodes))
	for i := range t.nodes {
		n := &t.nodes[i]
		known := false
		if len(n.rules) == 1 {
			n.ruleset, known = alone[n.rules[0]]-1, alone[n.rules[0]] > 0
		} else {
			buf = buf[:0]
			for _, r := range n.rules {
				buf = binary.LittleEndian.AppendUint32(buf, uint32(r))
			}
			n.ruleset, known = many[string(buf)]
		}
		if known {
			t.common[n.ruleset] = true
			continue
		}
		n.ruleset = int32(len(t.common))
		t.common = append(t.common, false)
		if len(n.rules) == 1 {
			alone[n.rules[0]] = n.ruleset + 1
		} else {
			many[string(buf)] = n.ruleset
		}
	}
}
