package agree

import (
	"cmp"
	"context"
	"fmt"
	"maps"
	"math/rand/v2"
	"net/netip"
	"slices"
	"strings"
	"testing"

	"github.com/trafficpolicy/trafficpolicy/compiler"
	"github.com/trafficpolicy/trafficpolicy/compiler/space"
	"github.com/trafficpolicy/trafficpolicy/internal/synth"
	"github.com/trafficpolicy/trafficpolicy/model"
	"github.com/trafficpolicy/trafficpolicy/verify/simulate"
)

// TestSpaceAgreesWithSimulate draws policy sets with inventories, writes them as
// YAML, reads them back and compares the flattened rule lists with the walk over
// the source rules, on every packet around every boundary of an address or port,
// under every value of what is not known.
func TestSpaceAgreesWithSimulate(t *testing.T) {
	const cases, shards = 5000, 8
	n := uint64(cases * soak(t))
	for shard := range uint64(shards) {
		t.Run(fmt.Sprint(shard), func(t *testing.T) {
			t.Parallel()
			for seed := shard; seed < n; seed += shards {
				c := synth.Small(seed)
				if seed/shards%2 == 1 {
					c = synth.Dense(seed)
				}
				if err := agree(c); err != nil {
					report(t, c, err)
				}
			}
		})
	}
}

// soak is how many times longer random tests run than by default.
func soak(t *testing.T) int { return max(Number(t, "TRAFFICPOLICY_SOAK", 1), 1) }

// report ends the test with the smallest cluster that still disagrees.
func report(t *testing.T, c *synth.Cluster, err error) {
	t.Helper()
	small := synth.Shrink(c, func(c *synth.Cluster) bool { return agree(c) != nil })
	if e := agree(small); e != nil {
		err = e
	}
	t.Fatalf("seed %d: %v\nnames %v\n%s%s", c.Seed, err, small.Resolve, small.PolicyYAML(), small.InventoryYAML())
}

// mode is one way to run the commands over a cluster.
type mode struct {
	inventory bool // given
	options   compiler.Options
}

// modeOf draws a mode and pods by the cluster's seed.
func modeOf(c *synth.Cluster) (mode, *rand.Rand) {
	rng := rand.New(rand.NewPCG(c.Seed, 0x6d6f))
	m := mode{inventory: rng.IntN(4) > 0}
	m.options.IsolateByDirection = rng.IntN(3) == 0
	if rng.IntN(4) > 0 {
		m.options.Resolve = c.Resolve
	}
	return m, rng
}

// agree returns the first disagreement between the two readings of c.
func agree(c *synth.Cluster) error {
	m, rng := modeOf(c)
	in, err := load(c, m)
	if err != nil {
		return err
	}
	sim := simulate.New(in, m.options)
	resolver := compiler.NewResolver(in.Inventory, m.options)
	index := compiler.NewPolicyIndex(in.Policies)
	for range 4 {
		ns := []string{"default", "default", "a", "b"}[rng.IntN(4)]
		ls := randomLabels(rng)
		for _, d := range model.Directions {
			walk := sim.Walk(sim.Select(ns, ls), d)
			if err := agreeOn(walk, resolver, index.Select(ns, ls), m); err != nil {
				return fmt.Errorf("pod %s?%s, %s, %+v: %w", ns, ls, d, m, err)
			}
		}
	}
	return nil
}

func randomLabels(rng *rand.Rand) model.Labels {
	m := make(map[string]string)
	for _, k := range []string{"app", "env"} {
		if i := rng.IntN(3); i < 2 {
			m[k] = []string{"x", "y"}[i]
		}
	}
	return model.NewLabels(m)
}

// load reads the cluster's YAML.
func load(c *synth.Cluster, m mode) (*compiler.Input, error) {
	text := c.PolicyYAML()
	o := compiler.LoadOptions{Policies: []string{"-"}}
	if m.inventory {
		text += c.InventoryYAML()
		o = compiler.LoadOptions{Inventory: []string{"-"}}
	}
	o.Stdin = strings.NewReader(text)
	in, err := compiler.Load(context.Background(), o)
	if err != nil {
		return nil, err
	}
	for _, f := range in.Findings {
		if f.Severity == model.Error {
			return nil, fmt.Errorf("%s: %s", f.Pos(), f.Message)
		}
	}
	return in, nil
}

// agreeOn compares the walk with the tables of the rule lists for analysis and,
// where there is an inventory, for artifacts.
func agreeOn(walk *simulate.Walk, resolver *compiler.Resolver, policies []*model.Policy, m mode) error {
	list := resolver.RuleList(policies, walk.Direction, compiler.ForAnalysis)
	if err := agreeTable(walk, list, func(_ netip.Addr, atoms []model.Atom) []map[model.Atom]bool { return subsets(atoms) }); err != nil {
		return err
	}
	if !m.inventory {
		return nil
	}
	// In an artifact every name is an atom that holds the addresses known now.
	list = resolver.RuleList(policies, walk.Direction, compiler.ForArtifact)
	err := agreeTable(walk, list, func(a netip.Addr, _ []model.Atom) []map[model.Atom]bool {
		known := make(map[model.Atom]bool)
		for name, addrs := range m.options.Resolve {
			if slices.Contains(addrs, a) {
				known[model.Atom("fqdn "+name)] = true
			}
		}
		return []map[model.Atom]bool{known}
	})
	if err != nil {
		return fmt.Errorf("for artifacts: %w", err)
	}
	return nil
}

