package compiler

import (
	"maps"
	"reflect"
	"slices"
	"sync"

	"github.com/trafficpolicy/trafficpolicy/model"
)

// Touched is what an update may have changed.
type Touched struct {
	// All is set where the programs of all targets may have changed.
	All   bool
	nodes map[string]bool
}

// Node reports whether the program of a node, or of a pod that runs on it, may have changed.
func (t *Touched) Node(name string) bool { return t.All || t.nodes[name] }

// Nodes returns the nodes whose programs may have changed, unless All is set: any
// may then.
func (t *Touched) Nodes() []string { return slices.Sorted(maps.Keys(t.nodes)) }

// Input returns what c compiles.
func (c *Compiler) Input() *Input { return c.input }

// Update returns a Compiler of in, which an [InputCache] has read after c's input.
// It takes over all that c knows and that follows from objects that did not
// change, so that only what the change touches is made again; its programs are
// those of a new Compiler of in. c must not be used afterwards.
func (c *Compiler) Update(in *Input) (*Compiler, *Touched) {
	u := &update{
		old: c, inv: in.Inventory, was: c.input.Inventory,
		touched: &Touched{nodes: map[string]bool{}},
		stale:   map[peerKey]bool{},
	}
	next := &Compiler{input: in, options: c.options, index: c.index, nodes: c.nodes, podsOn: c.podsOn}
	u.pods = changeOf(u.was.Pods, u.inv.Pods)
	u.services = changeOf(u.was.Services, u.inv.Services)
	u.endpoints = changeOf(u.was.Endpoints, u.inv.Endpoints)
	if !u.inPlace() {
		u.anew()
	}
	next.resolver = u.resolver
	u.placements(next)
	if !slices.Equal(c.input.Policies, in.Policies) {
		next.index = NewPolicyIndex(in.Policies)
		u.touched.All = true
	}
	next.names = sync.OnceValue(next.nodeNames)
	if u.sameNodes {
		names := c.names()
		next.names = func() []string { return names }
	}
	next.shared = u.meanings(in.Policies)
	return next, u.touched
}

// update is an update under way.
type update struct {
	old      *Compiler
	was, inv *model.Inventory
	touched  *Touched

	pods      change[*model.Pod]
	services  change[*model.Service]
	endpoints change[*model.Endpoints]

	sameNodes bool // as before, by name
	resolver  *Resolver
	fresh     bool             // the resolver was made from nothing
	stale     map[peerKey]bool // peers that have other addresses, or another problem, than before
}

// change is how two slices differ.
type change[T comparable] struct{ removed, added []T }

func (c *change[T]) none() bool { return len(c.removed)+len(c.added) == 0 }

func (c *change[T]) both() []T { return slices.Concat(c.removed, c.added) }

// changeOf compares two slices whose elements stand once each. The cost beyond a
// comparison of pointers follows what is between their common beginning and end.
func changeOf[T comparable](was, now []T) (c change[T]) {
	for len(was) > 0 && len(now) > 0 && was[0] == now[0] {
		was, now = was[1:], now[1:]
	}
	for len(was) > 0 && len(now) > 0 && was[len(was)-1] == now[len(now)-1] {
		was, now = was[:len(was)-1], now[:len(now)-1]
	}
	before := make(map[T]bool, len(was))
	for _, x := range was {
		before[x] = true
	}
	for _, x := range now {
		if before[x] {
			delete(before, x)
			continue
		}
		c.added = append(c.added, x)
	}
	for _, x := range was {
		if before[x] {
			c.removed = append(c.removed, x)
		}
	}
	return c
}

// inPlace brings the old resolver up to date, and reports whether it could: it
// cannot where it is open which namespaces there are, or whose an address is.
func (u *update) inPlace() bool {
	r := u.old.resolver
	switch {
	case !slices.Equal(u.was.Namespaces, u.inv.Namespaces), !slices.Equal(u.was.Templates, u.inv.Templates),
		!reflect.DeepEqual(u.was.Broken, u.inv.Broken),
		(len(u.was.Pods) == 0) != (len(u.inv.Pods) == 0),
		(len(u.was.Services) == 0) != (len(u.inv.Services) == 0),
		!u.sameNamespaces(),
		!r.addresses.replace(u.pods.removed, u.pods.added):
		return false
	}
	u.resolver = r
	u.refilePods()
	if !u.services.none() || !slices.Equal(u.was.Services, u.inv.Services) {
		r.indexServices(u.inv.Services)
	}
	if !u.endpoints.none() || !slices.Equal(u.was.Endpoints, u.inv.Endpoints) {
		r.indexEndpoints(u.inv.Endpoints)
	}
	u.resolveAgain(u.affects())
	return true
}

