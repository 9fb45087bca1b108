package ebpf

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"net/netip"
	"runtime"
	"slices"
	"strconv"
	"strings"
	"testing"

	"github.com/trafficpolicy/trafficpolicy/backends/bundle"
	"github.com/trafficpolicy/trafficpolicy/compiler"
	"github.com/trafficpolicy/trafficpolicy/compiler/space"
	"github.com/trafficpolicy/trafficpolicy/model"
)

func TestManifest(t *testing.T) {
	a := emit(t, sample())
	if b := sealed(t, a); b.Manifest.Scope != bundle.ScopeNode || b.Manifest.Name != "node-1" || b.Manifest.Backend != bundle.EBPF {
		t.Errorf("manifest of %s %q, %s", b.Manifest.Scope, b.Manifest.Name, b.Manifest.Backend)
	}
	c := a.Manifest.Counts
	if c.Pods != 3 || c.Classes != 2 || c.Policies != 2 || c.Rules != len(a.Manifest.Rules) || c.Names != 2 || c.Elements == 0 {
		t.Errorf("counts %+v", c)
	}
	var names []string
	for _, r := range a.Manifest.Rules {
		names = append(names, r.Action+" "+r.Name)
	}
	// Rules that decide nothing are not there: egress[5] of a is behind a name, so it is.
	want := []string{
		"deny TrafficPolicy/default/a#egress[0]", "allow TrafficPolicy/default/a#egress[1]", "allow TrafficPolicy/default/a#egress[2]",
		"allow TrafficPolicy/default/a#egress[3]", "reject TrafficPolicy/default/a#egress[4]", "allow TrafficPolicy/default/a#egress[5]",
		"allow TrafficPolicy/default/a#ingress[0]", "deny TrafficPolicy/default/a#ingress[1]", "allow TrafficPolicy/default/a#ingress[2]",
		"allow TrafficPolicy/default/b#egress[0]",
	}
	if !slices.Equal(names, want) {
		t.Errorf("rules %q, want %q", names, want)
	}
	if b := sealed(t, emit(t, samplePod())); b.Manifest.Scope != bundle.ScopePod || b.Manifest.Name != "default/a" || len(b.Manifest.PodAddrs) != 2 {
		t.Errorf("manifest of %s %q, %v", b.Manifest.Scope, b.Manifest.Name, b.Manifest.PodAddrs)
	}
}

func TestTables(t *testing.T) {
	for _, p := range []*compiler.Program{sample(), samplePod(), {Target: compiler.Target{Node: "empty"}, NodeName: "empty"}} {
		a := emit(t, p)
		g, err := Read(sealed(t, a))
		if err != nil {
			t.Fatal(err)
		}
		for i, pod := range p.Pods {
			for j, addr := range pod.Addrs {
				if got := g.Tables.Pods[i]; got.Ref != pod.Ref || got.Class != pod.Class || got.Addrs[j].Addr != addr {
					t.Errorf("pod %d is %+v, want %+v", i, got, pod)
				}
			}
		}
		if len(g.Tables.Pods) != len(p.Pods) || !slices.Equal(g.Tables.NodeAddrs, p.NodeAddrs) {
			t.Errorf("%d pods, node addresses %v", len(g.Tables.Pods), g.Tables.NodeAddrs)
		}
		if flags := binary.LittleEndian.Uint32(a.Files[0].Data[4*HeaderFlags:]); (flags == FlagPodScope) != (p.Target.Pod != "") {
			t.Errorf("flags %d of %+v", flags, p.Target)
		}
	}
}

