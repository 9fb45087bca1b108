//go:build linux

package kerneltest

import (
	"fmt"
	"net/netip"
	"testing"

	"github.com/trafficpolicy/trafficpolicy/internal/netlab"
	"github.com/trafficpolicy/trafficpolicy/model"
)

// icmpError is an ICMP error of a type about a packet, from any address.
func icmpError(about *netlab.Packet, by netip.Addr, typ, code uint8) *netlab.Packet {
	e := &netlab.Packet{Src: by, Dst: about.Src, Proto: model.IPProtoICMP, Type: typ, Code: code}
	if by.Is6() {
		e.Proto = model.IPProtoICMPv6
	}
	if typ == 3 && code == 4 || typ == 2 && by.Is6() {
		e.Echo = 1280 // the MTU of the next hop
	}
	q := about.Bytes()
	e.Payload = q[:min(len(q), 64)]
	return e
}

// TestICMPErrors: ICMP errors (v4 types 3, 11, 12; v6 1 to 4) pass when the
// connection that they quote is allowed now; no other related traffic does.
func TestICMPErrors(t *testing.T) {
	onWire(t, func(w *wire) {
		w.set(policyOf("client", goodOut, goodIn))
		connections := func() (out []*netlab.Packet) {
			for f := range clientIP {
				out = append(out, udp(clientIP[f], goodIP[f], 53), udp(goodIP[f], clientIP[f], 53))
			}
			return out
		}
		live := connections()
		var shots []shot
		for _, p := range live {
			shots = append(shots, w.one("a connection", w.host(p.Src), p, true))
		}
		w.fire(shots)

		none := connections() // such that no packet ever opened
		errors := func(about []*netlab.Packet, pass bool, what string) (shots []shot) {
			for _, p := range about {
				types := []struct {
					typ, code uint8
					pass      bool
				}{{3, 1, true}, {3, 3, true}, {3, 4, true}, {11, 0, true}, {12, 0, true}, {4, 0, false}, {5, 1, false}}
				if p.Src.Is6() {
					types = []struct {
						typ, code uint8
						pass      bool
					}{{1, 0, true}, {1, 4, true}, {2, 0, true}, {3, 0, true}, {4, 0, true}, {137, 0, false}, {100, 0, false}}
				}
				from, far := w.host(p.Dst), p.Dst
				for _, c := range types {
					shots = append(shots, w.one(fmt.Sprintf("%s, type %d code %d from the other end", what, c.typ, c.code), from, icmpError(p, far, c.typ, c.code), pass && c.pass))
				}
				if from == w.Node.Outside {
					router := badIP[0]
					if p.Src.Is6() {
						router = badIP[1]
					}
					c := types[0]
					shots = append(shots, w.one(what+", from a router", from, icmpError(p, router, c.typ, c.code), pass))
				}
			}
			return shots
		}
		w.fire(append(errors(live, true, "about an allowed connection"), errors(none, false, "about no connection")...))
		w.set(policyOf("client", closed))
		w.fire(errors(live, false, "about a connection that is denied by now"))
	})
}

// TestErrorsElsewhere: an ICMP error goes to who sent what it quotes, and to nobody else.
func TestErrorsElsewhere(t *testing.T) {
	onWire(t, func(w *wire) {
		w.set(policyOf("client", goodOut, goodIn))
		var first, errors []shot
		for f := range clientIP {
			in, out := udp(goodIP[f], clientIP[f], 53), udp(clientIP[f], goodIP[f], 53)
			first = append(first, w.one("a connection", w.Node.Outside, in, true), w.one("a connection", w.client, out, true))
			answer := *out
			answer.Src, answer.Dst, answer.SrcPort, answer.DstPort = out.Dst, out.Src, out.DstPort, out.SrcPort
			first = append(first, w.one("an answer", w.Node.Outside, &answer, true))
			typ := []uint8{3, 1}[f]
			for _, p := range []*netlab.Packet{in, &answer} {
				for _, to := range []netip.Addr{goodIP[f], badIP[f], openIP[f]} {
					e := icmpError(p, clientIP[f], typ, 1)
					e.Dst = to
					errors = append(errors, w.one("about "+p.String(), w.client, e, to == goodIP[f]))
				}
			}
		}
		w.fire(first)
		w.fire(errors)
	})
}

// neighbour is a neighbour discovery or MLD packet with hop limit 255.
func neighbour(src, dst string, typ uint8, body ...byte) *netlab.Packet {
	return &netlab.Packet{Src: addr(src), Dst: addr(dst), Proto: model.IPProtoICMPv6, Type: typ, TTL: 255, Payload: body}
}

