package mutate

import (
	"encoding/json"
	"fmt"
	"math/rand/v2"
	"net/netip"
	"regexp"
	"slices"

	"github.com/trafficpolicy/trafficpolicy/backends/bundle"
	"github.com/trafficpolicy/trafficpolicy/backends/nftables"
	"github.com/trafficpolicy/trafficpolicy/backends/nftables/command"
	"github.com/trafficpolicy/trafficpolicy/internal/agree"
	"github.com/trafficpolicy/trafficpolicy/internal/nftwalk"
)

// scenario is a packet and where it is judged: hooks, or the chain that a device's
// base chain sends it to.
type scenario struct {
	packet nftwalk.Packet
	hooks  []string
	chain  string // of pods.json: "source 0"
}

// scenarios are all kinds of packets of the governed pods of s: first packets around
// every boundary, what answers them and errors about them, what tracking knows
// nothing of, the node's own, discovery, and what has the wrong address.
func scenarios(s *agree.Set, r *rand.Rand, n int) []scenario {
	g := &scenery{podScope: s.Program.Target.Pod != "", nodes: s.Program.NodeAddrs}
	for i, p := range s.Packets(r, n) {
		q := agree.Described(p)
		g.add(*q, g.hook(p))
		if i%3 == 0 {
			g.about(*q, p)
		}
	}
	for i, pod := range s.Program.Pods {
		for _, own := range pod.Addrs {
			g.discovery(own)
			g.device(i, own, s)
		}
	}
	return g.list
}

type scenery struct {
	podScope bool
	nodes    []netip.Addr
	list     []scenario
}

func (g *scenery) add(p nftwalk.Packet, hooks ...string) {
	g.list = append(g.list, scenario{packet: p, hooks: hooks})
}

func (g *scenery) hook(p agree.Packet) string { return agree.Hook(p.Direction, g.podScope) }

// about adds packets of the connection that q opens, and variants of q.
func (g *scenery) about(q nftwalk.Packet, p agree.Packet) {
	here, back := g.hook(p), agree.Hook(1-p.Direction, g.podScope)
	answer := q.Answer()
	g.add(answer, back)
	answer.DstLocal, answer.SNAT = true, true
	g.add(answer, back)
	answer.SNAT = false
	g.add(answer, back)
	for _, state := range []string{"invalid", "untracked"} {
		v := q
		v.Conn = nftwalk.Conn{State: state}
		g.add(v, here)
		v.Short = true
		g.add(v, here)
	}
	for _, reply := range []bool{true, false} {
		e := nftwalk.Packet{Src: q.Dst, Dst: q.Src, Proto: "icmp", Type: 3, HopLimit: 64, Conn: q.Conn}
		hook := back
		if !reply {
			e.Src, e.Dst, hook = q.Src, q.Dst, here
		}
		if q.Src.Is6() {
			e.Proto, e.Type = "ipv6-icmp", 1
		}
		e.State, e.Reply = "related", reply
		g.add(e, hook)
		e.Type = 5
		g.add(e, hook)
		e.Src = netip.MustParseAddr(map[bool]string{false: "203.0.113.77", true: "2001:db8:77::1"}[q.Src.Is6()])
		g.add(e, hook)
	}
	if q.Src.Is6() {
		v := q
		v.Routing, v.SegmentsLeft = true, 1
		g.add(v, here)
		v.SegmentsLeft = 0
		g.add(v, here)
	}
	if here == "forward" {
		for _, local := range []bool{true, false} {
			v := q
			v.SrcLocal = local
			g.add(v, "output")
			v.State, v.Reply = "established", true
			v.OrigSrc, v.OrigDst, v.ReplySrc = q.Dst, q.Src, q.Src
			g.add(v, "output")
			v.Reset, v.State, v.Conn.Reply = true, "related", false
			g.add(v, "output")
		}
	}
	for _, a := range g.nodes {
		if a.Is6() == q.Src.Is6() {
			v := answer
			v.OrigSrc, v.DstLocal, v.SNAT = a, true, true
			g.add(v, back)
		}
	}
}