// TestSample is one line a packet, under the rule that decides it.
func TestSample(t *testing.T) {
	a := emit(t, sample())
	d := decode(t, a)
	names := map[string]string{}
	for _, r := range a.Manifest.Rules {
		names[r.ID] = strings.TrimPrefix(r.Name, "TrafficPolicy/default/")
	}
	for _, m := range a.Manifest.Defaults {
		names[m.ID] = "default " + m.Direction
	}
	for _, tt := range []struct {
		dir         model.Direction
		local, peer string
		l4          model.L4
		in, want    string
	}{
		{model.Egress, "10.0.0.10", "100.100.100.200", model.L4TCP, "", "deny a#egress[0]"},
		{model.Egress, "10.0.0.10", "100.100.100.200", model.L4TCP, "api.example", "deny a#egress[0]"},
		{model.Egress, "10.0.0.10", "100.100.100.199", model.L4TCP, "", "allow a#egress[5]"},
		{model.Egress, "10.0.0.10", "10.1.0.0", 79, "", "reject a#egress[4]"},
		{model.Egress, "10.0.0.10", "10.1.0.0", 80, "", "allow a#egress[1]"},
		{model.Egress, "10.0.0.12", "10.1.0.255", 90, "", "allow a#egress[1]"},
		{model.Egress, "10.0.0.13", "10.1.0.255", 91, "", "reject a#egress[4]"},
		{model.Egress, "10.0.0.10", "10.1.0.255", 91, "api.example", "allow a#egress[3]"},
		{model.Egress, "10.0.0.10", "10.1.1.0", 90, "", "reject a#egress[4]"},
		{model.Egress, "10.0.0.10", "10.1.0.1", model.L4ICMP, "", "allow a#egress[1]"},
		{model.Egress, "10.0.0.10", "10.1.0.1", model.L4Other, "", "reject a#egress[4]"},
		{model.Egress, "10.0.0.10", "9.9.9.9", 3306, "rds.example", "allow a#egress[2]"},
		{model.Egress, "10.0.0.10", "9.9.9.9", 3307, "rds.example", "allow a#egress[5]"},
		{model.Egress, "10.0.0.10", "10.9.9.9", 3306, "rds.example", "allow a#egress[2]"},
		{model.Egress, "10.0.0.10", "10.9.9.9", 3305, "rds.example", "reject a#egress[4]"},
		{model.Egress, "fd00::10", "fd00::1", 80, "", "reject a#egress[4]"},
		{model.Egress, "fd00::12", "fe00::1", 80, "", "allow a#egress[5]"},
		{model.Ingress, "10.0.0.10", "10.0.0.255", model.L4UDP, "", "deny a#ingress[1]"},
		{model.Ingress, "10.0.0.10", "10.0.0.255", model.L4UDP + 1023, "", "deny a#ingress[1]"},
		{model.Ingress, "10.0.0.10", "10.0.0.255", model.L4UDP + 1024, "", "deny default ingress"},
		{model.Ingress, "10.0.0.10", "10.0.0.255", 65535, "", "allow a#ingress[0]"},
		{model.Ingress, "10.0.0.10", "10.0.1.0", 65535, "", "deny default ingress"},
		{model.Ingress, "fd00::10", "fd00::ffff:ffff:ffff:ffff", model.L4Other, "", "allow a#ingress[2]"},
		{model.Ingress, "fd00::10", "fd00:0:0:1::", model.L4Other, "", "deny default ingress"},
		{model.Egress, "10.0.0.11", "1.1.1.1", 80, "", "allow b#egress[0]"},
		{model.Ingress, "10.0.0.11", "1.1.1.1", 80, "", "deny default ingress"},
	} {
		j, ok := d.Judge(&Packet{
			Direction: tt.dir, Local: netip.MustParseAddr(tt.local), Peer: netip.MustParseAddr(tt.peer), L4: tt.l4,
			In: func(name string) bool { return name == tt.in },
		})
		if got := fmt.Sprintf("%s %s", j.Action, names[j.Decider]); !ok || got != tt.want {
			t.Errorf("%s of %s with %s, %s: %s, want %s", tt.dir, tt.local, tt.peer, tt.l4, got, tt.want)
		}
	}
	for _, a := range []string{"10.0.0.9", "10.0.0.14", "0.0.0.0", "255.255.255.255", "fd00::11", "::"} {
		if _, ok := d.Judge(&Packet{Local: netip.MustParseAddr(a), Peer: netip.MustParseAddr(a)}); ok {
			t.Errorf("%s is judged", a)
		}
	}
}

