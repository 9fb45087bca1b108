package verify

import (
	"cmp"
	"context"
	"net/netip"

	"github.com/trafficpolicy/trafficpolicy/compiler"
	"github.com/trafficpolicy/trafficpolicy/compiler/space"
	"github.com/trafficpolicy/trafficpolicy/model"
)

// Outcome is what becomes of an assertion.
type Outcome string

const (
	// Proven: every packet that the assertion speaks of is decided as expected,
	// whatever the addresses of unresolved names are, and there is one.
	Proven Outcome = "proven"
	// Refuted: some packet is not.
	Refuted Outcome = "refuted"
	// Vacuous: the assertion speaks of no packet.
	Vacuous Outcome = "vacuous"
)

// Why nothing is enforced on a pod, as simulate names it.
const (
	NotEnrolled = "not-enrolled"
	HostNetwork = "host-network"
)

// Proofs is what becomes of all assertions. Its JSON form is a contract.
type Proofs struct {
	Families   []string     `json:"families"`
	Pods       string       `json:"pods"` // PodsOfInventory or PodsByLabels
	Assertions []Proof      `json:"assertions"`
	Summary    ProofSummary `json:"summary"`
}

// ProofSummary counts assertions.
type ProofSummary struct {
	Proven  int `json:"proven"`
	Refuted int `json:"refuted"`
	Vacuous int `json:"vacuous"`
	Failed  int `json:"failed"` // refuted, or vacuous where that is not allowed
}

// Proof is what becomes of one assertion.
type Proof struct {
	Name      string  `json:"name"`
	Outcome   Outcome `json:"outcome"`
	Failed    bool    `json:"failed"`
	Direction string  `json:"direction"`
	Expect    string  `json:"expect"`
	File      string  `json:"file"`
	Line      int     `json:"line"`
	Column    int     `json:"column"`
	// Pods is how many pods and pod templates of the inventory the assertion
	// speaks of; 0 where it speaks of label assignments.
	Pods int `json:"pods,omitempty"`
	// Why says what is missing where the assertion is vacuous.
	Why string `json:"why,omitempty"`
	// Missing says of each peer without an address why: the assertion does not
	// speak of it, and a name may be misspelt.
	Missing []string `json:"missing,omitempty"`
	// Condition says for which addresses of unresolved names the witness holds; ""
	// is for all.
	Condition string        `json:"condition,omitempty"`
	Witness   *ProofWitness `json:"witness,omitempty"` // of a refuted assertion
}

// ProofWitness is a packet that refutes an assertion; the fields of Witness are
// what simulate takes.
type ProofWitness struct {
	model.Witness
	// In lists the unresolved names that hold the remote address; no other does.
	In      []model.Atom `json:"in,omitempty"`
	Verdict string       `json:"verdict"`
	By      string       `json:"by"` // a rule, DefaultDeny, NotSelected, NotEnrolled or HostNetwork

	condition string
}

// Prove proves or refutes each assertion, for the pods of the inventory where in
// is in inventory mode and holds any, else for every label assignment that the
// assertion's selector matches. Pods that no policy governs count: their traffic
// is allowed. With automatic families an IPv6 prefix in any assertion has both
// analysed. Errors say what is too much to be judged.
func Prove(ctx context.Context, in *compiler.Input, o compiler.Options, assertions []*compiler.Assertion) (*Proofs, error) {
	p := newProver(in, o, assertions)
	out := &Proofs{Pods: PodsOfInventory, Assertions: make([]Proof, len(assertions))}
	if p.hypothetical {
		out.Pods = PodsByLabels
	}
	for _, f := range p.families {
		out.Families = append(out.Families, f.String())
	}
	err := inParallel(ctx, len(assertions), func(i int) (err error) {
		out.Assertions[i], err = p.prove(ctx, assertions[i])
		return err
	})
	if err != nil {
		return nil, err
	}
	for i := range out.Assertions {
		out.Summary.add(&out.Assertions[i])
	}
	return out, nil
}

func (s *ProofSummary) add(p *Proof) {
	switch p.Outcome {
	case Proven:
		s.Proven++
	case Refuted:
		s.Refuted++
	default:
		s.Vacuous++
	}
	if p.Failed {
		s.Failed++
	}
}

// prover proves assertions about one input.
type prover struct {
	input        *compiler.Input
	options      compiler.Options
	families     []model.Family
	hypothetical bool
	index        *compiler.PolicyIndex
	resolver     *compiler.Resolver
	nodes        map[string][]netip.Addr
	ids          idsOf
	tables       tableCache
}

func newProver(in *compiler.Input, o compiler.Options, assertions []*compiler.Assertion) *prover {
	inv := in.Inventory
	if !in.InventoryGiven {
		inv = &model.Inventory{}
	}
	p := &prover{
		input:        in,
		options:      o,
		families:     assertedFamilies(in, o, assertions),
		hypothetical: len(inv.Pods)+len(inv.Templates) == 0,
		index:        compiler.NewPolicyIndex(in.Policies),
		ids:          policyIDs(in.Policies),
		resolver:     compiler.NewResolver(inv, o),
		nodes:        map[string][]netip.Addr{},
	}
	for _, n := range inv.Nodes {
		p.nodes[n.Name] = append(p.nodes[n.Name], n.Addresses...)
	}
	return p
}

