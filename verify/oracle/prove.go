package oracle

import "github.com/trafficpolicy/trafficpolicy/model"

// Assertion says that every packet of some pods, between them and some peers,
// on some ports, is decided one way.
type Assertion struct {
	Namespace string // of the pods; "" is any
	PodName   string // "" is any; a label assignment has no name
	Selector  model.Selector
	Direction model.Direction
	Peers     []model.Peer // none is every address
	Ports     []model.Port // none is every protocol and port
	Allow     bool         // what is expected
}

// Proof is the outcome of an assertion.
type Proof struct {
	// Proven: every packet of every pod, whatever the atoms are, is decided as
	// expected, and there is one.
	Proven bool
	// Vacuous: the assertion speaks of no packet, because it selects no pod or its
	// peers mean nobody.
	Vacuous bool
	// Pod, Packet and Decision refute the assertion where it is neither.
	Pod      Pod
	Packet   Packet
	Decision Decision
}

// Prove tries every packet that the assertion speaks of. Without pods in in it
// speaks of every label assignment that its selector matches, those included
// that no policy selects. It returns an error where there is more than can be
// tried one by one.
func Prove(in Input, a Assertion) (Proof, error) {
	sc := scope{
		ports:     a.Ports,
		selectors: []*model.Selector{&a.Selector},
		namespace: a.Namespace,
		keep: func(p Pod) bool {
			return (a.PodName == "" || a.PodName == p.Name) && matchSelector(&a.Selector, p.Labels)
		},
	}
	sc.peers[a.Direction] = a.Peers
	w, err := newWorld(in, in.Policies, sc)
	if err != nil {
		return Proof{}, err
	}
	d := a.Direction
	about := w.spaces[d].match(w.resolve(a.Peers, d), a.Ports)
	if about.empty() || len(w.classes) == 0 {
		return Proof{Vacuous: true}, nil
	}
	for _, c := range w.classes {
		list := w.list(c, d, anyPolicy)
		allows := w.allowed(d, list, w.closed(c, d, anyPolicy))
		wrong := about.and(allows)
		if a.Allow {
			wrong = about.minus(allows)
		}
		if i := wrong.first(); i >= 0 {
			return Proof{Pod: c.pod, Packet: w.spaces[d].packet(i), Decision: decision(list, i, allows)}, nil
		}
	}
	return Proof{Proven: true}, nil
}
