//go:build linux

package bpf_test

import (
	"fmt"
	"net/netip"
	"testing"
	"time"

	ciliumebpf "github.com/cilium/ebpf"
	"golang.org/x/sys/unix"

	"github.com/trafficpolicy/trafficpolicy/backends/ebpf"
	"github.com/trafficpolicy/trafficpolicy/backends/ebpf/bpf"
	"github.com/trafficpolicy/trafficpolicy/internal/bpflab"
	"github.com/trafficpolicy/trafficpolicy/internal/netlab"
	"github.com/trafficpolicy/trafficpolicy/model"
)

// now is CLOCK_MONOTONIC.
func now() uint64 {
	var ts unix.Timespec
	if err := unix.ClockGettime(unix.CLOCK_MONOTONIC, &ts); err != nil {
		panic(err)
	}
	return uint64(ts.Nano())
}

// connections returns every entry.
func (w *world) connections() map[bpf.ConnKey]bpf.Conn {
	w.Helper()
	all := map[bpf.ConnKey]bpf.Conn{}
	for _, m := range []*ciliumebpf.Map{w.Opening, w.Conns} {
		var key bpf.ConnKey
		var c bpf.Conn
		it := m.Iterate()
		for it.Next(&key, &c) {
			if _, ok := all[key]; ok {
				w.Errorf("%+v is in both tables", key)
			}
			all[key] = c
		}
		w.must(it.Err())
	}
	return all
}

// age makes every entry as old as d.
func (w *world) age(d time.Duration) {
	w.Helper()
	for _, m := range []*ciliumebpf.Map{w.Opening, w.Conns} {
		var key bpf.ConnKey
		var c bpf.Conn
		changed := map[bpf.ConnKey]bpf.Conn{}
		for it := m.Iterate(); it.Next(&key, &c); {
			c.Seen = now() - uint64(d.Nanoseconds())
			changed[key] = c
		}
		for k, c := range changed {
			w.must(m.Put(k, c))
		}
	}
}

// packetOf is the first packet of a connection of a protocol.
func packetOf(proto uint8, f model.Family, out bool) *netlab.Packet {
	p := udp(clientIP[f], goodIP[f], 80)
	if !out {
		p.Src, p.Dst = p.Dst, p.Src
	}
	p.Proto = proto
	p.Type = map[uint8]uint8{1: 8, 58: 128}[proto]
	return p
}

// Policies that allow what one side opens.
const (
	onlyOut = "egress: {rules: [{action: allow}]}, ingress: {rules: []}"
	onlyIn  = "ingress: {rules: [{action: allow}]}, egress: {rules: []}"
)

// opened runs a test with client as the end that opens, and as the other.
func opened(w *world, f func(name string, send, back func(p *netlab.Packet) bpflab.Result, out bool)) {
	from := func(p *netlab.Packet) bpflab.Result { return w.from(devClient, p.Bytes()) }
	to := func(p *netlab.Packet) bpflab.Result { return w.to(devClient, p.Bytes()) }
	w.set(policyOf("client", onlyOut))
	f("the pod opens", from, to, true)
	w.Forget()
	w.set(policyOf("client", onlyIn))
	f("the pod is called", to, from, false)
	w.Forget()
}

// TestReplies: an answer passes on the connection of the packet that it answers and
// on no other.
func TestReplies(t *testing.T) {
	w := newWorld(t, bpf.Options{})
	opened(w, func(name string, send, back func(p *netlab.Packet) bpflab.Result, out bool) {
		for f := range model.Families {
			for _, proto := range []uint8{6, 17, 132, 1, 58, 253} {
				if proto == 1 && f == 1 || proto == 58 && f == 0 {
					continue
				}
				w.Forget()
				p := packetOf(proto, model.Family(f), out)
				name := fmt.Sprintf("%s, %s, protocol %d", name, model.Family(f), proto)
				w.expect(name+", an answer to nothing", back(reply(p)), false)
				w.expect(name+", first", send(p), true)
				w.expect(name+", answer", back(reply(p)), true)
				w.expect(name+", again", send(p), true)
				w.expect(name+", answer", back(reply(p)), true)
				if proto != 253 {
					other := reply(p)
					other.SrcPort, other.ID = 81, 81
					w.expect(name+", another's answer", back(other), false)
				}
				if got := len(w.connections()); got != 1 {
					t.Errorf("%s: %d entries, want 1", name, got)
				}
			}
		}
	})
}

