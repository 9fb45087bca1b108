package compiler

import (
	"context"
	"errors"
	"fmt"
	"net/netip"
	"slices"
	"strings"

	"github.com/trafficpolicy/trafficpolicy/model"
)

// build is one program in the making.
type build struct {
	*Compiler
	pods    []*model.Pod // of the target, in inventory order
	program *Program
	// classes are those of the program's pods.
	classes *Classes
	// reasons why the program must not be.
	reasons []string
}

func (b *build) warn(format string, args ...any) {
	b.program.Warnings = append(b.program.Warnings, fmt.Sprintf(format, args...))
}

func (b *build) refuse(format string, args ...any) {
	b.reasons = append(b.reasons, fmt.Sprintf(format, args...))
}

// lists fills in the governed pods, their classes and the rule lists of these.
func (b *build) lists(ctx context.Context) error {
	var governed []*model.Pod
	for _, p := range b.pods {
		if len(b.index.Governing(p, b.options.Options)) > 0 {
			governed = append(governed, p)
		}
	}
	slices.SortFunc(governed, func(x, y *model.Pod) int { return strings.Compare(x.Ref(), y.Ref()) })
	placed, addrs := b.place(governed)
	b.classes = b.index.Group(placed, b.options.Options)
	for i, p := range placed {
		b.program.Pods = append(b.program.Pods, ProgramPod{Ref: p.Ref(), Addrs: addrs[i], Class: b.classes.Of(p).ID})
	}
	for _, c := range b.classes.All {
		if err := ctx.Err(); err != nil {
			return err
		}
		b.program.Classes = append(b.program.Classes, *b.shared.class(c.Policies, b.program.NodeName))
	}
	b.warnUnplaced(governed, placed)
	return nil
}

// place gives each address to the first of pods that owns it and returns the
// pods that have one, with their sorted addresses.
func (b *build) place(pods []*model.Pod) (placed []*model.Pod, addrs [][]netip.Addr) {
	taken := map[netip.Addr]bool{}
	for _, p := range pods {
		var own []netip.Addr
		for _, a := range b.resolver.Addresses().Of(p) {
			if !taken[a] {
				taken[a] = true
				own = append(own, a)
			}
		}
		if len(own) > 0 {
			placed = append(placed, p)
			addrs = append(addrs, sortedAddrs(own))
		}
	}
	return placed, addrs
}

// warnUnplaced says what the program leaves alone that somebody may expect in it.
func (b *build) warnUnplaced(governed, placed []*model.Pod) {
	if n := len(governed) - len(placed); n > 0 {
		b.warn("%d governed %s no address of %s own and %s left out until compiled again: %s",
			n, plural(n, "pod has", "pods have"), plural(n, "its", "their"), plural(n, "is", "are"), listPods(without(governed, placed)))
		return
	}
	if len(governed) > 0 {
		return
	}
	if b.program.Target.Node != "" {
		b.warn("node %q runs no governed pod: the program enforces nothing", b.program.Target.Node)
		return
	}
	b.warn("pod %q %s: the program enforces nothing", b.program.Target.Pod, b.whyNotGoverned(b.pods[0]))
}

func (b *build) whyNotGoverned(p *model.Pod) string {
	switch {
	case p.Finished():
		return fmt.Sprintf("is in phase %s", p.Phase)
	case p.HostNetwork:
		return "is on the host network"
	case !p.Enrolled && !b.options.AllEnrolled:
		return "lacks the annotations that put a pod under policy"
	}
	return "is selected by no policy"
}

// names fills in every fqdn that the rule lists hold.
func (b *build) names() {
	seen := map[string]bool{}
	for _, p := range b.policies() {
		for _, name := range b.shared.policy(p).names {
			if !seen[name] {
				seen[name] = true
				b.program.Names = append(b.program.Names, ProgramName{name, sortedAddrs(b.options.Resolve[name])})
			}
		}
	}
	slices.SortFunc(b.program.Names, func(x, y ProgramName) int { return strings.Compare(x.Name, y.Name) })
}

// closeUnknown fills in what --unknown deny asks for.
func (b *build) closeUnknown() error {
	if !b.options.UnknownDeny {
		return nil
	}
	if b.program.Target.Node == "" {
		return errors.New("unknown pods can be closed for a node only (--unknown deny goes with --node)")
	}
	n := b.nodes[b.program.NodeName]
	if n == nil || len(n.PodCIDRs) == 0 {
		return fmt.Errorf("unknown pods of node %q cannot be closed: the inventory does not have its spec.podCIDRs", b.program.NodeName)
	}
	u := &UnknownDeny{PodCIDRs: slices.Clone(n.PodCIDRs)}
	slices.SortFunc(u.PodCIDRs, netip.Prefix.Compare)
	u.PodCIDRs = slices.Compact(u.PodCIDRs)
	for _, p := range b.pods {
		if len(b.index.Governing(p, b.options.Options)) == 0 {
			u.Known = append(u.Known, b.resolver.Addresses().Of(p)...)
		}
	}
	u.Known = sortedAddrs(u.Known)
	b.program.UnknownDeny = u
	return nil
}

// finish returns the program, or every reason why there must be none.
func (b *build) finish() (*Program, error) {
	if len(b.reasons) > 0 {
		return nil, &Refusal{b.reasons}
	}
	slices.Sort(b.program.Warnings)
	b.program.Warnings = slices.Compact(b.program.Warnings)
	return b.program, nil
}

// sortedAddrs returns addrs sorted, each once, in a slice of its own.
func sortedAddrs(addrs []netip.Addr) []netip.Addr {
	s := slices.Clone(addrs)
	slices.SortFunc(s, netip.Addr.Compare)
	return slices.Compact(s)
}

func plural(n int, one, many string) string {
	if n == 1 {
		return one
	}
	return many
}

// without returns what is in pods and not in less, an ordered part of it.
func without(pods, less []*model.Pod) []*model.Pod {
	var out []*model.Pod
	for _, p := range pods {
		if len(less) > 0 && less[0] == p {
			less = less[1:]
			continue
		}
		out = append(out, p)
	}
	return out
}

// listPods names the first few of pods.
func listPods(pods []*model.Pod) string {
	const few = 3
	var names []string
	for _, p := range pods[:min(few, len(pods))] {
		names = append(names, p.Ref())
	}
	if more := len(pods) - few; more > 0 {
		names = append(names, fmt.Sprintf("and %d more", more))
	}
	return strings.Join(names, ", ")
}
