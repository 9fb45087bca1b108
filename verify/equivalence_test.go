package verify

import (
	"context"
	"fmt"
	"net/netip"
	"slices"
	"strings"
	"testing"

	"go4.org/netipx"

	"github.com/trafficpolicy/trafficpolicy/compiler"
	"github.com/trafficpolicy/trafficpolicy/compiler/space"
	"github.com/trafficpolicy/trafficpolicy/model"
)

// madeList is a rule list of a made-up policy.
func madeList(p *model.Policy, d model.Direction, rules ...model.ListRule) *model.RuleList {
	for i := range rules {
		rules[i].Ref = model.RuleRef{Policy: p, Direction: d, Index: i}
	}
	return &model.RuleList{Direction: d, Isolated: true, Rules: rules}
}

// madeRule is a rule for peers: prefixes, or names with a dot at the end.
func madeRule(a model.Action, ports model.L4Set, peers ...string) model.ListRule {
	r := model.ListRule{Action: a, L4: ports}
	for i, s := range peers {
		p := model.ListPeer{Index: i}
		if name, ok := strings.CutSuffix(s, "."); ok {
			p.Atom = model.Atom("fqdn " + name)
		} else {
			p.Prefixes = []netip.Prefix{netip.MustParsePrefix(s)}
		}
		r.Peers = append(r.Peers, p)
	}
	return r
}

func madeAddrs(list ...string) (out []netip.Addr) {
	for _, s := range list {
		out = append(out, netip.MustParseAddr(s))
	}
	return out
}

var https = model.NewL4Set(model.Port{Proto: model.TCP, First: 443, Last: 443}.L4())

// madeProgram is a node with two pods of one policy and one of another.
func madeProgram() *compiler.Program {
	a, b := &model.Policy{Kind: model.TrafficPolicy, Namespace: "default", Name: "a"}, &model.Policy{Kind: model.GlobalTrafficPolicy, Name: "b"}
	return &compiler.Program{
		Target: compiler.Target{Node: "n"}, NodeName: "n", NodeAddrs: madeAddrs("192.168.0.1", "fd00::1"),
		Pods: []compiler.ProgramPod{
			{Ref: "default/one", Addrs: madeAddrs("10.0.0.1", "fd00::a:1"), Class: 0},
			{Ref: "default/three", Addrs: madeAddrs("10.0.0.3"), Class: 1},
			{Ref: "default/two", Addrs: madeAddrs("10.0.0.2"), Class: 0},
		},
		Classes: []compiler.ProgramClass{
			{
				Policies: []*model.Policy{a},
				Egress: madeList(a, model.Egress,
					madeRule(model.Deny, model.EveryL4, "10.1.0.0/16"),
					madeRule(model.Allow, https, "x.example.", "10.0.0.0/8"),
					madeRule(model.Reject, model.EveryL4, "y.example.", "0.0.0.0/1")),
				Ingress: madeList(a, model.Ingress, madeRule(model.Allow, https, "192.168.0.0/16", "fd00::/16")),
			},
			{
				Policies: []*model.Policy{b},
				Egress:   madeList(b, model.Egress, madeRule(model.Allow, model.EveryL4, "::/0", "0.0.0.0/0")),
				Ingress:  &model.RuleList{Direction: model.Ingress},
			},
		},
		Names: []compiler.ProgramName{{Name: "x.example", Addrs: madeAddrs("203.0.113.1")}, {Name: "y.example"}},
		UnknownDeny: &compiler.UnknownDeny{
			PodCIDRs: []netip.Prefix{netip.MustParsePrefix("10.0.0.0/28"), netip.MustParsePrefix("fd00::a:0/126")},
			Known:    madeAddrs("10.0.0.9"),
		},
	}
}

