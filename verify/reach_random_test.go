package verify

import (
	"context"
	"fmt"
	"math/rand/v2"
	"net/netip"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/trafficpolicy/trafficpolicy/compiler"
	"github.com/trafficpolicy/trafficpolicy/internal/synth"
	"github.com/trafficpolicy/trafficpolicy/model"
	"github.com/trafficpolicy/trafficpolicy/verify/simulate"
)

// TestReachAgainstSimulate compares with each two pods, on every port that makes a
// difference and under every value of what is not known.
func TestReachAgainstSimulate(t *testing.T) {
	var n reachCount
	for seed := range uint64(900 * soakFactor(t)) {
		c := drawReach(seed)
		if len(c.Inventory.Pods) == 0 {
			continue
		}
		if err := checkReach(c, &n); err != nil {
			small := synth.Shrink(c, func(c *synth.Cluster) bool {
				return len(c.Inventory.Pods) > 0 && checkReach(c, &reachCount{}) != nil
			})
			err = checkReach(small, &n)
			t.Fatalf("seed %d: %v\n%s---\n%s--resolve %v", seed, err, small.PolicyYAML(), small.InventoryYAML(), small.Resolve)
		}
	}
	if n.flows < 600 || n.within < 60 || n.partial < 100 || n.lacking < 300 {
		t.Errorf("%+v, want more", n)
	}
}

// reachCount is what was compared: flows between groups, those of a group to
// itself and those for some pairs only, and pods without an address.
type reachCount struct{ flows, within, partial, lacking int }

// drawReach draws a cluster; one in three has pods that differ in nothing but
// their addresses, and so are of few groups.
func drawReach(seed uint64) *synth.Cluster {
	c := synth.Small(seed)
	if seed%2 == 1 {
		c = synth.Dense(seed)
	}
	if seed%3 == 1 {
		for _, p := range c.Inventory.Pods {
			p.Namespace, p.Labels, p.Enrolled = "a", c.Inventory.Pods[0].Labels, true
		}
	}
	return c
}

// reachOptions asks about everything, or about two namespaces.
func reachOptions(c *synth.Cluster) ReachOptions {
	o := ReachOptions{Options: compiler.Options{IsolateByDirection: c.Seed%3 == 0, Resolve: c.Resolve}}
	pods := c.Inventory.Pods
	switch n := c.Seed % 8; {
	case n == 5:
		o.From = pods[0].Namespace
	case n > 5:
		o.From, o.To = pods[0].Namespace, pods[len(pods)-1].Namespace
	}
	if c.Seed%16 == 4 {
		o.Families = compiler.FamiliesIPv4
	}
	return o
}

// reachPorts is the ports of a flow.
type reachPorts struct{ all, some, maybe model.L4Set }

// reachWorld is what reach is compared with.
type reachWorld struct {
	*simulate.Simulator
	resolver *compiler.Resolver
	families []model.Family
	pods     map[string]*model.Pod
	hosts    [2]map[string]int // by family
}

func checkReach(c *synth.Cluster, n *reachCount) error {
	o := reachOptions(c)
	in := &compiler.Input{Policies: c.Policies, Inventory: c.Inventory, InventoryGiven: true}
	r, err := FindReach(context.Background(), in, o)
	if err != nil {
		return err
	}
	if err := checkReachOrder(in, o, r); err != nil {
		return err
	}
	w := &reachWorld{simulate.New(in, o.Options), compiler.NewResolver(in.Inventory, o.Options), in.Families(o.Options), map[string]*model.Pod{}, [2]map[string]int{}}
	for _, p := range c.Inventory.Pods {
		w.pods[p.Ref()] = p
	}
	for _, f := range model.Families {
		w.hosts[f] = w.numberHosts(f)
	}
	if err := w.checkMembers(r, o); err != nil {
		return err
	}
	n.lacking += len(r.NoAddress)
	open := map[[2]int]reachPorts{}
	for i := range r.Flows {
		f := &r.Flows[i]
		ps := reachPorts{portSet(f.Ports), portSet(f.Some), portSet(f.Maybe)}
		for _, from := range f.From {
			for _, to := range f.To {
				open[[2]int{from, to}] = ps
				n.flows++
				if from == to {
					n.within++
				}
				if len(f.Some) > 0 {
					n.partial++
				}
			}
			if len(f.To) == 0 {
				if err := w.checkWorld(w.pods[r.Groups[from].Members[0]], model.Egress, f, ps); err != nil {
					return err
				}
			}
		}
		if len(f.From) == 0 {
			if err := w.checkWorld(w.pods[r.Groups[f.To[0]].Members[0]], model.Ingress, f, ps); err != nil {
				return err
			}
		}
	}
	for i := range r.Groups {
		for j := range r.Groups {
			a, b := &r.Groups[i], &r.Groups[j]
			if o.From != "" && a.Namespace != o.From || o.To != "" && b.Namespace != o.To ||
				len(a.Policies)+len(b.Policies) == 0 && (o.From == "" || o.To == "") {
				if ps, ok := open[[2]int{i, j}]; ok {
					return fmt.Errorf("%s to %s: %v, which was not asked for", a.Name, b.Name, ps)
				}
				continue
			}
			if err := w.checkGroups(a, b, open[[2]int{i, j}]); err != nil {
				return err
			}
		}
	}
	return nil
}

