package bundle

import (
	"fmt"
	"net/netip"
	"slices"

	"github.com/trafficpolicy/trafficpolicy/compiler"
	"github.com/trafficpolicy/trafficpolicy/model"
)

// Misfits returns what the manifest says otherwise than it is to say of the program p
// of its target, one sentence each, of very many the first, in the order of its
// fields. Tool, Sequence and the count of elements do not follow from p; of the rules
// it may lack those that decide nothing. That it has all that the payload needs is
// for the payload's decoder to see.
func (m *Manifest) Misfits(p *compiler.Program) []string {
	f := &misfits{Manifest: m, program: p}
	f.target()
	f.rules()
	f.defaults()
	f.names()
	f.counts()
	if f.more > 0 {
		f.list = append(f.list, fmt.Sprintf("%d more do not fit", f.more))
	}
	return f.list
}

// mostMisfits is how many are said.
const mostMisfits = 20

type misfits struct {
	*Manifest
	program *compiler.Program
	list    []string
	more    int
}

func (f *misfits) say(format string, args ...any) {
	if len(f.list) == mostMisfits {
		f.more++
		return
	}
	f.list = append(f.list, fmt.Sprintf(format, args...))
}

func (f *misfits) target() {
	p := f.program
	if s := ScopeOf(p); f.Scope != s {
		f.say("scope is %q, not %q", f.Scope, s)
	}
	if f.Node != p.NodeName {
		f.say("node is %q, not %q", f.Node, p.NodeName)
	}
	if want := p.PodAddrs; f.Scope == ScopePod && !slices.Equal(f.PodAddrs, want) {
		f.say("podAddrs are %s, not %s", f.PodAddrs, want)
	}
}

// rules looks for rules that the program does not have.
func (f *misfits) rules() {
	actions := map[string]model.Action{}
	for i := range f.program.Classes {
		for _, d := range model.Directions {
			for _, rule := range f.program.Classes[i].List(d).Rules {
				actions[rule.Ref.String()] = rule.Action
			}
		}
	}
	for _, rule := range f.Rules {
		switch action, ok := actions[rule.Name]; {
		case !ok:
			f.say("rule %q is no policy's that selects a pod here", rule.Name)
		case action.String() != rule.Action:
			f.say("rule %q has action %q, not %q", rule.Name, rule.Action, action)
		}
	}
}

func (f *misfits) defaults() {
	same := func(a, b Default) bool {
		return a.ID == b.ID && a.Class == b.Class && a.Direction == b.Direction && slices.Equal(a.Policies, b.Policies)
	}
	want := Defaults(f.program)
	for i, d := range want {
		if i >= len(f.Defaults) || !same(d, f.Defaults[i]) {
			f.say("defaults[%d] is not that of %s of class %d, %q", i, d.Direction, d.Class, d.Policies)
			return
		}
	}
	if n := len(f.Defaults) - len(want); n > 0 {
		f.say("it has %d defaults, not %d", len(f.Defaults), len(want))
	}
}

func (f *misfits) names() {
	have := map[string][]netip.Addr{}
	for _, n := range f.Names {
		have[n.Name] = n.Addrs
	}
	for _, n := range f.program.Names {
		switch addrs, ok := have[n.Name]; {
		case !ok:
			f.say("domain name %q is missing", n.Name)
		case !slices.Equal(addrs, n.Addrs):
			f.say("domain name %q has addresses %s, not %s", n.Name, addrs, n.Addrs)
		}
		delete(have, n.Name)
	}
	for _, n := range f.Names {
		if _, ok := have[n.Name]; ok {
			f.say("domain name %q is in no rule", n.Name)
		}
	}
}

func (f *misfits) counts() {
	want := Describe(f.program, f.Backend, nil, f.Counts.Elements).Counts
	want.Rules = len(f.Rules)
	if f.Counts != want {
		f.say("counts are %s, not %s", f.Counts, want)
	}
}
