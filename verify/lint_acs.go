package verify

import (
	"context"

	"github.com/trafficpolicy/trafficpolicy/model"
)

// acsLabel marks pods that run on ACS compute, as the vendor's guide has it.
const acsLabel = "alibabacloud.com/acs"

// notACS reports enrolled pods and templates that have neither the ACS label nor
// the toleration for virtual nodes (TP406), those of one namespace together, at
// the first of them: the agent that enforces may not be where they run.
func notACS(_ context.Context, a *Analysis) ([]model.Finding, error) {
	var namespaces []string // in the order of their first pod
	found := map[string]*nameList{}
	first := map[string]model.Pos{}
	ws := a.workloads()
	for i := range ws {
		w := &ws[i]
		if !w.subject || !w.meta.Enrolled || w.meta.VirtualNode || w.meta.Labels.Has(acsLabel) {
			continue
		}
		if found[w.namespace] == nil {
			namespaces = append(namespaces, w.namespace)
			found[w.namespace], first[w.namespace] = &nameList{}, w.pos
		}
		found[w.namespace].add(w)
	}
	var out []model.Finding
	for _, ns := range namespaces {
		l := found[ns]
		f := inInventory(model.NotACS, first[ns], "enrolled %s neither the label %s nor the toleration for virtual nodes: %s",
			plural(l.n, "pod or template has", "pods or templates have"), acsLabel, l)
		f.Suggestion = `label the pod alibabacloud.com/acs: "true", or let it tolerate virtual-kubelet.io/provider`
		out = append(out, f)
	}
	return out, nil
}
