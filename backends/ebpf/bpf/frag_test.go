//go:build linux

package bpf_test

import (
	"encoding/binary"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/trafficpolicy/trafficpolicy/backends/ebpf/bpf"
	"github.com/trafficpolicy/trafficpolicy/internal/bpflab"
	"github.com/trafficpolicy/trafficpolicy/internal/netlab"
	"github.com/trafficpolicy/trafficpolicy/model"
)

// fragments returns a packet in two.
func fragments(p *netlab.Packet, id uint16) [2][]byte {
	p.IPID = id
	return p.Fragments(128)
}

// TestFragments: a later fragment has the verdict of its first, in both orders and both
// ways; one whose first was not seen passes if no port can change the decision.
func TestFragments(t *testing.T) {
	w := newWorld(t, bpf.Options{})
	w.unchecked = true
	ports := `rules: [{action: allow, ports: [{protocol: UDP, port: 53}, {protocol: TCP, port: 443}, {protocol: SCTP}, {protocol: ICMP}]}]`
	w.set(policyOf("client", "egress: {"+ports+"}, ingress: {"+ports+"}"))
	id := uint16(0)
	for _, way := range w.ways() {
		for f := range model.Families {
			for _, c := range []struct {
				proto uint8
				port  uint16
				pass  bool
				alone bool // a later fragment without its first
			}{
				{17, 53, true, false}, {17, 54, false, false}, {6, 443, true, false}, {6, 444, false, false},
				{132, 1, true, true}, {[]uint8{1, 58}[f], 0, true, true}, {253, 0, false, false},
			} {
				name := fmt.Sprintf("%s, %s, protocol %d port %d", way.name, model.Family(f), c.proto, c.port)
				next := func() [2][]byte {
					id++
					p := udp(way.src[f], way.dst[f], c.port)
					p.Proto = c.proto
					p.Type = map[uint8]uint8{1: 8, 58: 128}[c.proto]
					return fragments(p, id)
				}
				w.Forget()
				b := next()
				w.expect(name+", first", way.send(b[0]), c.pass)
				w.expect(name+", later", way.send(b[1]), c.pass)
				w.expect(name+", later again", way.send(b[1]), c.pass)
				w.Forget()
				b = next()
				w.expect(name+", later before its first", way.send(b[1]), c.alone)
				w.expect(name+", first", way.send(b[0]), c.pass)
				w.expect(name+", later after all", way.send(b[1]), c.pass)
				// Neither another packet's fragment, nor one the other way.
				w.expect(name+", another packet's", way.send(next()[1]), c.alone)
				back := udp(way.dst[f], way.src[f], 30000)
				back.Proto, back.SrcPort = c.proto, c.port
				back.Type = map[uint8]uint8{1: 8, 58: 128}[c.proto]
				w.expect(name+", one the other way", way.back(fragments(back, id-1)[1]), c.alone)
				if n := len(w.connections()); (n == 1) != c.pass {
					t.Errorf("%s: %d entries", name, n)
				}
			}
		}
	}
}

// TestFragmentReplies: answers in fragments belong to their connection.
func TestFragmentReplies(t *testing.T) {
	w := newWorld(t, bpf.Options{})
	w.unchecked = true
	opened(w, func(name string, send, back func(p *netlab.Packet) bpflab.Result, out bool) {
		raw := func(b []byte) bpflab.Result { return w.to(devClient, b) }
		if !out {
			raw = func(b []byte) bpflab.Result { return w.from(devClient, b) }
		}
		for f := range model.Families {
			for _, proto := range []uint8{17, []uint8{1, 58}[f], 253} {
				p := packetOf(proto, model.Family(f), out)
				answer := reply(p)
				b := fragments(answer, 7)
				w.expect(name+", an answer's first to nothing", raw(b[0]), false)
				w.expect(name+", an answer's later to nothing", raw(b[1]), false)
				w.expect(name+", first", send(p), true)
				b = fragments(answer, 8)
				w.expect(name+", an answer's first", raw(b[0]), true)
				w.expect(name+", an answer's later", raw(b[1]), true)
				w.Forget()
			}
		}
	})
}

