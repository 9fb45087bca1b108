//go:build linux

package bpf_test

import (
	"encoding/binary"
	"fmt"
	"math/rand/v2"
	"slices"
	"testing"

	"github.com/trafficpolicy/trafficpolicy/backends/ebpf/bpf"
	"github.com/trafficpolicy/trafficpolicy/internal/bpflab"
	"github.com/trafficpolicy/trafficpolicy/internal/netlab"
	"github.com/trafficpolicy/trafficpolicy/model"
)

// only53 allows UDP port 53 and nothing else, both ways.
const only53 = `egress: {rules: [{action: allow, ports: [{protocol: UDP, port: 53}]}]}, ingress: {rules: [{action: allow, ports: [{protocol: UDP, port: 53}]}]}`

// Extension headers.
var (
	hopByHop    = netlab.Header{Number: netlab.IPv6HopByHop, Rest: []byte{0, 1, 4, 0, 0, 0, 0}}
	destination = netlab.Header{Number: netlab.IPv6Destination, Rest: append([]byte{2, 1, 20}, make([]byte, 20)...)}
	atomic      = netlab.Header{Number: netlab.IPv6Fragment, Rest: []byte{0, 0, 0, 1, 2, 3, 4}}
	auth        = netlab.Header{Number: 51, Rest: append([]byte{4, 0, 0}, make([]byte, 20)...)}
	walked      = []netlab.Header{hopByHop, destination, atomic, auth, routing(0)}
)

// routing is a type 2 routing header (RFC 6275, 6.4).
func routing(segmentsLeft byte) netlab.Header {
	return netlab.Header{Number: netlab.IPv6Routing, Rest: append([]byte{2, 2, segmentsLeft, 0, 0, 0, 0}, openIP[1].AsSlice()...)}
}

// TestExtensionHeaders: the transport header behind up to eight extension headers, in
// whatever order, is what is judged; behind nine none is.
func TestExtensionHeaders(t *testing.T) {
	w := newWorld(t, bpf.Options{})
	w.set(policyOf("client", only53))
	check := func(headers []netlab.Header) {
		t.Helper()
		for _, way := range w.ways() {
			for _, port := range []uint16{53, 54} {
				p := udp(way.src[1], way.dst[1], port)
				p.Headers = headers
				w.expect(fmt.Sprintf("%s, port %d behind %v", way.name, port, numbers(headers)), way.send(p.Bytes()), port == 53 && len(headers) <= 8)
			}
		}
	}
	check(nil)
	for _, a := range walked {
		check([]netlab.Header{a})
		for _, b := range walked {
			check([]netlab.Header{a, b})
			for _, c := range walked {
				check([]netlab.Header{a, b, c})
			}
		}
	}
	r := rand.New(rand.NewPCG(1, 1))
	for n := 4; n <= 9; n++ {
		for range 40 {
			headers := make([]netlab.Header, n)
			for i := range headers {
				headers[i] = walked[r.IntN(len(walked))]
			}
			check(headers)
		}
	}
}

func numbers(headers []netlab.Header) (out []uint8) {
	for _, h := range headers {
		out = append(out, h.Number)
	}
	return out
}

// TestRoutingHeader: one with segments left is dropped wherever it stands.
func TestRoutingHeader(t *testing.T) {
	w := newWorld(t, bpf.Options{})
	w.set(policyOf("client", allowOut, allowIn))
	for n := range 8 {
		for left := range n + 1 {
			for _, segments := range []byte{0, 1, 255} {
				headers := slices.Repeat([]netlab.Header{destination}, n)
				headers = slices.Insert(headers, left, routing(segments))
				for _, way := range w.ways() {
					p := udp(way.src[1], way.dst[1], 53)
					p.Headers = headers
					w.counted()
					w.expect(fmt.Sprintf("%s, %d segments left in header %d of %d", way.name, segments, left, n+1), way.send(p.Bytes()), segments == 0)
					if got := w.counted()["broken"]; (got == 1) != (segments != 0) {
						t.Errorf("%d packets were counted as broken", got)
					}
				}
			}
		}
	}
}

