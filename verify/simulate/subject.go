package simulate

import (
	"net/netip"
	"slices"
	"sync/atomic"

	"github.com/trafficpolicy/trafficpolicy/model"
)

// subject is a pod with all that flows ask of it. Those of the inventory lie in one
// array, so that a flow finds each of its ends once and has the rest at hand.
type subject struct {
	pod *model.Pod
	ref string // NAMESPACE/NAME; "" for a pod given by its labels
	// addrs are the addresses that the pod sends from and is reached at: those it
	// owns, or, where it is never a subject of policy, those it has.
	addrs  []netip.Addr
	node   []netip.Addr // addresses of its node
	exempt Reason       // why no policy ever applies to it; "" where policies decide

	walks atomic.Pointer[walks] // nil until a flow asks; see Simulator.walksAt
	few   [2]netip.Addr         // the memory of addrs where they fit, which is next to it
}

// walks is both directions of the pods that the same policies select.
type walks [len(model.Directions)]*Walk

// roster is where the pods of the inventory are, by index.
type roster struct {
	byRef map[string]int32
	byPod map[*model.Pod]int32
	// Of addresses that exactly one pod owns, as numbers, which are found sooner.
	by4 map[uint32]int32
	by6 map[uint128]int32
}

// newRoster returns an empty roster for n pods.
func newRoster(n int) roster {
	return roster{make(map[string]int32, n), make(map[*model.Pod]int32, n), make(map[uint32]int32, n), map[uint128]int32{}}
}

// owner returns the only pod that owns a, and whether there is one.
func (r *roster) owner(a netip.Addr) (i int32, ok bool) {
	if a.Is4() {
		i, ok = r.by4[toUint32(a)]
	} else if a.Is6() {
		i, ok = r.by6[toUint128(a)]
	}
	return i, ok
}

// own says that pod i is the only one that owns a.
func (r *roster) own(a netip.Addr, i int32) {
	if a.Is4() {
		r.by4[toUint32(a)] = i
	} else {
		r.by6[toUint128(a)] = i
	}
}

// enroll fills the roster, and returns what is known of each pod before any flow.
func (w *facts) enroll() []subject {
	pods := w.in.Inventory.Pods
	w.roster = newRoster(len(pods))
	subjects := make([]subject, len(pods))
	for i, p := range pods {
		at := int32(i)
		w.fill(&subjects[i], p)
		w.byPod[p] = at
		if ref := subjects[i].ref; ref != "" {
			w.byRef[ref] = at
		}
		if !p.Subject() {
			continue
		}
		for _, a := range subjects[i].addrs {
			if !w.contested || len(w.addresses.Owners(a)) == 1 {
				w.own(a, at)
			}
		}
	}
	return subjects
}

// fill says everything of p but which policies select it.
func (w *facts) fill(sub *subject, p *model.Pod) {
	sub.pod, sub.exempt = p, w.standing(p)
	if p.NodeName != "" {
		sub.node = w.nodes[p.NodeName]
	}
	switch {
	case p.Name == "": // given by its labels: it has no address
		return
	case p.Subject():
		sub.keep(w.addresses.Of(p))
	default:
		sub.keep(p.IPs)
	}
	sub.ref = p.Ref()
}

// keep sets the addresses.
func (sub *subject) keep(addrs []netip.Addr) {
	if sub.addrs = addrs; len(addrs) <= len(sub.few) {
		sub.addrs = append(sub.few[:0], addrs...)
	}
}

// standing returns why no policy ever applies to p, or "" where policies decide.
func (w *facts) standing(p *model.Pod) Reason {
	switch {
	case p.Finished():
		return NotRunning
	case p.HostNetwork:
		return HostNetwork
	case !p.Enrolled && !w.options.AllEnrolled:
		return NotEnrolled
	}
	return ""
}

// named returns the pod of the inventory that ref names, nil for none.
func (s *Simulator) named(ref string) *subject {
	if i, ok := s.byRef[ref]; ok {
		return &s.subjects[i]
	}
	return nil
}

// subject returns what there is about p; of a pod that the inventory does not hold
// it is made anew each time. It returns nil for nil.
func (s *Simulator) subject(p *model.Pod) *subject {
	if p == nil {
		return nil
	}
	if i, ok := s.byPod[p]; ok {
		return &s.subjects[i]
	}
	sub := &subject{}
	s.fill(sub, p)
	return sub
}

// walksAt returns the walks of the policies that select the pod. What a pod of the
// inventory has stays with it.
func (s *Simulator) walksAt(sub *subject) *walks {
	if ws := sub.walks.Load(); ws != nil {
		return ws
	}
	ws := s.walksOfLabels(sub.pod)
	sub.walks.Store(ws) // whoever else did meanwhile stored the same
	return ws
}

// walksOfLabels is walksAt by namespace and labels, which pods share. Those of a
// pod without a name, given by its labels, are not kept: there is no end of them.
func (s *Simulator) walksOfLabels(p *model.Pod) *walks {
	if p.Name == "" {
		return s.walksOf(s.Select(p.Namespace, p.Labels))
	}
	key := p.Namespace + "?" + p.Labels.String()
	ws, ok := s.labelled.Load(key)
	if !ok {
		ws, _ = s.labelled.LoadOrStore(key, s.walksOf(s.Select(p.Namespace, p.Labels)))
	}
	return ws.(*walks)
}

// owns reports whether a is one of the pod's addresses.
func (sub *subject) owns(a netip.Addr) bool { return a.IsValid() && slices.Contains(sub.addrs, a) }

// stands reports whether a is one of the addresses that the pod was given with.
func (sub *subject) stands(a netip.Addr) bool {
	return slices.Contains(sub.addrs, a) || slices.Contains(sub.pod.IPs, a)
}

// first returns the first address of a family, or an invalid one.
func first(addrs []netip.Addr, f model.Family) netip.Addr {
	for _, a := range addrs {
		if model.FamilyOf(a) == f {
			return a
		}
	}
	return netip.Addr{}
}
