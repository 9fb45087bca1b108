package compiler

import (
	"encoding/binary"
	"fmt"
	"slices"
	"sync"

	"github.com/trafficpolicy/trafficpolicy/model"
)

// shared is what programs of one Compiler have in common: what each policy means,
// and the rule lists of each class. Both are made when a program first needs
// them, once. It is safe for concurrent use.
type shared struct {
	resolver *Resolver
	options  CompileOptions

	numbers  map[*model.Policy]uint32
	next     uint32   // number
	policies sync.Map // *model.Policy to *policyMeaning
	classes  sync.Map // string of policies' numbers to *classMeaning
}

// policyMeaning is what one policy says, names resolved.
type policyMeaning struct {
	rules [len(model.Directions)][]model.ListRule
	names []string  // every fqdn, in order of appearance; may repeat
	peers []peerKey // that names resolve to addresses for; may repeat
	// warnings and refusals are of peers without addresses, in order; noted are
	// these peers with where they stood.
	warnings, refusals []string
	noted              []notedPeer
}

type notedPeer struct {
	rulePeer
	pos model.Pos
}

// moved reports whether a peer that warnings or refusals name stands elsewhere now.
func (m *policyMeaning) moved() bool {
	return slices.ContainsFunc(m.noted, func(n notedPeer) bool { return n.peer().Pos != n.pos })
}

// classMeaning is what the policies of one class say.
type classMeaning struct {
	once sync.Once
	ProgramClass

	mu    sync.Mutex
	nodes map[string]bool // with programs that have, or had, the class
}

func newShared(policies []*model.Policy, r *Resolver, o CompileOptions) *shared {
	s := &shared{resolver: r, options: o, numbers: make(map[*model.Policy]uint32, len(policies))}
	for _, p := range policies {
		s.numbers[p] = s.next
		s.next++
	}
	return s
}

// policy returns what p says.
func (s *shared) policy(p *model.Policy) *policyMeaning {
	if m, ok := s.policies.Load(p); ok {
		return m.(*policyMeaning)
	}
	m, _ := s.policies.LoadOrStore(p, s.resolve(p))
	return m.(*policyMeaning)
}

func (s *shared) resolve(p *model.Policy) *policyMeaning {
	m := &policyMeaning{}
	for _, d := range model.Directions {
		m.rules[d] = s.resolver.RuleList([]*model.Policy{p}, d, ForArtifact).Rules
		for i, rule := range p.Rules(d) {
			for j := range rule.Peers {
				s.note(m, rulePeer{model.RuleRef{Policy: p, Direction: d, Index: i}, j})
			}
		}
	}
	return m
}

// note adds to m what there is to say of one peer: deny and reject rules must not
// let pass what they were written to stop; allow rules fail closed, which is worth
// a warning.
func (s *shared) note(m *policyMeaning, p rulePeer) {
	peer, rule := p.peer(), p.ref.Rule()
	switch peer.Kind {
	case model.PeerCIDR:
		return
	case model.PeerFQDN:
		m.names = append(m.names, peer.FQDN)
	default:
		m.peers = append(m.peers, keyOfPeer(peer, p.ref.Direction))
	}
	res := s.resolver.Peer(peer, p.ref.Direction)
	if !res.Problem.FailsOpen() {
		return
	}
	m.noted = append(m.noted, notedPeer{p, peer.Pos})
	why, hold := s.resolver.Explain(peer, res), "hold"
	if len(res.Prefixes) > 0 { // of the other Services that it means
		hold = "hold in full"
	}
	if rule.Action.Allows() || s.options.AllowUnresolved {
		m.warnings = append(m.warnings, fmt.Sprintf("%s: %s: the %s does not %s: %s", peer.Pos, p, rule.Action, hold, why))
		return
	}
	m.refusals = append(m.refusals,
		fmt.Sprintf("%s: %s: the %s would not %s: %s (--allow-unresolved compiles it all the same)", peer.Pos, p, rule.Action, hold, why))
}

// class returns what policies, which are those of a class in evaluation order, say
// together, for a program of node.
func (s *shared) class(policies []*model.Policy, node string) *ProgramClass {
	key := make([]byte, 0, 128)
	for _, p := range policies {
		key = binary.BigEndian.AppendUint32(key, s.numbers[p])
	}
	kept, ok := s.classes.Load(string(key))
	if !ok {
		kept, _ = s.classes.LoadOrStore(string(key), new(classMeaning))
	}
	m := kept.(*classMeaning)
	m.once.Do(func() {
		m.ProgramClass = ProgramClass{
			Policies: policies, Memo: new(Memo),
			Egress:  s.list(policies, model.Egress),
			Ingress: s.list(policies, model.Ingress),
		}
	})
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.nodes == nil {
		m.nodes = map[string]bool{}
	}
	m.nodes[node] = true
	return &m.ProgramClass
}

// list returns the rules of policies for direction d, as [Resolver.RuleList]
// does: the rules of each with what they resolve to are shared.
func (s *shared) list(policies []*model.Policy, d model.Direction) *model.RuleList {
	list := &model.RuleList{Direction: d, Isolated: s.options.isolated(policies, d)}
	parts := make([][]model.ListRule, len(policies))
	for i, p := range policies {
		parts[i] = s.policy(p).rules[d]
	}
	list.Rules = slices.Concat(parts...)
	return list
}