// TestExtensionHeaderEnds: an extension header that ends behind the packet, and a
// chain that ends at no header.
func TestExtensionHeaderEnds(t *testing.T) {
	w := newWorld(t, bpf.Options{})
	w.unchecked = true
	w.set(policyOf("client", allowOut, allowIn))
	for _, h := range walked {
		p := udp(clientIP[1], goodIP[1], 53)
		p.Headers = []netlab.Header{h}
		b := p.Bytes()
		size := len(h.Rest) + 1
		for n := range size + 8 {
			cut := slices.Clone(b[:40+n])
			binary.BigEndian.PutUint16(cut[4:], uint16(n))
			if n == size+8 {
				binary.BigEndian.PutUint16(cut[40+size+4:], 8)
			}
			w.expect(fmt.Sprintf("header %d, %d bytes", h.Number, n), w.from(devClient, cut), false)
		}
		if h.Number != netlab.IPv6Fragment && h.Number != netlab.IPv6Routing {
			long := slices.Clone(b)
			long[41] = 255
			w.expect(fmt.Sprintf("header %d that is too long", h.Number), w.from(devClient, long), false)
		}
	}
}

// TestOtherProtocols: every other next header is a protocol of its own.
func TestOtherProtocols(t *testing.T) {
	w := newWorld(t, bpf.Options{})
	every := `rules: [{action: deny, ports: [{protocol: TCP}, {protocol: UDP}, {protocol: SCTP}, {protocol: ICMP}]}, {action: allow}]`
	for _, other := range []bool{true, false} {
		if other {
			w.set(policyOf("client", "egress: {"+every+"}, ingress: {"+every+"}"))
		} else {
			w.set(policyOf("client", `egress: {rules: [{action: allow, ports: [{protocol: TCP}, {protocol: UDP}, {protocol: SCTP}, {protocol: ICMP}]}]}`, `ingress: {rules: [{action: allow, ports: [{protocol: TCP}, {protocol: UDP}, {protocol: SCTP}, {protocol: ICMP}]}]}`))
		}
		for _, way := range w.ways() {
			for f := range clientIP {
				for proto := range 256 {
					named := proto == 6 || proto == 17 || proto == 132 || proto == 1 && f == 0 || proto == 58 && f == 1
					if named || f == 1 && (proto == 0 || proto == 43 || proto == 44 || proto == 51 || proto == 60) {
						continue
					}
					p := udp(way.src[f], way.dst[f], 53)
					p.Proto = uint8(proto)
					if w.Forget(); way.send(p.Bytes()).End != map[bool]bpflab.End{true: passed, false: dropped}[other] {
						t.Errorf("%s, %s, protocol %d: allowed is %v", way.name, model.Family(f), proto, other)
					}
				}
			}
		}
	}
}

// TestIPv4Header: options of every length, and headers that are not sound.
func TestIPv4Header(t *testing.T) {
	w := newWorld(t, bpf.Options{})
	w.set(policyOf("client", only53))
	for _, way := range w.ways() {
		for words := range 11 {
			for _, port := range []uint16{53, 54} {
				p := udp(way.src[0], way.dst[0], port)
				p.Options = slices.Repeat([]byte{1, 1, 1, 1}, words)
				w.expect(fmt.Sprintf("%s, port %d, %d words of options", way.name, port, words), way.send(p.Bytes()), port == 53)
			}
		}
		w.unchecked = true
		change := func(what string, pass bool, f func(b []byte)) {
			t.Helper()
			b := udp(way.src[0], way.dst[0], 53).Bytes()
			f(b)
			w.counted()
			w.expect(way.name+", "+what, way.send(b), pass)
			if n := w.counted()["broken"]; n != 1 && !pass {
				t.Errorf("%s, %s: counted %d times as broken", way.name, what, n)
			}
		}
		for ihl := range byte(16) {
			change(fmt.Sprintf("ihl %d", ihl), ihl == 5, func(b []byte) { b[0] = 0x40 | ihl }) // others see no UDP header
		}
		for version := range byte(16) {
			change(fmt.Sprintf("version %d", version), version == 4, func(b []byte) { b[0] = version<<4 | 5 })
		}
		size := uint16(len(udp(way.src[0], way.dst[0], 53).Bytes()))
		for _, n := range []uint16{0, 19, 20, 27, 28, size - 1, size, size + 1, 65535} {
			change(fmt.Sprintf("total length %d of %d", n, size), n == size, func(b []byte) { binary.BigEndian.PutUint16(b[2:], n) })
		}
		change("padding behind it", true, func([]byte) {})
		w.unchecked = false
	}
	padded := append(udp(clientIP[0], goodIP[0], 53).Bytes(), make([]byte, 20)...)
	w.expect("padding behind it", w.from(devClient, padded), true)
}

