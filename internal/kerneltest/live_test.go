//go:build linux

package kerneltest

import (
	"net/netip"
	"sync"
	"testing"
	"time"

	"github.com/trafficpolicy/trafficpolicy/internal/netlab"
)

// live is a connection over which both ends send all the time.
type live struct {
	what     string
	src, dst netip.Addr // who opened it, and to whom
	port     uint16
	// allowed by the two policies of the test
	a, b bool
}

// sent is one packet of a live connection.
type sent struct {
	*live
	*netlab.Packet
	when time.Time
}

// traffic keeps sending over connections until stopped.
type traffic struct {
	mu   sync.Mutex
	sent []sent
	quit chan struct{}
	done sync.WaitGroup
	err  error
}

// every is the time between two packets of a live connection's end.
const every = 2 * time.Millisecond

// keepSending opens the connections and goes on until stop: both ends of each
// send, whether or not anything arrives.
func (w *wire) keepSending(conns []live) *traffic {
	w.Helper()
	tr := &traffic{quit: make(chan struct{})}
	firsts := make([]*netlab.Packet, len(conns))
	for i := range conns {
		firsts[i] = udp(conns[i].src, conns[i].dst, conns[i].port)
		tr.send(w, &conns[i], firsts[i])
	}
	tr.done.Go(func() {
		for tick := time.NewTicker(every); ; {
			select {
			case <-tr.quit:
				tick.Stop()
				return
			case <-tick.C:
			}
			for i, p := range firsts {
				again := *p
				tr.send(w, &conns[i], &again)
				tr.send(w, &conns[i], w.Reply(p))
			}
		}
	})
	w.Cleanup(func() { tr.stop() })
	return tr
}

func (tr *traffic) send(w *wire, l *live, p *netlab.Packet) {
	p.Cookie = netlab.NextCookie()
	tr.mu.Lock()
	defer tr.mu.Unlock()
	tr.sent = append(tr.sent, sent{l, p, time.Now()})
	if err := w.Send(p.Src, p.Bytes()); err != nil && tr.err == nil {
		tr.err = err
	}
}

func (tr *traffic) stop() {
	select {
	case <-tr.quit:
	default:
		close(tr.quit)
	}
	tr.done.Wait()
}

// between returns what was sent from one moment to another.
func (tr *traffic) between(from, to time.Time) (out []sent) {
	tr.mu.Lock()
	defer tr.mu.Unlock()
	for _, s := range tr.sent {
		if s.when.After(from) && s.when.Before(to) {
			out = append(out, s)
		}
	}
	return out
}