// TestQueries: each request of ICMP opens a connection that its own answer belongs to;
// answers and everything else open none.
func TestQueries(t *testing.T) {
	w := newWorld(t, bpf.Options{})
	queries := [2]map[uint8]uint8{{8: 0, 13: 14, 15: 16, 17: 18}, {128: 129, 139: 140}}
	opened(w, func(name string, send, back func(p *netlab.Packet) bpflab.Result, out bool) {
		for f := range model.Families {
			for typ := range 256 {
				w.Forget()
				p := packetOf([]uint8{1, 58}[f], model.Family(f), out)
				p.Type = uint8(typ)
				answer, asks := queries[f][p.Type]
				if isDiscovery := f == 1 && (typ >= 130 && typ <= 136 || typ == 143); isDiscovery {
					continue
				}
				name := fmt.Sprintf("%s, %s, type %d", name, model.Family(f), typ)
				w.expect(name, send(p), asks)
				if !asks {
					continue
				}
				for other := range 256 {
					r := reply(p)
					r.Type = uint8(other)
					if f == 1 && (other >= 130 && other <= 136 || other == 143) {
						continue
					}
					w.expect(fmt.Sprintf("%s answered by %d", name, other), back(r), r.Type == answer)
				}
				r := reply(p)
				r.Type, r.ID = answer, 1
				w.expect(name+" answered with another identifier", back(r), false)
			}
		}
	})
}

// TestEchoBothWays: two ends that ping each other with one identifier have two
// connections.
func TestEchoBothWays(t *testing.T) {
	w := newWorld(t, bpf.Options{})
	w.set(policyOf("client", onlyOut))
	out, in := packetOf(1, model.IPv4, true), packetOf(1, model.IPv4, false)
	w.expect("request", w.from(devClient, out.Bytes()), true)
	w.expect("request the other way", w.to(devClient, in.Bytes()), false)
	w.expect("reply", w.to(devClient, reply(out).Bytes()), true)
	w.expect("reply the other way", w.from(devClient, reply(in).Bytes()), false)
}

// exchange is what was sent on a connection before nothing was: > from who opened
// it, < back, with TCP flags.
type exchange struct {
	what  string
	proto uint8
	steps []step
	// timeout is how long the connection is remembered.
	timeout time.Duration
}

type step struct {
	back  bool
	flags uint8
}

// exchanges are nf_conntrack's timeouts (nf_conntrack_proto_tcp.c and its like).
var exchanges = []exchange{
	{"UDP without an answer", 17, []step{{}}, 30 * time.Second},
	{"UDP", 17, []step{{}, {back: true}}, 120 * time.Second},
	{"echo", 1, []step{{}}, 30 * time.Second},
	{"answered echo", 1, []step{{}, {back: true}}, 30 * time.Second},
	{"SCTP without an answer", 132, []step{{}}, 30 * time.Second},
	{"SCTP", 132, []step{{}, {back: true}}, 210 * time.Second},
	{"another protocol", 253, []step{{}, {back: true}}, 600 * time.Second},
	{"SYN", 6, []step{{false, netlab.SYN}}, 120 * time.Second},
	{"SYN and its answer", 6, []step{{false, netlab.SYN}, {true, netlab.SYN | netlab.ACK}}, 60 * time.Second},
	{"handshake", 6, []step{{false, netlab.SYN}, {true, netlab.SYN | netlab.ACK}, {false, netlab.ACK}}, 432000 * time.Second},
	{"picked up without an answer", 6, []step{{false, netlab.ACK}}, 300 * time.Second},
	{"picked up", 6, []step{{false, netlab.ACK}, {true, netlab.ACK}}, 432000 * time.Second},
	{"closed by one", 6, []step{{false, netlab.ACK}, {true, netlab.ACK}, {false, netlab.FIN | netlab.ACK}}, 120 * time.Second},
	{"closed by the other", 6, []step{{false, netlab.ACK}, {true, netlab.ACK}, {true, netlab.FIN | netlab.ACK}, {false, netlab.ACK}}, 120 * time.Second},
	{"closed by both", 6, []step{{false, netlab.ACK}, {true, netlab.FIN | netlab.ACK}, {false, netlab.FIN | netlab.ACK}, {true, netlab.ACK}}, 120 * time.Second},
	{"reset", 6, []step{{false, netlab.ACK}, {true, netlab.ACK}, {true, netlab.RST}}, 10 * time.Second},
	{"refused", 6, []step{{false, netlab.SYN}, {true, netlab.RST | netlab.ACK}}, 10 * time.Second},
	{"opened again", 6, []step{{false, netlab.ACK}, {true, netlab.RST}, {false, netlab.SYN}}, 120 * time.Second},
}

