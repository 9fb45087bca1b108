package ebpf

import (
	"encoding/binary"
	"fmt"
	"math/rand/v2"
	"net/netip"
	"testing"

	"github.com/trafficpolicy/trafficpolicy/compiler"
	"github.com/trafficpolicy/trafficpolicy/model"
)

// addr4 returns the i-th of many addresses all over IPv4.
func addr4(i int) netip.Addr {
	var b [4]byte
	binary.BigEndian.PutUint32(b[:], uint32(i)*2654435761) // odd, so a permutation
	return netip.AddrFrom4(b)
}

// addr6 returns the i-th of many addresses of a few thousand networks.
func addr6(i int) netip.Addr {
	var b [16]byte
	binary.BigEndian.PutUint64(b[:], 0xfd00<<48|uint64(i%5000)<<16)
	binary.BigEndian.PutUint32(b[12:], uint32(i)*2654435761)
	return netip.AddrFrom16(b)
}

// prefixRule is one rule with n single addresses.
func prefixRule(n int, addr func(int) netip.Addr) []model.ListRule {
	prefixes := make([]netip.Prefix, n)
	for i := range prefixes {
		a := addr(i)
		prefixes[i] = netip.PrefixFrom(a, a.BitLen())
	}
	return []model.ListRule{rule(model.Allow, []model.ListPeer{{Prefixes: prefixes}})}
}

// portedRules are n rules for a single address and a port each.
func portedRules(n int, from int, addr func(int) netip.Addr) []model.ListRule {
	rules := make([]model.ListRule, n)
	for i := range rules {
		a := addr(from + i)
		port := []uint16{22, 80, 443, 3306, 6379}[i%5]
		rules[i] = rule(model.Action(i%3), []model.ListPeer{{Prefixes: []netip.Prefix{netip.PrefixFrom(a, a.BitLen())}}}, tcp(port, port))
	}
	return rules
}

// classes is a program of n classes of so many rules, with pods for each.
func classes(n, pods int, rules func(class int) []model.ListRule) *compiler.Program {
	p := &compiler.Program{Target: compiler.Target{Node: "n"}, NodeName: "n"}
	for c := range n {
		p.Classes = append(p.Classes, class(fmt.Sprintf("c%05d", c), rules(c), nil))
	}
	for i := range pods {
		a := netip.AddrFrom4([4]byte{10, byte(i >> 16), byte(i >> 8), byte(i)})
		p.Pods = append(p.Pods, compiler.ProgramPod{Ref: fmt.Sprintf("default/p%06d", i), Addrs: []netip.Addr{a}, Class: i % n})
	}
	return p
}

// manyPorts are n single ports of everybody behind n single addresses.
func manyPorts(n int) []model.ListRule {
	rules := portedRules(n, 0, addr4)
	for i := range n {
		rules = append(rules, rule(model.Action(i%3), cidrs("0.0.0.0/0"), tcp(uint16(2*i), uint16(2*i))))
	}
	return rules
}

// benchPrograms are the shapes that artifacts take; prefixes is how many the rules have.
var benchPrograms = []struct {
	name     string
	prefixes int
	make     func() *compiler.Program
}{
	{"prefixes/10", 10, func() *compiler.Program { return one(class("a", prefixRule(10, addr4), nil)) }},
	{"prefixes/1000", 1000, func() *compiler.Program { return one(class("a", prefixRule(1000, addr4), nil)) }},
	{"prefixes/100000", 100_000, func() *compiler.Program { return one(class("a", prefixRule(100_000, addr4), nil)) }},
	{"prefixes/1000000", 1_000_000, func() *compiler.Program { return one(class("a", prefixRule(1_000_000, addr4), nil)) }},
	{"ported/10", 10, func() *compiler.Program { return one(class("a", portedRules(10, 0, addr4), nil)) }},
	{"ported/1000", 1000, func() *compiler.Program { return one(class("a", portedRules(1000, 0, addr4), nil)) }},
	{"ported/10000", 10_000, func() *compiler.Program { return one(class("a", portedRules(10_000, 0, addr4), nil)) }},
	{"ported/100000", 100_000, func() *compiler.Program { return one(class("a", portedRules(100_000, 0, addr4), nil)) }},
	{"ipv6/1000", 1000, func() *compiler.Program { return one(class("a", prefixRule(1000, addr6), nil)) }},
	{"ipv6/100000", 100_000, func() *compiler.Program { return one(class("a", prefixRule(100_000, addr6), nil)) }},
	{"ipv6-ported/10000", 10_000, func() *compiler.Program { return one(class("a", portedRules(10_000, 0, addr6), nil)) }},
	{"ports/5000x5000", 5000, func() *compiler.Program { return one(class("a", manyPorts(5000), nil)) }},
	{"node/64x2000", 128_000, func() *compiler.Program {
		return classes(64, 256, func(c int) []model.ListRule { return portedRules(2000, 2000*c, addr4) })
	}},
	{"classes/5000x100", 500_000, func() *compiler.Program {
		return classes(5000, 5000, func(c int) []model.ListRule { return portedRules(100, 100*c, addr4) })
	}},
}

