package verify

import (
	"context"
	"net/netip"
	"slices"

	"github.com/trafficpolicy/trafficpolicy/compiler"
	"github.com/trafficpolicy/trafficpolicy/compiler/space"
	"github.com/trafficpolicy/trafficpolicy/model"
)

// Diff is what changes between two sets of policies. Its JSON form is a contract.
type Diff struct {
	// Same reports that every packet of every pod has the same verdict.
	Same     bool          `json:"same"`
	Families []string      `json:"families"` // that were compared
	Pods     string        `json:"pods"`     // PodsOfInventory or PodsByLabels
	Policies PolicyChanges `json:"policies"`
	Classes  []ClassDiff   `json:"classes"` // that differ, never nil
	Summary  DiffSummary   `json:"summary"`
}

// Which pods were compared.
const (
	// PodsOfInventory: those of the inventory, pod templates included.
	PodsOfInventory = "inventory"
	// PodsByLabels: every label assignment that the policies can tell apart. A
	// difference is shown at the pods with the fewest policies that have it; pods
	// with more labels have it too, unless a further policy takes the packet first.
	PodsByLabels = "labels"
)

// PolicyChanges names the policies that are not the same in both sets, sorted.
type PolicyChanges struct {
	Added   []string `json:"added"`
	Removed []string `json:"removed"`
	Changed []string `json:"changed"` // in anything that decides packets
}

// ClassDiff is what changes for the pods that the same policies select.
type ClassDiff struct {
	// Example is a pod of the class as simulate takes it.
	Example string `json:"example"`
	// Members are the pods and pod templates of the class, sorted; of an inventory only.
	Members []string `json:"members,omitempty"`
	// Before and After are the policies that govern the pods, in evaluation order.
	Before []string `json:"before"`
	After  []string `json:"after"`
	// Governed is Gained or Lost where one of Before and After is empty.
	Governed string   `json:"governed,omitempty"`
	Changes  []Change `json:"changes"`
}

// What becomes of being governed.
const (
	Gained = "gained"
	Lost   = "lost"
)

// Change is a block of packets with another verdict than before: every address
// of Peers with every one of Ports.
type Change struct {
	Direction string `json:"direction"`
	Change    string `json:"change"` // NewlyAllowed or NewlyDenied
	// Peers are the fewest prefixes that hold the remote addresses, sorted.
	Peers []netip.Prefix `json:"peers"`
	// Ports are such as "TCP 80-90", "UDP", "ICMP", "other"; "any" alone is every
	// protocol and port.
	Ports []string `json:"ports"`
	// Condition says for which addresses of unresolved names the change holds; ""
	// is for all.
	Condition string      `json:"condition,omitempty"`
	Before    Deciders    `json:"before"`
	After     Deciders    `json:"after"`
	Witness   DiffWitness `json:"witness"`

	when condition
	l4   model.L4Set
}

// Values of Change.Change.
const (
	NewlyAllowed = "newly-allowed"
	NewlyDenied  = "newly-denied"
)

// Deciders is what decides the packets of a block: rules, DefaultDeny where none
// matches, NotSelected where no policy closes the direction.
type Deciders struct {
	Verdict string   `json:"verdict"` // "allow" or "deny"
	By      []string `json:"by"`      // in evaluation order, at most [maxDeciders]
	Omitted int      `json:"byOmitted,omitempty"`
}

// What decides where no rule does, as simulate names it.
const (
	DefaultDeny = "default-deny"
	NotSelected = "not-selected"
)

// maxDeciders is how many rules are named for one block.
const maxDeciders = 16

// DiffWitness is one packet of a block; the fields of Witness are what simulate takes.
type DiffWitness struct {
	model.Witness
	// In lists the unresolved names that hold the remote address; no other does.
	In []model.Atom `json:"in,omitempty"`
	// Before and After are what decides the packet.
	Before string `json:"before"`
	After  string `json:"after"`
}

// DiffSummary counts the entries of Classes.
type DiffSummary struct {
	Classes      int `json:"classes"`
	NewlyAllowed int `json:"newlyAllowed"`
	NewlyDenied  int `json:"newlyDenied"`
	Gained       int `json:"gained"`
	Lost         int `json:"lost"`
}