// checkReachOrder holds that the order of objects makes no difference.
func checkReachOrder(in *compiler.Input, o ReachOptions, want *Reach) error {
	shuffle := rand.New(rand.NewPCG(uint64(len(in.Inventory.Pods)), 1))
	inv := *in.Inventory
	inv.Pods, inv.Services, inv.Endpoints = shuffled(shuffle, inv.Pods), shuffled(shuffle, inv.Services), shuffled(shuffle, inv.Endpoints)
	other := &compiler.Input{Policies: shuffled(shuffle, in.Policies), Inventory: &inv, InventoryGiven: true}
	got, err := FindReach(context.Background(), other, o)
	if err != nil {
		return err
	}
	if diff := cmp.Diff(want, got, cmp.Comparer(func(a, b netip.Prefix) bool { return a == b })); diff != "" {
		return fmt.Errorf("in another order of objects (-want +got):\n%s", diff)
	}
	return nil
}

func shuffled[T any](r *rand.Rand, list []T) []T {
	list = slices.Clone(list)
	r.Shuffle(len(list), func(i, j int) { list[i], list[j] = list[j], list[i] })
	return list
}

// checkMembers holds that each pod that was asked for is in one group, or has no
// address.
func (w *reachWorld) checkMembers(r *Reach, o ReachOptions) error {
	var got []string
	for _, ref := range r.NoAddress {
		if len(w.own(ref)) > 0 {
			return fmt.Errorf("%s is said to have no address", ref)
		}
		got = append(got, ref)
	}
	for _, g := range r.Groups {
		for _, ref := range g.Members {
			if len(w.own(ref)) == 0 {
				return fmt.Errorf("%s has no address and is in group %s", ref, g.Name)
			}
			got = append(got, ref)
		}
	}
	var want []string
	for ref, p := range w.pods {
		if p.Subject() && (o.From == "" || o.To == "" || p.Namespace == o.From || p.Namespace == o.To) {
			want = append(want, ref)
		}
	}
	slices.Sort(got)
	slices.Sort(want)
	if !slices.Equal(got, want) {
		return fmt.Errorf("it is about %v, want %v", got, want)
	}
	return nil
}

// own returns the addresses of a pod, of the families that count.
func (w *reachWorld) own(ref string) []netip.Addr {
	var out []netip.Addr
	for _, a := range w.resolver.Addresses().Of(w.pods[ref]) {
		if slices.Contains(w.families, model.FamilyOf(a)) {
			out = append(out, a)
		}
	}
	return out
}

// checkGroups compares what is open from a to b with each two pods of them.
func (w *reachWorld) checkGroups(a, b *ReachGroup, got reachPorts) error {
	for _, x := range points() {
		every, some, possible, pairs := true, false, false, 0
		for _, src := range a.Members {
			for _, dst := range b.Members {
				if src == dst {
					continue
				}
				pair := pairVerdict{every: true}
				for _, from := range w.own(src) {
					for _, to := range w.own(dst) {
						f := model.FamilyOf(from)
						if f != model.FamilyOf(to) || w.hosts[f][src] == w.hosts[f][dst] {
							continue
						}
						sure, maybe := w.judge(w.pods[src], w.pods[dst], from, to, x)
						pair.add(sure, maybe)
					}
				}
				if err := w.checkPair(src, dst, x, pair); err != nil {
					return err
				}
				pairs += pair.n
				every, some, possible = every && pair.every, some || pair.some, possible || pair.possible
			}
		}
		all, part, depends := pairs > 0 && every, some && !every, possible && !some
		if got.all.Contains(x) != all || got.some.Contains(x) != part || got.maybe.Contains(x) != depends {
			return fmt.Errorf("%s to %s, %s: reach says %v %v %v, want %v %v %v", a.Name, b.Name, x,
				got.all.Contains(x), got.some.Contains(x), got.maybe.Contains(x), all, part, depends)
		}
	}
	return nil
}

// pairVerdict is what the addresses of two pods say of one another.
type pairVerdict struct {
	n                     int // pairs of addresses
	every, some, possible bool
}

func (v *pairVerdict) add(sure, maybe bool) {
	v.n++
	v.every, v.some, v.possible = v.every && sure, v.some || sure, v.possible || maybe
}