// TestTimeouts: an entry is good until its protocol's and state's timeout is over.
func TestTimeouts(t *testing.T) {
	w := newWorld(t, bpf.Options{})
	opened(w, func(name string, send, back func(p *netlab.Packet) bpflab.Result, out bool) {
		for _, c := range exchanges {
			for _, over := range []bool{false, true} {
				w.Forget()
				p := packetOf(c.proto, model.IPv4, out)
				for i, s := range c.steps {
					q, dir := *p, send
					if s.back {
						q, dir = *reply(p), back
					}
					q.Flags = s.flags
					w.expect(fmt.Sprintf("%s, %s, packet %d", name, c.what, i), dir(&q), true)
				}
				age := c.timeout - 2*time.Second
				if over {
					age += 4 * time.Second
				}
				w.age(age)
				q := reply(p)
				q.Flags = netlab.ACK
				w.expect(fmt.Sprintf("%s, %s, answer after %v", name, c.what, age), back(q), !over)
			}
		}
	})
}

// TestReopened: a SYN on a connection that is over opens a new one, which is judged
// in its own direction; on one that is not it does not.
func TestReopened(t *testing.T) {
	w := newWorld(t, bpf.Options{})
	opened(w, func(name string, send, back func(p *netlab.Packet) bpflab.Result, out bool) {
		p := packetOf(6, model.IPv4, out)
		with := func(p *netlab.Packet, flags uint8) *netlab.Packet {
			q := *p
			q.Flags = flags
			return &q
		}
		begin := func() {
			w.Forget()
			w.expect(name+", SYN", send(with(p, netlab.SYN)), true)
			w.expect(name+", SYN ACK", back(with(reply(p), netlab.SYN|netlab.ACK)), true)
			w.expect(name+", ACK", send(with(p, netlab.ACK)), true)
		}
		begin()
		w.expect(name+", SYN from the other end", back(with(reply(p), netlab.SYN)), false)
		w.expect(name+", SYN from the same end", send(with(p, netlab.SYN)), true)
		w.expect(name+", then an answer", back(with(reply(p), netlab.SYN|netlab.ACK)), true)

		begin()
		w.expect(name+", RST", back(with(reply(p), netlab.RST)), true)
		w.expect(name+", SYN from the other end after RST", back(with(reply(p), netlab.SYN)), false)
		w.expect(name+", SYN after RST", send(with(p, netlab.SYN)), true)

		begin()
		w.expect(name+", FIN", send(with(p, netlab.FIN|netlab.ACK)), true)
		w.expect(name+", data from the other end", back(with(reply(p), netlab.ACK)), true)
		w.expect(name+", FIN", back(with(reply(p), netlab.FIN|netlab.ACK)), true)
		w.expect(name+", the last ACK", send(with(p, netlab.ACK)), true)
		w.expect(name+", SYN after both FINs", send(with(p, netlab.SYN)), true)
	})
}

// TestForgedSYN: a SYN with the addresses and ports of an established connection does
// not shorten how long it is remembered.
func TestForgedSYN(t *testing.T) {
	w := newWorld(t, bpf.Options{})
	opened(w, func(name string, send, back func(p *netlab.Packet) bpflab.Result, out bool) {
		syn, ack := packetOf(6, model.IPv4, out), packetOf(6, model.IPv4, out)
		syn.Flags, ack.Flags = netlab.SYN, netlab.ACK
		answer := reply(ack)
		w.expect(name+", SYN", send(syn), true)
		w.expect(name+", SYN ACK", back(answer), true)
		answer.Flags = netlab.ACK
		w.expect(name+", ACK", send(ack), true)
		w.expect(name+", forged SYN", send(syn), true)
		w.age(24 * time.Hour)
		w.expect(name+", a day later", back(answer), true)
	})
}

// TestDeniedSYN: a SYN that is denied ends no connection, not even one that has been
// reset as it seems.
func TestDeniedSYN(t *testing.T) {
	w := newWorld(t, bpf.Options{})
	opened(w, func(name string, send, back func(p *netlab.Packet) bpflab.Result, out bool) {
		p := packetOf(6, model.IPv4, out)
		with := func(p *netlab.Packet, flags uint8) *netlab.Packet {
			q := *p
			q.Flags = flags
			return &q
		}
		w.expect(name+", SYN", send(with(p, netlab.SYN)), true)
		w.expect(name+", SYN ACK", back(with(reply(p), netlab.SYN|netlab.ACK)), true)
		w.expect(name+", ACK", send(with(p, netlab.ACK)), true)
		w.expect(name+", forged RST", back(with(reply(p), netlab.RST)), true)
		w.expect(name+", SYN from the other end", back(with(reply(p), netlab.SYN)), false)
		w.expect(name+", data from the other end", back(with(reply(p), netlab.ACK)), true)
		w.expect(name+", SYN", send(with(p, netlab.SYN)), true)
		if c := w.connections(); len(c) != 1 {
			t.Errorf("%s: %d connections, want 1", name, len(c))
		}
	})
}

