package verify

import (
	"context"
	"fmt"
	"net/netip"
	"slices"
	"strings"

	"go4.org/netipx"

	"github.com/trafficpolicy/trafficpolicy/compiler"
	"github.com/trafficpolicy/trafficpolicy/compiler/space"
	"github.com/trafficpolicy/trafficpolicy/model"
)

// meaning is one side of a proof: what is decided for every governed address, and
// what is known around that.
type meaning struct {
	podScope bool
	subjects []governed   // by address
	nodes    []netip.Addr // sorted
	names    map[string][]netip.Addr
	closed   *netipx.IPSet // unknown pods; may hold governed addresses
}

// governed is one governed address.
type governed struct {
	pod   string
	addr  netip.Addr
	lists [2]*decided // by direction
}

// decided is a table with those who decide in it, by the rule of its cells.
type decided struct {
	table    *space.Table
	deciders []space.Decider
	labels   []int32 // equal for equal deciders, on both sides
}

// decider returns who decides, and nil where nobody does.
func (d *decided) decider(rule int32) *space.Decider {
	if rule == space.NoRule {
		return nil
	}
	return &d.deciders[rule]
}

// label returns the number of a decider. That of nobody is no decider's.
func (d *decided) label(rule int32) int32 {
	if rule == space.NoRule {
		return -1
	}
	return d.labels[rule]
}

// deciderNumbers numbers deciders.
type deciderNumbers map[string]int32

func (l deciderNumbers) of(d *space.Decider) int32 {
	key := d.Action.String() + " " + d.Rule
	if d.Rule == "" && d.Policies != nil {
		key = fmt.Sprintf("%s %s %q", d.Action, d.Direction, d.Policies)
	}
	n, ok := l[key]
	if !ok {
		n = int32(len(l))
		l[key] = n
	}
	return n
}

func (l deciderNumbers) all(deciders []space.Decider) []int32 {
	out := make([]int32, len(deciders))
	for i := range deciders {
		out[i] = l.of(&deciders[i])
	}
	return out
}

// meaningOfReading takes over what a decoder understood.
func meaningOfReading(r *space.Reading, l deciderNumbers) *meaning {
	m := &meaning{podScope: r.PodScope, nodes: r.Nodes, names: r.Names}
	numbers := l.all(r.Deciders)
	known := map[*space.Table]*decided{}
	of := func(t *space.Table) *decided {
		if known[t] == nil {
			known[t] = &decided{t, r.Deciders, numbers}
		}
		return known[t]
	}
	for _, s := range r.Subjects {
		m.subjects = append(m.subjects, governed{s.Pod, s.Addr, [2]*decided{model.Egress: of(s.Egress), model.Ingress: of(s.Ingress)}})
	}
	var b netipx.IPSetBuilder
	for _, c := range r.Closed {
		b.AddRange(netipx.IPRangeFrom(c.First, c.Last))
	}
	m.closed = built(&b)
	return m
}

// built returns a set of plain addresses.
func built(b *netipx.IPSetBuilder) *netipx.IPSet {
	s, err := b.IPSet()
	if err != nil {
		panic(err) // only addresses with zones, and ranges across families, are none
	}
	return s
}

// programList is one rule list of a program and a family.
type programList struct {
	policies string // that select the class, which the list follows from
	model.Direction
	model.Family
}

// meaningOfProgram flattens the rule lists of p, as far as an address asks for them.
func meaningOfProgram(ctx context.Context, p *compiler.Program, l deciderNumbers) (*meaning, error) {
	m := &meaning{podScope: p.Target.Pod != "", nodes: p.NodeAddrs, names: map[string][]netip.Addr{}, closed: closedBy(p)}
	for _, n := range p.Names {
		m.names[n.Name] = n.Addrs
	}
	keys := make([]string, len(p.Classes))
	for i := range p.Classes {
		keys[i] = strings.Join(policyRefs(&p.Classes[i]), "\n")
	}
	known := map[programList]*decided{}
	var jobs []flattening
	for _, pod := range p.Pods {
		class := &p.Classes[pod.Class]
		for _, a := range pod.Addrs {
			g := governed{pod: pod.Ref, addr: a}
			for _, d := range model.Directions {
				key := programList{keys[pod.Class], d, model.FamilyOf(a)}
				if known[key] == nil {
					known[key] = &decided{deciders: listDeciders(class, d)}
					known[key].labels = l.all(known[key].deciders)
					jobs = append(jobs, flattening{known[key], class.List(d), key.Family})
				}
				g.lists[d] = known[key]
			}
			m.subjects = append(m.subjects, g)
		}
	}
	slices.SortFunc(m.subjects, func(a, b governed) int { return a.addr.Compare(b.addr) })
	return m, inParallel(ctx, len(jobs), func(i int) error { return jobs[i].run() })
}

func policyRefs(c *compiler.ProgramClass) []string {
	refs := make([]string, len(c.Policies))
	for i, p := range c.Policies {
		refs[i] = p.Ref()
	}
	return refs
}

// listDeciders returns the rules of a list and, last, who decides where none matches.
func listDeciders(c *compiler.ProgramClass, d model.Direction) []space.Decider {
	list := c.List(d)
	out := make([]space.Decider, 0, len(list.Rules)+1)
	for i := range list.Rules {
		out = append(out, space.Decider{Rule: list.Rules[i].Ref.String(), Direction: d, Action: list.Rules[i].Action})
	}
	if !list.Isolated {
		return append(out, space.Decider{Action: model.Allow})
	}
	return append(out, space.Decider{Direction: d, Policies: policyRefs(c), Action: model.Deny})
}

// flattening is a table that is to be made.
type flattening struct {
	to     *decided
	list   *model.RuleList
	family model.Family
}

// run flattens the list with its default as one more rule, so that it decides
// every packet, as an artifact does.
func (f *flattening) run() (err error) {
	list := &model.RuleList{Direction: f.list.Direction, Isolated: true}
	if f.list.Isolated {
		list.Rules = f.list.Rules
	} else {
		f.to.deciders, f.to.labels = f.to.deciders[len(f.list.Rules):], f.to.labels[len(f.list.Rules):]
	}
	rest := model.ListRule{Peers: []model.ListPeer{{Prefixes: []netip.Prefix{f.family.All()}}}, L4: model.EveryL4}
	list.Rules = slices.Concat(list.Rules, []model.ListRule{rest})
	f.to.table, err = space.Flatten(list, f.family)
	if err != nil {
		err = fmt.Errorf("%s of %s: %w", list.Direction, strings.Join(f.to.deciders[len(f.to.deciders)-1].Policies, ", "), err)
	}
	return err
}

// closedBy returns the addresses of pods that p does not know and closes.
func closedBy(p *compiler.Program) *netipx.IPSet {
	var b netipx.IPSetBuilder
	if u := p.UnknownDeny; u != nil {
		for _, c := range u.PodCIDRs {
			b.AddPrefix(c)
		}
		for _, a := range slices.Concat(u.Known, p.NodeAddrs) {
			b.Remove(a)
		}
	}
	return built(&b)
}
