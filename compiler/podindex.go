package compiler

import (
	"sync"

	"github.com/trafficpolicy/trafficpolicy/model"
)

// podIndex finds pods by namespace and labels. It is safe for concurrent use.
type podIndex struct {
	namespaces map[string]*podNamespace
}

// podNamespace is the pods of one namespace. They are filed under each of their
// labels when a label is first asked for, so that inventories nobody asks cost
// nothing.
type podNamespace struct {
	pods    []*model.Pod
	byLabel func() map[model.Label][]*model.Pod
}

func newPodIndex(pods []*model.Pod) *podIndex {
	x := &podIndex{namespaces: map[string]*podNamespace{}}
	for _, p := range pods {
		ns := x.namespaces[p.Namespace]
		if ns == nil {
			ns = &podNamespace{}
			ns.byLabel = sync.OnceValue(ns.file)
			x.namespaces[p.Namespace] = ns
		}
		ns.pods = append(ns.pods, p)
	}
	return x
}

// refile makes pods those of the given namespaces; pods of others are left out of
// account.
func (x *podIndex) refile(pods []*model.Pod, namespaces map[string]bool) {
	for ns := range namespaces {
		delete(x.namespaces, ns)
	}
	for ns, y := range newPodIndex(filter(pods, func(p *model.Pod) bool { return namespaces[p.Namespace] })).namespaces {
		x.namespaces[ns] = y
	}
}

func (ns *podNamespace) file() map[model.Label][]*model.Pod {
	m := map[model.Label][]*model.Pod{}
	for _, p := range ns.pods {
		for _, l := range p.Labels {
			m[l] = append(m[l], p)
		}
	}
	return m
}

// matching returns the pods of the namespace that carry all of ls, every pod of
// it where ls is empty, in inventory order.
func (x *podIndex) matching(namespace string, ls model.Labels) []*model.Pod {
	ns := x.namespaces[namespace]
	if ns == nil {
		return nil
	}
	if len(ls) == 0 {
		return ns.pods
	}
	byLabel := ns.byLabel()
	fewest := byLabel[ls[0]]
	for _, l := range ls[1:] {
		if ps := byLabel[l]; len(ps) < len(fewest) {
			fewest = ps
		}
	}
	var out []*model.Pod
	for _, p := range fewest {
		if p.Labels.Contains(ls) {
			out = append(out, p)
		}
	}
	return out
}
