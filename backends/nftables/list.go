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

// listKey tells the lists apart: classes of the same policies share theirs.
type listKey struct {
	id string // of the default deny
	model.Family
}

func (e *emitter) listKey(class int, s side, f fam) listKey {
	return listKey{bundle.ID(bundle.DefaultName(s.String(), bundle.PolicyRefs(&e.p.Classes[class]))), f.Family}
}

// job is one list of one family.
type job struct {
	class *compiler.ProgramClass
	side  side
	fam   fam
}

// jobs returns each list once, in the order in which they are written.
func (e *emitter) jobs() []job {
	var out []job
	seen := map[listKey]bool{}
	for c := range e.p.Classes {
		for _, f := range fams {
			for _, s := range sides {
				if key := e.listKey(c, s, f); !seen[key] {
					seen[key] = true
					out = append(out, job{&e.p.Classes[c], s, f})
				}
			}
		}
	}
	return out
}

// recordingKey tells what is kept of a class.
type recordingKey struct {
	model.Direction
	model.Family
}

// recording returns the chain that judges packets by one direction's rules of a
// class, with all that it leads to. It is made once for all programs that have the
// class. It ends every packet: the first rule that matches, else the default deny.
func (j *job) recording() (*recording, error) {
	return compiler.Remember(j.class.Memo, recordingKey{j.side.Direction, j.fam.Family}, func() (*recording, error) {
		return record(j.class, j.side, j.fam)
	})
}

// record writes it.
//
// Domain names stand between maps, since what they mean may change under the
// artifact: the rules before one, flattened; the name; the rules behind it.
func record(c *compiler.ProgramClass, s side, f fam) (*recording, error) {
	l := &lister{recorder: newRecorder(), list: c.List(s.Direction), side: s, fam: f}
	if !l.list.Isolated {
		l.lines = []string{"accept"}
		return l.finish()
	}
	for i := 0; i < len(l.list.Rules) && !l.done; i++ {
		if err := l.rule(i); err != nil {
			return nil, err
		}
	}
	if err := l.flush(); err != nil {
		return nil, err
	}
	if !l.done {
		l.lines = append(l.lines, "goto "+l.defaultDeny(bundle.ID(bundle.DefaultName(s.String(), bundle.PolicyRefs(c)))))
	}
	return l.finish()
}

// finish writes the list's own chain.
func (l *lister) finish() (*recording, error) {
	root := l.internChain("list_"+l.side.n+l.fam.n, l.lines)
	for n := range l.objects {
		if token(n) == root {
			l.root = n
		}
	}
	if l.err != nil {
		return nil, l.err
	}
	return &l.recording, nil
}

// lister writes one list.
type lister struct {
	*recorder
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

// rangeText returns the stretch of addresses as nft reads it.
func rangeText(first, last netip.Addr) string {
	if first == last {
		return first.String()
	}
	return first.String() + "-" + last.String()
}
