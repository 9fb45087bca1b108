//go:build linux

package kerneltest

import (
	"encoding/binary"
	"testing"

	"github.com/trafficpolicy/trafficpolicy/internal/netlab"
	"github.com/trafficpolicy/trafficpolicy/model"
)

// Extension headers of eight bytes, all padding.
var (
	hopByHop    = netlab.Header{Number: netlab.IPv6HopByHop, Rest: []byte{0, 1, 4, 0, 0, 0, 0}}
	destination = netlab.Header{Number: netlab.IPv6Destination, Rest: []byte{0, 1, 4, 0, 0, 0, 0}}
	atomicFrag  = netlab.Header{Number: netlab.IPv6Fragment, Rest: []byte{0, 0, 0, 1, 2, 3, 4}}
)

// routing is a type 2 routing header (RFC 6275, 6.4) by way of fd00:20::30.
func routing(segmentsLeft byte) netlab.Header {
	return netlab.Header{Number: netlab.IPv6Routing, Rest: append([]byte{2, 2, segmentsLeft, 0, 0, 0, 0}, openIP[1].AsSlice()...)}
}

// TestHeaders: the transport packet behind IPv4 options and IPv6 extension
// headers is what is judged; a routing header with segments left is dropped;
// any other next header is a protocol of its own.
func TestHeaders(t *testing.T) {
	only53 := `{rules: [{action: allow, ports: [{protocol: UDP, port: 53}]}]}`
	onEvery(t, func(w *wire) {
		w.set(policyOf("client", "egress: "+only53, "ingress: "+only53), policyOf("server", "ingress: "+only53))
		var shots []shot
		for _, way := range w.ways() {
			pair := func(f int) *netlab.Packet { return udp(way.src[f], way.dst[f], 53) }
			for _, port := range []uint16{53, 54} {
				p := pair(0)
				p.DstPort = port
				p.Options = []byte{1, 1, 1, 1} // no operation
				shots = append(shots, w.one(way.what+", IPv4 options", way.from, p, port == 53))
				p = pair(0)
				p.DstPort = port
				p.Options = append([]byte{7, 39, 4}, make([]byte, 37)...) // record route, as long as can be
				shots = append(shots, w.one(way.what+", the longest IPv4 options", way.from, p, port == 53))
				for _, c := range []struct {
					what    string
					headers []netlab.Header
					pass    bool
				}{
					{"hop-by-hop", []netlab.Header{hopByHop}, true},
					{"destination options", []netlab.Header{destination}, true},
					{"hop-by-hop and destination options", []netlab.Header{hopByHop, destination, destination}, true},
					{"an atomic fragment", []netlab.Header{atomicFrag}, true},
					{"eight headers", []netlab.Header{hopByHop, destination, destination, destination, destination, destination, destination, destination}, true},
					{"a routing header at its end", []netlab.Header{routing(0)}, true},
					{"a routing header with segments left", []netlab.Header{routing(1)}, false},
					{"a routing header with segments left behind another", []netlab.Header{hopByHop, routing(1)}, false},
				} {
					p := pair(1)
					p.DstPort, p.Headers = port, c.headers
					shots = append(shots, w.one(way.what+", "+c.what, way.from, p, c.pass && port == 53))
				}
			}
			for _, proto := range []uint8{netlab.IPv6NoNext, 50, 253, model.IPProtoICMP, 4, 41, 47} {
				p := pair(1)
				p.Proto = proto
				shots = append(shots, w.one(way.what+", another next header", way.from, p, false))
			}
			for _, proto := range []uint8{50, 253, model.IPProtoICMPv6, 4, 41, 47, 51} {
				p := pair(0)
				p.Proto = proto
				shots = append(shots, w.one(way.what+", another protocol", way.from, p, false))
			}
		}
		w.fire(shots)
	})
}

