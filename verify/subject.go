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
	// byLabels is the pod as simulate takes it, NAMESPACE?k=v: a pod that no
	// inventory need hold, without an address and a node.
	byLabels string
	named    []namedPod // some of those of the inventory, the first ones that have an address first
}

// namedPod is a pod of the inventory.
type namedPod struct {
	ref       string
	addressed bool
	// exempt are the addresses whose packets policies do not judge at the pod: its
	// own and its node's.
	exempt []netip.Addr
}

// name returns the pod as simulate takes it.
func (s *subject) name() string {
	if len(s.named) > 0 {
		return s.named[0].ref
	}
	return s.byLabels
}

// hypothetical returns the subject of a pod that could exist.
func (a *Analysis) hypothetical(p *pods.Pod) subject {
	ns := p.Namespace
	if ns == "" {
		ns = a.space().FreeNamespace()
	}
	return subject{policies: p.Policies, byLabels: ns + "?" + p.Labels.String()}
}

// governed returns a subject for each class of the pods and pod templates of the
// inventory that policies are enforced on, in the order of their first pod.
func (a *Analysis) governed() []subject {
	var out []*subject
	seen := map[string]*subject{}
	key := a.policyKeys()
	class := func(p *model.Pod) *subject {
		policies := a.Index().Governing(p, a.Options)
		if len(policies) == 0 {
			return &subject{}
		}
		k := key(policies)
		if seen[k] == nil {
			seen[k] = &subject{policies: policies, byLabels: p.Namespace + "?" + p.Labels.String()}
			out = append(out, seen[k])
		}
		return seen[k]
	}
	nodes := map[string][]netip.Addr{}
	for _, n := range a.Inventory.Nodes {
		nodes[n.Name] = append(nodes[n.Name], n.Addresses...)
	}
	for _, p := range a.Inventory.Pods {
		s := class(p)
		if len(s.named) < enoughNamed || len(p.IPs) > 0 && !s.named[enoughNamed-1].addressed {
			s.add(namedPod{p.Ref(), len(p.IPs) > 0, slices.Concat(p.IPs, nodes[p.NodeName])})
		}
	}
	for _, t := range a.Inventory.Templates {
		class(&model.Pod{Namespace: t.Namespace, PodMeta: t.PodMeta})
	}
	all := make([]subject, len(out))
	for i, s := range out {
		all[i] = *s
	}
	return all
}

// enoughNamed is how many pods of a class are kept to choose from: a packet has to
// be of another than the pod it is judged at.
const enoughNamed = 4

// add puts p behind the pods that are not worse.
func (s *subject) add(p namedPod) {
	i := len(s.named)
	for i > 0 && p.addressed && !s.named[i-1].addressed {
		i--
	}
	s.named = slices.Insert(s.named, i, p)
	s.named = s.named[:min(len(s.named), enoughNamed)]
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
	pod := s.byLabels
	for _, n := range s.named {
		if !slices.Contains(n.exempt, p.Addr) {
			pod = n.ref
			break
		}
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
