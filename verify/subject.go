package verify

import (
	"encoding/binary"
	"fmt"
	"net/netip"
	"slices"

	"github.com/trafficpolicy/trafficpolicy/compiler/space"
	"github.com/trafficpolicy/trafficpolicy/model"
	"github.com/trafficpolicy/trafficpolicy/verify/pods"
)

// subject is a pod that stands for all that the same policies select.
type subject struct {
	policies []*model.Policy // in evaluation order
	name     string          // as simulate takes it
	// byLabels is the same pod by its labels, which no inventory need hold: it has
	// no address and no node. exempt are the addresses that policies do not judge
	// at the pod itself, its own and its node's.
	byLabels string
	exempt   []netip.Addr
}

// hypothetical returns the subject of a pod that could exist.
func (a *Analysis) hypothetical(p *pods.Pod) subject {
	ns := p.Namespace
	if ns == "" {
		ns = a.space().FreeNamespace()
	}
	name := ns + "?" + p.Labels.String()
	return subject{policies: p.Policies, name: name, byLabels: name}
}

// governed returns a subject for each class of the pods and pod templates of the
// inventory that policies are enforced on, in the order of their first pod.
func (a *Analysis) governed() []subject {
	var out []subject
	seen := map[string]bool{}
	key := a.policyKeys()
	add := func(s subject) {
		if k := key(s.policies); len(s.policies) > 0 && !seen[k] {
			seen[k] = true
			out = append(out, s)
		}
	}
	nodes := map[string][]netip.Addr{}
	for _, n := range a.Inventory.Nodes {
		nodes[n.Name] = append(nodes[n.Name], n.Addresses...)
	}
	for _, p := range a.Inventory.Pods {
		add(subject{
			policies: a.Index().Governing(p, a.Options),
			name:     p.Ref(),
			byLabels: p.Namespace + "?" + p.Labels.String(),
			exempt:   slices.Concat(p.IPs, nodes[p.NodeName]),
		})
	}
	for _, t := range a.Inventory.Templates {
		name := t.Namespace + "?" + t.Labels.String()
		p := &model.Pod{Namespace: t.Namespace, PodMeta: t.PodMeta}
		add(subject{policies: a.Index().Governing(p, a.Options), name: name, byLabels: name})
	}
	return out
}

// policyKeys returns a function that spells a list of policies, equal lists alike.
// It is safe for concurrent use.
func (a *Analysis) policyKeys() func([]*model.Policy) string {
	number := a.numbers()
	return func(ps []*model.Policy) string {
		b := make([]byte, 0, 4*len(ps))
		for _, p := range ps {
			b = binary.BigEndian.AppendUint32(b, uint32(number[p]))
		}
		return string(b)
	}
}

// witness returns the packet p of direction d at s as simulate takes it.
func (s *subject) witness(d model.Direction, p *space.Packet) *model.Witness {
	pod := s.name
	if slices.Contains(s.exempt, p.Addr) {
		pod = s.byLabels
	}
	w := &model.Witness{Src: pod, Dst: p.Addr.String(), Proto: p.L4.Proto().String(), Port: p.L4.Port()}
	if d == model.Ingress {
		w.Src, w.Dst = w.Dst, w.Src
	}
	return w
}

// assuming says what a witness takes for granted of unresolved names, "" for nothing.
func assuming(p *space.Packet) string {
	switch len(p.In) {
	case 0:
		return ""
	case 1:
		return fmt.Sprintf(" (where %s is an address of %s)", p.Addr, p.In[0])
	}
	return fmt.Sprintf(" (where %s is an address of %s and of %s)", p.Addr, p.In[0], p.In[1])
}
