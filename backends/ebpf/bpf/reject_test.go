//go:build linux

package bpf_test

import (
	"bytes"
	"encoding/binary"
	"fmt"
	"net/netip"
	"slices"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/trafficpolicy/trafficpolicy/backends/ebpf/bpf"
	"github.com/trafficpolicy/trafficpolicy/internal/bpflab"
	"github.com/trafficpolicy/trafficpolicy/internal/netlab"
	"github.com/trafficpolicy/trafficpolicy/model"
)

const (
	rejectOut = "egress: {rules: [{action: reject}]}"
	rejectIn  = "ingress: {rules: [{action: reject}]}"
)

// ipHeader is the IP header of an answer.
func ipHeader(src, dst netip.Addr, proto, tos uint8, length int) []byte {
	if src.Is6() {
		b := make([]byte, 8, 40)
		b[0] = 0x60
		binary.BigEndian.PutUint16(b[4:], uint16(length))
		b[6], b[7] = proto, 64
		return append(append(b, src.AsSlice()...), dst.AsSlice()...)
	}
	b := make([]byte, 12, 20)
	b[0], b[1] = 0x45, tos
	binary.BigEndian.PutUint16(b[2:], uint16(20+length))
	b[6], b[8], b[9] = 0x40, 64, proto
	b = append(append(b, src.AsSlice()...), dst.AsSlice()...)
	binary.BigEndian.PutUint16(b[10:], netlab.Checksum(b))
	return b
}

// pseudo is the pseudo header (RFC 9293 3.1, RFC 8200 8.1).
func pseudo(src, dst netip.Addr, proto uint8, length int) []byte {
	b := append(src.AsSlice(), dst.AsSlice()...)
	if src.Is6() {
		return append(binary.BigEndian.AppendUint32(b, uint32(length)), 0, 0, 0, proto)
	}
	return append(b, 0, proto, byte(length>>8), byte(length))
}

// reset is the segment that RFC 9293 3.10.7.1 answers a segment with.
func reset(p *netlab.Packet, payload int) []byte {
	b := make([]byte, 20)
	binary.BigEndian.PutUint16(b, p.DstPort)
	binary.BigEndian.PutUint16(b[2:], p.SrcPort)
	b[12], b[13] = 5<<4, netlab.RST
	if p.Flags&netlab.ACK != 0 {
		binary.BigEndian.PutUint32(b[4:], p.Ack)
	} else {
		b[13] |= netlab.ACK
		n := uint32(payload)
		if p.Flags == 0 || p.Flags&netlab.SYN != 0 {
			n++
		}
		binary.BigEndian.PutUint32(b[8:], p.Seq+n)
	}
	binary.BigEndian.PutUint16(b[16:], netlab.Checksum(append(pseudo(p.Dst, p.Src, 6, 20), b...)))
	return append(ipHeader(p.Dst, p.Src, 6, 0, 20), b...)
}

// prohibited is the ICMP error that quotes a packet.
func prohibited(p *netlab.Packet, quoted []byte) []byte {
	most, proto, icmp := 548, uint8(model.IPProtoICMP), []byte{3, 13, 0, 0, 0, 0, 0, 0}
	if p.Src.Is6() {
		most, proto, icmp = 1232, model.IPProtoICMPv6, []byte{1, 1, 0, 0, 0, 0, 0, 0}
	}
	b := append(icmp, quoted[:min(len(quoted), most)]...)
	sum := b
	if p.Src.Is6() {
		sum = append(pseudo(p.Dst, p.Src, proto, len(b)), b...)
	}
	binary.BigEndian.PutUint16(b[2:], netlab.Checksum(sum))
	return append(ipHeader(p.Dst, p.Src, proto, 0xc0, len(b)), b...)
}

// swapped is the Ethernet header of what goes back to where a frame came from.
func swapped(frame []byte) []byte { return slices.Concat(frame[6:12], frame[:6], frame[12:14]) }

// rejected sends a packet that rules reject and compares the answer, byte for byte.
func (w *world) rejected(name string, way way, packet, want []byte) {
	w.Helper()
	got := way.send(packet)
	if got.End != answered {
		w.Errorf("%s: %s, want %s", name, got, answered)
		return
	}
	want = slices.Concat(swapped(bpflab.Frame(w.Devices[devClient], packet)), want)
	if !bytes.Equal(got.Frame, want) {
		w.Errorf("%s (-want +got):\n%s", name, cmp.Diff(want, got.Frame))
	}
	if got.Mark != mark {
		w.Errorf("%s: the answer has mark %#x, want %#x", name, got.Mark, mark)
	}
}

