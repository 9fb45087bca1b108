package compiler

import (
	"context"
	"errors"
	"net/netip"
	"strings"

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
	Pods      []ProgramPod // governed pods with an address, sorted by Ref
	Classes   []ProgramClass
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

// Compile builds the program of the target. Errors are of type *Refusal where
// the policies must not be compiled (exit 1), anything else could not be judged.
func Compile(ctx context.Context, in *Input, o CompileOptions) (*Program, error) {
	return nil, errors.New("not written yet")
}

// Refusal is why policies must not be compiled. It lists every reason.
type Refusal struct {
	Reasons []string
}

func (r *Refusal) Error() string { return strings.Join(r.Reasons, "\n") }
