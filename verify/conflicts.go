package verify

import (
	"cmp"
	"encoding/binary"
	"math/bits"
	"slices"
	"sync"

	"github.com/trafficpolicy/trafficpolicy/compiler"
	"github.com/trafficpolicy/trafficpolicy/compiler/space"
	"github.com/trafficpolicy/trafficpolicy/model"
	"github.com/trafficpolicy/trafficpolicy/verify/pods"
)

// conflict is a packet that two policies decide differently.
type conflict struct {
	a, b   model.RuleRef // the first matches of the two policies, each taken alone
	packet space.Packet
	pod    *pods.Pod
}

// conflictFinder looks for conflicts. It is safe for concurrent use.
type conflictFinder struct {
	analysis *Analysis
	alone    []aloneTables // by number of the policy
}

// aloneTables is what a policy alone decides.
type aloneTables struct {
	direction [2]struct {
		once   sync.Once
		tables tables
		err    error
	}
}

// tables is what a list decides, by family analysed.
type tables []*space.Table

func newConflictFinder(a *Analysis) *conflictFinder {
	return &conflictFinder{a, make([]aloneTables, len(a.Policies))}
}

// flatten returns the tables of the rules of earlier, then those of p.
func (c *conflictFinder) flatten(earlier []*model.Policy, p *model.Policy, d model.Direction) (tables, error) {
	policies := append(slices.Clone(earlier), p)
	list := c.analysis.Unknown().RuleList(policies, d, compiler.ForAnalysis)
	var out tables
	for _, f := range c.analysis.Families {
		t, err := space.Flatten(list, f)
		if err != nil {
			return nil, err
		}
		out = append(out, t)
	}
	return out, nil
}

// aloneTables returns the tables of p alone.
func (c *conflictFinder) aloneTables(p *model.Policy, d model.Direction) (tables, error) {
	t := &c.alone[c.analysis.numbers()[p]].direction[d]
	t.once.Do(func() { t.tables, t.err = c.flatten(nil, p, d) })
	return t.tables, t.err
}

// crowd is a pod that policies of one priority select, with what they decide
// behind the policies of smaller priority. It is not safe for concurrent use.
type crowd struct {
	*conflictFinder
	pod    *pods.Pod
	behind map[behind]tables
}

type behind struct {
	policy    *model.Policy
	direction model.Direction
}

func (c *conflictFinder) crowd(p *pods.Pod) *crowd { return &crowd{c, p, map[behind]tables{}} }

// conflict returns a conflict of a and b at the pod, nil without one. The error
// is a *[space.LimitError].
func (c *crowd) conflict(a, b *model.Policy) (*conflict, error) {
	for _, d := range model.Directions {
		if !opposed(a.Rules(d), b.Rules(d)) {
			continue
		}
		x, err := c.aloneTables(a, d)
		if err != nil {
			return nil, err
		}
		y, err := c.aloneTables(b, d)
		if err != nil {
			return nil, err
		}
		found := c.compare(a, b, d, x, y, 0)
		if n := c.rulesBefore(a.Priority, d); found != nil && n > 0 {
			// Policies of smaller priority can only take packets away.
			if x, err = c.tablesBehind(a, d); err != nil {
				return nil, err
			}
			if y, err = c.tablesBehind(b, d); err != nil {
				return nil, err
			}
			found = c.compare(a, b, d, x, y, n)
		}
		if found != nil {
			return found, nil
		}
	}
	return nil, nil
}

// opposed reports whether some rule of one list allows what some of the other
// might deny.
func opposed(a, b []model.Rule) bool {
	allows := func(r model.Rule) bool { return r.Action.Allows() }
	denies := func(r model.Rule) bool { return !r.Action.Allows() }
	return slices.ContainsFunc(a, allows) && slices.ContainsFunc(b, denies) ||
		slices.ContainsFunc(a, denies) && slices.ContainsFunc(b, allows)
}

// earlier returns the pod's policies of smaller priority.
func (c *crowd) earlier(priority int) []*model.Policy {
	n, _ := slices.BinarySearchFunc(c.pod.Policies, priority, func(p *model.Policy, priority int) int { return p.Priority - priority })
	return c.pod.Policies[:n]
}

// rulesBefore counts their rules.
func (c *crowd) rulesBefore(priority int, d model.Direction) int {
	n := 0
	for _, p := range c.earlier(priority) {
		n += len(p.Rules(d))
	}
	return n
}

func (c *crowd) tablesBehind(p *model.Policy, d model.Direction) (tables, error) {
	if t, ok := c.behind[behind{p, d}]; ok {
		return t, nil
	}
	t, err := c.flatten(c.earlier(p.Priority), p, d)
	if err == nil {
		c.behind[behind{p, d}] = t
	}
	return t, err
}

// compare returns a packet that x and y decide differently, each by a rule of its
// own policy: those stand behind the first n rules, which both share.
func (c *crowd) compare(a, b *model.Policy, d model.Direction, x, y tables, n int) *conflict {
	const differently space.Kind = 1
	judge := func(i, j int32) space.Kind {
		i, j = i-int32(n), j-int32(n)
		if i >= 0 && j >= 0 && a.Rules(d)[i].Action.Allows() != b.Rules(d)[j].Action.Allows() {
			return differently
		}
		return space.Same
	}
	for i := range x {
		if found := mostSpecific(space.CompareTables(x[i], y[i], judge)); found != nil {
			return &conflict{
				a:      model.RuleRef{Policy: a, Direction: d, Index: int(found.A) - n},
				b:      model.RuleRef{Policy: b, Direction: d, Index: int(found.B) - n},
				packet: found.Witness, pod: c.pod,
			}
		}
	}
	return nil
}

// mostSpecific returns the block that tells a reader most: one that takes nothing
// for granted of unresolved names, of those the one with the fewest addresses, such
// as the one address that a rule was written for. It returns nil without any.
func mostSpecific(blocks []space.Difference) *space.Difference {
	var best *space.Difference
	var size addresses
	for i := range blocks {
		b := &blocks[i]
		n := addressesOf(b)
		if best == nil || cmp.Or(cmp.Compare(len(b.Witness.In), len(best.Witness.In)), n.compare(size)) < 0 {
			best, size = b, n
		}
	}
	return best
}

// addresses is a number of addresses less one, in 128 bits.
type addresses struct{ hi, lo uint64 }

func addressesOf(b *space.Difference) addresses {
	first, last := b.First.As16(), b.Last.As16()
	lo, borrow := bits.Sub64(binary.BigEndian.Uint64(last[8:]), binary.BigEndian.Uint64(first[8:]), 0)
	hi, _ := bits.Sub64(binary.BigEndian.Uint64(last[:8]), binary.BigEndian.Uint64(first[:8]), borrow)
	return addresses{hi, lo}
}

func (n addresses) compare(m addresses) int {
	return cmp.Or(cmp.Compare(n.hi, m.hi), cmp.Compare(n.lo, m.lo))
}
