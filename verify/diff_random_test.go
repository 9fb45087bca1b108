package verify

import (
	"context"
	"fmt"
	"math/rand/v2"
	"net/netip"
	"os"
	"slices"
	"strconv"
	"strings"
	"testing"

	"github.com/trafficpolicy/trafficpolicy/compiler"
	"github.com/trafficpolicy/trafficpolicy/internal/synth"
	"github.com/trafficpolicy/trafficpolicy/model"
	"github.com/trafficpolicy/trafficpolicy/verify/oracle"
)

// soakFactor is how many times longer random tests run than by default.
func soakFactor(t testing.TB) int {
	s := os.Getenv("TRAFFICPOLICY_SOAK")
	n, err := strconv.Atoi(s)
	if err != nil && s != "" {
		t.Fatalf("TRAFFICPOLICY_SOAK: %v", err)
	}
	return max(n, 1)
}

// TestDiffAgainstOracle compares with every packet of every pod. A cluster holds
// both sets: policies whose name begins with "old" are of the set before.
func TestDiffAgainstOracle(t *testing.T) {
	const cases, shards = 1500, 4
	n := uint64(cases * soakFactor(t))
	for shard := range uint64(shards) {
		t.Run(fmt.Sprint(shard), func(t *testing.T) {
			t.Parallel()
			for seed := shard; seed < n; seed += shards {
				c := twoSets(seed)
				err := checkDiff(c)
				if err == nil {
					continue
				}
				small := synth.Shrink(c, func(c *synth.Cluster) bool { return checkDiff(c) != nil })
				t.Fatalf("seed %d: %v\n%s---\n%s--resolve %v", seed, checkDiff(small), small.PolicyYAML(), small.InventoryYAML(), small.Resolve)
			}
		})
	}
}

// oldPrefix marks, in a cluster of two sets, the policies before: their name
// has this prefix, which is taken off again.
const oldPrefix = "old."

// drawDense draws a dense cluster, one in eight with many keys.
func drawDense(seed uint64) *synth.Cluster {
	if seed%8 == 7 {
		return synth.DenseKeys(seed)
	}
	return synth.Dense(seed)
}

// twoSets draws a set of policies and another one made of it.
func twoSets(seed uint64) *synth.Cluster {
	rng := rand.New(rand.NewPCG(seed, 0x6469))
	c := drawDense(seed)
	before := c.Policies[:min(len(c.Policies), 4)]
	after := slices.Clone(before)
	other := synth.Dense(seed + 1<<40).Policies
	for range 1 + rng.IntN(3) {
		after = mutatePolicies(rng, after, other)
	}
	if rng.IntN(8) == 0 {
		after = other[:min(len(other), 4)]
	}
	both := *c
	both.Policies = slices.Clone(after)
	for _, p := range before {
		old := *p
		old.Name = oldPrefix + p.Name
		both.Policies = append(both.Policies, &old)
	}
	return &both
}

// mutatePolicies returns ps with one thing changed.
func mutatePolicies(rng *rand.Rand, ps, other []*model.Policy) []*model.Policy {
	out := slices.Clone(ps)
	if len(out) == 0 {
		return append(out, other[0])
	}
	i := rng.IntN(len(out))
	q := *out[i]
	o := other[rng.IntN(len(other))]
	switch rng.IntN(7) {
	case 0:
		return slices.Delete(out, i, i+1)
	case 1:
		extra := *o
		extra.Name += "x"
		return append(out, &extra)
	case 2:
		q.Priority = o.Priority
	case 3:
		q.Selector = o.Selector
	case 4:
		q.Egress, q.Ingress = o.Egress, o.Ingress
	default:
		q.Egress, q.Ingress = mutateSection(rng, q.Egress), mutateSection(rng, q.Ingress)
	}
	out[i] = &q
	return out
}

func mutateSection(rng *rand.Rand, s *model.Section) *model.Section {
	if s == nil || len(s.Rules) == 0 {
		return s
	}
	rules := slices.Clone(s.Rules)
	i := rng.IntN(len(rules))
	switch rng.IntN(4) {
	case 0:
		rules = slices.Delete(rules, i, i+1)
	case 1:
		rules[i].Action = model.Allow - rules[i].Action
	case 2:
		j := rng.IntN(len(rules))
		rules[i], rules[j] = rules[j], rules[i]
	default:
		rules[i].Ports = nil
	}
	return &model.Section{Rules: rules}
}

// setsOf splits a cluster of two sets.
func setsOf(c *synth.Cluster) (before, after []*model.Policy) {
	for _, p := range c.Policies {
		if name, old := strings.CutPrefix(p.Name, oldPrefix); old {
			q := *p
			q.Name = name
			before = append(before, &q)
			continue
		}
		after = append(after, p)
	}
	slices.SortFunc(before, model.ComparePolicies)
	slices.SortFunc(after, model.ComparePolicies)
	return before, after
}

