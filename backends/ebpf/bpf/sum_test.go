//go:build linux

package bpf_test

import (
	"encoding/binary"
	"fmt"
	"testing"

	"github.com/trafficpolicy/trafficpolicy/backends/ebpf/bpf"
	"github.com/trafficpolicy/trafficpolicy/internal/netlab"
	"github.com/trafficpolicy/trafficpolicy/model"
)

// TestChecksums: a received packet that opens a connection, or would end one, is
// broken where its checksum is wrong, whatever its length; one that the stack itself
// sends is not looked at.
func TestChecksums(t *testing.T) {
	w := newWorld(t, bpf.Options{})
	w.set(policyOf("client", allowOut, allowIn))
	at := map[uint8]int{6: 16, 17: 6, 132: 8, 1: 2, 58: 2}
	for _, way := range w.ways() {
		for f := range model.Families {
			head := []int{20, 40}[f]
			for _, proto := range []uint8{6, 17, 132, []uint8{1, 58}[f]} {
				for _, payload := range []int{0, 1, 2, 3, 4, 5, 63, 64, 470, 490, 500, 513, 1000, 1010, 1400} {
					p := udp(way.src[f], way.dst[f], 80)
					p.Proto, p.Type = proto, []uint8{8, 128}[f]
					p.Payload = make([]byte, payload)
					for i := range p.Payload {
						p.Payload[i] = byte(i * 7)
					}
					name := fmt.Sprintf("%s, %s, protocol %d, %d bytes of payload", way.name, model.Family(f), proto, payload)
					w.Forget()
					w.expect(name+", right", way.send(p.Bytes()), true)
					long := proto == 132 && len(p.Bytes())-head > 256 // not looked at
					for _, bit := range []int{0, 15} {
						w.Forget()
						b := p.Bytes()
						b[head+at[proto]+bit/8] ^= 1 << (bit % 8)
						w.expect(fmt.Sprintf("%s, bit %d wrong", name, bit), way.send(b), long)
					}
					w.Forget()
					b := p.Bytes()
					b[len(b)-1] ^= 1
					w.expect(name+", last byte wrong", way.send(b), long)
					w.unchecked = true
					w.expect(name+", sent by the stack", way.send(b), true)
					w.unchecked = false
				}
			}
			p := udp(way.src[f], way.dst[f], 80)
			b := p.Bytes()
			binary.BigEndian.PutUint16(b[head+6:], 0)
			w.Forget()
			w.expect("UDP without a checksum", way.send(b), true)
		}
		b := udp(way.src[0], way.dst[0], 80).Bytes()
		b[10] ^= 1
		w.Forget()
		w.expect("a bad IPv4 header checksum", way.send(b), false)
	}
}

// TestChecksumOfReset: a reset with a wrong checksum ends no connection.
func TestChecksumOfReset(t *testing.T) {
	w := newWorld(t, bpf.Options{})
	w.set(policyOf("client", onlyOut))
	p := packetOf(6, model.IPv4, true)
	w.expect("SYN", w.from(devClient, p.Bytes()), true)
	for _, flags := range []uint8{netlab.RST, netlab.FIN | netlab.ACK, netlab.SYN | netlab.ACK} {
		b := changed(reply(p), func(p *netlab.Packet) { p.Flags = flags }).Bytes()
		b[20+16] ^= 1
		w.expect("a wrong checksum", w.to(devClient, b), false)
		for _, c := range w.connections() {
			if c.TCP != 0 || c.Flags != 0 {
				t.Errorf("flags %#x left %+v", flags, c)
			}
		}
	}
}