// TestIPv6Header: headers that are not sound.
func TestIPv6Header(t *testing.T) {
	w := newWorld(t, bpf.Options{})
	w.unchecked = true
	w.set(policyOf("client", only53))
	for _, way := range w.ways() {
		whole := udp(way.src[1], way.dst[1], 53).Bytes()
		payload := uint16(len(whole) - 40)
		for version := range byte(16) {
			b := slices.Clone(whole)
			b[0] = version << 4
			d := w.Devices[devClient]
			program := w.FromEther
			if way.src[1] != clientIP[1] {
				program = w.ToEther
			}
			r := w.run(program, bpflab.FrameOf(d, 0x86dd, b), bpflab.SKB{Ifindex: d.Index})
			w.expect(fmt.Sprintf("%s, version %d", way.name, version), r, version == 6)
		}
		for _, n := range []uint16{0, 7, payload - 1, payload, payload + 1, 65535} {
			b := slices.Clone(whole)
			binary.BigEndian.PutUint16(b[4:], n)
			w.expect(fmt.Sprintf("%s, payload length %d of %d", way.name, n, payload), way.send(b), n == payload)
		}
	}
}

// shortest is the least length of transport headers.
var shortest = map[uint8]int{model.IPProtoTCP: 20, model.IPProtoUDP: 8, model.IPProtoSCTP: 12, model.IPProtoICMP: 8, model.IPProtoICMPv6: 8}

// TestTruncated: packets that end at every byte, where lengths say so and where
// they do not, also where everything is allowed.
func TestTruncated(t *testing.T) {
	w := newWorld(t, bpf.Options{})
	w.unchecked = true
	w.set(policyOf("client", allowOut, allowIn))
	for _, way := range w.ways() {
		for f := range clientIP {
			for proto, least := range shortest {
				if proto == model.IPProtoICMP && f == 1 || proto == model.IPProtoICMPv6 && f == 0 {
					continue
				}
				head := []int{20, 40}[f]
				p := udp(way.src[f], way.dst[f], 53)
				p.Proto = proto
				p.Type = map[uint8]uint8{1: 8, 58: 128}[proto]
				whole := p.Bytes()
				for n := range len(whole) {
					name := fmt.Sprintf("%s, %s, protocol %d, %d bytes", way.name, model.Family(f), proto, n)
					if n < head {
						// The kernel runs no program with less of a frame of IP: without link layer it
						// does, from as many bytes on as an Ethernet header has.
						if n >= 14 {
							w.expect(name, way.raw(slices.Clone(whole[:n])), false)
						}
						continue
					}
					w.expect(name+", lengths unchanged", way.send(slices.Clone(whole[:n])), false)
					cut := slices.Clone(whole[:n])
					if f == 0 {
						binary.BigEndian.PutUint16(cut[2:], uint16(n))
					} else {
						binary.BigEndian.PutUint16(cut[4:], uint16(n-head))
					}
					if proto == model.IPProtoUDP && n >= head+6 {
						binary.BigEndian.PutUint16(cut[head+4:], uint16(n-head))
					}
					w.expect(name, way.send(cut), n-head >= least)
				}
			}
		}
	}
}

// TestUDPLength: a length that is not within the packet.
func TestUDPLength(t *testing.T) {
	w := newWorld(t, bpf.Options{})
	w.unchecked = true
	w.set(policyOf("client", allowOut, allowIn))
	for f := range clientIP {
		head := []int{20, 40}[f]
		whole := udp(clientIP[f], goodIP[f], 53).Bytes()
		size := uint16(len(whole) - head)
		for _, n := range []uint16{0, 7, 8, size - 1, size, size + 1, 65535} {
			b := slices.Clone(whole)
			binary.BigEndian.PutUint16(b[head+4:], n)
			w.expect(fmt.Sprintf("%s, UDP length %d of %d", model.Family(f), n, size), w.from(devClient, b), n >= 8 && n <= size)
		}
	}
}

