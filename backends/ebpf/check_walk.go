package ebpf

import (
	"errors"
	"fmt"
	"strings"
)

// summary is all that what stands above a node needs to know of it.
type summary struct {
	steps uint8   // most nodes that a walk from here visits, this one included
	words wordSet // that are looked at
	ends  endSet
	state uint8
}

// States of a node: not visited, on the way to the current one, visited.
const (
	fresh = iota
	open
	done
)

// wordSet is a set of words of a packet.
type wordSet uint16

// String returns the set as a list.
func (s wordSet) String() string {
	var out []string
	for i := range words {
		if s>>i&1 != 0 {
			out = append(out, fmt.Sprint(i))
		}
	}
	return strings.Join(out, ", ")
}

// endSet says where walks end, and that there is a sequence on one.
type endSet uint8

const (
	endDecider endSet = 1 << iota
	endRecord
	endNoRecord
	endNoMatch
	hasSequence
)

// String returns the ends as a list.
func (s endSet) String() string {
	var out []string
	for i, name := range []string{"a decider", "a record", "no record", "no match", "a sequence"} {
		if s>>i&1 != 0 {
			out = append(out, name)
		}
	}
	return strings.Join(out, ", ")
}

var (
	errCycle = errors.New("a walk comes back to where it was")
	errSteps = fmt.Errorf("a walk visits more than %d nodes", MaxSteps)
)

// follow checks what the word at leads to, which it marks where it is the
// terminal of a decider. depth is how many nodes stand before it.
func (c *checker) follow(at, depth int) (summary, error) {
	r := Ref(c.word(at))
	if _, _, ok := r.Decider(); ok {
		c.marked.set(at)
	}
	return c.ref(r, c.bound, depth)
}

// ref checks what r leads to. bound is that of its index.
func (c *checker) ref(r Ref, bound uint32, depth int) (summary, error) {
	if r.Terminal() {
		return c.terminal(r, bound)
	}
	if depth >= MaxSteps {
		return summary{}, errSteps
	}
	if r.slot() == 0 || int(r.slot()) >= c.slots() {
		return summary{}, fmt.Errorf("reference %#x is outside of the graph", uint32(r))
	}
	s := &c.seen[r.slot()]
	switch {
	case s.state != fresh && c.owners[r.slot()] != r:
		return *s, fmt.Errorf("slot %d is in two nodes", r.slot())
	case s.state == open:
		return *s, errCycle
	case s.state == fresh:
		s.state = open
		if err := c.node(r, s, depth+1); err != nil {
			return *s, err
		}
		s.state = done
	}
	return *s, nil
}

// terminal checks where a walk ends.
func (c *checker) terminal(r Ref, bound uint32) (summary, error) {
	a, i, ok := r.Decider()
	switch {
	case r == NoRecord:
		return summary{ends: endNoRecord}, nil
	case r == NoMatch:
		return summary{ends: endNoMatch}, nil
	case !ok && r.index() < uint32(len(c.records)):
		return summary{ends: endRecord}, nil
	case !ok:
		return summary{}, fmt.Errorf("record %d is not one of %d", r.index(), len(c.records))
	case i >= bound:
		return summary{}, fmt.Errorf("decider %d is not one of %d", i, bound)
	case c.placed:
	case c.actions[i] == unused:
		c.actions[i] = action(a)
	case c.actions[i] != action(a):
		return summary{}, fmt.Errorf("decider %d has two verdicts", i)
	}
	return summary{ends: endDecider}, nil
}