// A direction of which no policy speaks has a decider without an id.
func TestNotSelected(t *testing.T) {
	p := one(class("a", nil, []model.ListRule{rule(model.Deny, cidrs("0.0.0.0/0"))}))
	p.Classes[0].Egress.Isolated = false
	a := emit(t, p)
	d := decode(t, a)
	for _, local := range p.Pods[0].Addrs {
		j, _ := d.Judge(&Packet{Direction: model.Egress, Local: local, Peer: local.Next(), L4: 80})
		if (j != Judgement{model.Allow, ""}) {
			t.Errorf("egress of %s: %v", local, j)
		}
		j, _ = d.Judge(&Packet{Direction: model.Ingress, Local: local, Peer: local.Next(), L4: 80})
		if j.Action != model.Deny || j.Decider == "" {
			t.Errorf("ingress of %s: %v", local, j)
		}
	}
	if _, err := Read(sealed(t, a)); err != nil {
		t.Error(err)
	}
}

// Classes of the same policies, and equal parts of others, stand once.
func TestEqualPartsStandOnce(t *testing.T) {
	rules := func() []model.ListRule { return append(hosts(500), rule(model.Allow, cidrs("0.0.0.0/0", "::/0"))) }
	p := one(class("a", rules(), nil))
	alone := len(emit(t, p).Files[0].Data)
	// The same policy for another class of pods.
	p.Classes = append(p.Classes, p.Classes[0])
	p.Pods = append(p.Pods, compiler.ProgramPod{Ref: "default/b", Addrs: addrs("10.0.0.11"), Class: 1})
	same := emit(t, p)
	if n := len(same.Files[0].Data); n > alone+4*LineSize {
		t.Errorf("%d bytes with the class once more, %d alone", n, alone)
	}
	// A class of one policy more, which never decides: the default deny has another
	// id, but no packet meets it in egress.
	p.Classes[1].Policies = append(slices.Clone(p.Classes[1].Policies), class("b", nil, nil).Policies...)
	alike := emit(t, p)
	if n := len(alike.Files[0].Data); n > alone+4*LineSize {
		t.Errorf("%d bytes with a class that decides alike, %d alone", n, alone)
	}
	if n := len(decode(t, alike).Tables.Deciders); n != 501+4 {
		t.Errorf("%d deciders, want those of 501 rules and two classes in two directions", n)
	}
}

// A chain of decisions that is longer than a walk may be is written out.
func TestLongChainIsWrittenOut(t *testing.T) {
	const n = 3 * MaxSteps
	rules := make([]model.ListRule, n)
	table := &space.Table{Entries: []space.Entry{{Prefix: model.IPv4.All(), Decision: n - 1}}}
	for i := range n {
		rules[i] = rule(model.Action(i%3), cidrs("0.0.0.0/0"), tcp(uint16(2*i), uint16(2*i)))
		d := space.Decision{Before: space.NoDecision, Else: space.DecisionID(i - 1)}
		if i == n-2 { // a sequence among them
			d.Before = 0
		}
		d.Cells = []space.Cell{{L4Range: rules[i].L4[0], Rule: int32(i)}}
		table.Decisions = append(table.Decisions, d)
	}
	p := one(class("a", rules, nil))
	p.Pods[0].Addrs = p.Pods[0].Addrs[:1]
	e := newEmitter(p, realLimits)
	for _, j := range e.jobs() {
		of := table
		if j.list.Direction == model.Ingress {
			of = &space.Table{Entries: []space.Entry{{Prefix: model.IPv4.All(), Decision: 0}}, Decisions: []space.Decision{{Before: space.NoDecision, Else: space.NoDecision}}}
		}
		if j.key.Family == model.IPv4 {
			p, err := j.record(of)
			if err != nil {
				t.Fatal(err)
			}
			e.roots[j.key] = e.link(p)
		}
	}
	e.records()
	e.header()
	g, err := Check(e.bytes(), &e.tables)
	if err != nil {
		t.Fatal(err)
	}
	d := &Decoded{g}
	for x := range model.L4(2 * n) {
		j, _ := d.Judge(&Packet{Direction: model.Egress, Local: p.Pods[0].Addrs[0], Peer: p.Pods[0].Addrs[0], L4: x})
		want := model.Deny
		if x%2 == 0 {
			want = model.Action(x / 2 % 3)
		}
		if j.Action != want {
			t.Errorf("TCP %d: %s, want %s", x, j.Action, want)
		}
	}
}

