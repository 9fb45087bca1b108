package ebpf

import (
	"fmt"
	"net/netip"
	"slices"
	"strings"
	"testing"

	"github.com/trafficpolicy/trafficpolicy/backends/bundle"
	"github.com/trafficpolicy/trafficpolicy/compiler/space"
	"github.com/trafficpolicy/trafficpolicy/model"
)

func reading(t testing.TB, b *bundle.Bundle) *space.Reading {
	t.Helper()
	r, err := decode(t, b).Reading(&b.Manifest)
	if err != nil {
		t.Fatal(err)
	}
	return r
}

func TestReading(t *testing.T) {
	p := sample()
	b := emit(t, p)
	r := reading(t, b)
	var subjects []string
	tables := map[*space.Table]bool{}
	for _, s := range r.Subjects {
		subjects = append(subjects, s.Pod+" "+s.Addr.String())
		tables[s.Egress], tables[s.Ingress] = true, true
	}
	want := []string{"default/a 10.0.0.10", "default/b 10.0.0.11", "default/c 10.0.0.12", "default/c 10.0.0.13", "default/a fd00::10", "default/c fd00::12"}
	if !slices.Equal(subjects, want) {
		t.Errorf("subjects %q, want %q", subjects, want)
	}
	if r.Subjects[0].Egress != r.Subjects[2].Egress || r.Subjects[4].Ingress != r.Subjects[5].Ingress || r.Subjects[0].Egress == r.Subjects[1].Egress {
		t.Error("tables are not shared by class and family")
	}
	if len(tables) > 6 {
		t.Errorf("%d tables", len(tables))
	}
	if !slices.Equal(r.Nodes, p.NodeAddrs) || r.PodScope || len(r.Closed) > 0 || len(r.Names) != len(p.Names) {
		t.Errorf("%+v", r)
	}
	if s := reading(t, emit(t, samplePod())); !s.PodScope {
		t.Error("pod scope is not seen")
	}
	for _, tt := range []struct {
		local, peer string
		x           model.L4
		in          []string
		want        string
	}{
		{"10.0.0.10", "100.100.100.200", 0, nil, "deny TrafficPolicy/default/a#egress[0]"},
		{"10.0.0.10", "100.100.100.201", 0, nil, "allow TrafficPolicy/default/a#egress[5]"},
		{"10.0.0.10", "10.1.0.255", 80, nil, "allow TrafficPolicy/default/a#egress[1]"},
		{"10.0.0.10", "10.1.1.0", 80, nil, "reject TrafficPolicy/default/a#egress[4]"},
		{"10.0.0.10", "100.100.100.201", 3306, []string{"rds.example", "api.example"}, "allow TrafficPolicy/default/a#egress[2]"},
		{"10.0.0.10", "100.100.100.201", 3307, []string{"rds.example"}, "allow TrafficPolicy/default/a#egress[5]"},
		{"10.0.0.10", "100.100.100.201", 3307, []string{"rds.example", "api.example"}, "allow TrafficPolicy/default/a#egress[3]"},
	} {
		i := slices.IndexFunc(r.Subjects, func(s space.Subject) bool { return s.Addr.String() == tt.local })
		c := r.Subjects[i].Egress.Lookup(netip.MustParseAddr(tt.peer), tt.x)
		rule := c.Rule
		for _, cond := range slices.Backward(c.If) {
			if slices.Contains(tt.in, strings.TrimPrefix(string(cond.Atom), "fqdn ")) {
				rule = cond.Rule
			}
		}
		if got := deciderText(&r.Deciders[rule]); got != tt.want {
			t.Errorf("%s to %s, %s, %q: %s, want %s", tt.local, tt.peer, tt.x, tt.in, got, tt.want)
		}
	}
}

func deciderText(d *space.Decider) string {
	if d.Rule == "" {
		return fmt.Sprintf("%s default %s %s", d.Action, d.Direction, d.Policies)
	}
	return fmt.Sprintf("%s %s", d.Action, d.Rule)
}

