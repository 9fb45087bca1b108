//go:build linux

package bpf_test

import (
	"math/rand/v2"
	"net/netip"
	"slices"
	"testing"

	"github.com/trafficpolicy/trafficpolicy/backends/ebpf/bpf"
	"github.com/trafficpolicy/trafficpolicy/internal/bpflab"
	"github.com/trafficpolicy/trafficpolicy/internal/netlab"
	"github.com/trafficpolicy/trafficpolicy/model"
)

// mutations is how many packets TestMutated changes, times TRAFFICPOLICY_SOAK.
const mutations = 20_000

// TestMutated: whatever is changed in a packet of a pod, it passes with the pod's
// address or as discovery; where everything is denied, as discovery or to the pod
// itself.
func TestMutated(t *testing.T) {
	w := newWorld(t, bpf.Options{})
	r := rand.New(rand.NewPCG(9, 9))
	for _, open := range []bool{true, false} {
		w.Forget()
		if open {
			w.set(policyOf("client", allowOut, allowIn))
		} else {
			w.set(policyOf("client", closed))
		}
		passes := 0
		for i := range mutations * soak() {
			b := mutated(r, packets(uint16(i)))
			w.unchecked = r.IntN(2) == 0
			got := w.runAny(b)
			if got.End != passed {
				continue
			}
			passes++
			src, dst := addresses(b)
			own := src == clientIP[0] || src == clientIP[1]
			discovery := src.Is6() && (own || src.IsLinkLocalUnicast() || src.IsUnspecified()) &&
				(dst.IsMulticast() || dst.IsLinkLocalUnicast() || dst == nodeIP[1])
			if !discovery && !(own && (open || dst == src)) {
				t.Fatalf("open %v: a packet from %s to %s passed: %x", open, src, dst, b)
			}
		}
		t.Logf("open %v: %d passed", open, passes)
	}
}

// packets are what is changed: some of each kind.
func packets(id uint16) [][]byte {
	var out [][]byte
	for f := range model.Families {
		for _, proto := range []uint8{6, 17, 132, []uint8{1, 58}[f], 253} {
			p := packetOf(proto, model.Family(f), true)
			p.SrcPort, p.ID, p.IPID = id, id, id
			out = append(out, p.Bytes())
			fs := p.Fragments(128)
			out = append(out, fs[0], fs[1])
			out = append(out, errorAbout(reply(p), clientIP[f], []uint8{3, 1}[f], 100).Bytes())
		}
	}
	for _, typ := range []uint8{133, 134, 135, 136, 143} {
		out = append(out, neighbour(own, solicited, typ).Bytes(), neighbour("::", routers, typ).Bytes(), neighbour(linkLocal, theNode, typ).Bytes())
	}
	p := packetOf(17, model.IPv6, true)
	p.Headers = []netlab.Header{hopByHop, destination, routing(0)}
	return append(out, p.Bytes())
}

// mutated draws a packet and changes some of its bytes, mostly of its headers.
func mutated(r *rand.Rand, packets [][]byte) []byte {
	b := slices.Clone(packets[r.IntN(len(packets))])
	for range r.IntN(4) {
		i := r.IntN(len(b))
		if r.IntN(2) == 0 {
			i = r.IntN(min(len(b), 64))
		}
		switch r.IntN(3) {
		case 0:
			b[i] = byte(r.Uint32())
		case 1:
			b[i] ^= 1 << r.IntN(8)
		default:
			b[i] = []byte{0, 1, 4, 6, 17, 43, 44, 51, 58, 60, 132, 255}[r.IntN(12)]
		}
	}
	if r.IntN(8) == 0 {
		b = b[:max(40, r.IntN(len(b)))]
	}
	return b
}

// runAny judges what client sends, in the frame of either family.
func (w *world) runAny(b []byte) bpflab.Result {
	w.Helper()
	proto := uint16(0x0800)
	if b[0]>>4 == 6 && len(b) >= 40 { // the kernel runs no program with less
		proto = 0x86dd
	}
	d := w.Devices[devClient]
	return w.run(w.FromEther, bpflab.FrameOf(d, proto, b), bpflab.SKB{Ifindex: d.Index, IngressIfindex: w.received(d.Index)})
}

// addresses reads them as a receiver does.
func addresses(b []byte) (src, dst netip.Addr) {
	if b[0]>>4 == 6 {
		return netip.AddrFrom16([16]byte(b[8:24])), netip.AddrFrom16([16]byte(b[24:40]))
	}
	return netip.AddrFrom4([4]byte(b[12:16])), netip.AddrFrom4([4]byte(b[16:20]))
}
