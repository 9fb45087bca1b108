//go:build linux

package bpf_test

import (
	"encoding/binary"
	"fmt"
	"math/rand/v2"
	"net/netip"
	"testing"
	"time"

	ciliumebpf "github.com/cilium/ebpf"

	"github.com/trafficpolicy/trafficpolicy/backends/ebpf"
	"github.com/trafficpolicy/trafficpolicy/backends/ebpf/bpf"
	"github.com/trafficpolicy/trafficpolicy/compiler"
	"github.com/trafficpolicy/trafficpolicy/internal/bpflab"
	"github.com/trafficpolicy/trafficpolicy/internal/netlab"
	"github.com/trafficpolicy/trafficpolicy/model"
)

// bench is a world whose programs are those of bench.bpf.c.
type bench struct {
	*world
	programs *ciliumebpf.Collection
	peers    []netip.Addr
}

// peers that a benchmark draws.
const drawn = 65536

// newBench puts a program in force and draws peers from the prefixes of the rules of
// its first class.
func newBench(b *testing.B, p *compiler.Program, f model.Family, random bool, o bpf.Options) *bench {
	b.Helper()
	require(b)
	a, err := ebpf.Emit(p)
	if err != nil {
		b.Fatal(err)
	}
	o.Lines = uint32(max(2*len(a.Files[0].Data)/ebpf.LineSize, 64))
	o.Deciders = uint32(2 * len(p.Classes))
	for i := range p.Classes {
		o.Deciders += uint32(len(p.Classes[i].Egress.Rules))
	}
	x := &bench{world: &world{TB: b, Lab: newLab(b), Machine: bpflab.MachineOf(new(bpf.Instance), o.Lines)}}
	spec, err := loadBench()
	x.must(err)
	x.must(spec.Variables["bench_random"].Set(random))
	for name, n := range map[string]uint32{
		bpf.MapArea: o.Lines, bpf.MapConns: o.Conns, bpf.MapOpening: o.Opening, bpf.MapCounters: uint32(bpf.FixedCounters) + o.Deciders,
	} {
		if n != 0 {
			spec.Maps[name].MaxEntries = n
		}
	}
	if x.programs, err = ciliumebpf.NewCollection(spec); err != nil {
		b.Fatalf("%+v", err)
	}
	b.Cleanup(x.programs.Close)
	maps := x.programs.Maps
	x.Area, x.Ctl, x.Counters, x.Nodes, x.Names = maps[bpf.MapArea], maps[bpf.MapCtl], maps[bpf.MapCounters], maps[bpf.MapNodes], maps[bpf.MapNames]
	x.Conns, x.Opening, x.Frags = maps[bpf.MapConns], maps[bpf.MapOpening], maps[bpf.MapFrags]
	x.place = map[string]int{}
	for _, pod := range p.Pods {
		x.place[pod.Ref] = devLoopback
	}
	x.install(a)
	x.draw(p, f)
	return x
}

// draw fills in what is drawn: a pod, and a peer, at random in a prefix of a rule of
// the first class or anywhere.
func (x *bench) draw(p *compiler.Program, f model.Family) {
	r := rand.New(rand.NewPCG(1, 2))
	var in []netip.Prefix
	for _, rule := range p.Classes[0].Egress.Rules {
		for _, peer := range rule.Peers {
			for _, c := range peer.Prefixes {
				if model.FamilyOf(c.Addr()) == f {
					in = append(in, c)
				}
			}
		}
	}
	var own []netip.Addr
	for _, pod := range p.Pods {
		for _, a := range pod.Addrs {
			if model.FamilyOf(a) == f {
				own = append(own, a)
			}
		}
	}
	keys, values := make([]uint32, drawn), make([][2]bpf.Address, drawn)
	x.peers = make([]netip.Addr, drawn)
	for i := range x.peers {
		c := f.All()
		if i%2 == 0 {
			c = in[r.IntN(len(in))]
		}
		x.peers[i] = within(r, c)
		keys[i], values[i] = uint32(i), [2]bpf.Address{bpf.AddressOf(own[r.IntN(len(own))]), bpf.AddressOf(x.peers[i])}
	}
	_, err := x.programs.Maps["bench_pairs"].BatchUpdate(keys, values, nil)
	x.must(err)
}

// within draws an address of a prefix.
func within(r *rand.Rand, c netip.Prefix) netip.Addr {
	b := c.Addr().AsSlice()
	for bit := c.Bits(); bit < len(b)*8; bit++ {
		b[bit/8] |= byte(r.Uint32()) & (0x80 >> (bit % 8))
	}
	a, _ := netip.AddrFromSlice(b)
	return a
}