// checkDiff compares Compare with oracle.Diff, in one of the two senses.
func checkDiff(c *synth.Cluster) error {
	before, after := setsOf(c)
	o := compiler.Options{IsolateByDirection: c.Seed%3 == 0, Resolve: c.Resolve}
	a := &compiler.Input{Policies: before, Inventory: c.Inventory, InventoryGiven: c.Seed%2 == 0}
	b := &compiler.Input{Policies: after, Inventory: c.Inventory, InventoryGiven: c.Seed%2 == 0}
	got, err := Compare(context.Background(), a, b, o)
	if err != nil {
		return err
	}
	in := oracle.Input{Policies: after, Peers: oracle.Known{Resolve: c.Resolve}, IsolateByDirection: o.IsolateByDirection}
	if a.InventoryGiven {
		in = oracle.InCluster(in, &oracle.Cluster{Inventory: *c.Inventory, Resolve: c.Resolve})
	}
	in.Families = a.Families(o)
	if fs := b.Families(o); len(fs) > len(in.Families) {
		in.Families = fs
	}
	want, err := oracle.Diff(before, in)
	if err != nil {
		return err
	}
	if got.Same != (len(want) == 0) {
		return fmt.Errorf("same is %v, but %d packets differ: %v", got.Same, len(want), want)
	}
	old := in
	old.Policies = before
	for i := range got.Classes {
		if err := sound(old, in, &got.Classes[i], c.Inventory); err != nil {
			return err
		}
		if err := decidesSome(old, in, &got.Classes[i], want); err != nil {
			return err
		}
	}
	if got.Pods == PodsByLabels {
		if err := shownOnce(got); err != nil {
			return err
		}
	}
	for i := range want {
		if err := covered(old, in, got, &want[i]); err != nil {
			return err
		}
	}
	return nil
}

// holds reports whether ch has the packet.
func holds(ch *Change, p oracle.Packet) bool {
	return ch.Direction == p.Direction.String() && inAny(ch.Peers, p.Addr) && ch.l4.Contains(p.L4) && meetsCondition(&ch.when, p.In)
}

func meetsCondition(c *condition, in []model.Atom) bool {
	for _, set := range c.any {
		if !slices.ContainsFunc(set, func(a model.Atom) bool { return slices.Contains(in, a) }) {
			return false
		}
	}
	return !slices.ContainsFunc(c.none, func(a model.Atom) bool { return slices.Contains(in, a) })
}

// shownOnce holds that what is shown at a pod is not shown at one with fewer
// policies too.
func shownOnce(d *Diff) error {
	for i := range d.Classes {
		for j := range d.Classes {
			a, b := &d.Classes[i], &d.Classes[j]
			if i == j || !allIn(a.Before, b.Before) || !allIn(a.After, b.After) {
				continue
			}
			for k := range b.Changes {
				dir := model.Egress
				if b.Changes[k].Direction == "ingress" {
					dir = model.Ingress
				}
				p := packetOf(dir, &b.Changes[k].Witness)
				for l := range a.Changes {
					if ch := &a.Changes[l]; holds(ch, p) && slices.Contains(ch.Before.By, b.Changes[k].Witness.Before) && slices.Contains(ch.After.By, b.Changes[k].Witness.After) {
						return fmt.Errorf("%s is shown at %s and at %s: %+v", p, a.Example, b.Example, ch)
					}
				}
			}
		}
	}
	return nil
}

// packetOf reads a witness.
func packetOf(dir model.Direction, w *DiffWitness) oracle.Packet {
	p := oracle.Packet{Direction: dir, In: w.In}
	if dir == model.Egress {
		p.Addr = netip.MustParseAddr(w.Dst)
	} else {
		p.Addr = netip.MustParseAddr(w.Src)
	}
	proto, _ := model.ParseProto(w.Proto, model.FamilyOf(p.Addr))
	p.L4 = model.L4Of(proto, w.Port)
	return p
}

// covered holds that one entry has the packet: at the pod's own class, or where
// no inventory says which pods exist, at one with some of its policies.
func covered(old, in oracle.Input, got *Diff, want *oracle.Difference) error {
	ofOld, ofNew := refsOf(old, want.Pod), refsOf(in, want.Pod)
	own, any := 0, 0
	for i := range got.Classes {
		c := &got.Classes[i]
		if !allIn(c.Before, ofOld) || !allIn(c.After, ofNew) {
			continue
		}
		for j := range c.Changes {
			ch := &c.Changes[j]
			if !holds(ch, want.Packet) || (ch.Change == NewlyAllowed) != want.New.Allow {
				continue
			}
			if !slices.Contains(ch.Before.By, nameOf(want.Old)) || !slices.Contains(ch.After.By, nameOf(want.New)) {
				continue
			}
			any++
			if len(c.Before) == len(ofOld) && len(c.After) == len(ofNew) {
				own++
			}
		}
	}
	if any == 0 || own > 1 || got.Pods == PodsOfInventory && own != 1 {
		return fmt.Errorf("%s %s: %v, then %v: in %d entries, %d of the pod's own class", want.Pod, want.Packet, want.Old, want.New, any, own)
	}
	return nil
}

