package compiler

import (
	"context"
	"net/netip"
	"strings"
	"sync"

	"github.com/trafficpolicy/trafficpolicy/model"
)

// Target is what a program is for: exactly one of the fields is set.
type Target struct {
	Node string // spec.nodeName of the pods
	Pod  string // NAMESPACE/NAME
}

// CompileOptions are the switches of the compile command.
type CompileOptions struct {
	Options
	Target          Target
	AllowUnresolved bool // a deny that resolves to nothing is no error
	AllowEmpty      bool // no policies is no error
	SkipBroken      bool // inventory objects that cannot be read are no error
	UnknownDeny     bool // close the node's pod CIDRs for pods the program does not know
}

// Program is what one node, or one pod, enforces: all that a backend needs.
// It is deterministic: the same inputs give the same Program.
type Program struct {
	Target Target
	// NodeName and NodeAddrs are of the target's node; in pod scope the node the pod runs on.
	NodeName  string
	NodeAddrs []netip.Addr // sorted
	// PodAddrs are the addresses of the target pod, sorted, governed or not. None
	// in node scope, and for a pod that has no addresses of its own.
	PodAddrs []netip.Addr
	// Pods are the governed pods with an address, sorted by Ref. An address
	// stands once: where pods of one class claim the same, the first has it.
	Pods    []ProgramPod
	Classes []ProgramClass
	// Names holds every fqdn of the rule lists with the addresses known now,
	// sorted by name.
	Names []ProgramName
	// UnknownDeny is set by --unknown deny.
	UnknownDeny *UnknownDeny
	// Warnings are for stderr, sorted.
	Warnings []string
}

// ProgramPod is one governed pod.
type ProgramPod struct {
	Ref   string       // NAMESPACE/NAME
	Addrs []netip.Addr // sorted, at least one
	Class int          // index in Program.Classes
}

// ProgramClass is the meaning of one class, numbered from 0 in the order of the
// first pod that has it.
type ProgramClass struct {
	Policies        []*model.Policy
	Egress, Ingress *model.RuleList // built for [ForArtifact]
	// Memo is where backends keep what they make of the lists. Programs of one
	// Compiler share the lists and the Memo of equal classes; without one nothing is
	// kept.
	Memo *Memo
}

// List returns the rule list of direction d.
func (c *ProgramClass) List(d model.Direction) *model.RuleList {
	if d == model.Ingress {
		return c.Ingress
	}
	return c.Egress
}

// ProgramName is one domain name.
type ProgramName struct {
	Name  string
	Addrs []netip.Addr // sorted
}

// UnknownDeny closes a node's pod ranges for pods that the program does not know.
type UnknownDeny struct {
	PodCIDRs []netip.Prefix // of the node, sorted
	// Known are the addresses of the node's pods that are not governed, sorted:
	// they stay open.
	Known []netip.Addr
}

// Compile builds the program of o.Target. Errors are of type [*Refusal] where
// the policies must not be compiled (exit 1) and of type [*UnknownTarget] where
// there is no such node or pod; these and all others could not be judged (exit 2).
//
// A pod that is not governed has an empty program, with a warning that says why.
func Compile(ctx context.Context, in *Input, o CompileOptions) (*Program, error) {
	return NewCompiler(in, o).Compile(ctx, o.Target)
}

// Compiler builds the programs of many targets of one input. It is safe for
// concurrent use.
type Compiler struct {
	input    *Input
	options  CompileOptions // Target does not count
	index    *PolicyIndex
	resolver *Resolver
	shared   *shared
	nodes    map[string]*model.Node
	podsOn   map[string][]*model.Pod // by node, in inventory order
	names    func() []string         // nodeNames, found once
}

// NewCompiler indexes in. o.Target does not count.
func NewCompiler(in *Input, o CompileOptions) *Compiler {
	c := &Compiler{
		input:    in,
		options:  o,
		index:    NewPolicyIndex(in.Policies),
		resolver: NewResolver(in.Inventory, o.Options),
		nodes:    make(map[string]*model.Node, len(in.Inventory.Nodes)),
		podsOn:   map[string][]*model.Pod{},
	}
	c.names = sync.OnceValue(c.nodeNames)
	c.shared = newShared(in.Policies, c.resolver, o)
	for _, n := range in.Inventory.Nodes {
		c.nodes[n.Name] = n
	}
	for _, p := range in.Inventory.Pods {
		if p.NodeName != "" {
			c.podsOn[p.NodeName] = append(c.podsOn[p.NodeName], p)
		}
	}
	return c
}

// Compile builds the program of t, as the function [Compile] does.
func (c *Compiler) Compile(ctx context.Context, t Target) (*Program, error) {
	b, err := c.find(t) // the pods of the target, and its node
	if err != nil {
		return nil, err
	}
	if err := b.lists(ctx); err != nil { // governed pods, classes and their rule lists
		return nil, err
	}
	b.names() // every fqdn of the lists
	if err := b.closeUnknown(); err != nil {
		return nil, err
	}
	b.checkPolicies()  // there are some
	b.checkPeers()     // no deny fails open
	b.checkBroken()    // the inventory could be read
	b.checkConflicts() // no address has two meanings
	return b.finish()
}

// Refusal is why policies must not be compiled. It lists every reason.
type Refusal struct {
	Reasons []string
}

func (r *Refusal) Error() string { return strings.Join(r.Reasons, "\n") }