// Compare returns what changes from policies before to policies after. The
// answer is exact and complete: for each packet of each pod, and each value of
// what is not known, whose verdict differs there is an entry that has it, and
// every entry has such packets only. It is for the pods of the inventories where
// after is in inventory mode and they hold any, else for every pod that could
// exist. A pod that one inventory lacks is judged with what the other says of it.
//
// Errors say what is too much to be written down.
func Compare(ctx context.Context, before, after *compiler.Input, o compiler.Options) (*Diff, error) {
	d := newDiffer(before, after, o)
	pods, err := d.pods()
	if err != nil {
		return nil, err
	}
	out := &Diff{Pods: PodsOfInventory, Policies: d.changes, Classes: []ClassDiff{}}
	if d.hypothetical {
		out.Pods = PodsByLabels
	}
	for _, f := range d.families {
		out.Families = append(out.Families, f.String())
	}
	found := make([]*ClassDiff, len(pods))
	err = inParallel(ctx, len(pods), func(i int) (err error) {
		found[i], err = d.class(pods[i])
		return err
	})
	if err != nil {
		return nil, err
	}
	for _, c := range found {
		if c != nil {
			out.add(c)
		}
	}
	out.Same = out.Summary.NewlyAllowed+out.Summary.NewlyDenied == 0
	return out, nil
}

func (out *Diff) add(c *ClassDiff) {
	s := &out.Summary
	s.Classes++
	switch c.Governed {
	case Gained:
		s.Gained += max(1, len(c.Members))
	case Lost:
		s.Lost += max(1, len(c.Members))
	}
	for i := range c.Changes {
		if c.Changes[i].Change == NewlyAllowed {
			s.NewlyAllowed++
		} else {
			s.NewlyDenied++
		}
	}
	out.Classes = append(out.Classes, *c)
}

// differ compares two sets of policies.
type differ struct {
	options      compiler.Options
	families     []model.Family
	hypothetical bool // pods are those that could exist
	sides        [2]diffSide
	changes      PolicyChanges

	// all holds every policy once: what is the same in both sets has one id.
	all   []*model.Policy
	ids   map[*model.Policy]int32
	in    [2][]bool // by id
	index *podOrder // of hypothetical pods
}

// diffSide is the policies and names of one set.
type diffSide struct {
	input    *compiler.Input
	policies []*model.Policy // in evaluation order
	resolver *compiler.Resolver
}

func newDiffer(before, after *compiler.Input, o compiler.Options) *differ {
	d := &differ{options: o, ids: map[*model.Policy]int32{}}
	for i, in := range []*compiler.Input{before, after} {
		inv := in.Inventory
		if !in.InventoryGiven {
			inv = &model.Inventory{}
		}
		d.sides[i] = diffSide{in, in.Policies, compiler.NewResolver(inv, o)}
		d.hypothetical = d.hypothetical || !in.InventoryGiven
	}
	d.hypothetical = d.hypothetical || len(before.Inventory.Pods)+len(before.Inventory.Templates)+len(after.Inventory.Pods)+len(after.Inventory.Templates) == 0
	d.families = before.Families(o)
	if fs := after.Families(o); len(fs) > len(d.families) {
		d.families = fs
	}
	d.match()
	return d
}

// class compares one class of pods; nil where nothing changes for it.
func (d *differ) class(p *diffPod) (*ClassDiff, error) {
	c := &ClassDiff{Example: p.example, Members: p.members, Before: refs(p.policies[0]), After: refs(p.policies[1]), Changes: []Change{}}
	switch {
	case len(p.policies[0]) == 0 && len(p.policies[1]) > 0 && d.firstTo(p, Gained):
		c.Governed = Gained
	case len(p.policies[0]) > 0 && len(p.policies[1]) == 0 && d.firstTo(p, Lost):
		c.Governed = Lost
	}
	if !slices.Equal(p.policies[0], p.policies[1]) {
		for _, dir := range model.Directions {
			changes, err := d.direction(p, dir)
			if err != nil {
				return nil, err
			}
			c.Changes = append(c.Changes, changes...)
		}
	}
	if c.Governed == "" && len(c.Changes) == 0 {
		return nil, nil
	}
	return c, nil
}

func refs(policies []*model.Policy) []string {
	out := make([]string, len(policies))
	for i, p := range policies {
		out[i] = p.Ref()
	}
	return out
}

// direction compares one direction of a class.
func (d *differ) direction(p *diffPod, dir model.Direction) ([]Change, error) {
	var lists [2]*model.RuleList
	for i := range lists {
		lists[i] = d.sides[i].resolver.RuleList(p.policies[i], dir, compiler.ForAnalysis)
	}
	if sameDecisions(lists[0], lists[1]) {
		return nil, nil
	}
	found := &blocks{avoid: p.avoid}
	for _, f := range d.families {
		c := comparison{judge: d.judge(p, dir)}
		for i, s := range []*side{&c.a, &c.b} {
			var err error
			if s.table, err = space.Flatten(lists[i], f); err != nil {
				return nil, err
			}
			s.label = d.label(lists[i])
		}
		if err := c.run(found.add); err != nil {
			return nil, err
		}
	}
	return d.describe(p, lists, found.order), nil
}