// mark is that of answers, as maps.h has it.
const mark = 0x74700001

// TestReset: a TCP segment is answered by the reset for it.
func TestReset(t *testing.T) {
	for _, pod := range []bool{false, true} {
		w := newWorld(t, bpf.Options{PodScope: pod})
		w.set(policyOf("client", rejectOut, rejectIn))
		for _, way := range w.ways() {
			for f := range model.Families {
				for _, flags := range []uint8{netlab.SYN, netlab.ACK, netlab.ACK | netlab.PSH, netlab.SYN | 0xc0} {
					for _, payload := range []int{0, 1, 2, 3, 4, 100, 1400} {
						p := &netlab.Packet{Src: way.src[f], Dst: way.dst[f], Proto: 6, SrcPort: 1234, DstPort: 80, Seq: 0xfffffff0, Ack: 77, Flags: flags, Payload: make([]byte, payload)}
						name := fmt.Sprintf("pod scope %v, %s, %s, flags %#x, %d bytes", pod, way.name, model.Family(f), flags, payload)
						w.rejected(name, way, p.Bytes(), reset(p, payload+14))
						if n := len(w.connections()); n > 0 {
							t.Errorf("%s: %d entries", name, n)
						}
					}
				}
				p := &netlab.Packet{Src: way.src[f], Dst: way.dst[f], Proto: 6, SrcPort: 1234, DstPort: 80, Seq: 5}
				if f == 0 {
					p.Options = []byte{1, 1, 1, 1}
				} else {
					p.Headers = []netlab.Header{hopByHop, destination}
				}
				w.rejected("behind options", way, p.Bytes(), reset(p, 14))
			}
		}
		w.counted()
	}
}

// TestProhibited: everything else is answered by ICMP that quotes as much as may be.
func TestProhibited(t *testing.T) {
	w := newWorld(t, bpf.Options{})
	w.set(policyOf("client", rejectOut, rejectIn))
	for _, way := range w.ways() {
		for f := range model.Families {
			for _, proto := range []uint8{17, 132, []uint8{1, 58}[f], 253} {
				for _, payload := range []int{0, 1, 2, 3, 4, 5, 484, 485, 486, 490, 500, 505, 506, 510, 512, 513, 1000, 1100, 1150, 1178, 1200, 1300} {
					p := &netlab.Packet{Src: way.src[f], Dst: way.dst[f], Proto: proto, SrcPort: 1234, DstPort: 80, Type: []uint8{8, 128}[f], ID: 9, Payload: bytes.Repeat([]byte{0xa5, 0x5a, 0xff}, payload)[:payload]}
					b := p.Bytes()
					w.rejected(fmt.Sprintf("%s, %s, protocol %d, %d bytes", way.name, model.Family(f), proto, len(b)), way, b, prohibited(p, b))
				}
			}
		}
	}
}

// TestPartialChecksum: where the sender leaves checksums to the device, its field
// having the sum of the pseudo header, so does the answer, and an error counts on what
// the device will write.
func TestPartialChecksum(t *testing.T) {
	w := newWorld(t, bpf.Options{})
	w.set(policyOf("client", rejectOut, rejectIn))
	for _, way := range w.ways() {
		for f := range model.Families {
			head := []int{20, 40}[f]
			p := &netlab.Packet{Src: way.src[f], Dst: way.dst[f], Proto: 6, SrcPort: 1234, DstPort: 80, Seq: 5}
			partial := func(b []byte, proto uint8, at int) []byte {
				b = slices.Clone(b)
				binary.BigEndian.PutUint16(b[head+at:], ^netlab.Checksum(pseudo(p.Src, p.Dst, proto, len(b)-head)))
				return b
			}
			want := reset(p, 14)
			binary.BigEndian.PutUint16(want[head+16:], ^netlab.Checksum(pseudo(p.Dst, p.Src, 6, 20)))
			w.rejected("TCP", way, partial(p.Bytes(), 6, 16), want)

			p.Proto = 17
			whole := p.Bytes()
			sent := partial(whole, 17, 6)
			want = prohibited(p, whole) // as the device makes it
			copy(want[head+8:], sent)   // what it has not yet made
			w.rejected("UDP", way, sent, want)
		}
	}
}