// node checks the node of r and all that it leads to. depth counts it.
func (c *checker) node(r Ref, s *summary, depth int) error {
	switch k := r.kind(); {
	case k == KindChain:
		return c.chain(r, s, depth)
	case k == KindSequence:
		return c.sequence(r, s, depth)
	case k > KindSequence:
		return fmt.Errorf("reference %#x has a kind that no node has", uint32(r))
	}
	if r.word() >= words {
		return fmt.Errorf("reference %#x looks at a word that no packet has", uint32(r))
	}
	n, err := c.open(r)
	if err != nil {
		return fmt.Errorf("slot %d: %w", r.slot(), err)
	}
	own := wordSet(1) << r.word()
	behind := ^(own - 1) // own and all behind
	if r.word() != WordL4 {
		behind &^= own
	}
	for i := range n.leaves {
		base, count := c.leaf(&n, i)
		c.intervals += count
		for j := range count {
			x, err := c.follow(base+n.keys+j, depth)
			if err != nil {
				return err
			}
			if x.words&^behind != 0 {
				return fmt.Errorf("slot %d: words %s are looked at behind word %d", r.slot(), x.words, r.word())
			}
			s.above(&x)
		}
	}
	s.words |= own
	return s.visit()
}

// above adds what stands below to s.
func (s *summary) above(below *summary) {
	s.steps = max(s.steps, below.steps)
	s.words |= below.words
	s.ends |= below.ends
}

// visit counts the node itself.
func (s *summary) visit() error {
	if s.steps++; s.steps > MaxSteps {
		return errSteps
	}
	return nil
}

// pair checks the slot of a node that is no search, and returns its first word.
func (c *checker) pair(r Ref) (at int, err error) {
	if r.word() != 0 {
		return 0, fmt.Errorf("reference %#x names a word, which its kind has not", uint32(r))
	}
	if err := c.claim(r, int(r.slot()), 1); err != nil {
		return 0, err
	}
	at = slotWords * int(r.slot())
	for i := 2; i < slotWords; i++ {
		if c.word(at+i) != 0 {
			return 0, fmt.Errorf("slot %d: word %d is not zero", r.slot(), i)
		}
	}
	return at, nil
}

func (c *checker) chain(r Ref, s *summary, depth int) error {
	at, err := c.pair(r)
	if err != nil {
		return err
	}
	number := c.word(at)
	if number >= uint32(len(c.chains)) {
		return fmt.Errorf("slot %d: chain %d is not one of %d", r.slot(), number, len(c.chains))
	}
	x, err := c.links(number, depth)
	if err != nil {
		return err
	}
	s.above(&x)
	if x, err = c.follow(at+1, depth); err != nil {
		return err
	}
	s.above(&x)
	return c.afterAddress(r, s)
}

// links checks what the names of a chain lead to.
func (c *checker) links(number uint32, depth int) (summary, error) {
	s := &c.chains[number]
	if s.state == open {
		return *s, errCycle
	}
	if s.state == done {
		return *s, nil
	}
	s.state = open
	for _, l := range c.tables.Chains[number] {
		x, err := c.ref(l.Ref, uint32(len(c.tables.Deciders)), depth)
		if err != nil {
			return *s, err
		}
		s.above(&x)
	}
	s.state = done
	return *s, nil
}

func (c *checker) sequence(r Ref, s *summary, depth int) error {
	at, err := c.pair(r)
	if err != nil {
		return err
	}
	first, err := c.follow(at, depth)
	if err != nil {
		return err
	}
	if bad := first.ends &^ (endDecider | endNoMatch); bad != 0 {
		return fmt.Errorf("slot %d: the first part of a sequence ends at %s", r.slot(), bad)
	}
	second, err := c.follow(at+1, depth+int(first.steps))
	if err != nil {
		return err
	}
	*s = summary{
		steps: first.steps + second.steps, words: first.words | second.words,
		ends: first.ends&^endNoMatch | second.ends | hasSequence, state: s.state,
	}
	return c.afterAddress(r, s)
}

// afterAddress ends the check of a node that is no search: behind it no walk
// looks at an address.
func (c *checker) afterAddress(r Ref, s *summary) error {
	if bad := s.words &^ (1 << WordL4); bad != 0 {
		return fmt.Errorf("slot %d: words %s are looked at behind a chain or a sequence", r.slot(), bad)
	}
	return s.visit()
}