func BenchmarkEmit(b *testing.B) {
	for _, p := range benchPrograms {
		b.Run(p.name, func(b *testing.B) {
			program := p.make()
			b.ReportAllocs()
			b.ResetTimer()
			size, tables := 0, 0
			for b.Loop() {
				a := emit(b, program)
				size, tables = len(a.Files[0].Data), len(a.Files[1].Data)
			}
			b.ReportMetric(float64(size)/float64(p.prefixes), "B/prefix")
			b.ReportMetric(float64(size), "graph-B")
			b.ReportMetric(float64(tables), "tables-B")
		})
	}
}

// BenchmarkRead measures what a loader does before it touches the kernel.
func BenchmarkRead(b *testing.B) {
	for _, p := range benchPrograms {
		bundle := sealed(b, emit(b, p.make()))
		b.Run(p.name+"/tables", func(b *testing.B) {
			for b.Loop() {
				if _, err := ReadTables(bundle.Files[1].Data); err != nil {
					b.Fatal(err)
				}
			}
		})
		tables, err := ReadTables(bundle.Files[1].Data)
		if err != nil {
			b.Fatal(err)
		}
		b.Run(p.name+"/check", func(b *testing.B) {
			b.ReportAllocs()
			for b.Loop() {
				if _, err := Check(bundle.Files[0].Data, tables); err != nil {
					b.Fatal(err)
				}
			}
		})
		g, err := Check(bundle.Files[0].Data, tables)
		if err != nil {
			b.Fatal(err)
		}
		placement := placement(g)
		b.Run(p.name+"/place", func(b *testing.B) {
			for b.Loop() {
				if _, err := g.Place(placement); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}

// BenchmarkTable measures the decoder on one class.
func BenchmarkTable(b *testing.B) {
	a := emit(b, one(class("a", portedRules(100_000, 0, addr4), nil)))
	d := decode(b, a)
	root, _ := d.Root(model.Egress, addrs("10.0.0.10")[0])
	for b.Loop() {
		if _, err := d.Table(root, model.IPv4); err != nil {
			b.Fatal(err)
		}
	}
}

// TestBytesPerPrefix holds what an IPv4 prefix may take: 20 bytes for its address,
// 50 with a port and a rule of its own.
func TestBytesPerPrefix(t *testing.T) {
	rng := rand.New(rand.NewPCG(1, 1))
	for name, tt := range map[string]struct {
		rules []model.ListRule
		n     int
		most  float64
	}{
		"addresses": {prefixRule(20_000, addr4), 20_000, 20},
		"random":    {prefixRule(20_000, func(int) netip.Addr { return addr4(int(rng.Uint32())) }), 20_000, 20},
		"ports":     {portedRules(20_000, 0, addr4), 20_000, 50},
	} {
		size := len(emit(t, one(class("a", tt.rules, nil))).Files[0].Data)
		if got := float64(size) / float64(tt.n); got > tt.most {
			t.Errorf("%s: %.1f bytes a prefix, want at most %.0f", name, got, tt.most)
		}
	}
}

// TestLargestNode holds what the graph of the largest node may take: 256 pods of 64
// classes, each with 2,000 IPv4 prefixes, a port and a rule for each.
func TestLargestNode(t *testing.T) {
	const most = 7_000_000
	p := classes(64, 256, func(c int) []model.ListRule { return portedRules(2000, 2000*c, addr4) })
	if size := len(emit(t, p).Files[0].Data); size > most {
		t.Errorf("%d bytes, want at most %d", size, most)
	}
}