// sameNamespaces reports whether what changed leaves it open of no namespace
// whether the inventory holds it.
func (u *update) sameNamespaces() bool {
	named := map[string]bool{} // by their own objects
	for _, n := range u.inv.Namespaces {
		named[n.Name] = true
	}
	added, removed := map[string]bool{}, map[string]bool{}
	u.eachNamespace(func(ns string, add bool) {
		if add {
			added[ns] = true
		} else {
			removed[ns] = true
		}
	})
	for ns := range added {
		if !u.old.resolver.held[ns] {
			return false
		}
	}
	for _, p := range u.inv.Pods {
		if len(removed) == 0 {
			return true
		}
		delete(removed, p.Namespace)
	}
	for ns := range removed {
		if !named[ns] {
			return false
		}
	}
	return true
}

// eachNamespace calls f with the namespace of each object that was added or removed.
func (u *update) eachNamespace(f func(ns string, added bool)) {
	for _, p := range u.pods.added {
		f(p.Namespace, true)
	}
	for _, p := range u.pods.removed {
		f(p.Namespace, false)
	}
	for _, s := range u.services.added {
		f(s.Namespace, true)
	}
	for _, s := range u.services.removed {
		f(s.Namespace, false)
	}
	for _, e := range u.endpoints.added {
		f(e.Namespace, true)
	}
	for _, e := range u.endpoints.removed {
		f(e.Namespace, false)
	}
}

// refilePods files the pods of namespaces in which some changed.
func (u *update) refilePods() {
	if u.pods.none() {
		return
	}
	again := map[string]bool{}
	for _, p := range u.pods.both() {
		again[p.Namespace] = true
	}
	u.old.resolver.pods.refile(u.inv.Pods, again)
}

// affects returns a function that reports whether what a peer means may have changed.
func (u *update) affects() func(*knownPeer) bool {
	podsIn := map[string][]*model.Pod{} // those that changed
	for _, p := range u.pods.both() {
		podsIn[p.Namespace] = append(podsIn[p.Namespace], p)
	}
	services := map[objectName]bool{}
	servicesIn := map[string]bool{}
	note := func(namespace, name string) {
		services[objectName{namespace, name}] = true
		servicesIn[namespace] = true
	}
	for _, s := range u.services.both() {
		note(s.Namespace, s.Name)
	}
	for _, e := range u.endpoints.both() {
		note(e.Namespace, e.Service)
	}
	selects := func(namespace string, ls model.Labels) bool {
		return slices.ContainsFunc(podsIn[namespace], func(p *model.Pod) bool { return p.Labels.Contains(ls) })
	}
	return func(k *knownPeer) bool {
		switch p := &k.peer; p.Kind {
		case model.PeerNamespace:
			return selects(p.Namespace, nil)
		case model.PeerWorkload:
			return selects(p.Workload.Namespace, p.Workload.Labels)
		case model.PeerService:
			ns, name := p.Service.Namespace, p.Service.Name
			if name == model.AnyService {
				return servicesIn[ns] || len(podsIn[ns]) > 0
			}
			s := u.resolver.services[objectName{ns, name}]
			return services[objectName{ns, name}] || s != nil && len(s.Selector) > 0 && selects(ns, s.Selector)
		}
		return false
	}
}

// anew makes a resolver from nothing, and compares what peers mean to it with what they meant.
func (u *update) anew() {
	u.touched.All, u.fresh = true, true
	before := u.old.resolver
	u.resolver = NewResolver(u.inv, u.old.options.Options)
	before.known.Range(func(key, known any) bool {
		u.resolver.known.Store(key, known)
		return true
	})
	u.resolveAgain(func(*knownPeer) bool { return true })
}

