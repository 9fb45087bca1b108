package space

import (
	"fmt"
	"math/rand/v2"
	"net/netip"
	"os"
	"slices"
	"strconv"
	"strings"
	"testing"

	"github.com/trafficpolicy/trafficpolicy/model"
)

// soak is how many times longer random tests run than by default.
func soak(t testing.TB) int {
	n, err := strconv.Atoi(os.Getenv("TRAFFICPOLICY_SOAK"))
	if err != nil && os.Getenv("TRAFFICPOLICY_SOAK") != "" {
		t.Fatalf("TRAFFICPOLICY_SOAK: %v", err)
	}
	return max(n, 1)
}

// The tiny universe: eight addresses at each end of each family's space, and the
// points at and around every protocol border.
var (
	tinyAddrs = map[model.Family][]netip.Addr{model.IPv4: tiny("0.0.0.0", "255.255.255.248"), model.IPv6: tiny("::", "ffff:ffff:ffff:ffff:ffff:ffff:ffff:fff8")}
	tinyL4    = []model.L4{0, 1, 2, 79, 80, 81, 65534, 65535, 65536, 65537, 131071, 131072, 196606, 196607, model.L4ICMP, model.L4Other}
)

func tiny(firsts ...string) []netip.Addr {
	var as []netip.Addr
	for _, s := range firsts {
		a := netip.MustParseAddr(s)
		for range 8 {
			as = append(as, a)
			a = a.Next()
		}
	}
	return as
}

func randomList(rng *rand.Rand, f model.Family) *model.RuleList {
	list := &model.RuleList{Isolated: rng.IntN(50) > 0}
	source := &model.Policy{Egress: &model.Section{Rules: make([]model.Rule, rng.IntN(9))}}
	for i := range source.Egress.Rules {
		r := randomRule(rng, f)
		if rng.IntN(2) == 0 {
			ports := randomPorts(rng)
			source.Egress.Rules[i].Ports = ports
			r.L4, r.Ref = model.PortsL4(ports), model.RuleRef{Policy: source, Index: i}
		}
		list.Rules = append(list.Rules, r)
	}
	return list
}

func randomPorts(rng *rand.Rand) []model.Port {
	var ports []model.Port
	for range 1 + rng.IntN(3) {
		p := model.Port{Proto: model.Proto(rng.IntN(4))}
		if p.Proto.HasPorts() {
			a, b := uint16(rng.IntN(4)), uint16(rng.IntN(4))
			p.First, p.Last = min(a, b), max(a, b)
			if rng.IntN(3) == 0 {
				p.Last = 65535
			}
		}
		ports = append(ports, p)
	}
	return ports
}

func randomRule(rng *rand.Rand, f model.Family) model.ListRule {
	r := model.ListRule{Action: model.Action(rng.IntN(3)), L4: randomL4(rng)}
	for j := range 1 + rng.IntN(3) {
		p := model.ListPeer{Index: j}
		if rng.IntN(6) == 0 {
			p.Atom = model.Atom([]string{"a", "b", "c"}[rng.IntN(3)])
		}
		for range rng.IntN(3) {
			p.Prefixes = append(p.Prefixes, randomPrefix(rng, f))
		}
		p.Prefixes = disjoint(p.Prefixes)
		r.Peers = append(r.Peers, p)
	}
	return r
}

func randomPrefix(rng *rand.Rand, f model.Family) netip.Prefix {
	if rng.IntN(12) == 0 {
		return (1 - f).All() // of the other family: must not count
	}
	all := tinyAddrs[f]
	a := all[rng.IntN(len(all))]
	bits := a.BitLen() - rng.IntN(5)
	if rng.IntN(4) == 0 {
		bits = rng.IntN(4)
	}
	p, _ := a.Prefix(bits)
	return p
}

// disjoint drops what a wider prefix holds, and sorts.
func disjoint(ps []netip.Prefix) []netip.Prefix {
	var out []netip.Prefix
	for i, p := range ps {
		if !slices.ContainsFunc(ps[:i], func(q netip.Prefix) bool { return q == p }) &&
			!slices.ContainsFunc(ps, func(q netip.Prefix) bool { return q.Bits() < p.Bits() && q.Overlaps(p) }) {
			out = append(out, p)
		}
	}
	slices.SortFunc(out, func(a, b netip.Prefix) int { return a.Addr().Compare(b.Addr()) })
	return out
}

func randomL4(rng *rand.Rand) model.L4Set {
	if rng.IntN(4) == 0 {
		return model.EveryL4
	}
	var rs []model.L4Range
	for range 1 + rng.IntN(3) {
		a, b := tinyL4[rng.IntN(len(tinyL4))], tinyL4[rng.IntN(len(tinyL4))]
		rs = append(rs, model.L4Range{First: min(a, b), Last: max(a, b)})
	}
	return model.NewL4Set(rs...)
}

// printList returns a list as a reader can follow it.
func printList(list *model.RuleList) string {
	var b strings.Builder
	fmt.Fprintf(&b, "isolated %v\n", list.Isolated)
	for i, r := range list.Rules {
		fmt.Fprintf(&b, "%3d %-6s %v %v", i, r.Action, r.L4, sourcePorts(&r))
		for _, p := range r.Peers {
			fmt.Fprintf(&b, " [%s %v]", p.Atom, p.Prefixes)
		}
		b.WriteByte('\n')
	}
	return b.String()
}

// eachRandomList runs check on random lists of both families, deterministic by
// seed, and prints the first list for which it returns an error.
func eachRandomList(t *testing.T, n int, check func(*model.RuleList, model.Family) error) {
	t.Helper()
	for i := range n * soak(t) {
		f := model.Family(i % 2)
		list := randomList(rand.New(rand.NewPCG(1, uint64(i))), f)
		if err := check(list, f); err != nil {
			list = shrinkList(list, func(l *model.RuleList) bool { return check(l, f) != nil })
			t.Fatalf("case %d, %s: %v\n%s", i, f, check(list, f), printList(list))
		}
	}
}

// shrinkList drops rules, peers and prefixes as long as the list fails.
func shrinkList(list *model.RuleList, fails func(*model.RuleList) bool) *model.RuleList {
	for again := true; again; {
		again = false
		for _, smaller := range smallerLists(list) {
			if fails(smaller) {
				list, again = smaller, true
				break
			}
		}
	}
	return list
}

func smallerLists(list *model.RuleList) []*model.RuleList {
	var out []*model.RuleList
	with := func(i int, rs ...model.ListRule) {
		rules := slices.Concat(list.Rules[:i], rs, list.Rules[i+1:])
		out = append(out, &model.RuleList{Direction: list.Direction, Isolated: list.Isolated, Rules: rules})
	}
	for i, r := range list.Rules {
		with(i)
		for j := range r.Peers {
			if len(r.Peers) > 1 {
				s := r
				s.Peers = slices.Delete(slices.Clone(r.Peers), j, j+1)
				with(i, s)
			}
			for k := range r.Peers[j].Prefixes {
				s := r
				s.Peers = slices.Clone(r.Peers)
				s.Peers[j].Prefixes = slices.Delete(slices.Clone(r.Peers[j].Prefixes), k, k+1)
				with(i, s)
			}
		}
		if !r.L4.IsEvery() {
			s := r
			s.L4, s.Ref = model.EveryL4, model.RuleRef{}
			with(i, s)
		}
	}
	return out
}
