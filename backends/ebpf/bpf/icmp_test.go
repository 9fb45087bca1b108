//go:build linux

package bpf_test

import (
	"fmt"
	"net/netip"
	"testing"

	"github.com/trafficpolicy/trafficpolicy/backends/ebpf/bpf"
	"github.com/trafficpolicy/trafficpolicy/internal/bpflab"
	"github.com/trafficpolicy/trafficpolicy/internal/netlab"
	"github.com/trafficpolicy/trafficpolicy/model"
)

// errorAbout is an ICMP error that quotes some bytes of a packet, to its sender.
func errorAbout(about *netlab.Packet, by netip.Addr, typ uint8, quoted int) *netlab.Packet {
	e := &netlab.Packet{Src: by, Dst: about.Src, Proto: model.IPProtoICMP, Type: typ}
	if by.Is6() {
		e.Proto = model.IPProtoICMPv6
	}
	q := about.Bytes()
	e.Payload = q[:min(len(q), quoted)]
	return e
}

// TestErrors: an error passes when the connection of the packet that it quotes is
// allowed now, from wherever it comes; errors about no connection do not, nor do
// other types.
func TestErrors(t *testing.T) {
	w := newWorld(t, bpf.Options{})
	opened(w, func(name string, send, back func(p *netlab.Packet) bpflab.Result, out bool) {
		for f := range model.Families {
			for _, proto := range []uint8{6, 17, 132, 1, 58, 253} {
				if proto == 1 && f == 1 || proto == 58 && f == 0 {
					continue
				}
				w.Forget()
				name := fmt.Sprintf("%s, %s, protocol %d", name, model.Family(f), proto)
				p := packetOf(proto, model.Family(f), out)
				w.expect(name+", an error about nothing", back(errorAbout(p, goodIP[f], []uint8{3, 1}[f], 100)), false)
				w.expect(name+", first", send(p), true)
				for typ := range 256 {
					pass := typ == 3 || typ == 11 || typ == 12
					if f == 1 {
						pass = typ >= 1 && typ <= 4
					}
					if f == 1 && (typ >= 128 && typ <= 140 || typ == 143) || f == 0 && (typ == 0 || typ == 8 || typ >= 13 && typ <= 18) {
						continue // queries and discovery
					}
					w.expect(fmt.Sprintf("%s, type %d about the first packet", name, typ), back(errorAbout(p, p.Dst, uint8(typ), 100)), pass)
					if out {
						w.expect(fmt.Sprintf("%s, type %d from a router", name, typ), back(errorAbout(p, badIP[f], uint8(typ), 100)), pass)
					}
				}
				// About the answer, from who opened.
				answer := reply(p)
				w.expect(name+", an error about the answer", send(errorAbout(answer, p.Src, []uint8{3, 1}[f], 100)), true)
				if out {
					// Errors that go to the wrong end, or are about another's.
					w.expect(name+", an error about the pod's packet, from the pod", send(errorAbout(p, p.Src, []uint8{3, 1}[f], 100)), false)
				}
				other := *p
				other.SrcPort, other.ID = 81, 81
				if proto != 253 {
					w.expect(name+", an error about another connection", back(errorAbout(&other, p.Dst, []uint8{3, 1}[f], 100)), false)
				}
				if n := len(w.connections()); n != 1 {
					t.Errorf("%s: errors left entries: %d, want 1", name, n)
				}
				w.set(policyOf("client", closed))
				w.expect(name+", an error when it is denied", back(errorAbout(p, p.Dst, []uint8{3, 1}[f], 100)), false)
				if out {
					w.set(policyOf("client", onlyOut))
				} else {
					w.set(policyOf("client", onlyIn))
				}
				w.expect(name+", an error when it is allowed again", back(errorAbout(p, p.Dst, []uint8{3, 1}[f], 100)), true)
			}
		}
	})
}

// TestErrorTruncated: errors whose quote ends at every byte pass from the ports (of a
// query from the identifier) on.
func TestErrorTruncated(t *testing.T) {
	w := newWorld(t, bpf.Options{})
	w.set(policyOf("client", onlyOut))
	for f := range model.Families {
		head := []int{20, 40}[f]
		for proto, ports := range map[uint8]int{6: 8, 17: 8, 132: 8, []uint8{1, 58}[f]: 8, 253: 0} {
			p := packetOf(proto, model.Family(f), true)
			w.Forget()
			w.expect("first", w.from(devClient, p.Bytes()), true)
			for n := range head + 12 {
				name := fmt.Sprintf("%s, protocol %d, %d bytes quoted", model.Family(f), proto, n)
				e := errorAbout(p, goodIP[f], []uint8{3, 1}[f], n)
				b := e.Bytes()
				cookie := 14 // which netlab adds
				b = b[:len(b)-cookie]
				if f == 0 {
					b[2], b[3] = byte(len(b)>>8), byte(len(b))
				} else {
					b[4], b[5] = byte((len(b)-40)>>8), byte(len(b)-40)
				}
				w.expect(name, w.to(devClient, b), n >= head+ports)
			}
		}
	}
}

