//go:build linux

package bpf_test

import (
	"fmt"
	"net/netip"
	"testing"

	"github.com/trafficpolicy/trafficpolicy/backends/ebpf"
	"github.com/trafficpolicy/trafficpolicy/backends/ebpf/bpf"
	"github.com/trafficpolicy/trafficpolicy/internal/bpflab"
	"github.com/trafficpolicy/trafficpolicy/internal/netlab"
	"github.com/trafficpolicy/trafficpolicy/model"
)

// notClient are addresses that are not client's: others', its neighbours, special ones.
var notClient = []netip.Addr{
	serverIP[0], openIP[0], nodeIP[0], goodIP[0], addr("10.20.0.9"), addr("10.20.0.11"), addr("0.0.0.0"), addr("255.255.255.255"),
	addr("169.254.7.7"), addr("127.0.0.1"), addr("224.0.0.1"),
	serverIP[1], openIP[1], nodeIP[1], goodIP[1], addr("fd00:20::f"), addr("fd00:20::11"), addr("::"), addr("::1"),
	addr("fe80::aaaa"), addr("ff02::1"), addr("ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff"), addr("fd00:20::10:0:0"),
}

// TestSpoofedAndStray: what a governed pod's interface sends from an address that is
// not that pod's is dropped, and so is what it is sent under one.
func TestSpoofedAndStray(t *testing.T) {
	for _, pod := range []bool{false, true} {
		w := newWorld(t, bpf.Options{PodScope: pod})
		w.set(policyOf("client", allowOut, allowIn), policyOf("server", allowOut, allowIn))
		for _, a := range notClient {
			f := model.FamilyOf(a)
			w.counted()
			w.expect("from "+a.String(), w.from(devClient, udp(a, goodIP[f], 53).Bytes()), false)
			w.expect("to "+a.String(), w.to(devClient, udp(goodIP[f], a, 53).Bytes()), false)
			if got := fmt.Sprint(w.counted()); got != "map[spoofed:1 stray:1]" {
				t.Errorf("pod scope %v, %s: counted %s", pod, a, got)
			}
		}
		for f := range clientIP {
			w.expect("from the own", w.from(devClient, udp(clientIP[f], goodIP[f], 53).Bytes()), true)
			w.expect("to the own", w.to(devClient, udp(badIP[f], clientIP[f], 53).Bytes()), true)
			// A connection that is allowed is no way to use its address bpflab.Elsewhere.
			w.expect("from the own, by another interface", w.from(devServer, udp(clientIP[f], goodIP[f], 53).Bytes()), pod)
			w.expect("its answer, to another interface", w.to(devServer, udp(goodIP[f], clientIP[f], 53).Bytes()), pod)
		}
	}
}

// TestMapped: an IPv6 packet with IPv4 addresses in it is no packet of the IPv4
// connection.
func TestMapped(t *testing.T) {
	w := newWorld(t, bpf.Options{})
	w.set(policyOf("client", allowOut, allowIn))
	p := udp(clientIP[0], goodIP[0], 53)
	w.expect("first", w.from(devClient, p.Bytes()), true)
	w.expect("answer", w.to(devClient, reply(p).Bytes()), true)
	mapped := func(a netip.Addr) netip.Addr { return netip.AddrFrom16(a.As16()) }
	for _, c := range []struct{ src, dst netip.Addr }{
		{mapped(p.Src), mapped(p.Dst)}, {clientIP[1], mapped(p.Dst)}, {mapped(p.Src), goodIP[1]},
	} {
		q := *p
		q.Src, q.Dst = clientIP[1], goodIP[1]
		b := q.Bytes()
		src, dst := c.src.As16(), c.dst.As16()
		copy(b[8:], src[:])
		copy(b[24:], dst[:])
		w.unchecked = true
		w.expect("from "+c.src.String()+" to "+c.dst.String(), w.from(devClient, b), false)
		copy(b[8:], dst[:])
		copy(b[24:], src[:])
		w.expect("back", w.to(devClient, b), false)
	}
}