// TestFragmentTimeout: ports are remembered for thirty seconds.
func TestFragmentTimeout(t *testing.T) {
	w := newWorld(t, bpf.Options{})
	w.unchecked = true
	w.set(policyOf("client", only53))
	for _, age := range []time.Duration{28 * time.Second, 32 * time.Second} {
		b := fragments(udp(clientIP[0], goodIP[0], 53), 9)
		w.expect("first", w.from(devClient, b[0]), true)
		var key bpf.FragKey
		var frag bpf.Frag
		it := w.Frags.Iterate()
		if !it.Next(&key, &frag) {
			t.Fatal("nothing was remembered")
		}
		frag.Seen = now() - uint64(age)
		w.must(w.Frags.Put(key, frag))
		w.expect(fmt.Sprintf("later after %v", age), w.from(devClient, b[1]), age < 30*time.Second)
		w.Forget()
	}
}

// TestFragmentPorts: whether a port can change the decision about a later fragment.
func TestFragmentPorts(t *testing.T) {
	w := newWorld(t, bpf.Options{})
	w.unchecked = true
	many := func(n int, last string) string {
		s := "rules: ["
		for i := range n {
			s += fmt.Sprintf("{action: allow, ports: [{protocol: UDP, port: %d}]}, ", 1000+10*i)
		}
		return s + last + "]"
	}
	for _, c := range []struct {
		what  string
		rules string
		pass  bool
	}{
		{"every port", "rules: [{action: allow, ports: [{protocol: UDP}]}]", true},
		{"everything", "rules: [{action: allow}]", true},
		{"all but port 0", "rules: [{action: allow, ports: [{protocol: UDP, port: 1, endPort: 65535}]}]", false},
		{"all but the last", "rules: [{action: allow, ports: [{protocol: UDP, port: 1, endPort: 65534}]}]", false},
		{"one port denied", "rules: [{action: deny, ports: [{protocol: UDP, port: 53}]}, {action: allow}]", false},
		{"another protocol's ports denied", "rules: [{action: deny, ports: [{protocol: TCP}, {protocol: SCTP}]}, {action: allow}]", true},
		{"several rules, all of which allow", many(3, "{action: allow}"), true},
		{"several rules, and the rest denied", many(3, "{action: deny}"), false},
		{"another host's ports", "rules: [{action: deny, PEERS: [{cidr: 9.9.9.9}, {cidr: \"2001:db8:9::9\"}], ports: [{protocol: UDP, port: 53}]}, {action: allow}]", true},
		{"this host's ports", "rules: [{action: deny, PEERS: [{cidr: 8.8.8.8}, {cidr: \"2001:db8:8::8\"}], ports: [{protocol: UDP, port: 53}]}, {action: allow}]", false},
		{"this host's ports, all allowed", "rules: [{action: allow, PEERS: [{cidr: 8.8.8.8}, {cidr: \"2001:db8:8::8\"}], ports: [{protocol: UDP, port: 53}]}, {action: allow}]", true},
		{"nothing", "rules: []", false},
		{"rejected", "rules: [{action: reject}]", false},
	} {
		out, in := c.rules, c.rules
		out = strings.ReplaceAll(out, "PEERS", "to")
		in = strings.ReplaceAll(in, "PEERS", "from")
		w.set(policyOf("client", "egress: {"+out+"}, ingress: {"+in+"}"))
		for _, way := range w.ways() {
			for f := range model.Families {
				w.Forget()
				b := fragments(udp(way.src[f], way.dst[f], 53), 3)
				w.expect(fmt.Sprintf("%s, %s, %s", c.what, way.name, model.Family(f)), way.send(b[1]), c.pass)
				if len(w.connections()) > 0 {
					t.Errorf("%s: a later fragment left an entry", c.what)
				}
			}
		}
	}
}

