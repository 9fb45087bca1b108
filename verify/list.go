package verify

import (
	"context"
	"fmt"
	"slices"

	"github.com/trafficpolicy/trafficpolicy/compiler"
	"github.com/trafficpolicy/trafficpolicy/model"
)

// Listing is every policy, or those of one pod, in evaluation order. Its JSON
// form is a contract.
type Listing struct {
	Pod      *ListedPod     `json:"pod,omitempty"` // where one pod was asked for
	Policies []ListedPolicy `json:"policies"`      // never nil
	// Unchecked is what lint could not judge: findings may be missing.
	Unchecked []Unchecked `json:"unchecked,omitempty"`
}

// ListedPod is the pod that a listing is about.
type ListedPod struct {
	Name     string `json:"name"`     // NAMESPACE/NAME
	Enrolled bool   `json:"enrolled"` // also by --enrollment=all
	// Governed reports whether policies are enforced at the pod: it is enrolled,
	// runs off its node's network, and some policy selects it.
	Governed bool `json:"governed"`
}

// ListedPolicy is one row.
type ListedPolicy struct {
	Policy    string `json:"policy"` // as in every output
	Kind      string `json:"kind"`
	Namespace string `json:"namespace,omitempty"`
	Name      string `json:"name"`
	Priority  int    `json:"priority"`
	Selector  string `json:"selector"` // as kubectl takes it; "" selects every pod
	// Pods are the pods that the policy selects and could apply to; NotEnrolled
	// are those of them that are not enforced. In inventory order, nil without an
	// inventory.
	Pods        []string    `json:"pods"`
	NotEnrolled []string    `json:"notEnrolled"`
	Rules       ListedRules `json:"rules"`
	// Findings are what lint says about the policy, sorted; never nil.
	Findings []model.Finding `json:"findings"`
}

// ListedRules counts the rules of a policy; nil for a section that is absent.
type ListedRules struct {
	Ingress *int `json:"ingress"`
	Egress  *int `json:"egress"`
}

// List lists the policies of in; with a pod, as NAMESPACE/NAME, those that
// select it. It returns a *[compiler.UnknownTarget] for a pod that the inventory
// does not hold.
func List(ctx context.Context, in *compiler.Input, o compiler.Options, pod string) (*Listing, error) {
	a := NewAnalysis(in, o)
	l := &Listing{Policies: []ListedPolicy{}}
	policies := a.Policies
	if pod != "" {
		p, err := findPod(in, pod)
		if err != nil {
			return nil, err
		}
		policies = a.Index().Select(p.Namespace, p.Labels)
		l.Pod = &ListedPod{
			Name:     pod,
			Enrolled: p.Enrolled || o.AllEnrolled,
			Governed: len(a.Index().Governing(p, o)) > 0,
		}
	}
	report, err := Lint(ctx, in, LintOptions{Options: o})
	if err != nil {
		return nil, err
	}
	l.Unchecked = report.Unchecked
	findings := map[string][]model.Finding{}
	for _, f := range report.Findings {
		findings[f.Policy] = append(findings[f.Policy], f)
	}
	pods := listedPods(a)
	for _, p := range policies {
		row := listedPolicy(p)
		if in.InventoryGiven {
			row.Pods, row.NotEnrolled = pods[p].all, pods[p].notEnrolled
		}
		row.Findings = append(row.Findings, findings[p.Ref()]...)
		l.Policies = append(l.Policies, row)
	}
	return l, nil
}

func findPod(in *compiler.Input, ref string) (*model.Pod, error) {
	refs := make([]string, len(in.Inventory.Pods))
	for i, p := range in.Inventory.Pods {
		if refs[i] = p.Ref(); refs[i] == ref {
			return p, nil
		}
	}
	slices.Sort(refs)
	return nil, &compiler.UnknownTarget{Kind: "pod", Name: ref, Nearest: compiler.Nearest(ref, refs)}
}

func listedPolicy(p *model.Policy) ListedPolicy {
	row := ListedPolicy{
		Policy:    p.Ref(),
		Kind:      p.Kind.String(),
		Namespace: p.Namespace,
		Name:      p.Name,
		Priority:  p.Priority,
		Selector:  compiler.NewSelector(&p.Selector).String(),
		Findings:  []model.Finding{},
	}
	count := func(s *model.Section) *int {
		if s == nil {
			return nil
		}
		n := len(s.Rules)
		return &n
	}
	row.Rules = ListedRules{Ingress: count(p.Ingress), Egress: count(p.Egress)}
	return row
}

// podNames is the pods that one policy selects.
type podNames struct{ all, notEnrolled []string }

// listedPods tells the pods of each policy.
func listedPods(a *Analysis) map[*model.Policy]podNames {
	m := make(map[*model.Policy]podNames, len(a.Policies))
	for _, p := range a.Policies {
		m[p] = podNames{[]string{}, []string{}}
	}
	for _, pod := range a.Inventory.Pods {
		if !pod.Subject() {
			continue
		}
		for _, p := range a.Index().Select(pod.Namespace, pod.Labels) {
			names := m[p]
			names.all = append(names.all, pod.Ref())
			if !pod.Enrolled && !a.Options.AllEnrolled {
				names.notEnrolled = append(names.notEnrolled, pod.Ref())
			}
			m[p] = names
		}
	}
	return m
}

// String returns how many rules there are in each direction, such as "2 in, 5
// out"; a section that is absent is left out.
func (r ListedRules) String() string {
	switch {
	case r.Ingress != nil && r.Egress != nil:
		return fmt.Sprintf("%d in, %d out", *r.Ingress, *r.Egress)
	case r.Ingress != nil:
		return fmt.Sprintf("%d in", *r.Ingress)
	case r.Egress != nil:
		return fmt.Sprintf("%d out", *r.Egress)
	}
	return "none"
}