// assertedFamilies returns the families to analyse: those of the input, and with
// FamiliesAuto also IPv6 where an assertion names an IPv6 prefix itself.
func assertedFamilies(in *compiler.Input, o compiler.Options, assertions []*compiler.Assertion) []model.Family {
	if o.Families == compiler.FamiliesAuto {
		for _, a := range assertions {
			for _, p := range a.Peers {
				if p.Group == "" && p.Peer.Kind == model.PeerCIDR && p.Peer.CIDR.Addr().Is6() {
					return model.Families[:]
				}
			}
		}
	}
	return in.Families(o)
}

// prove proves one assertion, class by class, up to the first that refutes it.
func (p *prover) prove(ctx context.Context, a *compiler.Assertion) (Proof, error) {
	out := Proof{Name: a.Name, Direction: a.Direction.String(), Expect: verdictName(a.Allow), File: a.Pos.File, Line: a.Pos.Line, Column: a.Pos.Column}
	pods, why, err := p.pods(a)
	if err != nil {
		return out, err
	}
	for _, c := range pods {
		out.Pods += len(c.members)
	}
	out.Missing = p.missing(a)
	about := p.about(a)
	if why == "" && !p.speaks(about) {
		why = "none of its peers has an address"
	}
	if why != "" {
		out.Outcome, out.Why, out.Failed = Vacuous, why, !a.AllowVacuous
		return out, nil
	}
	regions := map[model.Family]*space.Table{}
	for _, f := range p.families {
		if regions[f], err = space.Flatten(about, f); err != nil {
			return out, err
		}
	}
	for _, c := range pods {
		if err := ctx.Err(); err != nil {
			return out, err
		}
		refuted, err := p.refute(a, c, regions)
		if err != nil {
			return out, err
		}
		if refuted != nil {
			out.Outcome, out.Failed = Refuted, true
			out.Witness, out.Condition = refuted, refuted.condition
			return out, nil
		}
	}
	out.Outcome = Proven
	return out, nil
}

// about returns the packets that a speaks of, as what one rule matches.
func (p *prover) about(a *compiler.Assertion) *model.RuleList {
	rule := model.Rule{Ports: a.Ports}
	for _, peer := range a.Peers {
		rule.Peers = append(rule.Peers, peer.Expand()...)
	}
	section := &model.Section{Rules: []model.Rule{rule}}
	about := &model.Policy{Egress: section, Ingress: section}
	return p.resolver.RuleList([]*model.Policy{about}, a.Direction, compiler.ForAnalysis)
}

// missing says why peers of a have no address.
func (p *prover) missing(a *compiler.Assertion) (out []string) {
	for i := range a.Peers {
		for _, peer := range a.Peers[i].Expand() {
			switch res := p.resolver.Peer(&peer, a.Direction); res.Problem {
			case compiler.UnknownReference, compiler.NoAddresses, compiler.IsExternalName:
				out = append(out, p.resolver.Explain(&peer, res))
			}
		}
	}
	return out
}

// speaks reports whether about matches any packet of the families.
func (p *prover) speaks(about *model.RuleList) bool {
	for _, peer := range about.Rules[0].Peers {
		if peer.Atom != "" {
			return true
		}
		for _, prefix := range peer.Prefixes {
			for _, f := range p.families {
				if model.FamilyOf(prefix.Addr()) == f {
					return true
				}
			}
		}
	}
	return false
}

// refute returns a packet of class c that is not decided as a expects, nil where
// there is none. It is the first by condition, address and port.
func (p *prover) refute(a *compiler.Assertion, c *provenPods, regions map[model.Family]*space.Table) (*ProofWitness, error) {
	found := &blocks{avoid: exempt(c.pod, p.nodes)}
	var list *model.RuleList
	for _, f := range p.families {
		cl, err := p.tables.get(p, c.policies, a.Direction, f)
		if err != nil {
			return nil, err
		}
		list = cl.list
		against := comparison{
			a:     side{regions[f], func(rule int32) label { return label(rule + 1) }},
			b:     side{cl.table, verdictLabel(list)},
			judge: func(about, l label) verdictKind { return wrong(about > 0, l.allows(), a.Allow) },
		}
		if err := against.run(found.add); err != nil {
			return nil, err
		}
	}
	if len(found.order) == 0 {
		return nil, nil
	}
	best := found.order[0]
	for _, b := range found.order[1:] {
		if simpler(b, best) {
			best = b
		}
	}
	w := best.witness
	return &ProofWitness{
		Witness:   witnessOf(c.example, a.Direction, w.Packet),
		In:        w.In,
		Verdict:   verdictName(!a.Allow),
		By:        cmp.Or(c.free, deciderName(list, w.b)),
		condition: best.when.String(),
	}, nil
}

// wrong tells packets that the assertion speaks of and that are decided
// otherwise from all others.
func wrong(about, allows, expected bool) verdictKind {
	switch {
	case !about || allows == expected:
		return 0
	case allows:
		return opened
	}
	return closed
}

// verdictLabel labels rules of a list by what they decide.
func verdictLabel(list *model.RuleList) func(int32) label {
	return func(rule int32) label {
		if rule == space.NoRule && !list.Isolated || rule != space.NoRule && list.Rules[rule].Action.Allows() {
			return byNobody
		}
		return byDefault
	}
}

// simpler reports whether a makes the better counterexample: one that depends
// on fewer unresolved names, at an address that policies apply to.
func simpler(a, b *block) bool {
	if a.witness.poor != b.witness.poor {
		return b.witness.poor
	}
	na, nb := len(a.when.any)+len(a.when.none), len(b.when.any)+len(b.when.none)
	return na < nb
}
