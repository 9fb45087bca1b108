package agree

import (
	"fmt"
	"net/netip"
	"slices"

	"github.com/trafficpolicy/trafficpolicy/backends/bundle"
	"github.com/trafficpolicy/trafficpolicy/backends/ebpf"
	"github.com/trafficpolicy/trafficpolicy/backends/nftables"
	"github.com/trafficpolicy/trafficpolicy/compiler"
	"github.com/trafficpolicy/trafficpolicy/compiler/space"
	"github.com/trafficpolicy/trafficpolicy/model"
	"github.com/trafficpolicy/trafficpolicy/verify/simulate"
)

// Verdict is what a reading says of a packet.
type Verdict struct {
	Action model.Action
	// Decider is the rule's name, "default deny", or "no policy" where none
	// speaks of the direction. "" is said by a reading that cannot tell.
	Decider string
}

const (
	defaultDeny = "default deny"
	noPolicy    = "no policy"
)

func (v Verdict) String() string {
	if v.Decider == "" {
		return v.Action.String()
	}
	return fmt.Sprintf("%s by %s", v.Action, v.Decider)
}

// agrees reports whether two readings say the same, as far as both can tell.
func (v Verdict) agrees(w Verdict) bool {
	return v.Action == w.Action && (v.Decider == w.Decider || v.Decider == "" || w.Decider == "")
}

// Judge says what becomes of a packet.
type Judge func(p Packet) (Verdict, error)

// Reading is one way to find out what policies mean.
type Reading struct {
	Name string
	// Read prepares for the packets of s.
	Read func(s *Set) (Judge, error)
}

// Plain is the walk over the source rules, which the others are compared with. What
// is exempt from policies is not its matter.
var Plain = Reading{"simulate", func(s *Set) (Judge, error) {
	return func(p Packet) (Verdict, error) {
		pod := s.pods[p.Pod]
		if pod == nil {
			return Verdict{}, fmt.Errorf("no pod %s", p.Pod)
		}
		walk := s.sim.Walk(s.sim.Select(pod.Namespace, pod.Labels), p.Direction)
		d := walk.Decide(p.Peer, p.L4, s.has(p.Peer))
		switch d.Reason {
		case simulate.ByRule:
			return Verdict{d.Action, d.Rule.String()}, nil
		case simulate.DefaultDeny:
			return Verdict{d.Action, defaultDeny}, nil
		}
		return Verdict{d.Action, noPolicy}, nil
	}, nil
}}

// mute returns what the rules say where another reading cannot tell.
func (s *Set) mute(q Packet) (Verdict, error) {
	judge, err := Plain.Read(s)
	if err != nil {
		return Verdict{}, err
	}
	return judge(q)
}

// Derived are the readings that need no kernel.
var Derived = []Reading{
	{"space", readSpace},
	{"walked script", readScript},
	{"decoded script", func(s *Set) (Judge, error) { return decoded(s, nftables.Emit, decodeScript) }},
	{"walked graph", readGraph},
	{"decoded graph", func(s *Set) (Judge, error) { return decoded(s, ebpf.Emit, ebpf.DecodeBundle) }},
}

// has returns which atoms hold a: the names that are known to have it.
func (s *Set) has(a netip.Addr) func(model.Atom) bool {
	return func(atom model.Atom) bool {
		for _, n := range s.Program.Names {
			if atom == model.Atom("fqdn "+n.Name) {
				return slices.Contains(n.Addrs, a)
			}
		}
		return false
	}
}

// class returns the class of a pod of the program.
func (s *Set) class(ref string) (int, error) {
	for _, p := range s.Program.Pods {
		if p.Ref == ref {
			return p.Class, nil
		}
	}
	return 0, fmt.Errorf("pod %s is not governed", ref)
}