// repeat has the kernel run a program n times with a packet of the pod.
func (x *bench) repeat(program string, packet []byte, n int) (took time.Duration) {
	x.Helper()
	d := x.Devices[devLoopback]
	opts := ciliumebpf.RunOptions{Data: bpflab.Frame(d, packet), Context: bpflab.SKB{Ifindex: d.Index, IngressIfindex: d.Index}, Repeat: uint32(n)}
	var end uint32
	var err error
	x.Do(func() {
		begin := time.Now()
		end, err = x.programs.Programs[program].Run(&opts)
		took = time.Since(begin)
	})
	x.must(err)
	if bpflab.End(end) != passed {
		x.Fatalf("%s: %s", program, bpflab.End(end))
	}
	return took
}

// nanoseconds returns how long one run takes: the least of rounds that are so short
// that some are not interrupted.
func (x *bench) nanoseconds(program string, packet []byte) float64 {
	const rounds, runs = 100, 10_000
	least := x.repeat(program, packet, runs)
	for range rounds {
		least = min(least, x.repeat(program, packet, runs))
	}
	return float64(least.Nanoseconds()) / runs
}

// measure is a benchmark of one program. Beside the mean it reports the least of many
// short rounds, which other load on the machine does not change, and how many times
// as long that is as parsing alone takes.
func (x *bench) measure(b *testing.B, name, program string, packet []byte) {
	b.Run(name, func(b *testing.B) {
		x.repeat(program, packet, drawn) // caches, and every peer once
		b.ResetTimer()
		x.repeat(program, packet, b.N)
		b.StopTimer()
		least := x.nanoseconds(program, packet)
		b.ReportMetric(least, "least-ns/op")
		b.ReportMetric(least/x.nanoseconds("bench_parse", packet), "x-parse")
	})
}

// establish enters the connection of a packet that the pod sends.
func (x *bench) establish(src, dst netip.Addr, proto uint8) {
	x.must(x.Conns.Put(bpf.ConnKey{
		Local: bpf.AddressOf(src), Peer: bpf.AddressOf(dst), LocalPort: bpf.PortOf(30000), PeerPort: bpf.PortOf(53), Protocol: proto,
	}, bpf.Conn{Seen: now(), Direction: bpf.Egress, Flags: bpf.ConnReplied, TCP: bpf.TCPOpen}))
}

// query is a UDP packet as a pod's stack sends it: its checksum is left to the device,
// so it has the sum of the pseudo header.
func query(src, dst netip.Addr) []byte {
	p := udp(src, dst, 53)
	b := p.Bytes()
	head := 20
	if src.Is6() {
		head = 40
	}
	binary.BigEndian.PutUint16(b[head+6:], ^netlab.Checksum(pseudo(src, dst, model.IPProtoUDP, len(b)-head)))
	return b
}

func numbered(n uint32) netip.Addr {
	return netip.AddrFrom4([4]byte(binary.BigEndian.AppendUint32(nil, n)))
}

// prefixes returns a class with n rules of one prefix each, for some ports, and a last
// rule that allows everything. Each prefix has its own rule, so that no two can be one.
func prefixes(n int, f model.Family, class int, l4 model.L4Set) compiler.ProgramClass {
	p := &model.Policy{Kind: model.TrafficPolicy, Namespace: "default", Name: fmt.Sprintf("p%d", class), Priority: 100}
	list := &model.RuleList{Direction: model.Egress, Isolated: true}
	r := rand.New(rand.NewPCG(uint64(n), uint64(class)))
	for i := range n {
		var c netip.Prefix
		if f == model.IPv4 {
			c = netip.PrefixFrom(numbered(r.Uint32()), 24+r.IntN(9)).Masked()
		} else {
			var b [16]byte
			binary.BigEndian.PutUint64(b[:], 0x2000_0000_0000_0000|r.Uint64()>>3)
			c = netip.PrefixFrom(netip.AddrFrom16(b), 40+r.IntN(25)).Masked()
		}
		list.Rules = append(list.Rules, model.ListRule{
			Ref:    model.RuleRef{Policy: p, Direction: model.Egress, Index: i},
			Action: model.Allow,
			Peers:  []model.ListPeer{{Prefixes: []netip.Prefix{c}}},
			L4:     l4,
		})
	}
	list.Rules = append(list.Rules, model.ListRule{
		Ref:    model.RuleRef{Policy: p, Direction: model.Egress, Index: n},
		Action: model.Allow,
		Peers:  []model.ListPeer{{Prefixes: []netip.Prefix{model.IPv4.All(), model.IPv6.All()}}},
		L4:     model.EveryL4,
	})
	return compiler.ProgramClass{Policies: []*model.Policy{p}, Egress: list, Ingress: &model.RuleList{Direction: model.Ingress, Isolated: true}}
}