// resolveAgain resolves known peers that may mean something else now, and notes
// those that do.
func (u *update) resolveAgain(affected func(*knownPeer) bool) {
	u.resolver.known.Range(func(key, value any) bool {
		known := value.(*knownPeer)
		if !affected(known) {
			return true
		}
		res := u.resolver.resolve(&known.peer, known.direction)
		if res.Problem != known.res.Problem || !slices.Equal(res.Prefixes, known.res.Prefixes) {
			u.stale[key.(peerKey)] = true
			u.resolver.known.Store(key, &knownPeer{known.peer, known.direction, res})
		}
		return true
	})
}

// placements brings up to date which nodes there are and which pods they run.
func (u *update) placements(next *Compiler) {
	u.sameNodes = true
	if nodes := changeOf(u.was.Nodes, u.inv.Nodes); !nodes.none() {
		u.sameNodes = false
		next.nodes = make(map[string]*model.Node, len(u.inv.Nodes))
		for _, n := range u.inv.Nodes {
			next.nodes[n.Name] = n
		}
		for _, n := range nodes.both() {
			u.touched.nodes[n.Name] = true
		}
	}
	if u.pods.none() {
		return
	}
	changed := map[string]bool{}
	for _, p := range u.pods.both() {
		changed[p.NodeName], u.touched.nodes[p.NodeName] = true, true
	}
	delete(changed, "")
	before := len(next.podsOn)
	for node := range changed {
		u.sameNodes = u.sameNodes && next.podsOn[node] != nil
		delete(next.podsOn, node)
	}
	for _, p := range u.inv.Pods {
		if changed[p.NodeName] {
			next.podsOn[p.NodeName] = append(next.podsOn[p.NodeName], p)
		}
	}
	u.sameNodes = u.sameNodes && len(next.podsOn) == before
}

// meanings takes over what policies and classes say where they say the same.
func (u *update) meanings(policies []*model.Policy) *shared {
	was := u.old.shared
	s := &shared{resolver: u.resolver, options: was.options, numbers: make(map[*model.Policy]uint32, len(policies)), next: was.next}
	for _, p := range policies {
		n, ok := was.numbers[p]
		if !ok {
			n = s.next
			s.next++
		}
		s.numbers[p] = n
	}
	changed := map[*model.Policy]bool{} // or gone
	was.policies.Range(func(key, value any) bool {
		p, m := key.(*model.Policy), value.(*policyMeaning)
		_, there := s.numbers[p]
		switch {
		case !there, u.anyStale(m):
			changed[p] = true
		case u.fresh || m.moved(): // what warnings say may be something else
			s.policies.Store(p, s.resolve(p))
		default:
			s.policies.Store(p, m)
		}
		return true
	})
	was.classes.Range(func(key, value any) bool {
		m := value.(*classMeaning)
		if slices.ContainsFunc(m.Policies, func(p *model.Policy) bool { return changed[p] }) {
			maps.Copy(u.touched.nodes, m.nodes)
			return true
		}
		s.classes.Store(key, m)
		return true
	})
	return s
}

func (u *update) anyStale(m *policyMeaning) bool {
	return len(u.stale) > 0 && slices.ContainsFunc(m.peers, func(k peerKey) bool { return u.stale[k] })
}

// Same reports whether two programs of one Compiler, or of one and what Update made of it,
// are the same but for their warnings.
func (p *Program) Same(q *Program) bool {
	return p.Target == q.Target && p.NodeName == q.NodeName &&
		slices.Equal(p.NodeAddrs, q.NodeAddrs) && slices.Equal(p.PodAddrs, q.PodAddrs) &&
		slices.EqualFunc(p.Pods, q.Pods, func(a, b ProgramPod) bool {
			return a.Ref == b.Ref && a.Class == b.Class && slices.Equal(a.Addrs, b.Addrs)
		}) &&
		slices.EqualFunc(p.Classes, q.Classes, func(a, b ProgramClass) bool { return a.Memo == b.Memo }) &&
		reflect.DeepEqual(p.Names, q.Names) && reflect.DeepEqual(p.UnknownDeny, q.UnknownDeny)
}
