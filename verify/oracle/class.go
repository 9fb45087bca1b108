package oracle

import (
	"fmt"
	"slices"

	"github.com/trafficpolicy/trafficpolicy/model"
)

// class is the pods that the same policies select.
type class struct {
	pod      Pod // the first of them
	selected []bool
	minimal  []bool // by policy: one of the pods is a minimal pod of it
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