// TestLiveConnections: from the switch on, a connection that the new policy
// denies stops in both directions, also one in which only the far side sends;
// one that it allows is not interrupted, not by a single packet.
func TestLiveConnections(t *testing.T) {
	onWire(t, func(w *wire) {
		a := []string{policyOf("client", allowOut, allowIn), policyOf("server", allowOut, allowIn)}
		b := []string{policyOf("client", goodOut, goodIn), policyOf("server", closed)}
		var conns []live
		for f := range goodIP {
			conns = append(conns,
				live{"client to the world", clientIP[f], badIP[f], 53, true, false},
				live{"client to the world, allowed by both", clientIP[f], goodIP[f], 53, true, true},
				live{"the world to client", badIP[f], clientIP[f], 54, true, false},
				live{"the world to client, allowed by both", goodIP[f], clientIP[f], 54, true, true},
				live{"the world to server", goodIP[f], serverIP[f], 55, true, false},
				live{"client to server", clientIP[f], serverIP[f], 56, true, false},
				live{"server to client", serverIP[f], clientIP[f], 57, true, false},
				live{"client to open", clientIP[f], openIP[f], 58, true, false},
				live{"open to server", openIP[f], serverIP[f], 59, true, false},
				live{"client to its node", clientIP[f], nodeIP[f], 60, true, false},
				live{"node to client", nodeIP[f], clientIP[f], 61, true, true},
				live{"node to server", nodeIP[f], serverIP[f], 62, true, true},
				live{"open to the world", openIP[f], goodIP[f], 63, true, true},
			)
		}
		w.set(a...)
		tr := w.keepSending(conns)
		type phase struct {
			policy     string
			start, end time.Time
		}
		var phases []phase
		const settle, length = 20 * time.Millisecond, 150 * time.Millisecond
		run := func(policy string) {
			start := time.Now().Add(settle)
			time.Sleep(settle + length)
			phases = append(phases, phase{policy, start, time.Now()})
		}
		run("a")
		for range 2 {
			w.set(b...)
			run("b")
			w.set(a...)
			run("a")
		}
		tr.stop()
		w.must(tr.err)
		w.must(w.Node.Settle(func() error { return nil }))

		arrived := map[uint64]bool{}
		for _, r := range w.receivers() {
			for _, a := range r.Arrivals() {
				arrived[a.Cookie] = arrived[a.Cookie] || !a.IsError()
			}
		}
		type count struct{ sent, arrived int }
		for i, ph := range phases {
			counts := map[live]*[2]count{}
			for _, s := range tr.between(ph.start, ph.end) {
				if counts[*s.live] == nil {
					counts[*s.live] = &[2]count{}
				}
				c := &counts[*s.live][0]
				if s.Src != s.live.src {
					c = &counts[*s.live][1]
				}
				c.sent++
				if arrived[s.Cookie] {
					c.arrived++
				}
			}
			for _, l := range conns {
				allowed := ph.policy == "a" && l.a || ph.policy == "b" && l.b
				for d, c := range counts[l] {
					direction := []string{"there", "back"}[d]
					if allowed && c.arrived != c.sent || !allowed && c.arrived > 0 || c.sent == 0 {
						w.Errorf("phase %d, policy %s: %s (%s > %s), %s: %d of %d packets arrived, allowed is %v", i, ph.policy, l.what, l.src, l.dst, direction, c.arrived, c.sent, allowed)
					}
				}
			}
		}
		// Between phases too, what both allow is not interrupted.
		for _, s := range tr.between(phases[0].start, phases[len(phases)-1].end) {
			if s.a && s.b && !arrived[s.Cookie] {
				w.Errorf("%s (%s): a packet was lost in a switch", s.what, s.Packet)
				break
			}
		}
	})
}

// receivers returns every receiver of the stage.
func (s *Stage) receivers() (out []*netlab.Receiver) {
	for _, e := range s.local {
		out = append(out, e.Receiver)
	}
	for _, h := range append(append([]*netlab.Host(nil), s.Node.Pods...), s.Node.Outside) {
		out = append(out, &h.Tap().Receiver)
	}
	return out
}

// TestLiveTCP: a TCP connection in which the far side never stops sending ends at
// once when it is denied, and goes on when it is allowed again.
func TestLiveTCP(t *testing.T) {
	onWire(t, func(w *wire) {
		w.serve(8080)
		for f := range goodIP {
			w.set(policyOf("client", allowOut))
			c, err := w.client.Dial(netip.Addr{}, netip.AddrPortFrom(goodIP[f], 8080), time.Second)
			w.must(err)
			defer c.Close()
			echo := func(timeout time.Duration) error { // a byte there and back
				if err := c.SetDeadline(time.Now().Add(timeout)); err != nil {
					return err
				}
				if _, err := c.Write([]byte("x")); err != nil {
					return err
				}
				_, err := c.Read(make([]byte, 1))
				return err
			}
			w.must(echo(time.Second))
			w.set(policyOf("client", closed))
			if err := echo(300 * time.Millisecond); err == nil {
				w.Errorf("%s: the connection goes on though it is denied", goodIP[f])
			}
			w.set(policyOf("client", goodOut))
			if err := echo(5 * time.Second); err != nil { // once TCP sends again
				w.Errorf("%s: the connection does not go on though it is allowed: %v", goodIP[f], err)
			}
		}
	})
}