// TestNeverAnswered: resets, errors, later fragments and what is for many.
func TestNeverAnswered(t *testing.T) {
	w := newWorld(t, bpf.Options{})
	w.unchecked = true
	w.set(policyOf("client", rejectOut, rejectIn))
	for f := range model.Families {
		for _, dst := range [][2]string{{"224.0.0.251", "ff02::fb"}, {"239.1.2.3", "ff0e::1"}, {"255.255.255.255", "::"}, {"0.0.0.0", "ff01::1"}} {
			w.expect("to many, "+dst[f], w.from(devClient, udp(clientIP[f], addr(dst[f]), 53).Bytes()), false)
			w.expect("from many, "+dst[f], w.to(devClient, udp(addr(dst[f]), clientIP[f], 53).Bytes()), false)
		}
		b := fragments(udp(clientIP[f], goodIP[f], 53), 4)
		if got := w.from(devClient, b[0]); got.End != answered {
			t.Errorf("a first fragment: %s", got)
		}
		w.expect("a later fragment", w.from(devClient, b[1]), false)
		w.expect("a later fragment of nothing", w.from(devClient, fragments(udp(clientIP[f], goodIP[f], 53), 5)[1]), false)
	}
	// A broadcast frame.
	d := w.Devices[devClient]
	frame := bpflab.Frame(d, udp(clientIP[0], goodIP[0], 53).Bytes())
	copy(frame, []byte{255, 255, 255, 255, 255, 255})
	w.expect("a broadcast frame", w.run(w.FromEther, frame, bpflab.SKB{Ifindex: d.Index}), false)
	frame[0] = 1
	w.expect("a multicast frame", w.run(w.FromEther, frame, bpflab.SKB{Ifindex: d.Index}), false)

	// Packets of connections that were allowed: a reset and an error.
	w.set(policyOf("client", allowOut))
	p := packetOf(6, model.IPv4, true)
	w.expect("SYN", w.from(devClient, p.Bytes()), true)
	w.set(policyOf("client", rejectOut))
	p.Flags = netlab.RST
	w.expect("a reset", w.from(devClient, p.Bytes()), false)
	w.expect("an error", w.to(devClient, errorAbout(p, goodIP[0], 3, 100).Bytes()), false)
	if got := w.to(devClient, changed(reply(p), func(p *netlab.Packet) { p.Flags = netlab.ACK }).Bytes()); got.End != answered {
		t.Errorf("an answer on a rejected connection: %s", got)
	}
}

// TestMark: both hooks pass our own answers, which the interface has received, and
// take the mark off.
func TestMark(t *testing.T) {
	w := newWorld(t, bpf.Options{Mark: 0x12345678, Nodes: 64})
	w.set(policyOf("client", closed))
	d := w.Devices[devClient]
	for _, p := range []struct {
		name string
		run  func(mark, iif uint32) bpflab.Result
	}{
		{"from", func(m, iif uint32) bpflab.Result {
			return w.run(w.FromEther, bpflab.Frame(d, udp(goodIP[0], clientIP[0], 53).Bytes()), bpflab.SKB{Ifindex: d.Index, Mark: m, IngressIfindex: iif})
		}},
		{"to", func(m, iif uint32) bpflab.Result {
			return w.run(w.ToEther, bpflab.Frame(d, udp(goodIP[0], clientIP[0], 53).Bytes()), bpflab.SKB{Ifindex: d.Index, Mark: m, IngressIfindex: iif})
		}},
	} {
		r := p.run(0x12345678, d.Index)
		w.expect(p.name+", the mark", r, true)
		if r.Mark != 0 {
			t.Errorf("%s: mark %#x is left", p.name, r.Mark)
		}
		for _, m := range []uint32{0, 0x12345679, mark, 1} {
			w.expect(fmt.Sprintf("%s, mark %#x", p.name, m), p.run(m, d.Index), false)
		}
		for _, iif := range []uint32{0, w.iif} {
			w.expect(fmt.Sprintf("%s, the mark on what interface %d received", p.name, iif), p.run(0x12345678, iif), false)
		}
	}
}

// TestRejectRate: answers are limited, and counted when they are.
func TestRejectRate(t *testing.T) {
	w := newWorld(t, bpf.Options{RejectsRate: 1, RejectsBurst: 5})
	w.set(policyOf("client", rejectOut))
	ends := map[bpflab.End]int{}
	for range 20 {
		ends[w.from(devClient, udp(clientIP[0], goodIP[0], 53).Bytes()).End]++
	}
	got := w.counted()
	// Each CPU has its own bucket, and a second may have passed.
	if n := ends[answered]; n < 5 || n > 11 || ends[dropped] != 20-n || got["rejects"] != n || got["rejects limited"] != 20-n {
		t.Errorf("%v, counted %v", ends, got)
	}
}
