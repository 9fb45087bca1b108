package verify

import (
	"fmt"
	"strings"

	"github.com/trafficpolicy/trafficpolicy/model"
)

// workload is a pod or a pod template: what a policy can select.
type workload struct {
	kind            string // Pod, or that of the workload
	namespace, name string
	meta            *model.PodMeta
	subject         bool // policies can apply to it, enrolled or not
	pos             model.Pos
}

func (w *workload) String() string { return fmt.Sprintf("%s %s/%s", w.kind, w.namespace, w.name) }

// workloads returns the pods of the inventory, then the templates, each in input order.
func (a *Analysis) workloads() []workload {
	ws := make([]workload, 0, len(a.Inventory.Pods)+len(a.Inventory.Templates))
	for _, p := range a.Inventory.Pods {
		ws = append(ws, workload{"Pod", p.Namespace, p.Name, &p.PodMeta, p.Subject(), p.Pos})
	}
	for _, t := range a.Inventory.Templates {
		ws = append(ws, workload{t.Kind, t.Namespace, t.Name, &t.PodMeta, !t.HostNetwork, t.Pos})
	}
	return ws
}

// selection is what one policy selects in the inventory.
type selection struct {
	// subjects are those that policies can apply to, all those that they cannot
	// (hostNetwork, finished) as well.
	all, subjects int
	notEnrolled   nameList // of subjects
	bypass        nameList // likewise: those that could undo enforcement
}

// selections tells what each policy selects that selects anything.
func (a *Analysis) selections() map[*model.Policy]*selection {
	m := map[*model.Policy]*selection{}
	ws := a.workloads()
	for i := range ws {
		w := &ws[i]
		for _, p := range a.Index().Select(w.namespace, w.meta.Labels) {
			s := m[p]
			if s == nil {
				s = &selection{}
				m[p] = s
			}
			s.all++
			if !w.subject {
				continue
			}
			s.subjects++
			if !w.meta.Enrolled {
				s.notEnrolled.add(w)
			}
			if len(w.meta.Bypass) > 0 {
				s.bypass.add(bypassing{w})
			}
		}
	}
	return m
}

// nameList counts things and names the first few.
type nameList struct {
	n     int
	first []string
}

const fewNames = 3

func (l *nameList) add(x fmt.Stringer) {
	l.n++
	if len(l.first) < fewNames {
		l.first = append(l.first, x.String())
	}
}

// String returns "a", "a and b", "a, b and c" or "a, b, c and 7 more".
func (l *nameList) String() string {
	names := l.first
	if more := l.n - len(names); more > 0 {
		names = append(names[:len(names):len(names)], fmt.Sprintf("%d more", more))
	}
	return joinAnd(names)
}

// joinAnd returns "a", "a and b" or "a, b and c".
func joinAnd(names []string) string {
	if len(names) < 2 {
		return strings.Join(names, "")
	}
	return strings.Join(names[:len(names)-1], ", ") + " and " + names[len(names)-1]
}

// plural returns one for 1 and many for any other number.
func plural(n int, one, many string) string {
	if n == 1 {
		return one
	}
	return many
}
