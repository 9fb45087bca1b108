package oracle

import (
	"fmt"
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

// Unresolved is the [Peers] of the always sense without known domain names: every peer
// that is not a cidr is an atom.
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

// class is the pods that the same policies select.
type class struct {
	pod      Pod // the first of them
	selected []bool
	minimal  []bool // by policy: one of the pods is a minimal pod of it
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

// candidate is a pod and whether policies are enforced on it.
type candidate struct {
	Pod
	enforced bool
}

// pods returns every pod that makes a difference.
func (w *world) pods(sc scope) ([]candidate, error) {
	keep := func(p Pod) bool {
		return (sc.namespace == "" || p.Namespace == sc.namespace) && (sc.keep == nil || sc.keep(p))
	}
	w.named = len(w.in.Pods)+len(w.in.Templates) > 0
	if w.named {
		return w.inventoryPods(keep), nil
	}
	selectors := slices.Clone(sc.selectors)
	for _, p := range w.policies {
		selectors = append(selectors, &p.Selector)
	}
	words := vocabulary(selectors)
	with, without := namespaces(w.policies, sc.namespace)
	all := append([]string{without}, with...)
	if sc.namespace != "" {
		all = []string{sc.namespace}
	}
	if n := countAssignments(words, len(all)); n > maxPods {
		return nil, fmt.Errorf("selectors mention %d keys, more label assignments than can be tried one by one", len(words))
	}
	var out []candidate
	for _, ns := range all {
		for _, p := range assignments(ns, words) {
			if keep(p) {
				out = append(out, candidate{p, true})
			}
		}
	}
	return out, nil
}

// inventoryPods returns the pods that run or will, and the templates of more:
// "pod templates of workloads, whose labels and annotations count as a pod's in
// lint". "Never a subject of policy: hostNetwork pods, and pods in phase
// Succeeded or Failed"; the latter are no pods any more.
func (w *world) inventoryPods(keep func(Pod) bool) []candidate {
	var out []candidate
	add := func(p Pod, m *model.PodMeta) {
		if keep(p) {
			out = append(out, candidate{p, !m.HostNetwork && (m.Enrolled || w.in.AllEnrolled)})
		}
	}
	for _, p := range w.in.Pods {
		if p.Phase != model.PodSucceeded && p.Phase != model.PodFailed {
			add(Pod{p.Namespace, p.Name, p.Labels}, &p.PodMeta)
		}
	}
	for _, t := range w.in.Templates {
		add(Pod{t.Namespace, t.Kind + "/" + t.Name, t.Labels}, &t.PodMeta)
	}
	return out
}

// classify puts pods that the same policies select into one class: SEMANTICS 4
// looks at nothing else of a pod. An unenforced pod has no policies.
func (w *world) classify(pods []candidate) {
	_, without := namespaces(w.policies)
	known := map[string]*class{}
	for _, pod := range pods {
		selected := make([]bool, len(w.policies))
		for i, p := range w.policies {
			selected[i] = pod.enforced && selects(p, pod.Pod)
		}
		c := known[fmt.Sprint(selected)]
		if c == nil {
			c = &class{pod: pod.Pod, selected: selected, minimal: make([]bool, len(w.policies))}
			known[fmt.Sprint(selected)] = c
			w.classes = append(w.classes, c)
		}
		for i, p := range w.policies {
			home := p.Kind == model.TrafficPolicy || pod.Namespace == without
			if selected[i] && home && !c.minimal[i] {
				c.minimal[i] = minimal(p, pod.Pod)
			}
		}
	}
}

// anyPolicy is the side of a world that has one.
func anyPolicy(int) bool { return true }

// list returns the rules that are tried for a pod of c, in order: those of the
// policies of the side that select it.
func (w *world) list(c *class, d model.Direction, side func(policy int) bool) []*rule {
	var out []*rule
	for _, r := range w.rules[d] {
		if c.selected[r.policy] && side(r.policy) {
			out = append(out, r)
		}
	}
	return out
}

// closed reports whether a packet that no rule matches is denied: "The default
// deny holds for both directions as soon as any policy selects the pod [...]
// --isolation=direction narrows it to directions that some selecting policy
// declares (its section is present, even with no rules)".
func (w *world) closed(c *class, d model.Direction, side func(policy int) bool) bool {
	for i, p := range w.policies {
		if c.selected[i] && side(i) && (!w.in.IsolateByDirection || p.Section(d) != nil) {
			return true
		}
	}
	return false
}

// walk returns what each rule of a list decides: the points that it matches
// and no rule before it does. rest is what none matches.
func (w *world) walk(d model.Direction, list []*rule) (won []set, rest set) {
	taken := newSet(w.spaces[d].size())
	for _, r := range list {
		won = append(won, r.match.minus(taken))
		taken = taken.or(r.match)
	}
	return won, w.spaces[d].all.minus(taken)
}

// allowed returns the points that a list lets pass. reject is a deny.
func (w *world) allowed(d model.Direction, list []*rule, closed bool) set {
	won, rest := w.walk(d, list)
	out := newSet(w.spaces[d].size())
	if !closed {
		out = rest
	}
	for i, r := range list {
		if r.allow {
			out = out.or(won[i])
		}
	}
	return out
}