// TestTCPHeader: lengths and flags.
func TestTCPHeader(t *testing.T) {
	w := newWorld(t, bpf.Options{})
	w.unchecked = true
	w.set(policyOf("client", allowOut, allowIn))
	// What may be the first packet of a connection that the table sees: a SYN, or
	// one from its midst.
	opens := func(flags byte) bool {
		switch flags & 0x37 {
		case netlab.SYN, netlab.SYN | 0x20, netlab.ACK, netlab.ACK | 0x20:
			return true
		}
		return false
	}
	for _, way := range w.ways() {
		for f := range clientIP {
			head := []int{20, 40}[f]
			p := udp(way.src[f], way.dst[f], 80)
			p.Proto = model.IPProtoTCP
			for words := range byte(16) {
				b := p.Bytes() // 20 bytes of header, 14 of payload
				b[head+12] = words << 4
				w.expect(fmt.Sprintf("%s, TCP header of %d words", way.name, words), way.send(b), words >= 5 && words <= 8)
			}
			for flags := range 256 {
				w.Forget()
				b := p.Bytes()
				b[head+13] = byte(flags)
				w.expect(fmt.Sprintf("%s, TCP flags %#x", way.name, flags), way.send(b), opens(byte(flags)))
			}
		}
	}
}

// TestEthertypes: ARP passes, VLAN tags and everything else is dropped and counted.
func TestEthertypes(t *testing.T) {
	w := newWorld(t, bpf.Options{})
	w.set(policyOf("client", allowOut, allowIn))
	d := w.Devices[devClient]
	for _, p := range []struct {
		name string
		run  func(frame []byte) bpflab.Result
	}{
		{"from", func(b []byte) bpflab.Result { return w.run(w.FromEther, b, bpflab.SKB{Ifindex: d.Index}) }},
		{"to", func(b []byte) bpflab.Result { return w.run(w.ToEther, b, bpflab.SKB{Ifindex: d.Index}) }},
	} {
		w.expect(p.name+" ARP", p.run(bpflab.FrameOf(d, 0x0806, make([]byte, 28))), true)
		packet := udp(clientIP[0], goodIP[0], 53).Bytes()
		tagged := append([]byte{0, 5, 8, 0}, packet...)
		for _, proto := range []uint16{0, 46, 0x05ff, 0x0600, 0x0805, 0x0807, 0x8035, 0x8100, 0x88a8, 0x86dc, 0x8847, 0x8864, 0x88cc, 0xffff} {
			w.counted()
			w.expect(fmt.Sprintf("%s ethertype %#x", p.name, proto), p.run(bpflab.FrameOf(d, proto, tagged)), false)
			if n := w.counted()["ethertype"]; n != 1 {
				t.Errorf("ethertype %#x was counted %d times", proto, n)
			}
		}
		// One family's packet in the frame of the other.
		w.expect(p.name+" IPv4 in an IPv6 frame", p.run(bpflab.FrameOf(d, 0x86dd, append(packet, make([]byte, 40)...))), false)
		w.expect(p.name+" IPv6 in an IPv4 frame", p.run(bpflab.FrameOf(d, 0x0800, udp(clientIP[1], goodIP[1], 53).Bytes())), false)
	}
}

// TestRawIP: on devices without link layer the packet tells its family.
func TestRawIP(t *testing.T) {
	w := newWorld(t, bpf.Options{})
	w.set(policyOf("client", only53))
	d := w.Devices[devClient]
	for f := range clientIP {
		for _, port := range []uint16{53, 54} {
			out, in := udp(clientIP[f], goodIP[f], port), udp(goodIP[f], clientIP[f], port)
			out.SrcPort, in.SrcPort = 100, 200
			w.expect(fmt.Sprintf("from, %s", out), w.run(w.FromIP, out.Bytes(), bpflab.SKB{Ifindex: d.Index}), port == 53)
			w.expect(fmt.Sprintf("to, %s", in), w.run(w.ToIP, in.Bytes(), bpflab.SKB{Ifindex: d.Index, IngressIfindex: w.iif}), port == 53)
		}
	}
	w.counted()
	for version := range byte(16) {
		if version == 4 || version == 6 {
			continue
		}
		b := udp(clientIP[0], goodIP[0], 53).Bytes()
		b[0] = version<<4 | 5
		w.expect(fmt.Sprintf("version %d", version), w.run(w.FromIP, b, bpflab.SKB{Ifindex: d.Index}), false)
	}
	if n := w.counted()["ethertype"]; n != 14 {
		t.Errorf("%d packets of no known family were counted, want 14", n)
	}
}