// TestErrorQuotes: quoted headers that are not sound, and packets with options or
// extension headers.
func TestErrorQuotes(t *testing.T) {
	w := newWorld(t, bpf.Options{})
	w.set(policyOf("client", onlyOut))
	for f := range model.Families {
		p := packetOf(17, model.Family(f), true)
		if f == 0 {
			p.Options = []byte{1, 1, 1, 1}
		} else {
			p.Headers = []netlab.Header{hopByHop, atomic}
		}
		w.expect("first", w.from(devClient, p.Bytes()), true)
		try := func(what string, pass bool, change func(q []byte)) {
			t.Helper()
			e := errorAbout(p, goodIP[f], []uint8{3, 1}[f], 100)
			change(e.Payload)
			w.expect(fmt.Sprintf("%s, %s", model.Family(f), what), w.to(devClient, e.Bytes()), pass)
		}
		try("whole", true, func([]byte) {})
		try("another version", false, func(q []byte) { q[0] ^= 0x20 })
		if f == 0 {
			try("ihl 4", false, func(q []byte) { q[0] = 0x44 })
			try("a first fragment", true, func(q []byte) { q[6] = 0x20 })
			try("a later fragment", false, func(q []byte) { q[7] = 1 })
			try("another pod's address", false, func(q []byte) { copy(q[12:], serverIP[0].AsSlice()) })
		} else {
			try("another pod's address", false, func(q []byte) { copy(q[8:], serverIP[1].AsSlice()) })
			try("a later fragment", false, func(q []byte) { q[51] = 8 })
		}
	}
}

// TestErrorOtherAddress: an error goes to the address that the packet came from, to no
// other of the pod and to no other pod.
func TestErrorOtherAddress(t *testing.T) {
	w := newWorld(t, bpf.Options{})
	w.set(policyOf("client", onlyOut), policyOf("server", onlyOut))
	for f := range model.Families {
		p := udp(serverIP[f], goodIP[f], 53)
		w.expect("first", w.from(devServer, p.Bytes()), true)
		e := errorAbout(p, goodIP[f], []uint8{3, 1}[f], 100)
		w.expect("to the address that sent it", w.to(devServer, e.Bytes()), true)
		e.Dst = serverIP2[f]
		w.expect("to the pod's other address", w.to(devServer, e.Bytes()), false)
		e.Dst = clientIP[f]
		w.expect("to another pod", w.to(devClient, e.Bytes()), false)
	}
}

// TestErrorElsewhere: what a pod says of a packet that it was sent goes to who sent it: a
// pod cannot tell anybody else things by quoting an allowed connection.
func TestErrorElsewhere(t *testing.T) {
	w := newWorld(t, bpf.Options{})
	w.set(policyOf("client", goodOut, goodIn))
	for f := range model.Families {
		p := udp(clientIP[f], goodIP[f], 53)
		w.expect("first", w.from(devClient, p.Bytes()), true)
		answer := reply(p)
		w.expect("answer", w.to(devClient, answer.Bytes()), true)
		for _, about := range []*netlab.Packet{answer, udp(goodIP[f], clientIP[f], 80)} {
			if about != answer {
				w.expect("first to the pod", w.to(devClient, about.Bytes()), true)
			}
			e := errorAbout(about, clientIP[f], []uint8{3, 1}[f], 100)
			w.expect("to who sent it", w.from(devClient, e.Bytes()), true)
			for _, to := range []netip.Addr{badIP[f], openIP[f], nodeIP[f], clientIP[f]} {
				e.Dst = to
				w.expect("to "+to.String(), w.from(devClient, e.Bytes()), false)
			}
		}
	}
}

// TestNodeErrors: what the node itself says of a pod's packets reaches the pod.
func TestNodeErrors(t *testing.T) {
	w := newWorld(t, bpf.Options{})
	w.set(policyOf("client", goodOut))
	d := w.Devices[devClient]
	for f := range model.Families {
		p := udp(clientIP[f], goodIP[f], 53)
		e := errorAbout(p, nodeIP[f], []uint8{11, 3}[f], 100)
		w.expect("from the node", w.run(w.ToEther, bpflab.Frame(d, e.Bytes()), bpflab.SKB{Ifindex: d.Index}), true)
		w.expect("from elsewhere", w.to(devClient, e.Bytes()), false)
	}
}