// readingOf is what a decoder says of an artifact of p that is as it should be.
func readingOf(t testing.TB, p *compiler.Program) *space.Reading {
	t.Helper()
	m, err := meaningOfProgram(context.Background(), p, deciderNumbers{})
	if err != nil {
		t.Fatal(err)
	}
	r := &space.Reading{PodScope: m.podScope, Nodes: slices.Clone(m.nodes), Names: map[string][]netip.Addr{}}
	for n, addrs := range m.names {
		r.Names[n] = slices.Clone(addrs)
	}
	tables := map[*decided]*space.Table{}
	of := func(d *decided) *space.Table {
		if tables[d] == nil {
			tables[d] = shifted(d.table, int32(len(r.Deciders)))
			r.Deciders = append(r.Deciders, d.deciders...)
		}
		return tables[d]
	}
	for _, s := range m.subjects {
		r.Subjects = append(r.Subjects, space.Subject{Pod: s.pod, Addr: s.addr, Egress: of(s.lists[model.Egress]), Ingress: of(s.lists[model.Ingress])})
	}
	var closed netipx.IPSetBuilder
	closed.AddSet(m.closed)
	for _, s := range m.subjects {
		closed.Remove(s.addr)
	}
	for _, x := range built(&closed).Ranges() {
		r.Closed = append(r.Closed, space.AddrRange{First: x.From(), Last: x.To()})
	}
	return r
}

// shifted returns a copy of t whose rules are numbered from n on.
func shifted(t *space.Table, n int32) *space.Table {
	out := &space.Table{Family: t.Family, Entries: slices.Clone(t.Entries), Decisions: slices.Clone(t.Decisions)}
	for i := range out.Decisions {
		cells := slices.Clone(out.Decisions[i].Cells)
		for j := range cells {
			if cells[j].Rule != space.NoRule {
				cells[j].Rule += n
			}
			cells[j].If = slices.Clone(cells[j].If)
			for k := range cells[j].If {
				cells[j].If[k].Rule += n
			}
		}
		out.Decisions[i].Cells = cells
	}
	return out
}