// TestFragmentHeaders: first fragments that are too short for their header, later ones
// that would change it, and extension headers behind the fragment header.
func TestFragmentHeaders(t *testing.T) {
	w := newWorld(t, bpf.Options{})
	w.unchecked = true
	w.set(policyOf("client", allowOut, allowIn))
	for proto, least := range shortest {
		for f := range model.Families {
			if proto == model.IPProtoICMP && f == 1 || proto == model.IPProtoICMPv6 && f == 0 {
				continue
			}
			p := udp(clientIP[f], goodIP[f], 80)
			p.Proto = proto
			p.Type = map[uint8]uint8{1: 8, 58: 128}[proto]
			b := fragments(p, 5)[0]
			head := []int{20, 48}[f]
			for n := range 25 {
				cut := slices.Clone(b[:head+n])
				setLength(cut)
				w.expect(fmt.Sprintf("%s, protocol %d, a first fragment of %d bytes", model.Family(f), proto, n), w.from(devClient, cut), n >= least)
			}
		}
	}
	for f := range model.Families {
		for offset := uint16(8); offset < 40; offset += 8 {
			p := udp(clientIP[f], goodIP[f], 80)
			p.Proto = model.IPProtoTCP
			b := fragments(p, 6)[1]
			if f == 0 {
				binary.BigEndian.PutUint16(b[6:], offset/8)
			} else {
				binary.BigEndian.PutUint16(b[42:], offset)
			}
			w.expect(fmt.Sprintf("%s, TCP from byte %d on", model.Family(f), offset), w.from(devClient, b), offset != 8)
		}
		// The last byte that a packet can have, and one more.
		for _, beyond := range []int{0, 1} {
			b := fragments(udp(clientIP[f], goodIP[f], 53), 6)[1]
			head := []int{20, 48}[f]
			b = append(b[:head], make([]byte, 7+beyond)...)
			setLength(b)
			if f == 0 {
				binary.BigEndian.PutUint16(b[6:], 0x1fff)
			} else {
				binary.BigEndian.PutUint16(b[42:], 0xfff8)
			}
			w.expect(fmt.Sprintf("%s, to byte %d", model.Family(f), 65535+beyond), w.from(devClient, b), beyond == 0)
		}
	}
	// A transport header that is not in the first fragment with its chain (RFC 7112).
	p := udp(clientIP[1], goodIP[1], 53)
	p.Headers = []netlab.Header{destination}
	whole := p.Bytes()
	first := slices.Concat(whole[:40], []byte{60, 0, 0, 1, 0, 0, 0, 1}, whole[40:48])
	first[6] = 44
	setLength(first)
	w.expect("a first fragment that ends in its headers", w.from(devClient, first), false)
	later := slices.Concat(whole[:40], []byte{60, 0, 0, 8, 0, 0, 0, 2}, whole[40:48])
	later[6] = 44
	setLength(later)
	w.expect("a later fragment of unknown protocol, all allowed", w.from(devClient, later), true)
	w.set(policyOf("client", "egress: {rules: [{action: deny, ports: [{protocol: SCTP, port: 9}]}, {action: allow}]}"))
	w.expect("a later fragment of unknown protocol, one port denied", w.from(devClient, later), false)
	twice := slices.Concat(whole[:40], []byte{44, 0, 0, 1, 0, 0, 0, 1}, []byte{17, 0, 0, 1, 0, 0, 0, 1}, whole[64:])
	twice[6] = 44
	setLength(twice)
	w.expect("a fragment in a fragment", w.from(devClient, twice), false)
}

// setLength makes the header say how long the packet is.
func setLength(b []byte) {
	if b[0]>>4 == 4 {
		binary.BigEndian.PutUint16(b[2:], uint16(len(b)))
	} else {
		binary.BigEndian.PutUint16(b[4:], uint16(len(b)-40))
	}
}