// decidesSome holds that whatever an entry names decides a packet of it, which is
// one of want: every difference.
func decidesSome(old, in oracle.Input, c *ClassDiff, want []oracle.Difference) error {
	own := slices.DeleteFunc(slices.Clone(want), func(w oracle.Difference) bool {
		return !slices.Equal(refsOf(old, w.Pod), c.Before) || !slices.Equal(refsOf(in, w.Pod), c.After)
	})
	for i := range c.Changes {
		ch := &c.Changes[i]
		decides := map[[2]string]bool{}
		for _, w := range own {
			if holds(ch, w.Packet) {
				decides[[2]string{"before", nameOf(w.Old)}], decides[[2]string{"after", nameOf(w.New)}] = true, true
			}
		}
		for side, by := range map[string][]string{"before": ch.Before.By, "after": ch.After.By} {
			for _, name := range by {
				if !decides[[2]string{side, name}] {
					return fmt.Errorf("%s: %s decides no packet %s of the entry %+v", c.Example, name, side, ch)
				}
			}
		}
	}
	return nil
}

func nameOf(d oracle.Decision) string {
	switch {
	case d.Rule != "":
		return d.Rule
	case d.Allow:
		return NotSelected
	}
	return DefaultDeny
}

func allIn(a, b []string) bool {
	return !slices.ContainsFunc(a, func(s string) bool { return !slices.Contains(b, s) })
}

// refsOf returns the policies that are enforced on pod.
func refsOf(in oracle.Input, pod oracle.Pod) []string {
	var out []string
	for _, p := range in.Policies {
		if (p.Kind == model.GlobalTrafficPolicy || p.Namespace == pod.Namespace) && compiler.NewSelector(&p.Selector).Matches(pod.Labels) {
			out = append(out, p.Ref())
		}
	}
	return out
}

// sound holds that the corners of each entry are different as it says.
func sound(old, in oracle.Input, c *ClassDiff, inv *model.Inventory) error {
	pod := podOf(c.Example, inv)
	for i := range c.Changes {
		ch := &c.Changes[i]
		dir := model.Egress
		if ch.Direction == "ingress" {
			dir = model.Ingress
		}
		w := packetOf(dir, &ch.Witness)
		a, b := oracle.Decide(old, pod, w), oracle.Decide(in, pod, w)
		if nameOf(a) != ch.Witness.Before || nameOf(b) != ch.Witness.After || !holds(ch, w) {
			return fmt.Errorf("%s witness %s: %v, then %v, but the entry is %+v", c.Example, w, a, b, ch)
		}
		for _, p := range ch.Peers {
			for _, r := range ch.l4 {
				for _, x := range []model.L4{r.First, r.Last} {
					for _, addr := range []netip.Addr{p.Addr(), lastOf(p)} {
						q := oracle.Packet{Direction: dir, Addr: addr, L4: x, In: ch.Witness.In}
						a, b := oracle.Decide(old, pod, q), oracle.Decide(in, pod, q)
						if a.Allow == b.Allow || b.Allow != (ch.Change == NewlyAllowed) || !slices.Contains(ch.Before.By, nameOf(a)) || !slices.Contains(ch.After.By, nameOf(b)) {
							return fmt.Errorf("%s %s: %v, then %v, but the entry is %+v", c.Example, q, a, b, ch)
						}
					}
				}
			}
		}
	}
	return nil
}

func lastOf(p netip.Prefix) netip.Addr {
	b := p.Addr().AsSlice()
	for i := p.Bits(); i < len(b)*8; i++ {
		b[i/8] |= 0x80 >> (i % 8)
	}
	a, _ := netip.AddrFromSlice(b)
	return a
}

// podOf reads an example: a pod of the inventory, or NAMESPACE?k=v.
func podOf(example string, inv *model.Inventory) oracle.Pod {
	for _, p := range inv.Pods {
		if p.Ref() == example {
			return oracle.Pod{Namespace: p.Namespace, Name: p.Name, Labels: p.Labels}
		}
	}
	ns, list, _ := strings.Cut(example, "?")
	m := map[string]string{}
	for _, kv := range strings.FieldsFunc(list, func(r rune) bool { return r == 0x2c }) {
		k, v, _ := strings.Cut(kv, "=")
		m[k] = v
	}
	return oracle.Pod{Namespace: ns, Labels: model.NewLabels(m)}
}