// TestSwitch: a switch stops a connection that the new policy denies, both ways, also
// one in which only the far side sends; one that it allows goes on.
func TestSwitch(t *testing.T) {
	w := newWorld(t, bpf.Options{})
	for _, out := range []bool{true, false} {
		for f := range model.Families {
			for _, proto := range []uint8{6, 17, 132, 1, 58, 253} {
				if proto == 1 && f == 1 || proto == 58 && f == 0 {
					continue
				}
				allowed, other := onlyOut, onlyIn
				p := packetOf(proto, model.Family(f), out)
				there := func(p *netlab.Packet) bpflab.Result { return w.from(devClient, p.Bytes()) }
				back := func(p *netlab.Packet) bpflab.Result { return w.to(devClient, p.Bytes()) }
				if !out {
					allowed, other, there, back = onlyIn, onlyOut, back, there
				}
				name := fmt.Sprintf("pod opens %v, %s, protocol %d", out, model.Family(f), proto)
				again := *p
				again.Flags = netlab.ACK
				answer := reply(&again)
				answer.Flags = netlab.ACK

				w.Forget()
				w.set(policyOf("client", allowed))
				w.expect(name+", first", there(p), true)
				w.expect(name+", answer", back(answer), true)
				// The other direction's rules do not count for it, however they change.
				w.set(policyOf("client", "ingress: {rules: [{action: allow}]}, egress: {rules: [{action: allow}]}"))
				w.expect(name+", answer when all is allowed", back(answer), true)
				w.set(policyOf("client", other))
				w.expect(name+", answer alone when denied", back(answer), false)
				w.expect(name+", answer again", back(answer), false)
				w.set(policyOf("client", closed))
				w.expect(name+", packet when denied", there(&again), false)
				w.expect(name+", answer when denied", back(answer), false)
				w.set(policyOf("client", allowed))
				w.expect(name+", answer when allowed again", back(answer), true)
				w.expect(name+", packet when allowed again", there(&again), true)
			}
		}
	}
}

// TestTakenOver: an entry that a loader wrote of a live connection is judged before
// the next packet passes.
func TestTakenOver(t *testing.T) {
	w := newWorld(t, bpf.Options{})
	w.set(policyOf("client", goodOut))
	taken := bpf.Conn{Seen: now(), Direction: bpf.Egress, Flags: bpf.ConnReplied, TCP: bpf.TCPOpen}
	for f := range goodIP {
		for _, peer := range []netip.Addr{goodIP[f], badIP[f]} {
			w.must(w.Conns.Put(bpf.ConnKey{
				Local: bpf.AddressOf(clientIP[f]), Peer: bpf.AddressOf(peer),
				LocalPort: bpf.PortOf(30000), PeerPort: bpf.PortOf(80), Protocol: model.IPProtoTCP,
			}, taken))
			answer := &netlab.Packet{Src: peer, Dst: clientIP[f], Proto: model.IPProtoTCP, SrcPort: 80, DstPort: 30000, Flags: netlab.ACK}
			w.expect("an answer from "+peer.String(), w.to(devClient, answer.Bytes()), peer == goodIP[f])
			w.expect("an answer from "+peer.String()+" to another port", w.to(devClient, changed(answer, func(p *netlab.Packet) { p.DstPort++ }).Bytes()), false)
		}
	}
}

// TestKeys: what the program enters is what Go reads.
func TestKeys(t *testing.T) {
	w := newWorld(t, bpf.Options{})
	w.set(policyOf("client", allowOut, allowIn))
	for f := range model.Families {
		for _, out := range []bool{true, false} {
			w.Forget()
			p := packetOf(17, model.Family(f), out)
			w.counted()
			before := now()
			if out {
				w.from(devClient, p.Bytes())
			} else {
				w.to(devClient, p.Bytes())
			}
			want := bpf.ConnKey{Local: bpf.AddressOf(clientIP[f]), Peer: bpf.AddressOf(goodIP[f]), LocalPort: bpf.PortOf(30000), PeerPort: bpf.PortOf(80), Protocol: 17}
			direction := bpf.Egress
			if !out {
				want.LocalPort, want.PeerPort = want.PeerPort, want.LocalPort
				direction = bpf.Ingress
			}
			c, ok := w.connections()[want]
			if !ok {
				t.Fatalf("no entry %+v in %+v", want, w.connections())
			}
			if c.Stamp != w.Generation || c.Ifindex != w.Devices[devClient].Index || c.Direction != direction || c.Flags != 0 || c.TCP != 0 {
				t.Errorf("entry %+v", c)
			}
			if c.Seen > now() || c.Seen+uint64(time.Second) < before {
				t.Errorf("seen at %d, at %d now", c.Seen, now())
			}
			if verdict, decider, ok := ebpf.Ref(c.Terminal).Decider(); !ok || verdict != model.Allow || w.deciders[decider] == "" {
				t.Errorf("terminal %#x", c.Terminal)
			}
		}
	}
}