// node is a program of one pod for each class; the first is client.
func node(classes ...compiler.ProgramClass) *compiler.Program {
	p := &compiler.Program{Target: compiler.Target{Node: "node-a"}, NodeName: "node-a", NodeAddrs: nodeIP[:], Classes: classes}
	for i := range classes {
		pod := compiler.ProgramPod{Ref: "default/client", Addrs: clientIP[:], Class: i}
		if i > 0 {
			pod.Ref, pod.Addrs = fmt.Sprintf("default/p%05d", i), []netip.Addr{numbered(0x0a800000 + uint32(i))}
		}
		p.Pods = append(p.Pods, pod)
	}
	return p
}

// ports returns n single TCP ports, no two of which abut.
func ports(n int) model.L4Set {
	var rs []model.L4Range
	for i := range n {
		x := model.L4Of(model.TCP, uint16(1+2*i))
		rs = append(rs, model.L4Range{First: x, Last: x})
	}
	return model.NewL4Set(rs...)
}

// web is what most rules allow: a few ports.
var web = model.NewL4Set(
	model.Port{Proto: model.TCP, First: 80, Last: 80}.L4(),
	model.Port{Proto: model.TCP, First: 443, Last: 443}.L4(),
	model.Port{Proto: model.UDP, First: 53, Last: 53}.L4(),
)

// BenchmarkBase is what every other figure has in it: an empty program, and parsing.
func BenchmarkBase(b *testing.B) {
	for _, f := range model.Families {
		x := newBench(b, node(prefixes(10, f, 0, model.EveryL4)), f, false, bpf.Options{})
		for _, p := range []string{"empty", "parse"} {
			x.measure(b, fmt.Sprintf("%s/%s", f, p), "bench_"+p, query(clientIP[f], goodIP[f]))
		}
	}
}

// walks measures the walk by local address, peer and port, with parsing: to one peer,
// and to many in turn.
func walks(b *testing.B, name string, f model.Family, p *compiler.Program) {
	for _, random := range []bool{false, true} {
		end := "/hot"
		if random {
			end = "/random"
		}
		b.Run(name+end, func(b *testing.B) {
			x := newBench(b, p, f, random, bpf.Options{})
			x.measure(b, "walk", "bench_walk", query(clientIP[f], x.peers[0]))
		})
	}
}

// BenchmarkPrefixes: as many prefixes in one class, each with its own rule and ports.
func BenchmarkPrefixes(b *testing.B) {
	for _, f := range model.Families {
		for _, n := range []int{10, 100, 1_000, 10_000, 100_000, 1_000_000} {
			if f == model.IPv6 && n > 100_000 {
				continue
			}
			l4 := web
			if n > 100_000 {
				l4 = ports(1) // with more, a rule list is over the compiler's limit
			}
			b.Run(fmt.Sprintf("%s/%d", f, n), func(b *testing.B) {
				walks(b, "ports", f, node(prefixes(n, f, 0, l4)))
			})
		}
	}
}

// BenchmarkPorts: as many single ports in every rule of a hundred prefixes.
func BenchmarkPorts(b *testing.B) {
	for _, n := range []int{1, 10, 100, 1_000, 10_000} {
		b.Run(fmt.Sprint(n), func(b *testing.B) {
			walks(b, "prefixes=100", model.IPv4, node(prefixes(100, model.IPv4, 0, ports(n))))
		})
	}
}

// BenchmarkClasses: as many classes of a hundred prefixes, one pod each; at random also
// the pod is.
func BenchmarkClasses(b *testing.B) {
	for _, n := range []int{1, 100, 5_000} {
		b.Run(fmt.Sprint(n), func(b *testing.B) {
			classes := make([]compiler.ProgramClass, n)
			for i := range classes {
				classes[i] = prefixes(100, model.IPv4, i, web)
			}
			walks(b, "prefixes=100", model.IPv4, node(classes...))
		})
	}
}

// BenchmarkPath is the whole way of a packet, counters included: of a connection that
// is known, of one that is not (without and with the entry that it leaves, in a table
// that is full).
func BenchmarkPath(b *testing.B) {
	for _, f := range model.Families {
		x := newBench(b, node(prefixes(1_000, f, 0, web)), f, false, bpf.Options{Conns: 65536, Opening: 65536})
		packet := query(clientIP[f], x.peers[0])
		x.measure(b, f.String()+"/miss", "bench_miss", packet)
		x.repeat("bench_create", packet, 2*65536)
		x.measure(b, f.String()+"/create", "bench_create", packet)
		x.establish(clientIP[f], x.peers[0], model.IPProtoUDP)
		x.measure(b, f.String()+"/hit", "bench_whole", packet)
	}
}