func TestEmitRefuses(t *testing.T) {
	for name, change := range map[string]func(p *compiler.Program){
		"has 3 pods":                  func(p *compiler.Program) { p.Target = compiler.Target{Pod: "default/a"} },
		"cannot close unknown pods":   func(p *compiler.Program) { p.UnknownDeny = &compiler.UnknownDeny{} },
		"peer \"service default/x\" ": func(p *compiler.Program) { p.Classes[0].Egress.Rules[2].Peers[0].Atom = "service default/x" },
		"is both allow and deny": func(p *compiler.Program) {
			r := &p.Classes[0].Egress.Rules
			(*r)[5].Ref = (*r)[0].Ref
		},
	} {
		p := sample()
		change(p)
		if a, err := Emit(p); err == nil || a != nil || !strings.Contains(err.Error(), name) {
			t.Errorf("Emit = %v, %v, want %q", a, err, name)
		}
	}
}

// Limits are errors that say what to do.
func TestLimits(t *testing.T) {
	t.Run("names", func(t *testing.T) {
		// Before every second rule there is one name more: 1,500 lists of up to 1,500.
		var rules []model.ListRule
		for i, r := range hosts(1500) {
			rules = append(rules, rule(model.Allow, fqdn(fmt.Sprintf("n%d.example", i))), r)
		}
		wantLimit(t, one(class("a", rules, nil)), "domain names")
	})
	t.Run("slots", func(t *testing.T) {
		w := newWriter(realLimits)
		for range MaxSlots/(1<<20) + 1 {
			w.take(1 << 20)
		}
		if limit := (*LimitError)(nil); !errors.As(w.err, &limit) || limit.Max != MaxSlots {
			t.Errorf("error %v", w.err)
		}
		if n := len(w.words) / slotWords; n > MaxSlots {
			t.Errorf("%d slots", n)
		}
		if r := w.search(WordL4, []interval{{1, NoRecord}, {lastKey, NoMatch}}); r != NoRecord {
			t.Errorf("a full graph has room for %#x", r)
		}
	})
	t.Run("deciders", func(t *testing.T) {
		e := newEmitter(one(class("a", nil, nil)), realLimits)
		for i := range MaxDeciders {
			e.decider(&decider{id: strconv.Itoa(i)})
		}
		if e.err != nil {
			t.Fatal(e.err)
		}
		e.decider(&decider{id: "0"})
		if e.err != nil {
			t.Fatal(e.err)
		}
		e.decider(&decider{id: "one more"})
		if limit := (*LimitError)(nil); !errors.As(e.err, &limit) || limit.Max != MaxDeciders {
			t.Errorf("error %v", e.err)
		}
	})
	t.Run("tree", func(t *testing.T) {
		w := newWriter(realLimits)
		w.tree(WordPeer, make([]interval, maxIntervals+1))
		if limit := (*LimitError)(nil); !errors.As(w.err, &limit) || limit.Max != maxIntervals {
			t.Errorf("error %v", w.err)
		}
	})
}