// TestArtifact changes what an artifact says, one thing at a time.
func TestArtifact(t *testing.T) {
	// decider returns the decider of a name, "default egress" and so on.
	decider := func(r *space.Reading, name string) *space.Decider {
		i := slices.IndexFunc(r.Deciders, func(d space.Decider) bool {
			return d.Rule == name || d.Rule == "" && len(d.Policies) > 0 && "default "+d.Direction.String()+" "+d.Policies[0] == name
		})
		return &r.Deciders[i]
	}
	const rule = "TrafficPolicy/default/a#egress[%d]"
	tests := []struct {
		name   string
		change func(p *compiler.Program, r *space.Reading)
		want   []string // a line for each difference
	}{
		{"nothing", func(*compiler.Program, *space.Reading) {}, nil},
		{"a denial let through", func(_ *compiler.Program, r *space.Reading) { decider(r, fmt.Sprintf(rule, 0)).Action = model.Allow }, []string{
			"allowed egress default/one 10.0.0.1 10.1.0.0 TCP 0 [] [10.1.0.0/16] [any] x2: deny " + fmt.Sprintf(rule, 0) + ", allow " + fmt.Sprintf(rule, 0)}},
		{"a pass denied", func(_ *compiler.Program, r *space.Reading) { decider(r, fmt.Sprintf(rule, 1)).Action = model.Deny }, []string{
			"denied egress default/one 10.0.0.1 0.0.0.0 TCP 443 [x.example] [0.0.0.0/5 8.0.0.0/7 10.0.0.0/16] [TCP 443] x2: allow " + fmt.Sprintf(rule, 1) + ", deny " + fmt.Sprintf(rule, 1),
			"and more"}},
		{"an answer kept back", func(_ *compiler.Program, r *space.Reading) { decider(r, fmt.Sprintf(rule, 2)).Action = model.Deny }, []string{
			"reject egress default/one 10.0.0.1 0.0.0.0 TCP 0 [] [0.0.0.0/5 8.0.0.0/7] [any] x2: reject " + fmt.Sprintf(rule, 2) + ", deny " + fmt.Sprintf(rule, 2),
			"and more"}},
		{"another rule", func(_ *compiler.Program, r *space.Reading) {
			decider(r, fmt.Sprintf(rule, 0)).Rule = "TrafficPolicy/default/a#egress[7]"
		}, []string{
			"rule egress default/one 10.0.0.1 10.1.0.0 TCP 0 [] [10.1.0.0/16] [any] x2: deny " + fmt.Sprintf(rule, 0) + ", deny TrafficPolicy/default/a#egress[7]"}},
		{"the default deny of the other direction", func(_ *compiler.Program, r *space.Reading) {
			decider(r, "default egress TrafficPolicy/default/a").Direction = model.Ingress
		}, []string{"rule egress default/one 10.0.0.1 128.0.0.0 TCP 0 [] [128.0.0.0/1] [any] x2: deny default egress, deny default egress"}},
		{"the default deny of other policies", func(_ *compiler.Program, r *space.Reading) {
			decider(r, "default ingress TrafficPolicy/default/a").Policies = []string{"TrafficPolicy/default/a", "TrafficPolicy/default/b"}
		}, []string{"rule ingress default/one 10.0.0.1 0.0.0.0 TCP 0", "and more"}},
		{"a name less", func(_ *compiler.Program, r *space.Reading) { dropCondition(r, "fqdn x.example") }, []string{
			"denied egress default/one 10.0.0.1 0.0.0.0 TCP 443 [x.example]", "and more"}},
		{"names in another order", func(_ *compiler.Program, r *space.Reading) { swapConditions(r) }, []string{
			"denied egress default/one 10.0.0.1 128.0.0.0 TCP 443 [x.example y.example] [128.0.0.0/1] [TCP 443] x2: allow " + fmt.Sprintf(rule, 1) + ", reject " + fmt.Sprintf(rule, 2)}},
		{"an entry less", func(_ *compiler.Program, r *space.Reading) {
			e := &r.Subjects[0].Egress.Entries
			*e = slices.DeleteFunc(*e, func(e space.Entry) bool { return e.Prefix.String() == "10.1.0.0/16" })
		}, []string{
			"allowed egress default/one 10.0.0.1 10.1.0.0 TCP 443 [] [10.1.0.0/16] [TCP 443] x2: deny " + fmt.Sprintf(rule, 0) + ", allow " + fmt.Sprintf(rule, 1), "and more"}},
		{"one address with another table", func(_ *compiler.Program, r *space.Reading) { r.Subjects[1].Egress = r.Subjects[2].Egress }, []string{
			"allowed egress default/two 10.0.0.2 0.0.0.0 TCP 0 [] [0.0.0.0/5 8.0.0.0/7] [any] x1: reject " + fmt.Sprintf(rule, 2) + ", allow GlobalTrafficPolicy/b#egress[0]", "and more"}},
		{"nobody decides", func(_ *compiler.Program, r *space.Reading) {
			tb := r.Subjects[2].Egress
			tb.Decisions[tb.Entries[0].Decision].Cells = nil
		}, []string{"denied egress default/three 10.0.0.3 0.0.0.0 TCP 0 [] [0.0.0.0/0] [any] x1: allow GlobalTrafficPolicy/b#egress[0], deny undecided"}},
		{"an address less", func(_ *compiler.Program, r *space.Reading) { r.Subjects = slices.Delete(r.Subjects, 1, 2) }, []string{
			"missing egress default/two 10.0.0.2 0.0.0.0 TCP 0 [] [] [] x1: reject " + fmt.Sprintf(rule, 2) + ", allow not-governed"}},
		{"an address less, but closed", func(_ *compiler.Program, r *space.Reading) {
			r.Subjects = slices.Delete(r.Subjects, 1, 2)
			r.Closed = append(r.Closed, space.AddrRange{First: netip.MustParseAddr("10.0.0.2"), Last: netip.MustParseAddr("10.0.0.2")})
		}, []string{"missing egress default/two 10.0.0.2 10.0.0.0 TCP 443 [] [] [] x1: allow " + fmt.Sprintf(rule, 1) + ", deny unknown-pod"}},
		{"an address more", func(p *compiler.Program, r *space.Reading) { p.Pods, p.UnknownDeny, r.Closed = p.Pods[:2], nil, nil }, []string{
			"surplus egress default/two 10.0.0.2 0.0.0.0 TCP 0 [] [] [] x1: allow not-governed, reject " + fmt.Sprintf(rule, 2)}},
		{"an address more that is to be closed", func(p *compiler.Program, _ *space.Reading) { p.Pods = p.Pods[:2] }, []string{
			"surplus egress default/two 10.0.0.2 10.0.0.0 TCP 443 [] [] [] x1: deny unknown-pod, allow " + fmt.Sprintf(rule, 1)}},
		{"another pod's address", func(_ *compiler.Program, r *space.Reading) { r.Subjects[1].Pod = "default/one" }, []string{
			"pod egress default/two 10.0.0.2 10.0.0.0 TCP 443 [] [] [] x1: allow " + fmt.Sprintf(rule, 1) + ", deny spoofed"}},
		{"a pod that is not said", func(_ *compiler.Program, r *space.Reading) { r.Subjects[1].Pod = "" }, nil},
		{"a name with an address more", func(_ *compiler.Program, r *space.Reading) { r.Names["y.example"] = madeAddrs("200.0.0.1") }, []string{
			"name egress default/one 10.0.0.1 200.0.0.1 TCP 0 [] [] [] x2: deny default egress, reject " + fmt.Sprintf(rule, 2) + " as y.example"}},
		{"a name with an address less", func(_ *compiler.Program, r *space.Reading) { r.Names["x.example"] = nil }, []string{
			"name egress default/one 10.0.0.1 203.0.113.1 TCP 443 [] [] [] x2: allow " + fmt.Sprintf(rule, 1) + " as x.example, deny default egress"}},
		{"an address that decides nothing", func(_ *compiler.Program, r *space.Reading) { r.Names["y.example"] = madeAddrs("10.1.2.3") }, nil},
		{"an address of no family that is governed", func(p *compiler.Program, r *space.Reading) {
			p.Pods[0].Addrs, r.Subjects = p.Pods[0].Addrs[:1], r.Subjects[:3]
			p.UnknownDeny, r.Closed = nil, nil
			r.Names["y.example"] = madeAddrs("2001:db8::1")
		}, nil},
		{"another name's address", func(_ *compiler.Program, r *space.Reading) {
			r.Names["y.example"], r.Names["x.example"] = r.Names["x.example"], r.Names["y.example"]
		}, []string{"name egress default/one 10.0.0.1 203.0.113.1 TCP 0 [] [] [] x2: deny default egress as x.example, reject " + fmt.Sprintf(rule, 2) + " as y.example"}},
		{"a node address less", func(_ *compiler.Program, r *space.Reading) { r.Nodes = r.Nodes[1:] }, []string{
			"node ingress default/one 10.0.0.1 192.168.0.1 TCP 0 [] [] [] x1: allow node-local, deny default ingress"}},
		{"a node address more", func(_ *compiler.Program, r *space.Reading) { r.Nodes = madeAddrs("1.1.1.1", "192.168.0.1", "fd00::1") }, []string{
			"node ingress default/one 10.0.0.1 1.1.1.1 TCP 0 [] [] [] x1: deny default ingress, allow node-local"}},
		{"a node address of a family without pods", func(p *compiler.Program, r *space.Reading) {
			p.Pods[0].Addrs, r.Subjects = p.Pods[0].Addrs[:1], r.Subjects[:3]
			p.UnknownDeny, r.Closed = nil, nil
			r.Nodes = madeAddrs("192.168.0.1")
		}, nil},
		{"open in place of closed", func(_ *compiler.Program, r *space.Reading) { r.Closed = r.Closed[1:] }, []string{
			"unknown egress  10.0.0.0 192.0.2.1 TCP 0 [] [] [] x0: deny unknown-pod, allow not-governed"}},
		{"closed in place of open", func(p *compiler.Program, _ *space.Reading) {
			p.UnknownDeny.Known = madeAddrs("10.0.0.9", "10.0.0.15")
		}, []string{"unknown egress  10.0.0.15 192.0.2.1 TCP 0 [] [] [] x0: allow not-governed, deny unknown-pod"}},
		{"scope", func(_ *compiler.Program, r *space.Reading) { r.PodScope = true }, []string{"scope"}},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			p := madeProgram()
			r := readingOf(t, p)
			tt.change(p, r)
			e, err := Artifact(context.Background(), p, r, EquivalenceOptions{Most: len(tt.want) + 1})
			if err != nil {
				t.Fatal(err)
			}
			got := diffLines(e)
			if n := len(tt.want); n > 0 && tt.want[n-1] == "and more" && len(got) >= n {
				got, tt.want = got[:n-1], tt.want[:n-1]
			}
			for i := range min(len(got), len(tt.want)) {
				if !strings.HasPrefix(got[i], tt.want[i]) {
					t.Errorf("got  %s\nwant %s", got[i], tt.want[i])
				}
			}
			if len(got) != len(tt.want) || e.Equivalent != (len(tt.want) == 0) {
				t.Errorf("equivalent %v, got %q", e.Equivalent, got)
			}
		})
	}
}