// readSpace flattens the rule lists.
func readSpace(s *Set) (Judge, error) {
	type key struct {
		class int
		model.Direction
		model.Family
	}
	tables := map[key]*space.Table{}
	for class := range s.Program.Classes {
		for _, d := range model.Directions {
			for _, f := range model.Families {
				t, err := space.Flatten(s.Program.Classes[class].List(d), f)
				if err != nil {
					return nil, err
				}
				tables[key{class, d, f}] = t
			}
		}
	}
	return func(p Packet) (Verdict, error) {
		class, err := s.class(p.Pod)
		if err != nil {
			return Verdict{}, err
		}
		list := s.Program.Classes[class].List(p.Direction)
		cell := tables[key{class, p.Direction, model.FamilyOf(p.Local)}].Lookup(p.Peer, p.L4)
		switch rule := decider(&cell, s.has(p.Peer)); {
		case rule != space.NoRule:
			return Verdict{list.Rules[rule].Action, list.Rules[rule].Ref.String()}, nil
		case list.Isolated:
			return Verdict{model.Deny, defaultDeny}, nil
		}
		return Verdict{model.Allow, noPolicy}, nil
	}, nil
}

// decider returns what decides in a cell.
func decider(c *space.Cell, in func(model.Atom) bool) int32 {
	for _, cond := range c.If {
		if in(cond.Atom) {
			return cond.Rule
		}
	}
	return c.Rule
}

// decodeScript is what a verifier understands of an nftables artifact.
func decodeScript(a *bundle.Bundle) (*space.Reading, error) {
	return nftables.Decode(a.Files, &a.Manifest)
}

// readGraph walks the graph of the eBPF artifact, node by node.
func readGraph(s *Set) (Judge, error) {
	a, err := ebpf.Emit(s.Program)
	if err != nil {
		return nil, err
	}
	dec, err := ebpf.Decode(a.Files)
	if err != nil {
		return nil, err
	}
	names := map[string]string{"": noPolicy}
	for _, r := range a.Manifest.Rules {
		names[r.ID] = r.Name
	}
	for _, d := range a.Manifest.Defaults {
		names[d.ID] = defaultDeny
	}
	known := map[string][]netip.Addr{}
	for _, n := range a.Manifest.Names {
		known[n.Name] = n.Addrs
	}
	return func(p Packet) (Verdict, error) {
		j, ok := dec.Judge(&ebpf.Packet{
			Direction: p.Direction, Local: p.Local, Peer: p.Peer, L4: p.L4,
			In: func(name string) bool { return slices.Contains(known[name], p.Peer) },
		})
		if !ok {
			return Verdict{}, fmt.Errorf("address %s is not in the graph", p.Local)
		}
		return Verdict{j.Action, names[j.Decider]}, nil
	}, nil
}

// decoded judges by what a decoder has rebuilt of an artifact.
func decoded(s *Set, emit func(*compiler.Program) (*bundle.Bundle, error), decode func(*bundle.Bundle) (*space.Reading, error)) (Judge, error) {
	a, err := emit(s.Program)
	if err != nil {
		return nil, err
	}
	r, err := decode(a)
	if err != nil {
		return nil, err
	}
	subjects := map[netip.Addr]*space.Subject{}
	for i := range r.Subjects {
		subjects[r.Subjects[i].Addr] = &r.Subjects[i]
	}
	return func(p Packet) (Verdict, error) {
		subject := subjects[p.Local]
		if subject == nil {
			return Verdict{}, fmt.Errorf("address %s is not in the artifact", p.Local)
		}
		cell := subject.Table(p.Direction).Lookup(p.Peer, p.L4)
		d := r.Deciders[decider(&cell, func(a model.Atom) bool {
			for name, addrs := range r.Names {
				if a == model.Atom("fqdn "+name) {
					return slices.Contains(addrs, p.Peer)
				}
			}
			return false
		})]
		switch {
		case d.Rule != "":
			return Verdict{d.Action, d.Rule}, nil
		case d.Policies != nil:
			return Verdict{d.Action, defaultDeny}, nil
		}
		return Verdict{d.Action, noPolicy}, nil
	}, nil
}