// TestLimitEdges asks for exactly what a program needs, and for one less.
func TestLimitEdges(t *testing.T) {
	p := one(class("a", append(hosts(300), rule(model.Allow, append(fqdn("a.example"), fqdn("b.example")...)), rule(model.Allow, cidrs("10.0.0.0/8"))), nil))
	p.Names = []compiler.ProgramName{{Name: "a.example", Addrs: addrs("192.0.2.1", "2001:db8::1")}, {Name: "b.example", Addrs: addrs("192.0.2.2")}}
	e, err := build(p)
	if err != nil {
		t.Fatal(err)
	}
	needs := limits{slots: len(e.words) / slotWords, deciders: len(e.tables.Deciders), links: e.links, addresses: e.nameAddrs}
	for needs.intervals = 1; ; needs.intervals *= 2 { // of the largest search
		if _, err := buildWithin(p, needs); err == nil {
			break
		}
	}
	for least := needs.intervals / 2; ; {
		try := needs
		if try.intervals--; try.intervals == least {
			break
		}
		if _, err := buildWithin(p, try); err != nil {
			break
		}
		needs = try
	}
	if needs.intervals <= lineKeys || needs.links != 2 || needs.addresses != 3 {
		t.Fatalf("the program needs %+v", needs)
	}
	for what, lower := range map[string]func(l *limits){
		"slots":                 func(l *limits) { l.slots-- },
		"rules":                 func(l *limits) { l.deciders-- },
		"intervals":             func(l *limits) { l.intervals-- },
		"entries":               func(l *limits) { l.links-- },
		"addresses of domain n": func(l *limits) { l.addresses-- },
	} {
		less := needs
		lower(&less)
		_, err := buildWithin(p, less)
		if limit := (*LimitError)(nil); !errors.As(err, &limit) || !strings.Contains(limit.What, what) || limit.Hint == "" {
			t.Errorf("one less of %s: error %v", what, err)
		}
	}
}

func wantLimit(t *testing.T, p *compiler.Program, what string) {
	t.Helper()
	_, err := Emit(p)
	if limit := (*LimitError)(nil); !errors.As(err, &limit) || !strings.Contains(limit.What, what) || limit.Hint == "" {
		t.Errorf("error %v, want a limit of %s", err, what)
	}
}

// The same program gives the same bytes, on however many processors, and the
// first list that cannot be flattened is the one that is reported.
func TestDeterministic(t *testing.T) {
	many := &compiler.Program{Target: compiler.Target{Node: "n"}, NodeName: "n"}
	for i := range 60 {
		many.Classes = append(many.Classes, class(fmt.Sprintf("c%02d", i), hosts(10*(60-i)), hosts(i)))
		many.Pods = append(many.Pods, compiler.ProgramPod{
			Ref: fmt.Sprintf("default/p%02d", i), Class: i, Addrs: []netip.Addr{netip.AddrFrom4([4]byte{10, 1, 0, byte(i)})},
		})
	}
	for _, p := range []*compiler.Program{sample(), samplePod(), many} {
		want := emit(t, p)
		for _, procs := range []int{1, 2, 8} {
			before := runtime.GOMAXPROCS(procs)
			got := emit(t, p)
			runtime.GOMAXPROCS(before)
			for i := range got.Files {
				if !bytes.Equal(got.Files[i].Data, want.Files[i].Data) {
					t.Errorf("%s differs on %d processors", got.Files[i].Name, procs)
				}
			}
		}
	}
	for _, i := range []int{7, 31} {
		many.Classes[i].Egress.Rules[0].Peers[0].Atom = "service default/x"
	}
	for range 5 {
		if _, err := Emit(many); err == nil || !strings.Contains(err.Error(), "TrafficPolicy/default/c07#egress[0]") {
			t.Fatalf("error %v", err)
		}
	}
}
