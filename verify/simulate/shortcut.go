package simulate

import (
	"fmt"
	"net/netip"

	"github.com/trafficpolicy/trafficpolicy/compiler"
	"github.com/trafficpolicy/trafficpolicy/model"
)

// Shortcut finds the rules that a walk would come to without walking. Only which
// rules are read is taken from it: each that it names is read as a walk reads it,
// and one that does not match after all is a [DisagreementError].
type Shortcut interface {
	// Find returns the index of the first rule that matches a packet whatever
	// unresolved peers are, -1 for none; and before that, in order, the rules that
	// match where the address is in an unresolved peer, each such peer once. It
	// returns false where it cannot say.
	Find(a netip.Addr, x model.L4) (rule int32, conditions []model.Conditional, ok bool)
}

// Shortcuts makes the shortcut for the rules of the policies, which are in
// evaluation order, in one direction. It is called once for each such list.
type Shortcuts func(r *compiler.Resolver, policies []*model.Policy, d model.Direction) Shortcut

// With returns a simulator of the same input that takes shortcuts. It gives the
// answers that s gives, which [Simulator.Stream] tests on a share of the flows.
func (s *Simulator) With(shortcuts Shortcuts) *Simulator {
	out := &Simulator{facts: s.facts, shortcuts: shortcuts, plain: s, subjects: make([]subject, len(s.subjects))}
	for i := range s.subjects { // all but the walks
		at := &s.subjects[i]
		out.subjects[i] = subject{pod: at.pod, ref: at.ref, node: at.node, exempt: at.exempt}
		out.subjects[i].keep(at.addrs)
	}
	return out
}

// DisagreementError is a flow that a shortcut and the walk judge differently: a
// bug of this program.
type DisagreementError struct {
	Line           int    // of the flow, from 1; 0 where it was not read from a stream
	Shortcut, Walk string // what each says
}

func (e *DisagreementError) Error() string {
	return fmt.Sprintf("line %d: the tables and the plain walk disagree, which is a bug of trafficpolicy and must be reported: the tables say %s, the walk says %s", e.Line, e.Shortcut, e.Walk)
}