// TestNeighbourDiscovery: it passes with hop limit 255, code 0 and a link-local,
// solicited-node, all-nodes, all-routers or node destination, and router
// advertisements never from a pod. A closed policy is in force.
func TestNeighbourDiscovery(t *testing.T) {
	onWire(t, func(w *wire) {
		w.set(policyOf("client", closed), policyOf("server", closed))
		at := w.local[w.Node.Namespace].Receiver
		target := netip.MustParseAddr("fe80::1").As16()
		own := clientIP[1].As16()
		solicited := "ff02::1:ff00:1" // of fe80::1, the node's address there
		to := "fe80::1"
		if w.Node.Spec.Mode == netlab.Bridged {
			target = w.Node.Spec.Bridge[1].Addr().As16()
			to = w.Node.Spec.Bridge[1].Addr().String()
		}
		ll, global := "fe80::aa", clientIP[1].String()
		try := func(what string, p *netlab.Packet, pass bool) shot {
			s := w.one(what, w.client, p, pass)
			s.at = at
			return s
		}
		code := neighbour(ll, solicited, 135, target[:]...)
		code.Code = 1
		hops := neighbour(ll, solicited, 135, target[:]...)
		hops.TTL = 254
		unicast := neighbour(global, to, 135, target[:]...)
		unicast.TTL = 64
		w.fire([]shot{
			try("solicitation from a link-local address", neighbour(ll, solicited, 135, target[:]...), true),
			try("solicitation from the own address", neighbour(global, solicited, 135, target[:]...), true),
			try("unicast solicitation", neighbour(global, to, 135, target[:]...), true),
			try("advertisement", neighbour(global, to, 136, own[:]...), true),
			try("advertisement to all nodes", neighbour(ll, "ff02::1", 136, own[:]...), true),
			try("router solicitation", neighbour(ll, "ff02::2", 133), true),
			try("duplicate address detection", neighbour("::", solicited, 135, target[:]...), true),
			try("router advertisement", neighbour(ll, "ff02::1", 134, make([]byte, 8)...), false),
			try("router advertisement to the node", neighbour(ll, to, 134, make([]byte, 8)...), false),
			try("redirect", neighbour(ll, to, 137, make([]byte, 32)...), false),
			try("solicitation with code 1", code, false),
			try("solicitation with hop limit 254", hops, false),
			try("unicast solicitation with hop limit 64", unicast, false),
			try("solicitation from another pod's address", neighbour(serverIP[1].String(), solicited, 135, target[:]...), false),
			try("echo request to all nodes", neighbour(global, "ff02::1", 128), false),
			try("echo request to the node's link-local address", neighbour(global, "fe80::1", 128), false),
		})
		// To the world it is ICMPv6 like any other, and the policy is closed.
		w.fire([]shot{
			w.one("solicitation to the world", w.client, neighbour(global, goodIP[1].String(), 135, target[:]...), false),
			w.one("advertisement to the world", w.client, neighbour(global, goodIP[1].String(), 136, target[:]...), false),
			w.one("solicitation from the world", w.Node.Outside, neighbour(goodIP[1].String(), serverIP[1].String(), 135, own[:]...), false),
		})
	})
}

// TestBridgedLinkLocal: on a bridge a link-local address, or one that the
// inventory lacks, is no way around a policy; neighbour discovery passes.
func TestBridgedLinkLocal(t *testing.T) {
	forLoaded(t, func(t *testing.T, b Backend) {
		w := newWire(t, b, wireSpec(netlab.Bridged), "")
		w.set(policyOf("client", closed), policyOf("server", closed))
		direct := func(what string, from, to *netlab.Host, p *netlab.Packet, pass bool) shot {
			from.Learn(p.Dst, to.MAC)
			s := w.one(what, from, p, pass)
			s.at = &to.Tap().Receiver
			return s
		}
		ll := addr("fe80::bb")
		target := serverIP[1].As16()
		w.fire([]shot{
			direct("client to server, link-local", w.client, w.server, udp(addr("fe80::aa"), ll, 53), false),
			direct("open to server, link-local", w.open, w.server, udp(addr("fe80::aa"), ll, 53), false),
			direct("open to server, an address that the inventory lacks", w.open, w.server, udp(openIP[0], addr("10.20.0.99"), 53), false),
			direct("open to server, an address that the inventory lacks", w.open, w.server, udp(openIP[1], addr("fd00:20::99"), 53), false),
			direct("open to server, its address", w.open, w.server, udp(openIP[0], serverIP[0], 53), false),
			direct("client to open, link-local", w.client, w.open, udp(addr("fe80::aa"), addr("fe80::cc"), 53), false),
			direct("client to server, solicitation", w.client, w.server, neighbour("fe80::aa", "ff02::1:ff00:20", 135, target[:]...), true),
			direct("client to server, advertisement", w.client, w.server, neighbour("fe80::aa", "fe80::bb", 136, target[:]...), true),
			direct("client to server, router advertisement", w.client, w.server, neighbour("fe80::aa", "ff02::1", 134, make([]byte, 8)...), false),
			direct("client to all, listener report", w.client, w.server, neighbour("fe80::aa", "ff02::16", 143, make([]byte, 4)...), true),
			direct("client to server, listener report to one", w.client, w.server, neighbour("fe80::aa", "fe80::bb", 143, make([]byte, 4)...), false),
		})
	})
}

// TestDuplicateAddress: closed pods detect addresses that another has, and
// those that nobody has.
func TestDuplicateAddress(t *testing.T) {
	forLoaded(t, func(t *testing.T, b Backend) {
		w := newWire(t, b, wireSpec(netlab.Bridged), "")
		w.set(policyOf("client", closed), policyOf("server", closed))
		for _, c := range []struct {
			addr      netip.Addr
			duplicate bool
		}{{serverIP[1], true}, {addr("fd00:20::dad"), false}} {
			got, err := w.client.TryAddr("eth0", netip.PrefixFrom(c.addr, 64))
			if err != nil || got != c.duplicate {
				t.Errorf("%s is a duplicate: %v (%v), want %v", c.addr, got, err, c.duplicate)
			}
		}
	})
}