// discovery adds neighbour and listener discovery from and to an address of a pod.
func (g *scenery) discovery(own netip.Addr) {
	if !own.Is6() {
		return
	}
	to := []netip.Addr{
		netip.MustParseAddr("fe80::1"), netip.MustParseAddr("ff02::1:ff00:1"), netip.MustParseAddr("ff02::1"), netip.MustParseAddr("ff02::2"),
		netip.MustParseAddr("ff05::2"), netip.MustParseAddr("2001:db8::1"),
	}
	for _, typ := range []uint8{130, 133, 134, 135, 136, 137, 143} {
		for _, dst := range append(slices.Clone(to), g.nodes...) {
			if !dst.Is6() {
				continue
			}
			p := nftwalk.Packet{Src: own, Dst: dst, Proto: "ipv6-icmp", Type: typ, HopLimit: 255}
			for _, v := range []nftwalk.Packet{p, {Src: own, Dst: dst, Proto: p.Proto, Type: typ, HopLimit: 254}, {Src: own, Dst: dst, Proto: p.Proto, Type: typ, HopLimit: 255, Code: 1}} {
				v.DstLocal = slices.Contains(g.nodes, dst)
				v = v.First()
				g.add(v, agree.Hook(0, g.podScope))
				v.Src, v.Dst = dst, own
				v.SrcLocal, v.DstLocal = v.DstLocal, false
				v = v.First()
				g.add(v, agree.Hook(1, g.podScope))
				v.Dst = netip.MustParseAddr("fe80::77")
				g.add(v.First(), agree.Hook(1, g.podScope))
			}
		}
	}
}

// device adds what pod i's device sends, and is sent, under addresses that are its
// own and others.
func (g *scenery) device(i int, own netip.Addr, s *agree.Set) {
	if g.podScope {
		return
	}
	others := []netip.Addr{own, own.Next(), own.Prev()}
	for _, pod := range s.Program.Pods {
		others = append(others, pod.Addrs...)
	}
	for _, text := range []string{"::", "fe80::5", "169.254.3.3", "0.0.0.0", "ff02::1", "224.0.0.1"} {
		others = append(others, netip.MustParseAddr(text))
	}
	for _, a := range others {
		if a.Is6() != own.Is6() || !a.IsValid() {
			continue
		}
		far := netip.MustParseAddr(map[bool]string{false: "203.0.113.5", true: "ff02::2"}[a.Is6()])
		for _, p := range []nftwalk.Packet{
			{Proto: "tcp", SrcPort: 40000, DstPort: 443, HopLimit: 64},
			{Proto: "ipv6-icmp", Type: 135, HopLimit: 255},
			{Proto: "ipv6-icmp", Type: 143, HopLimit: 1},
			{Proto: "ipv6-icmp", Type: 134, HopLimit: 255},
		} {
			if p.Proto == "ipv6-icmp" && !a.Is6() {
				continue
			}
			p.Src, p.Dst = a, far
			g.list = append(g.list, scenario{packet: p.First(), chain: fmt.Sprintf("source %d", i)})
			p.Src, p.Dst, p.Out = far, a, fmt.Sprintf("pod%d", i)
			g.list = append(g.list, scenario{packet: p.First(), hooks: []string{"forward"}})
		}
	}
}

// decisions walks the scenarios through the scripts of a bundle. What a script does
// is one text for each; an error says that the kernel would not take the scripts.
func decisions(b *bundle.Bundle, list []scenario) ([]string, error) {
	rules, err := agree.Scripts(b.Files)
	if err != nil {
		return nil, err
	}
	var pods nftables.Pods
	if err := json.Unmarshal(b.File(nftables.PodsFile), &pods); err != nil {
		return nil, err
	}
	for i, p := range pods.Pods {
		if p.Deliver == "" {
			continue
		}
		if err := rules.Put("tp_oif", fmt.Sprintf("\"pod%d", i), &command.Verdict{Kind: "goto", Target: p.Deliver}); err != nil {
			return nil, err
		}
	}
	out := make([]string, len(list))
	for i, x := range list {
		end, err := end(rules, &pods, &x)
		if err != nil {
			return nil, err
		}
		out[i] = end.Kind + " " + end.How
		if m := decider.FindString(end.Chain); m != "" {
			out[i] += " " + m
		}
	}
	return out, nil
}

// decider is the end of the name of a rule's or a default deny's chain.
var decider = regexp.MustCompile(`[rd]_[0-9a-f]{16}$`)

func end(rules *nftwalk.Ruleset, pods *nftables.Pods, x *scenario) (nftwalk.End, error) {
	if x.chain == "" {
		return rules.Run(&x.packet, x.hooks...)
	}
	var n int
	if _, err := fmt.Sscanf(x.chain, "source %d", &n); err != nil || n >= len(pods.Pods) {
		return nftwalk.End{}, fmt.Errorf("no pod %q", x.chain)
	}
	return rules.RunChain(&x.packet, pods.Pods[n].Source)
}