// TestNode: packets that begin on the node pass, by the address alone nothing does,
// and a pod to its node is judged.
func TestNode(t *testing.T) {
	w := newWorld(t, bpf.Options{})
	w.set(policyOf("client", closed))
	d := w.Devices[devClient]
	toClient := func(b []byte, iif uint32) bpflab.Result {
		return w.run(w.ToEther, bpflab.Frame(d, b), bpflab.SKB{Ifindex: d.Index, IngressIfindex: iif})
	}
	for f := range nodeIP {
		for _, proto := range []uint8{6, 17, 132, 1, 58, 253} {
			p := udp(nodeIP[f], clientIP[f], 53)
			p.Proto = proto
			p.Type = map[uint8]uint8{1: 8, 58: 128}[proto]
			if proto == 1 && f == 1 || proto == 58 && f == 0 {
				continue
			}
			w.Forget()
			w.expect("a pod to its node", w.from(devClient, reply(p).Bytes()), false)
			w.expect("the node's address from elsewhere", toClient(p.Bytes(), w.iif), false)
			w.expect("the world from the node", toClient(udp(goodIP[f], clientIP[f], 53).Bytes(), 0), false)
			w.counted()
			w.expect("the node", toClient(p.Bytes(), 0), true)
			w.expect("a pod's answer to its node", w.from(devClient, reply(p).Bytes()), true)
			w.expect("the node again", toClient(p.Bytes(), 0), true)
			if got := w.counted(); len(got) > 0 {
				t.Errorf("what no rule is asked about was counted: %v", got)
			}
			w.expect("the node's address from bpflab.Elsewhere, on its connection", toClient(p.Bytes(), w.iif), false)
			w.expect("the node still", toClient(p.Bytes(), 0), true)
			other := *p
			other.DstPort, other.ID = 54, 54
			if proto != 253 {
				w.expect("a pod to its node, no answer", w.from(devClient, reply(&other).Bytes()), false)
			}
			w.set(policyOf("client", closed)) // still the node's
			w.expect("a pod's answer behind a switch", w.from(devClient, reply(p).Bytes()), true)
			w.expect("the node behind a switch", toClient(p.Bytes(), 0), true)
		}
	}
	w.expect("the node's link-local address", toClient(udp(addr("fe80::1"), clientIP[1], 53).Bytes(), 0), true)
	w.expect("a link-local address from elsewhere", toClient(udp(addr("fe80::2"), clientIP[1], 53).Bytes(), w.iif), false)
}

// TestNodeToMany: what the node itself sends by a pod's interface passes also to
// addresses that are not the pod's; what it forwards there does not.
func TestNodeToMany(t *testing.T) {
	w := newWorld(t, bpf.Options{})
	w.set(policyOf("client", closed))
	d := w.Devices[devClient]
	for _, c := range []struct {
		src, dst string
		pass     bool
	}{
		{"fe80::1", "fe80::aa", true}, {"fe80::1", everybody, true}, {theNode, "ff02::fb", true},
		{"192.168.10.11", "255.255.255.255", true}, {"192.168.10.11", "224.0.0.251", true},
		{"169.254.0.1", "224.0.0.251", false}, {foreign, "fe80::aa", false},
	} {
		p := bpflab.Frame(d, udp(addr(c.src), addr(c.dst), 53).Bytes())
		name := c.src + " > " + c.dst
		w.expect(name+", from the node", w.run(w.ToEther, p, bpflab.SKB{Ifindex: d.Index}), c.pass)
		w.expect(name+", from elsewhere", w.run(w.ToEther, p, bpflab.SKB{Ifindex: d.Index, IngressIfindex: w.iif}), false)
		w.expect(name+", from the pod", w.run(w.FromEther, p, bpflab.SKB{Ifindex: d.Index, IngressIfindex: d.Index}), false)
		if n := len(w.connections()); n > 0 {
			t.Errorf("%s: %d connections, want none", name, n)
		}
	}
}

// TestNodeGone: a connection that the node opened is judged like any other when its
// address is the node's no longer.
func TestNodeGone(t *testing.T) {
	w := newWorld(t, bpf.Options{})
	d := w.Devices[devClient]
	for f := range nodeIP {
		for _, gone := range []bool{false, true} {
			w.Forget()
			w.set(policyOf("client", closed))
			p := udp(nodeIP[f], clientIP[f], 53)
			w.expect("the node", w.run(w.ToEther, bpflab.Frame(d, p.Bytes()), bpflab.SKB{Ifindex: d.Index}), true)
			w.set(policyOf("client", closed))
			if gone {
				w.must(w.Nodes.Delete(bpf.NodeKey{Generation: w.Generation, Address: bpf.AddressOf(nodeIP[f])}))
			}
			w.expect(fmt.Sprintf("the pod's answer, the address gone: %v", gone), w.from(devClient, reply(p).Bytes()), !gone)
		}
	}
}

// TestNodeReply: what the node sends on a connection that the pod opened is judged as
// its reply.
func TestNodeReply(t *testing.T) {
	w := newWorld(t, bpf.Options{})
	toNode := `egress: {rules: [{action: allow, to: [{cidr: 192.168.10.11}, {cidr: "fd00:10::11"}]}]}`
	d := w.Devices[devClient]
	for f := range nodeIP {
		w.set(policyOf("client", toNode))
		p := udp(clientIP[f], nodeIP[f], 53)
		answer := func() bpflab.Result {
			return w.run(w.ToEther, bpflab.Frame(d, reply(p).Bytes()), bpflab.SKB{Ifindex: d.Index})
		}
		w.expect("a pod to its node", w.from(devClient, p.Bytes()), true)
		w.expect("the node's reply", answer(), true)
		if n := w.counted()["client#egress[0]"]; n != 2 {
			t.Errorf("%d packets were counted by the rule, want 2", n)
		}
		w.set(policyOf("client", closed))
		w.expect("the node's reply when it is denied", answer(), false)
		w.expect("a pod to its node when it is denied", w.from(devClient, p.Bytes()), false)
		w.Forget()
	}
}