// dropCondition removes an atom from all cells.
func dropCondition(r *space.Reading, a model.Atom) {
	changeConditions(r, func(c []space.Conditional) []space.Conditional {
		return slices.DeleteFunc(c, func(c space.Conditional) bool { return c.Atom == a })
	})
}

func swapConditions(r *space.Reading) {
	changeConditions(r, func(c []space.Conditional) []space.Conditional { slices.Reverse(c); return c })
}

func changeConditions(r *space.Reading, change func([]space.Conditional) []space.Conditional) {
	for _, d := range r.Subjects[0].Egress.Decisions {
		for i := range d.Cells {
			d.Cells[i].If = change(d.Cells[i].If)
		}
	}
}

// diffLines writes each difference on a line.
func diffLines(e *Equivalence) (out []string) {
	for _, d := range e.Differences {
		if d.Witness == nil {
			out = append(out, d.Kind)
			continue
		}
		w := d.Witness
		out = append(out, fmt.Sprintf("%s %s %s %s %s %s %d %v %v %v x%d: %s, %s", d.Kind, w.Direction, w.Pod, w.Local, w.Peer, w.Proto, w.Port, w.Names,
			d.Peers, d.Ports, d.Addresses, lineOf(&d.Want, w), lineOf(&d.Have, w)))
	}
	return out
}

