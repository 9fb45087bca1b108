package verify

import (
	"context"
	"fmt"
	"net/netip"
	"slices"
	"testing"

	"github.com/trafficpolicy/trafficpolicy/compiler"
	"github.com/trafficpolicy/trafficpolicy/internal/synth"
	"github.com/trafficpolicy/trafficpolicy/model"
	"github.com/trafficpolicy/trafficpolicy/verify/simulate"
)

// TestReachAgainstSimulate compares with each two pods, on every port that makes a
// difference and under every value of what is not known.
func TestReachAgainstSimulate(t *testing.T) {
	flows := 0
	for seed := range uint64(250 * soakFactor(t)) {
		c := synth.Small(seed)
		if seed%2 == 1 {
			c = synth.Dense(seed)
		}
		if len(c.Inventory.Pods) == 0 {
			continue
		}
		n, err := checkReach(c)
		if err != nil {
			small := synth.Shrink(c, func(c *synth.Cluster) bool {
				if len(c.Inventory.Pods) == 0 {
					return false
				}
				_, err := checkReach(c)
				return err != nil
			})
			_, err = checkReach(small)
			t.Fatalf("seed %d: %v\n%s---\n%s--resolve %v", seed, err, small.PolicyYAML(), small.InventoryYAML(), small.Resolve)
		}
		flows += n
	}
	if flows < 250 {
		t.Errorf("%d flows between groups, want more", flows)
	}
}

// reachPorts is the ports of a flow.
type reachPorts struct{ all, some, maybe model.L4Set }

func checkReach(c *synth.Cluster) (flows int, err error) {
	o := compiler.Options{IsolateByDirection: c.Seed%3 == 0, Resolve: c.Resolve}
	in := &compiler.Input{Policies: c.Policies, Inventory: c.Inventory, InventoryGiven: true}
	r, err := FindReach(context.Background(), in, ReachOptions{Options: o})
	if err != nil {
		return 0, err
	}
	s := simulate.New(in, o)
	resolver := compiler.NewResolver(in.Inventory, o)
	pods := map[string]*model.Pod{}
	for _, p := range c.Inventory.Pods {
		pods[p.Ref()] = p
	}
	open := map[[2]int]reachPorts{}
	for i := range r.Flows {
		f := &r.Flows[i]
		ps := reachPorts{portSet(f.Ports), portSet(f.Some), portSet(f.Maybe)}
		for _, from := range f.From {
			for _, to := range f.To {
				open[[2]int{from, to}] = ps
				flows++
			}
			if len(f.To) == 0 {
				if err := checkWorld(s, resolver, pods[r.Groups[from].Members[0]], model.Egress, f, ps); err != nil {
					return flows, err
				}
			}
		}
		if len(f.From) == 0 {
			if err := checkWorld(s, resolver, pods[r.Groups[f.To[0]].Members[0]], model.Ingress, f, ps); err != nil {
				return flows, err
			}
		}
	}
	for i := range r.Groups {
		for j := range r.Groups {
			a, b := &r.Groups[i], &r.Groups[j]
			if len(a.Policies)+len(b.Policies) == 0 || i == j && len(a.Members) == 1 {
				continue
			}
			if err := checkGroups(s, resolver, pods, a, b, open[[2]int{i, j}]); err != nil {
				return flows, err
			}
		}
	}
	return flows, nil
}

// checkGroups compares what is open from a to b with each two pods of them.
func checkGroups(s *simulate.Simulator, resolver *compiler.Resolver, pods map[string]*model.Pod, a, b *ReachGroup, got reachPorts) error {
	for _, x := range points() {
		every, some, possible, pairs := true, false, false, 0
		for _, src := range a.Members {
			for _, dst := range b.Members {
				for _, from := range resolver.Addresses().Of(pods[src]) {
					for _, to := range resolver.Addresses().Of(pods[dst]) {
						if model.FamilyOf(from) != model.FamilyOf(to) {
							continue
						}
						pairs++
						sure, maybe := judge(s, resolver, pods[src], pods[dst], from, to, x)
						every, some, possible = every && sure, some || sure, possible || maybe
					}
				}
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

// judge returns whether a packet passes both ends for every, and for some, value
// of the unresolved names.
func judge(s *simulate.Simulator, r *compiler.Resolver, src, dst *model.Pod, from, to netip.Addr, x model.L4) (sure, possible bool) {
	e, ep := decideAll(s, r, src, model.Egress, to, x)
	i, ip := decideAll(s, r, dst, model.Ingress, from, x)
	return e && i, ep && ip
}

func decideAll(s *simulate.Simulator, r *compiler.Resolver, p *model.Pod, d model.Direction, remote netip.Addr, x model.L4) (sure, possible bool) {
	if !p.Enrolled || p.HostNetwork || p.Finished() {
		return true, true
	}
	policies := s.Select(p.Namespace, p.Labels)
	walk := s.Walk(policies, d)
	var atoms []model.Atom
	for _, q := range policies {
		for _, rule := range q.Rules(d) {
			for i := range rule.Peers {
				if a := model.Atom(rule.Peers[i].String()); r.Peer(&rule.Peers[i], d).Unknown() && !slices.Contains(atoms, a) {
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
func checkWorld(s *simulate.Simulator, r *compiler.Resolver, p *model.Pod, d model.Direction, f *ReachFlow, got reachPorts) error {
	for _, prefix := range f.Prefixes {
		for _, a := range []netip.Addr{prefix.Addr(), lastOf(prefix)} {
			for _, x := range points() {
				sure, possible := decideAll(s, r, p, d, a, x)
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
