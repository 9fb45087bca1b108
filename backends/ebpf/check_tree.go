package ebpf

import (
	"errors"
	"fmt"
)

// level is one level of nodes of a tree.
type level struct {
	at    int // first word
	nodes int
	words int // of a node
}

// tree takes the slots of a tree of so many levels below its root and checks it.
func (c *checker) tree(r Ref, depth int) (found, error) {
	if r.slot()%2 != 0 {
		return found{}, errors.New("it does not begin a line")
	}
	if err := c.claim(r, int(r.slot()), 2); err != nil {
		return found{}, err
	}
	root := slotWords * int(r.slot())
	keys, err := c.ascending(root, rootKeys)
	if err != nil {
		return found{}, err
	}
	for l := depth; l < maxDepth; l++ {
		if c.word(root+rootKeys+l) != 0 {
			return found{}, fmt.Errorf("it names a level %d", l+1)
		}
	}
	levels := make([]level, depth)
	children := keys + 1
	for l := range levels {
		if levels[l], err = c.level(c.word(root+rootKeys+l), children, l == depth-1); err != nil {
			return found{}, fmt.Errorf("level %d: %w", l+1, err)
		}
		if l < depth-1 {
			if children, err = c.children(&levels[l]); err != nil {
				return found{}, fmt.Errorf("level %d: %w", l+1, err)
			}
		}
	}
	leaves := &levels[depth-1]
	n := found{first: leaves.at, leaves: leaves.nodes, keys: lineKeys, capacity: lineKeys}
	if n.last, err = c.leafLevel(leaves, &n); err != nil {
		return found{}, fmt.Errorf("level %d: %w", depth, err)
	}
	return n, c.ends(root, levels)
}

// level takes the slots of a level.
func (c *checker) level(slot uint32, nodes int, leaves bool) (level, error) {
	out := level{slotWords * int(slot), nodes, lineWords}
	if leaves {
		out.words = leafWords
	}
	if slot%2 != 0 || slot > MaxSlots {
		return out, fmt.Errorf("slot %d does not begin a line of the graph", slot)
	}
	return out, c.claim(taken, int(slot), nodes*(out.words/slotWords))
}

// children returns how many nodes the level below has: every node but the last
// of a level has all that it can have.
func (c *checker) children(l *level) (int, error) {
	for i := range l.nodes {
		n, err := c.ascending(l.at+i*l.words, lineKeys)
		if err != nil {
			return 0, err
		}
		if i == l.nodes-1 {
			return fanout*i + n + 1, nil
		}
		if n != lineKeys {
			return 0, errors.New("a node that is not its last is not full")
		}
	}
	return 0, nil
}

// leafLevel checks the leaves of a tree, each by itself and with the next, and
// returns how many intervals the last has.
func (c *checker) leafLevel(l *level, n *found) (last int, err error) {
	before := uint32(0)
	for i := range l.nodes {
		at := l.at + i*l.words
		if i > 0 && c.word(at) <= before {
			return 0, errors.New("its keys do not ascend")
		}
		before = c.word(at + lineKeys - 1)
		if i == l.nodes-1 {
			if last, err = c.keys(at, n); err != nil {
				return 0, err
			}
			return last, c.zero(at+lineKeys+last, at+l.words)
		}
		if k, err := c.ascending(at, lineKeys); err != nil || k != lineKeys {
			return 0, errors.Join(errors.New("a leaf that is not its last is not full"), err)
		}
	}
	return 0, nil
}

// ends checks that the keys of inner nodes are the last keys of their children.
func (c *checker) ends(root int, levels []level) error {
	spans := 1 // leaves below a node of the level
	for l := len(levels) - 1; l >= 0; l-- {
		above, per := level{root, 1, lineWords}, rootChildren
		if l > 0 {
			above, per = levels[l-1], fanout
		}
		for i := range levels[l].nodes {
			if i == levels[l].nodes-1 || i%per == per-1 {
				continue // the last child has no key
			}
			key := c.word(above.at + i/per*above.words + i%per)
			if key != c.lastKeyOf(&levels[len(levels)-1], spans*(i+1)-1) {
				return fmt.Errorf("level %d: a key is not where node %d ends", l, i)
			}
		}
		spans *= fanout
	}
	return nil
}

// lastKeyOf returns the last key of a leaf that is not the last.
func (c *checker) lastKeyOf(leaves *level, i int) uint32 {
	return c.word(leaves.at + i*leaves.words + lineKeys - 1)
}