func lineOf(j *Judgement, w *ArtifactPacket) string {
	verdict := j.Verdict
	if j.Reject {
		verdict = "reject"
	}
	by := j.Rule
	switch {
	case j.Reason == ReasonDefaultDeny:
		by = "default " + w.Direction
	case by == "":
		by = j.Reason
	}
	if j.Names != nil {
		by += " as " + strings.Join(j.Names, " ")
	}
	return verdict + " " + by
}

// The first differences are kept, the worst first, and the others are counted.
func TestArtifactBounds(t *testing.T) {
	p := madeProgram()
	r := readingOf(t, p)
	r.Nodes = nil
	for i := range r.Deciders {
		r.Deciders[i].Action = model.Allow
	}
	var all *Equivalence
	for _, most := range []int{1000, 1, 3} {
		e, err := Artifact(context.Background(), p, r, EquivalenceOptions{Most: most})
		if err != nil {
			t.Fatal(err)
		}
		if all == nil {
			all = e
		}
		n := min(most, len(all.Differences))
		if len(e.Differences) != n || e.Omitted != all.Summary.Differences-n || !slices.Equal(diffLines(e), diffLines(all)[:n]) {
			t.Errorf("at most %d: %d of %d, %d omitted: %q", most, len(e.Differences), all.Summary.Differences, e.Omitted, diffLines(e))
		}
	}
	if kinds := all.Differences; kinds[0].Kind != DisagreeAllowed || kinds[len(kinds)-1].Kind != DisagreeNode {
		t.Errorf("%q", diffLines(all))
	}
}

// What a node has beyond its bundle is no difference where it is said to be.
func TestReadingsOptions(t *testing.T) {
	p := madeProgram()
	want, have := readingOf(t, p), readingOf(t, p)
	have.Nodes = madeAddrs("1.1.1.1", "192.168.0.1", "fd00::1")
	have.Learned = map[string][]netip.Addr{"y.example": madeAddrs("200.0.0.1")}
	for _, tt := range []struct {
		nodes []netip.Addr
		want  int
	}{
		{nil, 1},
		{madeAddrs("9.9.9.9"), 1},
		{madeAddrs("1.1.1.1", "9.9.9.9"), 0},
	} {
		e, err := Readings(context.Background(), want, have, EquivalenceOptions{Nodes: tt.nodes})
		if err != nil || e.Summary.Differences != tt.want {
			t.Errorf("%s: %q, %v, want %d", tt.nodes, diffLines(e), err, tt.want)
		}
	}
	// An address of the bundle that is missing is a difference in any case.
	have.Nodes = madeAddrs("1.1.1.1", "fd00::1")
	e, err := Readings(context.Background(), want, have, EquivalenceOptions{Nodes: madeAddrs("1.1.1.1", "192.168.0.1")})
	if err != nil || e.Summary.Differences != 1 {
		t.Errorf("%q, %v", diffLines(e), err)
	}
}

func TestArtifactSummary(t *testing.T) {
	p := madeProgram()
	e, err := Artifact(context.Background(), p, readingOf(t, p), EquivalenceOptions{})
	if err != nil {
		t.Fatal(err)
	}
	if s := e.Summary; s.Pods != 3 || s.Addresses != 4 || s.Classes != 2 || s.Tables != 6 || s.Names != 2 || s.Cells < 10 || s.Differences != 0 {
		t.Errorf("%+v", s)
	}
}
