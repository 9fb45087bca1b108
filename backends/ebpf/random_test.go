package ebpf

import (
	"fmt"
	"maps"
	"math/rand/v2"
	"net/netip"
	"os"
	"slices"
	"strconv"
	"testing"

	"github.com/trafficpolicy/trafficpolicy/backends/bundle"
	"github.com/trafficpolicy/trafficpolicy/compiler/space"
	"github.com/trafficpolicy/trafficpolicy/model"
)

// TestRandomLists draws rule lists, emits and decodes them, and compares every
// packet around every boundary with a walk over the rules, and the decoded table
// with the flattened list.
func TestRandomLists(t *testing.T) {
	soak, _ := strconv.Atoi(os.Getenv("TRAFFICPOLICY_SOAK"))
	kinds := map[int]int{}
	for seed := range uint64(300 * max(1, soak)) {
		rng := rand.New(rand.NewPCG(seed, 0x6562))
		c := class("a", randomRules(rng), randomRules(rng))
		p := one(c)
		a := emit(t, p)
		d := decode(t, a)
		for k, n := range nodeKinds(t, a) {
			kinds[k] += n
		}
		for _, dir := range model.Directions {
			list := c.List(dir)
			for _, local := range p.Pods[0].Addrs {
				if err := compareList(d, a, list, local); err != nil {
					t.Fatalf("seed %d, %s of %s: %v\n%s", seed, dir, local, err, describe(list))
				}
			}
		}
	}
	for k, least := range map[int]int{KindSmall: 1000, KindMedium: 200, KindLarge: 100, KindTree1: 100, KindChain: 300, KindSequence: 100} {
		if kinds[k] < least {
			t.Errorf("%d nodes of kind %d, want more", kinds[k], k)
		}
	}
}

// randomRules draws rules of few prefixes, ports and names, so that they meet; now
// and then with so many ports before or behind that decisions are layered.
func randomRules(rng *rand.Rand) []model.ListRule {
	prefixes := []string{
		"0.0.0.0/0", "0.0.0.0/1", "10.0.0.0/8", "10.0.0.0/24", "10.0.0.128/25", "10.0.0.0/32", "10.0.0.255/32", "255.255.255.255/32",
		"::/0", "fd00::/8", "fd00::/32", "fd00:0:1::/48", "fd00::/64", "fd00::/96", "fd00::ffff:0:0/96", "fd00::1/128", "fd00::2/128",
		"fd00:0:0:1::/64", "fd01::1/128", "ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff/128",
	}
	var rules []model.ListRule
	many := func() {
		if rng.IntN(3) == 0 {
			for i := range 100 + rng.IntN(100) {
				p := uint16(3 + 2*i)
				rules = append(rules, rule(model.Action(rng.IntN(3)), cidrs([]string{"0.0.0.0/0", "::/0"}[rng.IntN(2)]), tcp(p, p)))
			}
		}
	}
	few := func() {
		for range rng.IntN(8) {
			var peers []model.ListPeer
			for range 1 + rng.IntN(3) {
				if rng.IntN(4) == 0 {
					peers = append(peers, fqdn([]string{"x.example", "y.example", "z.example"}[rng.IntN(3)])...)
					continue
				}
				peers = append(peers, cidrs(prefixes[rng.IntN(len(prefixes))])...)
			}
			var ports []model.L4Range
			for range rng.IntN(3) {
				first := []uint16{0, 1, 79, 80, 443, 65535}[rng.IntN(6)]
				r := []model.L4Range{
					tcp(first, first), tcp(first, 65535), udp(first, first), udp(0, first),
					{First: model.L4ICMP, Last: model.L4ICMP}, {First: model.L4SCTP, Last: model.L4ICMP - 1},
				}
				ports = append(ports, r[rng.IntN(len(r))])
			}
			rules = append(rules, rule(model.Action(rng.IntN(3)), peers, ports...))
		}
	}
	few()
	many()
	few()
	many()
	few()
	return rules
}

func describe(list *model.RuleList) string {
	s := ""
	for i, r := range list.Rules {
		s += fmt.Sprintf("%d: %s %v %v\n", i, r.Action, r.Peers, r.L4)
	}
	return s
}