// TestReadingOfNestedFirst: what the first part of a sequence leaves to the second is read as
// that, although a search below says something else of the same points.
func TestReadingOfNestedFirst(t *testing.T) {
	inner := []uint32{99, 199, lastKey, allow, deny, allow}
	for name, outer := range map[string][]uint32{
		"behind":  {99, 199, lastKey, uint32(node(KindSmall, WordL4, 10)), uint32(NoMatch), allow},
		"before":  {99, 199, lastKey, uint32(NoMatch), uint32(node(KindSmall, WordL4, 10)), deny},
		"between": {149, 159, lastKey, uint32(node(KindSmall, WordL4, 10)), uint32(NoMatch), uint32(node(KindSmall, WordL4, 10))},
		"all":     {99, 199, lastKey, uint32(node(KindSmall, WordL4, 10)), uint32(node(KindSmall, WordL4, 10)), uint32(NoMatch)},
	} {
		h := newHandmade(12).egress(node(KindSequence, 0, 6)).at(6, uint32(node(KindSmall, WordL4, 8)), deny)
		h.at(8, outer...).at(10, inner...)
		g, err := Check(h.bytes(), h.tables)
		if err != nil {
			t.Fatalf("%s: %v", name, err)
		}
		d := &Decoded{g}
		local, peer := netip.MustParseAddr("10.0.0.10"), netip.MustParseAddr("192.0.2.1")
		root, _ := d.Root(model.Egress, local)
		table, err := d.Table(root, model.IPv4)
		if err != nil {
			t.Fatalf("%s: %v", name, err)
		}
		for _, x := range []model.L4{0, 98, 99, 100, 148, 149, 150, 159, 160, 198, 199, 200, model.L4Last} {
			j, _ := d.Judge(&Packet{Direction: model.Egress, Local: local, Peer: peer, L4: x})
			c := table.Lookup(peer, x)
			if c.Rule == space.NoRule || d.Tables.Deciders[c.Rule] != j.Decider {
				t.Errorf("%s: point %d: the table has decider %d, the walk ends at %q", name, x, c.Rule, j.Decider)
			}
		}
	}
}

func TestReadingRefuses(t *testing.T) {
	for name, change := range map[string]func(m *bundle.Manifest){
		"a rule less": func(m *bundle.Manifest) { m.Rules = m.Rules[1:] },
		"no defaults": func(m *bundle.Manifest) { m.Defaults = nil },
		"a name less": func(m *bundle.Manifest) { m.Names = m.Names[1:] },
	} {
		b := emit(t, sample())
		change(&b.Manifest)
		if r, err := decode(t, b).Reading(&b.Manifest); err == nil || r != nil {
			t.Errorf("%s: read", name)
		}
	}
}

// A graph of a kernel is read as that of the bundle is, also where one of a decider's
// terminals has another verdict, which a bundle cannot have.
func TestDecodePlaced(t *testing.T) {
	b := emit(t, sample())
	d := decode(t, b)
	p := placement(d.Graph)
	placed, err := d.Place(p)
	if err != nil {
		t.Fatal(err)
	}
	again, q, err := DecodePlaced(placed, d.Tables, p.Counters)
	if err != nil || q.Generation != p.Generation || !slices.Equal(q.Interfaces, p.Interfaces) {
		t.Fatalf("%+v, %v", q, err)
	}
	r, err := again.Reading(&b.Manifest)
	if err != nil || len(r.Deciders) != len(reading(t, b).Deciders) {
		t.Fatalf("%d deciders, %v", len(r.Deciders), err)
	}
	changed := editable{slices.Clone(placed)}
	first := -1
	d.deciders.each(func(at int) {
		if a, _, _ := Ref(changed.word(at)).Decider(); first < 0 && a == model.Reject {
			first = at
			changed.put(at, uint32(terminal(VerdictAllow, Ref(changed.word(at)).index())))
		}
	})
	again, _, err = DecodePlaced(changed.data, d.Tables, p.Counters)
	if err != nil {
		t.Fatal(err)
	}
	r, err = again.Reading(&b.Manifest)
	if err != nil {
		t.Fatal(err)
	}
	actions := map[string][]model.Action{}
	for i := range r.Deciders {
		actions[r.Deciders[i].Rule] = append(actions[r.Deciders[i].Rule], r.Deciders[i].Action)
	}
	name := "TrafficPolicy/default/a#egress[4]"
	if slices.Sort(actions[name]); !slices.Equal(actions[name], []model.Action{model.Reject, model.Allow}) {
		t.Errorf("%s does %v", name, actions[name])
	}
	for name, change := range map[string]func(e editable){
		"a counter of nobody": func(e editable) { e.put(first, uint32(terminal(VerdictDeny, Ref(e.word(first)).index()+1))) },
		"a reference outside": func(e editable) { e.put(first, uint32(node(KindSmall, WordL4, MaxSlots-1))) },
		"no magic":            func(e editable) { e.put(HeaderMagic, 0) },
	} {
		e := editable{slices.Clone(placed)}
		change(e)
		if _, _, err := DecodePlaced(e.data, d.Tables, p.Counters); err == nil {
			t.Errorf("%s: read", name)
		}
	}
}