// TestPodScopeNode: in pod scope the node is known by its addresses alone.
func TestPodScopeNode(t *testing.T) {
	w := newWorld(t, bpf.Options{PodScope: true})
	w.set(policyOf("client", closed))
	for f := range nodeIP {
		p := udp(nodeIP[f], clientIP[f], 53)
		w.expect("a pod to its node", w.from(devClient, reply(p).Bytes()), false)
		w.expect("the world", w.to(devClient, udp(goodIP[f], clientIP[f], 53).Bytes()), false)
		w.expect("the node", w.to(devClient, p.Bytes()), true)
		w.expect("its answer", w.from(devClient, reply(p).Bytes()), true)
	}
}

// TestSelf: a pod reaches itself by all of its addresses, whatever rules say, and by
// way of its node's address when the node masquerades it (hairpin).
func TestSelf(t *testing.T) {
	w := newWorld(t, bpf.Options{})
	w.set(policyOf("client", closed), policyOf("server", closed))
	d := w.Devices[devServer]
	for f := range serverIP {
		for _, to := range []netip.Addr{serverIP[f], serverIP2[f]} {
			for _, proto := range []uint8{6, 17, 253} {
				p := udp(serverIP[f], to, 53)
				p.Proto = proto
				w.expect("sent to itself", w.from(devServer, p.Bytes()), true)
				w.expect("received from itself", w.run(w.ToEther, bpflab.Frame(d, p.Bytes()), bpflab.SKB{Ifindex: d.Index, IngressIfindex: d.Index}), true)
				w.expect("its answer", w.from(devServer, reply(p).Bytes()), true)
				w.expect("its answer", w.run(w.ToEther, bpflab.Frame(d, reply(p).Bytes()), bpflab.SKB{Ifindex: d.Index, IngressIfindex: d.Index}), true)
			}
		}
		w.expect("to another", w.from(devServer, udp(serverIP[f], clientIP[f], 53).Bytes()), false)
		w.expect("from another", w.to(devServer, udp(clientIP[f], serverIP[f], 53).Bytes()), false)

		p := &netlab.Packet{Src: nodeIP[f], Dst: serverIP[f], Proto: model.IPProtoTCP, SrcPort: 40000, DstPort: 8080}
		w.expect("masqueraded from another pod", w.to(devServer, p.Bytes()), false)
		w.expect("masqueraded from itself", w.run(w.ToEther, bpflab.Frame(d, p.Bytes()), bpflab.SKB{Ifindex: d.Index, IngressIfindex: d.Index}), true)
		w.expect("its answer", w.from(devServer, reply(p).Bytes()), true)
	}
	if got := w.counted(); got["broken"] > 0 {
		t.Errorf("counted as broken: %v", got)
	}
}

// TestNoGraph: without a graph, or with one that ends nowhere, nothing passes.
func TestNoGraph(t *testing.T) {
	w := newWorld(t, bpf.Options{Lines: 64})
	w.expect("without a graph", w.from(devClient, udp(clientIP[0], goodIP[0], 53).Bytes()), false)
	w.set(policyOf("client", allowOut))
	w.expect("with one", w.from(devClient, udp(clientIP[0], goodIP[0], 53).Bytes()), true)
	for i, what := range []string{"no graph", "generation zero"} {
		w.set(policyOf("client", allowOut))
		root := w.Root()
		var header bpf.Line
		w.must(w.Area.Lookup(root, &header))
		header[[]int{ebpf.HeaderMagic, ebpf.HeaderGeneration}[i]] = 0
		w.must(w.Area.Put(root, header))
		w.expect(what, w.from(devClient, udp(clientIP[0], badIP[0], 53).Bytes()), false)
	}
	w.must(w.Ctl.Put(uint32(0), bpf.Ctl{Root: 1 << 31}))
	w.expect("behind the area", w.from(devClient, udp(clientIP[0], goodIP[0], 53).Bytes()), false)
}

// TestEnter: a program that enters goes on at its slot, and drops where there is none.
func TestEnter(t *testing.T) {
	w := newWorld(t, bpf.Options{Frags: 64})
	w.set(policyOf("client", allowOut, allowIn))
	d := w.Devices[devClient]
	for s := range bpf.Slots {
		packet := udp(clientIP[0], goodIP[0], 53).Bytes()
		if s == bpf.SlotToEther || s == bpf.SlotToIP {
			packet = udp(goodIP[0], clientIP[0], 53).Bytes()
		}
		frame := packet
		if s == bpf.SlotFromEther || s == bpf.SlotToEther {
			frame = bpflab.Frame(d, packet)
		}
		w.expect("an empty slot", w.run(w.Enter(s), frame, bpflab.SKB{Ifindex: d.Index, IngressIfindex: w.iif}), false)
		w.must(w.Programs.Put(uint32(s), w.Program(s)))
		w.expect("a full slot", w.run(w.Enter(s), frame, bpflab.SKB{Ifindex: d.Index, IngressIfindex: w.iif}), true)
	}
}