// compareList compares what d decides for a local address with the list.
func compareList(d *Decoded, a *bundle.Bundle, list *model.RuleList, local netip.Addr) error {
	f := model.FamilyOf(local)
	ids := make([]string, len(list.Rules))
	for i := range list.Rules {
		ids[i] = bundle.ID(list.Rules[i].Ref.String())
	}
	none := a.Manifest.Defaults[list.Direction].ID
	root, ok := d.Root(list.Direction, local)
	if !ok {
		return fmt.Errorf("it is not known")
	}
	got, err := d.Table(root, f)
	if err != nil {
		return err
	}
	want, err := space.Flatten(list, f)
	if err != nil {
		return err
	}
	diffs := space.CompareTables(want, got, func(rule, decider int32) space.Kind {
		id := none
		if rule != space.NoRule {
			id = ids[rule]
		}
		if decider == space.NoRule || d.Tables.Deciders[decider] != id {
			return 1
		}
		return space.Same
	})
	if len(diffs) > 0 {
		return fmt.Errorf("the tables differ: %+v", diffs[0])
	}
	for _, peer := range boundaryAddrs(list, f) {
		for _, x := range boundaryL4(list) {
			for bits := range 8 {
				in := func(name string) bool { return bits>>(name[0]-'x')&1 != 0 }
				j, _ := d.Judge(&Packet{Direction: list.Direction, Local: local, Peer: peer, L4: x, In: in})
				want := Judgement{model.Deny, none}
				if r := firstMatch(list, peer, x, in); r >= 0 {
					want = Judgement{list.Rules[r].Action, ids[r]}
				}
				if j != want {
					return fmt.Errorf("%s %s, names %b: got %v, want %v", peer, x, bits, j, want)
				}
			}
		}
	}
	return nil
}

// firstMatch walks the rules of a list.
func firstMatch(list *model.RuleList, a netip.Addr, x model.L4, in func(string) bool) int {
	for i, r := range list.Rules {
		if !r.L4.Contains(x) {
			continue
		}
		for _, p := range r.Peers {
			if p.Atom != "" && in(string(p.Atom)[len("fqdn "):]) {
				return i
			}
			for _, prefix := range p.Prefixes {
				if prefix.Contains(a) {
					return i
				}
			}
		}
	}
	return -1
}

// boundaryAddrs returns addresses on both sides of each end of each prefix.
func boundaryAddrs(list *model.RuleList, f model.Family) []netip.Addr {
	set := map[netip.Addr]bool{}
	add := func(p netip.Prefix) {
		last := p.Addr().AsSlice()
		for i := p.Bits(); i < len(last)*8; i++ {
			last[i/8] |= 0x80 >> (i % 8)
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

// boundaryL4 returns some points on both sides of the ends of the rules' ports.
func boundaryL4(list *model.RuleList) []model.L4 {
	set := map[model.L4]bool{model.L4TCP: true, model.L4UDP: true, model.L4SCTP: true, model.L4ICMP: true, model.L4Other: true}
	for i, rule := range list.Rules {
		if len(list.Rules) > 60 && i%23 != 0 {
			continue
		}
		for _, r := range rule.L4 {
			for _, x := range []model.L4{r.First, r.First - 1, r.Last, r.Last + 1} {
				set[min(x, model.L4Last)] = true
			}
		}
	}
	return slices.Sorted(maps.Keys(set))
}

// nodeKinds counts the nodes of a graph by kind.
func nodeKinds(t testing.TB, a *bundle.Bundle) map[int]int {
	t.Helper()
	graph, tables, err := readFiles(a.Files)
	if err != nil {
		t.Fatal(err)
	}
	records, err := tables.check()
	if err != nil {
		t.Fatal(err)
	}
	c := &checker{data: graph, tables: tables, records: records, actions: slices.Repeat([]action{unused}, len(tables.Deciders))}
	if err := c.graph(); err != nil {
		t.Fatal(err)
	}
	kinds := map[int]int{}
	for _, r := range c.owners {
		if r != 0 && r != taken {
			kinds[r.kind()]++
		}
	}
	return kinds
}

// TestWords compares the search for addresses of four words with a list of random
// ranges, at both ends of each.
func TestWords(t *testing.T) {
	values := []uint32{0, 1, 2, 5, 0x7fffffff, 0xfffffffe, 0xffffffff}
	for seed := range uint64(2000) {
		rng := rand.New(rand.NewPCG(seed, 4))
		starts := []addrWords{{}}
		for range rng.IntN(30) {
			var a addrWords
			for i := range a {
				a[i] = values[rng.IntN(1+rng.IntN(len(values)))]
			}
			starts = append(starts, a)
		}
		slices.SortFunc(starts, func(a, b addrWords) int { return slices.Compare(a[:], b[:]) })
		starts = slices.Compact(starts)
		in := make([]stretch, len(starts))
		for i, first := range starts {
			in[i] = stretch{first, lastWords, terminal(VerdictOther, uint32(rng.IntN(3)))}
			if i+1 < len(starts) {
				in[i].last = before(starts[i+1])
			}
		}
		w := newWriter(realLimits)
		root := (newAddresses(w, WordPeer, model.IPv6)).search(in, 0)
		walk := walker{Decoded: &Decoded{&Graph{data: w.bytes()}}}
		for _, s := range in {
			for _, a := range []addrWords{s.first, s.last} {
				copy(walk.words[WordPeer:], a[:])
				if got := walk.walk(root); got != s.ref {
					t.Fatalf("seed %d: %x leads to %#x, want %#x in %x", seed, a, got, s.ref, in)
				}
			}
		}
	}
}

// before returns the address before a.
func before(a addrWords) addrWords {
	for i := 3; i >= 0; i-- {
		if a[i]--; a[i] != 0xffffffff {
			break
		}
	}
	return a
}
