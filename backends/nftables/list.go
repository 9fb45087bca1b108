package nftables

import (
	"fmt"
	"net/netip"
	"strings"

	"github.com/trafficpolicy/trafficpolicy/backends/bundle"
	"github.com/trafficpolicy/trafficpolicy/compiler"
	"github.com/trafficpolicy/trafficpolicy/compiler/space"
	"github.com/trafficpolicy/trafficpolicy/model"
)

// list returns the chain that judges packets by one direction's rules of class
// c. It ends every packet: the first rule that matches, else the default deny.
//
// Domain names stand between maps, since what they mean may change under the
// artifact: the rules before one, flattened; the name; the rules behind it.
func (e *emitter) list(c *compiler.ProgramClass, s side, f fam) (string, error) {
	rules := c.List(s.Direction)
	id := bundle.ID(bundle.DefaultName(s.String(), bundle.PolicyRefs(c)))
	key := id + f.n
	if name, ok := e.lists[key]; ok {
		return name, nil
	}
	l := &lister{emitter: e, list: rules, side: s, fam: f}
	if rules.Isolated {
		for i := 0; i < len(rules.Rules) && !l.done; i++ {
			if err := l.rule(i); err != nil {
				return "", err
			}
		}
		if err := l.flush(); err != nil {
			return "", err
		}
		if !l.done {
			l.lines = append(l.lines, "goto "+e.defaultDeny(id, s))
		}
	} else {
		l.lines = []string{"accept"}
	}
	name := e.internChain("list_"+s.n+f.n, l.lines)
	e.lists[key] = name
	return name, e.err
}

// lister writes one list.
type lister struct {
	*emitter
	list    *model.RuleList
	side    side
	fam     fam
	lines   []string
	done    bool             // lines end every packet
	segment []model.ListRule // rules without names since the last name
	index   []int            // of each in list
	// of the segment's table
	table   *space.Table
	targets map[space.DecisionID]string
	// tracked and raw are the chains that look at ports: many decisions share what
	// comes before or behind them.
	tracked, raw map[space.DecisionID]string
}

// rule adds rule i: its names first, then what its other peers are to the
// segment that begins there. The order of peers within a rule means nothing.
func (l *lister) rule(i int) error {
	r := l.list.Rules[i]
	plain := r
	plain.Peers = nil
	var names []string
	for _, p := range r.Peers {
		if p.Atom == "" {
			plain.Peers = append(plain.Peers, p)
			continue
		}
		domain, ok := domainOf(p.Atom)
		if !ok {
			return fmt.Errorf("%s: peer %q has no addresses that an artifact could hold", r.Ref, p.Atom)
		}
		names = append(names, domain)
	}
	if len(names) > 0 {
		if err := l.flush(); err != nil {
			return err
		}
		if l.done {
			return nil
		}
		target := l.ruleTarget(i)
		for _, n := range names {
			l.match("@"+nameSetName(n, l.fam), target)
		}
	}
	if len(plain.Peers) > 0 && !l.done {
		l.segment = append(l.segment, plain)
		l.index = append(l.index, i)
	}
	return nil
}

// ruleTarget returns the verdict for packets whose address rule i matches: a
// chain that returns where the ports do not.
func (l *lister) ruleTarget(i int) string {
	var cells []space.Cell
	for _, r := range l.list.Rules[i].L4 {
		cells = append(cells, space.Cell{L4Range: r, Rule: 0})
	}
	l.index = append(l.index[:0], i)
	l.table = &space.Table{Decisions: []space.Decision{{Before: space.NoDecision, Cells: cells, Else: space.NoDecision}}}
	l.reset()
	t := l.target(0)
	l.index = l.index[:0]
	return t
}

// reset forgets the decisions of the table before.
func (l *lister) reset() {
	l.targets, l.tracked, l.raw = map[space.DecisionID]string{}, map[space.DecisionID]string{}, map[space.DecisionID]string{}
}

// match adds the rules that send packets whose peer is in a set, or looked up in
// a map ("vmap @..."), on: by the connection, or untracked by the packet.
func (l *lister) match(set, verdict string) {
	if verdict != "" {
		set += " " + verdict
	}
	l.lines = append(l.lines,
		fmt.Sprintf("ct "+l.side.tuple+" %s", l.fam.ip, set),
		fmt.Sprintf("ct state untracked %s %s %s", l.fam.ip, l.side.address, set))
}

// flush flattens the segment into one map. What the map does not hold, or sends
// to a chain that returns, goes on to what follows.
func (l *lister) flush() error {
	if len(l.segment) == 0 {
		return nil
	}
	t, err := space.Flatten(&model.RuleList{Direction: l.list.Direction, Isolated: true, Rules: l.segment}, l.fam.Family)
	if err != nil {
		return fmt.Errorf("%s of %s: %w", l.list.Direction, l.list.Rules[0].Ref.Policy.Ref(), err)
	}
	l.table = t
	l.reset()
	var elements []string
	whole := ""
	for _, r := range t.Ranges() {
		target := l.target(r.Decision)
		if target == "" {
			continue
		}
		if r.First == l.fam.All().Addr() && !r.Last.Next().IsValid() {
			whole = target
			break
		}
		elements = append(elements, rangeText(r.First, r.Last)+" : "+target)
	}
	switch {
	case whole != "":
		l.lines = append(l.lines, whole)
		l.done = strings.HasPrefix(whole, "goto ")
	case len(elements) > 0:
		l.match("vmap @"+l.addressMap(elements), "")
	}
	l.segment, l.index = nil, nil
	return l.err
}

func (l *lister) addressMap(elements []string) string {
	return l.internMap("map"+l.fam.n, l.fam.addrType, elements)
}

// internMap returns the interval map with these elements.
func (e *emitter) internMap(kind, typ string, elements []string) string {
	size := 0
	for _, x := range elements {
		size += len(x) + 1
	}
	content := make([]byte, 0, size)
	for _, x := range elements {
		content = append(append(content, x...), '\n')
	}
	name, fresh := e.intern(kind, string(content))
	if fresh {
		e.out.set("map", name, "type "+typ+" : verdict; flags interval;")
		e.out.add(name, elements)
	}
	return name
}

// rangeText returns the stretch of addresses as nft reads it.
func rangeText(first, last netip.Addr) string {
	if first == last {
		return first.String()
	}
	return first.String() + "-" + last.String()
}
