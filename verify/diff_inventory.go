package verify

import (
	"net/netip"
	"slices"
	"strings"

	"github.com/trafficpolicy/trafficpolicy/compiler"
	"github.com/trafficpolicy/trafficpolicy/model"
)

// member is a pod or pod template of either inventory.
type member struct {
	name      string // NAMESPACE/NAME, or KIND NAMESPACE/NAME of a template
	namespace string
	meta      [2]*model.PodMeta // nil where the inventory lacks it
	subject   [2]bool
	pod       *model.Pod // nil for a template
}

// members returns the pods and templates of both inventories, sorted by name.
func (d *differ) members() []*member {
	byName := map[string]*member{}
	var out []*member
	for i, s := range d.sides {
		add := func(name, namespace string, m *model.PodMeta, subject bool, pod *model.Pod) {
			x := byName[name]
			if x == nil {
				x = &member{name: name, namespace: namespace}
				byName[name] = x
				out = append(out, x)
			}
			x.meta[i], x.subject[i], x.pod = m, subject, pod
		}
		for _, p := range s.input.Inventory.Pods {
			add(p.Ref(), p.Namespace, &p.PodMeta, p.Subject(), p)
		}
		for _, t := range s.input.Inventory.Templates {
			add(t.Kind+" "+t.Namespace+"/"+t.Name, t.Namespace, &t.PodMeta, !t.HostNetwork, nil)
		}
	}
	slices.SortFunc(out, func(a, b *member) int {
		if (a.pod == nil) != (b.pod == nil) { // pods first: they are the better examples
			if a.pod != nil {
				return -1
			}
			return 1
		}
		return strings.Compare(a.name, b.name)
	})
	return out
}

// governing returns the policies of set i that govern m. Where that set's
// inventory lacks m, the other's says what it is.
func (d *differ) governing(m *member, i int, index *compiler.PolicyIndex) []*model.Policy {
	from := i
	if m.meta[i] == nil {
		from = 1 - i
	}
	if !m.subject[from] || !m.meta[from].Enrolled && !d.options.AllEnrolled {
		return nil
	}
	return index.Select(m.namespace, m.meta[from].Labels)
}

// inventoryPods returns the pods and pod templates of both inventories by class:
// those that the same policies govern, before and after.
func (d *differ) inventoryPods() []*diffPod {
	indexes := [2]*compiler.PolicyIndex{compiler.NewPolicyIndex(d.sides[0].policies), compiler.NewPolicyIndex(d.sides[1].policies)}
	nodes := map[string][]netip.Addr{}
	for _, s := range d.sides {
		for _, n := range s.input.Inventory.Nodes {
			nodes[n.Name] = append(nodes[n.Name], n.Addresses...)
		}
	}
	classes := map[string]*diffPod{}
	var out []*diffPod
	for _, m := range d.members() {
		policies := [2][]*model.Policy{d.governing(m, 0, indexes[0]), d.governing(m, 1, indexes[1])}
		key := spell(d.sorted(policies[0])) + "/" + spell(d.sorted(policies[1]))
		c := classes[key]
		if c == nil {
			c = &diffPod{example: m.example(), policies: policies, avoid: exempt(m.pod, nodes)}
			classes[key] = c
			out = append(out, c)
		}
		c.members = append(c.members, m.name)
	}
	return out
}

// example returns m as simulate takes it.
func (m *member) example() string {
	if m.pod != nil {
		return m.name
	}
	for _, meta := range m.meta {
		if meta != nil {
			return m.namespace + "?" + meta.Labels.String()
		}
	}
	return m.name
}

// exempt reports addresses that policies do not apply to at p: its own, and
// those of its node. It is nil where there is no pod.
func exempt(p *model.Pod, nodes map[string][]netip.Addr) func(netip.Addr) bool {
	if p == nil {
		return nil
	}
	own := slices.Concat(p.IPs, nodes[p.NodeName])
	return func(a netip.Addr) bool { return slices.Contains(own, a) }
}
