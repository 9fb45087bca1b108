package oracle

import (
	"net/netip"
	"slices"

	"github.com/trafficpolicy/trafficpolicy/model"
)

// Peers answers what a peer of a rule means where it is not a cidr, which the
// oracle reads itself. unknown makes the peer an atom, named by [model.Peer.String];
// it matches the prefixes too, if there are any. No prefixes and not unknown is a
// peer that means nobody. Prefixes are unmapped; they may nest.
type Peers interface {
	Peers(p *model.Peer, d model.Direction) (prefixes []netip.Prefix, unknown bool)
}

// Unresolved is the [Peers] of the always sense without known domain names:
// every peer that is not a cidr is an atom.
type Unresolved struct{}

// Peers returns no prefixes, unknown.
func (Unresolved) Peers(*model.Peer, model.Direction) ([]netip.Prefix, bool) { return nil, true }

// Input is what a question is about. The zero value of every field is of use.
type Input struct {
	Policies []*model.Policy // in any order; names are unique
	Peers    Peers           // nil is Unresolved
	Families []model.Family  // those analysed; nil is both
	// IsolateByDirection is --isolation=direction.
	IsolateByDirection bool
	// Pods and Templates are those of an inventory. Where both are empty, which
	// pods exist is not known, and every label assignment counts.
	Pods      []*model.Pod
	Templates []*model.PodTemplate
	// AllEnrolled is --enrollment=all. Label assignments are always enrolled.
	AllEnrolled bool
}

// peer is one resolved peer entry.
type peer struct {
	prefixes []netip.Prefix
	atom     model.Atom // "" where the addresses are known
}

// rule is one rule of one policy with the points that it and its entries match,
// whoever comes before.
type rule struct {
	ref    model.RuleRef
	policy int // index in world.policies
	allow  bool
	peers  []peer
	match  set
}

// world is everything there is: each point of both directions, each rule of
// every policy and each pod.
type world struct {
	in       Input
	policies []*model.Policy // in evaluation order
	spaces   [2]*space       // by direction
	rules    [2][]*rule      // by direction, in evaluation order
	classes  []*class
	// named reports that classes are of an inventory's pods.
	named bool
}

// scope narrows or widens what a world holds beyond its policies. The zero
// scope does neither.
type scope struct {
	peers     [2][]model.Peer // told apart too, by direction
	ports     []model.Port
	selectors []*model.Selector
	namespace string         // of the pods; "" is any
	keep      func(Pod) bool // nil keeps every pod
}

func newWorld(in Input, policies []*model.Policy, sc scope) (*world, error) {
	if in.Peers == nil {
		in.Peers = Unresolved{}
	}
	if in.Families == nil {
		in.Families = model.Families[:]
	}
	w := &world{in: in, policies: slices.Clone(policies)}
	slices.SortStableFunc(w.policies, before)
	for _, d := range model.Directions {
		if err := w.fill(d, sc); err != nil {
			return nil, err
		}
	}
	pods, err := w.pods(sc)
	if err != nil {
		return nil, err
	}
	w.classify(pods)
	return w, nil
}

// before orders policies: "ordered by (priority, GTP before TP, name)".
func before(a, b *model.Policy) int {
	switch {
	case a.Priority != b.Priority:
		return a.Priority - b.Priority
	case a.Kind != b.Kind && a.Kind == model.GlobalTrafficPolicy:
		return -1
	case a.Kind != b.Kind:
		return 1
	case a.Name != b.Name:
		return cmpString(a.Name, b.Name)
	}
	return cmpString(a.Namespace, b.Namespace)
}

// fill makes the space and the rules of direction d.
func (w *world) fill(d model.Direction, sc scope) error {
	peers, ports := w.resolve(sc.peers[d], d), slices.Clone(sc.ports)
	var rules []*rule
	for i, p := range w.policies {
		for j := range p.Rules(d) {
			r := &p.Rules(d)[j]
			own := w.resolve(r.Peers, d)
			rules = append(rules, &rule{
				ref:    model.RuleRef{Policy: p, Direction: d, Index: j},
				policy: i, allow: r.Action == model.Allow, peers: own,
			})
			peers, ports = append(peers, own...), append(ports, r.Ports...)
		}
	}
	s, err := newSpace(d, w.in.Families, peers, ports)
	if err != nil {
		return err
	}
	for _, r := range rules {
		r.match = s.match(r.peers, r.ref.Rule().Ports)
	}
	w.spaces[d], w.rules[d] = s, rules
	return nil
}

func (w *world) resolve(peers []model.Peer, d model.Direction) []peer {
	var out []peer
	for i := range peers {
		out = append(out, resolvePeer(w.in.Peers, &peers[i], d))
	}
	return out
}

func resolvePeer(r Peers, p *model.Peer, d model.Direction) peer {
	if p.Kind == model.PeerCIDR {
		return peer{prefixes: []netip.Prefix{p.CIDR}}
	}
	prefixes, unknown := r.Peers(p, d)
	out := peer{prefixes: prefixes}
	if unknown {
		out.atom = model.Atom(p.String())
	}
	return out
}