// checkPair compares with simulate's own word about two pods by name.
func (w *reachWorld) checkPair(src, dst string, x model.L4, v pairVerdict) error {
	if !w.plain(src, dst) {
		return nil
	}
	res, err := w.Judge(simulate.Flow{Src: src, Dst: dst, Proto: strings.ToLower(x.Proto().String()), Port: x.Port(), HasPort: true})
	want := simulate.Mixed
	switch {
	case v.n == 0:
		if err == nil {
			return fmt.Errorf("%s to %s: simulate says %s, of pods that have no family in common", src, dst, res.Verdict)
		}
		return nil
	case err != nil:
		return err
	case v.every:
		want = simulate.Allow
	case !v.possible:
		want = simulate.Deny
	}
	if res.Verdict != want {
		return fmt.Errorf("%s to %s, %s: simulate says %s, its walks %s", src, dst, x, res.Verdict, want)
	}
	return nil
}

// plain reports whether simulate asks about the addresses of two pods that reach
// does. It asks about one a family, of every family, and lets pass what is to a
// pod's own address or to loopback.
func (w *reachWorld) plain(src, dst string) bool {
	for _, f := range model.Families {
		if w.hosts[f][src] == w.hosts[f][dst] {
			return false
		}
	}
	for _, ref := range []string{src, dst} {
		addrs := w.resolver.Addresses().Of(w.pods[ref])
		if len(addrs) > len(w.own(ref)) || len(addrs) == 2 && model.FamilyOf(addrs[0]) == model.FamilyOf(addrs[1]) ||
			slices.ContainsFunc(addrs, netip.Addr.IsLoopback) {
			return false
		}
	}
	return true
}

// numberHosts numbers the pods; those that claim one address of a family have one
// number.
func (w *reachWorld) numberHosts(f model.Family) map[string]int {
	number := map[string]int{}
	for ref := range w.pods {
		number[ref] = len(number)
	}
	for changed := true; changed; {
		changed = false
		for a := range w.pods {
			for b := range w.pods {
				shared := slices.ContainsFunc(w.own(a), func(x netip.Addr) bool {
					return model.FamilyOf(x) == f && slices.Contains(w.own(b), x)
				})
				if shared && number[a] < number[b] {
					number[b], changed = number[a], true
				}
			}
		}
	}
	return number
}

// judge returns whether a packet passes both ends for every, and for some, value
// of the unresolved names.
func (w *reachWorld) judge(src, dst *model.Pod, from, to netip.Addr, x model.L4) (sure, possible bool) {
	e, ep := w.decideAll(src, model.Egress, to, x)
	i, ip := w.decideAll(dst, model.Ingress, from, x)
	return e && i, ep && ip
}

func (w *reachWorld) decideAll(p *model.Pod, d model.Direction, remote netip.Addr, x model.L4) (sure, possible bool) {
	if !p.Enrolled || p.HostNetwork || p.Finished() {
		return true, true
	}
	policies := w.Select(p.Namespace, p.Labels)
	walk := w.Walk(policies, d)
	var atoms []model.Atom
	for _, q := range policies {
		for _, rule := range q.Rules(d) {
			for i := range rule.Peers {
				if a := model.Atom(rule.Peers[i].String()); w.resolver.Peer(&rule.Peers[i], d).Unknown() && !slices.Contains(atoms, a) {
					atoms = append(atoms, a)
				}
			}
		}
	}
	sure = true
	for bits := range 1 << len(atoms) {
		allowed := walk.Decide(remote, x, func(a model.Atom) bool {
			i := slices.Index(atoms, a)
			return i >= 0 && bits>>i&1 == 1
		}).Action.Allows()
		sure, possible = sure && allowed, possible || allowed
	}
	return sure, possible
}

// checkWorld compares a flow from or to addresses with each end of a prefix.
func (w *reachWorld) checkWorld(p *model.Pod, d model.Direction, f *ReachFlow, got reachPorts) error {
	for _, prefix := range f.Prefixes {
		for _, a := range []netip.Addr{prefix.Addr(), lastOf(prefix)} {
			if a.Is4In6() {
				continue // which is judged as IPv4
			}
			for _, x := range points() {
				sure, possible := w.decideAll(p, d, a, x)
				if got.all.Contains(x) != sure || got.maybe.Contains(x) != (possible && !sure) {
					return fmt.Errorf("%s %s %s %s: reach says %v %v, want %v %v", p.Ref(), d, a, x, got.all.Contains(x), got.maybe.Contains(x), sure, possible)
				}
			}
		}
	}
	return nil
}

// points returns points of the axis between all ports that synth draws.
func points() []model.L4 {
	var out []model.L4
	for _, p := range []model.Proto{model.TCP, model.UDP, model.SCTP} {
		for _, port := range []uint16{0, 1, 53, 79, 80, 81, 85, 91, 443, 65535} {
			out = append(out, model.L4Of(p, port))
		}
	}
	return append(out, model.L4ICMP, model.L4Other)
}
