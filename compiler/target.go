package compiler

import (
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"

	"github.com/trafficpolicy/trafficpolicy/model"
)

// UnknownTarget is the error for a node or pod that the inventory does not hold.
type UnknownTarget struct {
	Kind    string // "node" or "pod"
	Name    string
	Nearest []string // names it may have meant, nearest first
}

func (e *UnknownTarget) Error() string {
	msg := fmt.Sprintf("%s %q is not in the inventory", e.Kind, e.Name)
	if len(e.Nearest) == 0 {
		return msg
	}
	quoted := make([]string, len(e.Nearest))
	for i, n := range e.Nearest {
		quoted[i] = fmt.Sprintf("%q", n)
	}
	return msg + ", did you mean " + strings.Join(quoted, " or ") + "?"
}

// Nodes returns the nodes that the inventory holds, sorted: those with a Node
// object and those that a pod runs on.
func (c *Compiler) Nodes() []string { return slices.Clone(c.names()) }

func (c *Compiler) nodeNames() []string {
	names := slices.AppendSeq(slices.Collect(maps.Keys(c.nodes)), maps.Keys(c.podsOn))
	slices.Sort(names)
	return slices.Compact(names)
}

// find starts the program of t: its node and the pods it is for.
func (c *Compiler) find(t Target) (*build, error) {
	b := &build{Compiler: c, program: &Program{Target: t, NodeName: t.Node}}
	switch {
	case (t.Node == "") == (t.Pod == ""):
		return nil, errors.New("a program is for one node or one pod: name either")
	case t.Pod != "":
		pod, err := c.pod(t.Pod)
		if err != nil {
			return nil, err
		}
		b.pods, b.program.NodeName = []*model.Pod{pod}, pod.NodeName
		b.program.PodAddrs = sortedAddrs(c.resolver.Addresses().Of(pod))
	case c.nodes[t.Node] == nil && c.podsOn[t.Node] == nil:
		return nil, &UnknownTarget{Kind: "node", Name: t.Node, Nearest: Nearest(t.Node, c.Nodes())}
	default:
		b.pods = c.podsOn[t.Node]
	}
	if n := c.nodes[b.program.NodeName]; n != nil {
		b.program.NodeAddrs = sortedAddrs(n.Addresses)
	} else if b.program.NodeName != "" {
		b.warn("node %q has no Node object in the inventory: its addresses are not known (tploader apply --node-addr names them)", b.program.NodeName)
	}
	return b, nil
}

func (c *Compiler) pod(ref string) (*model.Pod, error) {
	if ns, name, ok := strings.Cut(ref, "/"); !ok || ns == "" || name == "" {
		return nil, fmt.Errorf("pod %q is not NAMESPACE/NAME", ref)
	}
	refs := make([]string, len(c.input.Inventory.Pods))
	for i, p := range c.input.Inventory.Pods {
		if refs[i] = p.Ref(); refs[i] == ref {
			return p, nil
		}
	}
	return nil, &UnknownTarget{Kind: "pod", Name: ref, Nearest: Nearest(ref, refs)}
}
