//go:build linux

package kerneltest

import (
	"encoding/binary"
	"fmt"
	"testing"

	"github.com/trafficpolicy/trafficpolicy/internal/netlab"
)

// truncated are packets that end within a header: the frame is cut off, and either
// the lengths in the IP header say so or they still say what they did.
func truncated(p *netlab.Packet) (cut [][]byte, headers int) {
	whole := p.Bytes()
	headers = 20 + len(p.Options)
	if p.Src.Is6() {
		headers = 40
		for _, h := range p.Headers {
			headers += 1 + len(h.Rest)
		}
	}
	headers += map[uint8]int{6: 20, 17: 8, 132: 12, 1: 8, 58: 8}[p.Proto]
	for n := 1; n < headers; n++ {
		b := append([]byte(nil), whole[:n]...)
		cut = append(cut, b)
		told := append([]byte(nil), b...)
		switch {
		case p.Src.Is4() && n >= 20+len(p.Options):
			binary.BigEndian.PutUint16(told[2:], uint16(n))
			told[10], told[11] = 0, 0
			binary.BigEndian.PutUint16(told[10:], netlab.Checksum(told[:20+len(p.Options)]))
		case p.Src.Is6() && n >= 40:
			binary.BigEndian.PutUint16(told[4:], uint16(n-40))
		default:
			continue
		}
		cut = append(cut, told)
	}
	return cut, headers
}

// TestTruncated: what ends within a header is dropped, at every byte of every
// header, also where every packet is allowed.
func TestTruncated(t *testing.T) {
	onWire(t, func(w *wire) {
		w.set(policyOf("client", allowOut, allowIn), policyOf("server", allowOut, allowIn))
		for _, c := range []struct {
			what    string
			v6      bool
			proto   uint8
			options []byte
			headers []netlab.Header
		}{
			{"TCP", false, 6, nil, nil},
			{"UDP", false, 17, nil, nil},
			{"SCTP", false, 132, nil, nil},
			{"ICMP", false, 1, nil, nil},
			{"options", false, 17, append([]byte{7, 39, 4}, make([]byte, 37)...), nil},
			{"TCP", true, 6, nil, nil},
			{"UDP", true, 17, nil, nil},
			{"SCTP", true, 132, nil, nil},
			{"ICMPv6", true, 58, nil, nil},
			{"hop-by-hop", true, 17, nil, []netlab.Header{hopByHop, destination}},
			{"fragment", true, 17, nil, []netlab.Header{atomicFrag}},
			{"routing", true, 17, nil, []netlab.Header{routing(0)}},
		} {
			f := map[bool]int{false: 0, true: 1}[c.v6]
			for _, way := range []way{{"out", w.client, clientIP, goodIP}, {"in", w.Node.Outside, goodIP, serverIP}} {
				p := udp(way.src[f], way.dst[f], 53)
				p.Proto, p.Options, p.Headers = c.proto, c.options, c.headers
				p.Type = map[uint8]uint8{1: 8, 58: 128}[c.proto]
				w.fire([]shot{w.one(c.what+", whole", way.from, p, true)})
				cut, headers := truncated(p)
				w.Forget()
				w.must(w.Node.Settle(func() error {
					for _, b := range cut {
						if err := way.from.SendFrameTo(way.dst[f], b); err != nil {
							return err
						}
					}
					return nil
				}))
				for _, a := range w.Receiver(way.dst[f]).Arrivals() {
					if a.Src == way.src[f] && !a.IsError() {
						w.Errorf("%s, %s, cut within %d bytes of headers: %s passed", fmt.Sprintf("%s, IPv6 %t", c.what, c.v6), way.what, headers, a.String())
					}
				}
			}
		}
	})
}
