package verify

import (
	"errors"
	"fmt"
	"slices"
	"sync"

	"github.com/trafficpolicy/trafficpolicy/compiler"
	"github.com/trafficpolicy/trafficpolicy/compiler/space"
	"github.com/trafficpolicy/trafficpolicy/model"
	"github.com/trafficpolicy/trafficpolicy/verify/pods"
)

// provenPods is the pods of an assertion that the same policies govern.
type provenPods struct {
	example  string
	members  []string        // of an inventory
	policies []*model.Policy // in evaluation order, none where nothing is enforced
	free     string          // why nothing is enforced, as simulate names it; "" where no policy selects them
	pod      *model.Pod      // the example, where it is one of the inventory
}

// pods returns the pods that a speaks of by class, or why there are none.
func (p *prover) pods(a *compiler.Assertion) (classes []*provenPods, why string, err error) {
	switch {
	case !p.hypothetical:
		if classes = p.inventoryPods(a); len(classes) == 0 {
			why = "no pod of the inventory matches"
		}
	case a.Pod != "":
		why = "it names a pod, and there is no inventory of pods"
	default:
		if classes, err = p.hypotheticalPods(a); len(classes) == 0 {
			why = "no pod can have labels that its selector matches"
		}
	}
	return classes, why, err
}

// inventoryPods returns the pods and pod templates that a speaks of: those that
// run or will. What is not enrolled, or on its node's network, counts as well.
func (p *prover) inventoryPods(a *compiler.Assertion) []*provenPods {
	selector := compiler.NewSelector(&a.Selector)
	classes := map[string]*provenPods{}
	var out []*provenPods
	add := func(name, example, namespace string, m *model.PodMeta, pod *model.Pod) {
		if a.Namespace != "" && a.Namespace != namespace || !selector.Matches(m.Labels) {
			return
		}
		var policies []*model.Policy
		free := ""
		switch {
		case m.HostNetwork:
			free = HostNetwork
		case !m.Enrolled && !p.options.AllEnrolled:
			free = NotEnrolled
		default:
			policies = p.index.Select(namespace, m.Labels)
		}
		key := free + "/" + p.ids.spell(policies)
		c := classes[key]
		if c == nil {
			c = &provenPods{example: example, policies: policies, free: free, pod: pod}
			classes[key] = c
			out = append(out, c)
		}
		c.members = append(c.members, name)
	}
	for _, pod := range p.input.Inventory.Pods {
		if !pod.Finished() && (a.Pod == "" || a.Pod == pod.Name) {
			add(pod.Ref(), pod.Ref(), pod.Namespace, &pod.PodMeta, pod)
		}
	}
	for _, t := range p.input.Inventory.Templates {
		if a.Pod == "" {
			add(t.Kind+" "+t.Namespace+"/"+t.Name, t.Namespace+"?"+t.Labels.String(), t.Namespace, &t.PodMeta, nil)
		}
	}
	return out
}

// hypotheticalPods returns pods that a's selector matches and that together
// refute a if any pod does. A packet that is decided otherwise is so by a policy,
// or since none closes the direction; a pod that a's selector and that policy
// select, and of other policies only some of those of the pod refuted, has it
// decided so too. See [differ.hypotheticalPods].
func (p *prover) hypotheticalPods(a *compiler.Assertion) ([]*provenPods, error) {
	self := &model.Policy{Kind: model.GlobalTrafficPolicy, Name: "assertion", Selector: a.Selector}
	if a.Namespace != "" {
		self.Kind, self.Namespace = model.TrafficPolicy, a.Namespace
	}
	possible := pods.NewSpace(append(slices.Clone(p.input.Policies), self))
	known := map[string]bool{}
	var out []*provenPods
	add := func(ps ...*model.Policy) error {
		minimal, err := possible.Minimal(ps...)
		var many *pods.TooManyError
		if errors.As(err, &many) { // self is no policy that the user has seen
			named := *many
			named.Policies = slices.DeleteFunc(slices.Clone(many.Policies), func(ref string) bool { return ref == self.Ref() })
			err = &named
		}
		if err != nil {
			return fmt.Errorf("assertion %q: %w", a.Name, err)
		}
		for i := range minimal {
			m := &minimal[i]
			policies := slices.DeleteFunc(slices.Clone(m.Policies), func(q *model.Policy) bool { return q == self })
			key := p.ids.spell(policies)
			if known[key] {
				continue
			}
			known[key] = true
			if m.Namespace == "" {
				m.Namespace = possible.FreeNamespace()
			}
			out = append(out, &provenPods{example: m.String(), policies: policies})
		}
		return nil
	}
	if err := add(self); err != nil {
		return nil, err
	}
	for _, q := range p.input.Policies {
		if !p.mayRefute(q, a) {
			continue
		}
		if err := add(self, q); err != nil {
			return nil, err
		}
	}
	return out, nil
}

// mayRefute reports whether policy q can decide a packet otherwise than expected.
func (p *prover) mayRefute(q *model.Policy, a *compiler.Assertion) bool {
	if a.Allow && (!p.options.IsolateByDirection || q.Section(a.Direction) != nil) {
		return true // by the default deny
	}
	return slices.ContainsFunc(q.Rules(a.Direction), func(r model.Rule) bool { return r.Action.Allows() != a.Allow })
}

// idsOf numbers policies.
type idsOf map[*model.Policy]int32

func policyIDs(policies []*model.Policy) idsOf {
	ids := make(idsOf, len(policies))
	for i, p := range policies {
		ids[p] = int32(i)
	}
	return ids
}

// spell makes a key of policies.
func (ids idsOf) spell(policies []*model.Policy) string {
	list := make([]int32, len(policies))
	for i, p := range policies {
		list[i] = ids[p]
	}
	return spell(list)
}

// tableCache keeps the table of each class that was asked for, once. The zero
// value is ready to use.
type tableCache struct{ m sync.Map }

type tableKey struct {
	policies  string
	direction model.Direction
	family    model.Family
}

// classTable is the meaning of one class, direction and family.
type classTable struct {
	list  *model.RuleList
	table *space.Table
	err   error
}

func (t *tableCache) get(p *prover, policies []*model.Policy, d model.Direction, f model.Family) (*classTable, error) {
	key := tableKey{p.ids.spell(policies), d, f}
	table, _ := t.m.LoadOrStore(key, sync.OnceValue(func() *classTable {
		c := &classTable{list: p.resolver.RuleList(policies, d, compiler.ForAnalysis)}
		c.table, c.err = space.Flatten(c.list, f)
		return c
	}))
	c := table.(func() *classTable)()
	return c, c.err
}
