package agree

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"net/netip"
	"strings"

	"github.com/trafficpolicy/trafficpolicy/compiler"
	"github.com/trafficpolicy/trafficpolicy/internal/synth"
	"github.com/trafficpolicy/trafficpolicy/model"
	"github.com/trafficpolicy/trafficpolicy/verify/simulate"
)

// Case is a policy set with the switches under which it is judged.
type Case struct {
	Policies  string // YAML
	Inventory string // YAML
	Switches
}

// Switches are what beside policies and inventory decides a verdict.
type Switches struct {
	// Isolation is that of the commands: both or direction.
	Isolation string                  `json:"isolation,omitempty"`
	Resolve   map[string][]netip.Addr `json:"resolve,omitempty"`
	// Node or Pod is what is compiled for.
	Node string `json:"node,omitempty"`
	Pod  string `json:"pod,omitempty"`
}

// CaseOf returns a drawn cluster as text, under switches that its seed decides.
// The target is among those that the cluster has.
func CaseOf(c *synth.Cluster) *Case {
	r := rand.New(rand.NewPCG(c.Seed, 0x6167))
	out := &Case{Policies: c.PolicyYAML(), Inventory: c.InventoryYAML(), Switches: Switches{Resolve: c.Resolve}}
	if r.IntN(3) == 0 {
		out.Isolation = "direction"
	}
	pods, nodes := c.Inventory.Pods, c.Inventory.Nodes
	switch {
	case r.IntN(4) == 0 && len(pods) > 0:
		out.Pod = pods[r.IntN(len(pods))].Ref()
	case len(nodes) > 0:
		out.Node = nodes[r.IntN(len(nodes))].Name
	}
	return out
}

// Draw draws the cluster of a seed.
func Draw(seed uint64) *synth.Cluster {
	if seed%3 == 2 {
		return synth.Dense(seed)
	}
	return synth.Small(seed)
}

// Set is a case read back from its text, compiled for its target.
type Set struct {
	Input   *compiler.Input
	Options compiler.Options
	Program *compiler.Program
	sim     *simulate.Simulator
	pods    map[string]*model.Pod
}

// ErrNothing says that a case governs no pod, or must not be compiled: there is
// nothing to compare.
var ErrNothing = errors.New("nothing is governed")

// Load reads the case as the commands would. The error is ErrNothing where no pod
// of its target is governed, or compile would refuse.
func (c *Case) Load(ctx context.Context) (*Set, error) {
	in, err := compiler.Load(ctx, compiler.LoadOptions{Inventory: []string{"-"}, Stdin: strings.NewReader(c.Policies + "---\n" + c.Inventory)})
	if err != nil {
		return nil, err
	}
	for _, f := range in.Findings {
		if f.Severity == model.Error {
			return nil, fmt.Errorf("%s: %s", f.Pos(), f.Message)
		}
	}
	if c.Node == "" && c.Pod == "" {
		return nil, ErrNothing
	}
	o := compiler.Options{Resolve: c.Resolve, IsolateByDirection: c.Isolation == "direction"}
	return Compile(ctx, in, o, compiler.Target{Node: c.Node, Pod: c.Pod})
}

// Compile returns the set of an input that was read. Errors are those of [Case.Load].
func Compile(ctx context.Context, in *compiler.Input, o compiler.Options, target compiler.Target) (*Set, error) {
	s := &Set{Input: in, Options: o, pods: map[string]*model.Pod{}}
	var err error
	s.Program, err = compiler.Compile(ctx, in, compiler.CompileOptions{
		Options: o, Target: target, AllowUnresolved: true, AllowEmpty: true, SkipBroken: true,
	})
	refusal, unknown := (*compiler.Refusal)(nil), (*compiler.UnknownTarget)(nil)
	switch {
	case errors.As(err, &refusal), errors.As(err, &unknown):
		return nil, ErrNothing
	case err != nil:
		return nil, err
	case len(s.Program.Pods) == 0:
		return nil, ErrNothing
	}
	s.sim = simulate.New(in, s.Options)
	for _, p := range in.Inventory.Pods {
		s.pods[p.Ref()] = p
	}
	return s, nil
}