// agreeTable compares the walk with the tables of one list. values returns which
// atoms may hold an address.
func agreeTable(walk *simulate.Walk, list *model.RuleList, values func(netip.Addr, []model.Atom) []map[model.Atom]bool) error {
	points := boundaryL4(list)
	atoms := atomsOf(list)
	for _, f := range model.Families {
		table, err := space.Flatten(list, f)
		if err != nil {
			return err
		}
		for _, a := range boundaryAddrs(list, f) {
			choices := values(a, atoms)
			for _, x := range points {
				cell := table.Lookup(a, x)
				for _, in := range choices {
					want := walk.Decide(a, x, func(atom model.Atom) bool { return in[atom] })
					if got := decided(list, cell, in); got != (decision{want.Rule, want.Action}) {
						return fmt.Errorf("%s %s, %v: space says %v, simulate %v %v", a, x, in, got, want.Rule, want.Action)
					}
				}
			}
		}
	}
	return nil
}

// decision is what both readings say: the rule, zero for none, and the action.
type decision struct {
	rule   model.RuleRef
	action model.Action
}

func (d decision) String() string { return fmt.Sprintf("%s %s", d.rule, d.action) }

func decided(list *model.RuleList, c space.Cell, in map[model.Atom]bool) decision {
	rule := c.Rule
	for _, cond := range c.If {
		if in[cond.Atom] {
			rule = cond.Rule
			break
		}
	}
	switch {
	case rule != space.NoRule:
		return decision{list.Rules[rule].Ref, list.Rules[rule].Action}
	case !list.Isolated:
		return decision{action: model.Allow}
	}
	return decision{action: model.Deny}
}

// boundaryAddrs returns the addresses on both sides of each end of each prefix,
// and the ends of the space.
func boundaryAddrs(list *model.RuleList, f model.Family) []netip.Addr {
	set := make(map[netip.Addr]bool)
	add := func(p netip.Prefix) {
		last := p.Addr().AsSlice()
		for i := p.Bits(); i < len(last)*8; i++ {
			last[i/8] |= 1 << (7 - i%8)
		}
		end, _ := netip.AddrFromSlice(last)
		for _, a := range []netip.Addr{p.Addr().Prev(), p.Addr(), end, end.Next()} {
			if a.IsValid() {
				set[a] = true
			}
		}
	}
	add(f.All())
	for _, r := range list.Rules {
		for _, peer := range r.Peers {
			for _, p := range peer.Prefixes {
				if model.FamilyOf(p.Addr()) == f {
					add(p)
				}
			}
		}
	}
	return slices.SortedFunc(maps.Keys(set), netip.Addr.Compare)
}

// boundaryL4 returns the points on both sides of each end of each port range, and
// each protocol without a rule's port.
func boundaryL4(list *model.RuleList) []model.L4 {
	set := map[model.L4]bool{model.L4TCP: true, model.L4UDP + 7: true, model.L4SCTP + 7: true, model.L4ICMP: true, model.L4Other: true}
	for _, rule := range list.Rules {
		for _, r := range rule.L4 {
			for _, x := range []int64{int64(r.First) - 1, int64(r.First), int64(r.Last), int64(r.Last) + 1} {
				if x >= 0 && x <= int64(model.L4Last) {
					set[model.L4(x)] = true
				}
			}
		}
	}
	return slices.Sorted(maps.Keys(set))
}

func atomsOf(list *model.RuleList) []model.Atom {
	var atoms []model.Atom
	for _, r := range list.Rules {
		for _, p := range r.Peers {
			if p.Atom != "" && !slices.Contains(atoms, p.Atom) {
				atoms = append(atoms, p.Atom)
			}
		}
	}
	slices.SortFunc(atoms, cmp.Compare[model.Atom])
	return atoms
}

// subsets returns every subset of up to four atoms; of more, those of one or no
// element, and those that lack at most one.
func subsets(atoms []model.Atom) []map[model.Atom]bool {
	set := func(in func(i int) bool) map[model.Atom]bool {
		m := make(map[model.Atom]bool)
		for i, a := range atoms {
			if in(i) {
				m[a] = true
			}
		}
		return m
	}
	var out []map[model.Atom]bool
	if len(atoms) <= 4 {
		for bits := range 1 << len(atoms) {
			out = append(out, set(func(i int) bool { return bits>>i&1 == 1 }))
		}
		return out
	}
	for i := range len(atoms) + 1 { // the last i is no atom
		out = append(out, set(func(j int) bool { return j == i }), set(func(j int) bool { return j != i }))
	}
	return out
}