// TestBroken: broken packets of governed pods are dropped, also where every
// packet is allowed.
func TestBroken(t *testing.T) {
	onEvery(t, func(w *wire) {
		w.set(policyOf("client", allowOut, allowIn), policyOf("server", allowOut, allowIn))
		var shots []shot
		for _, way := range w.ways() {
			for f := range clientIP {
				head := []int{20, 40}[f]
				// The kernel checks checksums of what arrives, not of what it is given to send.
				checked := w.Pod == nil || way.from != w.client
				add := func(what string, pass bool, proto uint8, change func(p *netlab.Packet, b []byte) []byte) {
					p := udp(way.src[f], way.dst[f], 53)
					p.Proto = proto
					s := w.one(way.what+", "+what, way.from, p, pass)
					s.bytes[0] = change(p, s.bytes[0])
					shots = append(shots, s)
				}
				same := func(_ *netlab.Packet, b []byte) []byte { return b }
				tcpFlags := func(flags byte) func(*netlab.Packet, []byte) []byte {
					return func(p *netlab.Packet, _ []byte) []byte { p.Flags = flags; return p.Bytes() }
				}
				flip := func(at int) func(*netlab.Packet, []byte) []byte {
					return func(_ *netlab.Packet, b []byte) []byte { b[head+at] ^= 0x55; return b }
				}
				add("whole UDP", true, 17, same)
				add("whole TCP", true, 6, same)
				add("TCP with SYN and FIN", false, 6, tcpFlags(netlab.SYN|netlab.FIN))
				add("TCP with SYN and RST", false, 6, tcpFlags(netlab.SYN|netlab.RST))
				add("TCP reset without a connection", false, 6, tcpFlags(netlab.RST))
				add("TCP SYN and ACK without a connection", false, 6, tcpFlags(netlab.SYN|netlab.ACK))
				add("TCP with a bad checksum", !checked, 6, flip(16))
				add("TCP with a header that is too short", false, 6, func(_ *netlab.Packet, b []byte) []byte { b[head+12] = 4 << 4; return b })
				add("TCP with a header that is too long", false, 6, func(_ *netlab.Packet, b []byte) []byte { b[head+12] = 15 << 4; return b })
				add("UDP with a bad checksum", !checked, 17, flip(6))
				add("UDP longer than its packet", false, 17, func(_ *netlab.Packet, b []byte) []byte {
					binary.BigEndian.PutUint16(b[head+4:], 1000)
					return b
				})
				add("SCTP with a bad checksum", !checked, 132, flip(8))
				if f == 0 {
					add("an echo reply that nobody asked for", false, 1, func(p *netlab.Packet, _ []byte) []byte { p.Type = 0; return p.Bytes() })
					add("ICMP with a bad checksum", !checked, 1, func(p *netlab.Packet, _ []byte) []byte { p.Type = 8; b := p.Bytes(); b[head+2] ^= 1; return b })
				} else {
					add("an echo reply that nobody asked for", false, 58, func(p *netlab.Packet, _ []byte) []byte { p.Type = 129; return p.Bytes() })
					add("ICMP with a bad checksum", !checked, 58, func(p *netlab.Packet, _ []byte) []byte { p.Type = 128; b := p.Bytes(); b[head+2] ^= 1; return b })
				}
			}
		}
		w.fire(shots)
		if w.Pod == nil {
			w.tooShort()
		}
	})
}

// tooShort sends packets that end before their ports, which hold no cookie
// either: nothing of the protocol may arrive.
func (w *wire) tooShort() {
	w.Helper()
	w.Forget()
	w.must(w.Node.Settle(func() error {
		for f := range clientIP {
			for _, proto := range []uint8{6, 17, 132, []uint8{1, 58}[f]} { // the other family's ICMP has no type
				for keep := range 4 {
					p := udp(clientIP[f], goodIP[f], 53)
					p.Proto = 253 // so that no transport header is built
					b := p.Bytes()
					if f == 0 {
						b = b[:20+keep]
						b[9] = proto
						binary.BigEndian.PutUint16(b[2:], uint16(len(b)))
						b[10], b[11] = 0, 0
						binary.BigEndian.PutUint16(b[10:], netlab.Checksum(b[:20]))
					} else {
						b = b[:40+keep]
						b[6] = proto
						binary.BigEndian.PutUint16(b[4:], uint16(keep))
					}
					if err := w.client.SendFrame(b); err != nil {
						return err
					}
				}
			}
		}
		return nil
	}))
	for _, a := range w.Node.Outside.Tap().Arrivals() {
		if (a.Src == clientIP[0] || a.Src == clientIP[1]) && !a.IsError() {
			w.Errorf("a packet too short for its ports passed: %v", a.String())
		}
	}
}
