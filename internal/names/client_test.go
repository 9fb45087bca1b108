package names

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"slices"
	"strings"
	"syscall"
	"testing"
	"testing/synctest"
	"time"

	"github.com/miekg/dns"
)

// onNet runs f with a client of n resolvers, 192.0.2.1:53 and on.
func onNet(t *testing.T, n int, serve func(network, server string, q *dns.Msg) [][]byte, f func(c *client, net *fakeNet)) {
	t.Helper()
	synctest.Test(t, func(t *testing.T) {
		fake := &fakeNet{t: t, serve: serve}
		cfg := Config{Dial: fake.dial, Timeout: 2 * time.Second, Rate: 1_000_000}
		for i := range n {
			cfg.Resolvers = append(cfg.Resolvers, netip.AddrPortFrom(netip.AddrFrom4([4]byte{192, 0, 2, byte(i + 1)}), 53))
		}
		f(newClient(&cfg), fake)
	})
}

const first, second = "192.0.2.1:53", "192.0.2.2:53"

func (n *fakeNet) look(c *client, name string) (answer, error) {
	return c.lookup(n.t.Context(), name, inet4)
}

func TestQueryIsWellMade(t *testing.T) {
	serve := func(_, _ string, q *dns.Msg) [][]byte { return [][]byte{packed(replyTo(q))} }
	onNet(t, 1, serve, func(c *client, n *fakeNet) {
		ids, cases := map[uint16]bool{}, map[string]bool{}
		for range 200 {
			if _, err := n.look(c, "abcdefgh.example"); err != nil {
				t.Fatal(err)
			}
		}
		for _, q := range n.queries {
			o := q.msg.IsEdns0()
			switch asked := q.msg.Question[0]; {
			case !q.msg.RecursionDesired || q.msg.Opcode != dns.OpcodeQuery || q.msg.Response:
				t.Fatalf("header: %s", q.msg)
			case o == nil || o.UDPSize() != 1232 || o.Do():
				t.Fatalf("EDNS: %s", q.msg)
			case len(q.msg.Question) != 1 || !strings.EqualFold(asked.Name, "abcdefgh.example.") || asked.Qtype != dns.TypeA || asked.Qclass != dns.ClassINET:
				t.Fatalf("question: %s", q.msg)
			}
			ids[q.msg.Id], cases[q.msg.Question[0].Name] = true, true
		}
		if len(ids) < 190 || len(cases) < 190 { // of 65,536 and 32,768
			t.Errorf("200 queries have %d ids and %d ways to write the name", len(ids), len(cases))
		}
	})
}

// TestOnlyTheAnswerIsTaken: what comes to the socket and is not the answer counts as
// nothing, and does not keep the answer away.
func TestOnlyTheAnswerIsTaken(t *testing.T) {
	forgeries := map[string]func(m *dns.Msg){
		"another id":               func(m *dns.Msg) { m.Id++ },
		"a query":                  func(m *dns.Msg) { m.Response = false },
		"another operation":        func(m *dns.Msg) { m.Opcode = dns.OpcodeNotify },
		"another name":             func(m *dns.Msg) { m.Question[0].Name = "other.example." },
		"another type":             func(m *dns.Msg) { m.Question[0].Qtype = dns.TypeAAAA },
		"another class":            func(m *dns.Msg) { m.Question[0].Qclass = dns.ClassCHAOS },
		"no question":              func(m *dns.Msg) { m.Question = nil },
		"no question, no name":     func(m *dns.Msg) { m.Question, m.Rcode = nil, dns.RcodeNameError },
		"another question besides": func(m *dns.Msg) { m.Question = append(m.Question, dns.Question{Name: ".", Qtype: 1, Qclass: 1}) },
	}
	for what, forge := range forgeries {
		t.Run(what, func(t *testing.T) {
			for _, real := range []bool{true, false} {
				serve := func(_, _ string, q *dns.Msg) (out [][]byte) {
					m := replyTo(q, "db.example. 60 A 192.0.2.66")
					forge(m)
					out = append(out, packed(m), []byte("x"), packed(m)[:11])
					if real {
						out = append(out, packed(replyTo(q, "db.example. 60 A 10.0.0.1")))
					}
					return out
				}
				onNet(t, 1, serve, func(c *client, n *fakeNet) {
					begin := time.Now()
					a, err := n.look(c, db)
					if real && (err != nil || !slices.Equal(a.addrs, addrs("10.0.0.1")) || time.Since(begin) > 0) {
						t.Errorf("behind it: %v, %v", a, err)
					}
					if !real && (!errors.Is(err, errSilent) || time.Since(begin) != 4*time.Second) {
						t.Errorf("alone: %v, %v after %s", a, err, time.Since(begin))
					}
					if s := c.status()[0]; s.Unusable != 3*s.Queries {
						t.Errorf("status: %+v", s)
					}
				})
			}
		})
	}
}

// TestFloodEnds: packets that are no answer end an exchange before they fill its time.
func TestFloodEnds(t *testing.T) {
	serve := func(_, _ string, q *dns.Msg) (out [][]byte) {
		for range 2 * maxUnusable {
			out = append(out, []byte("no answer at all"))
		}
		return out
	}
	onNet(t, 1, serve, func(c *client, n *fakeNet) {
		if _, err := n.look(c, db); !errors.Is(err, errSilent) {
			t.Error(err)
		}
		if s := c.status()[0]; s.Unusable != 2*maxUnusable {
			t.Errorf("status: %+v", s)
		}
	})
}

// TestTCP is asked where what came over UDP is cut off, unreadable, or has another
// case than was asked with.
func TestTCP(t *testing.T) {
	for what, spoil := range map[string]func(q *dns.Msg) []byte{
		"truncated": func(q *dns.Msg) []byte {
			m := replyTo(q, "db.example. 60 A 192.0.2.66")
			m.Truncated = true
			return packed(m)
		},
		"truncated, empty": func(q *dns.Msg) []byte {
			m := replyTo(q)
			m.Truncated = true
			return packed(m)
		},
		"cut off": func(q *dns.Msg) []byte {
			b := packed(replyTo(q, "db.example. 60 A 192.0.2.66", "db.example. 60 A 192.0.2.67"))
			return b[:len(b)-3]
		},
		"longer than offered": func(q *dns.Msg) []byte {
			m := replyTo(q)
			for i := range 100 {
				m.Answer = append(m.Answer, rrs(fmt.Sprintf("db.example. 60 A 192.0.2.%d", i))...)
			}
			return packed(m)
		},
		"lower case": func(q *dns.Msg) []byte {
			m := replyTo(q, "db.example. 60 A 192.0.2.66")
			m.Question = []dns.Question{{Name: "db.example.", Qtype: dns.TypeA, Qclass: dns.ClassINET}}
			if m.Question[0] == q.Question[0] {
				m.Question[0].Name = "DB.example." // one in 512
			}
			return packed(m)
		},
	} {
		t.Run(what, func(t *testing.T) {
			serve := func(network, _ string, q *dns.Msg) [][]byte {
				if network == "udp" {
					return [][]byte{spoil(q)}
				}
				m := replyTo(q)
				m.Question[0].Name = strings.ToLower(m.Question[0].Name) // over TCP nobody guesses
				for i := range 200 {
					m.Answer = append(m.Answer, rrs(fmt.Sprintf("db.example. 60 A 10.0.0.%d", i))...)
				}
				return [][]byte{packed(m)}
			}
			onNet(t, 1, serve, func(c *client, n *fakeNet) {
				a, err := n.look(c, db)
				if err != nil || len(a.addrs) != 200 || a.addrs[0] != netip.MustParseAddr("10.0.0.0") {
					t.Errorf("%v, %v", a, err)
				}
				if n.seen("udp", "") != 1 || n.seen("tcp", "") != 1 {
					t.Errorf("%d over UDP, %d over TCP", n.seen("udp", ""), n.seen("tcp", ""))
				}
			})
		})
	}
}

// TestTCPFails: a resolver whose TCP is closed is not down for it, and the next is asked.
func TestTCPFails(t *testing.T) {
	for what, tcp := range map[string][][]byte{"closed at once": {nil}, "something else": {[]byte("hello, this is no DNS")}, "silence": nil} {
		t.Run(what, func(t *testing.T) {
			serve := func(network, server string, q *dns.Msg) [][]byte {
				m := replyTo(q, "db.example. 60 A 10.0.0.1")
				switch {
				case server == second:
				case network == "udp":
					m.Truncated = true
				default:
					return tcp
				}
				return [][]byte{packed(m)}
			}
			onNet(t, 2, serve, func(c *client, n *fakeNet) {
				for range 5 {
					if a, err := n.look(c, db); err != nil || len(a.addrs) != 1 {
						t.Errorf("%v, %v", a, err)
					}
				}
				if s := c.status()[0]; !s.DownUntil.IsZero() || s.Silent != 5 {
					t.Errorf("status: %+v", s)
				}
			})
		})
	}
}

func TestNextResolverIsAsked(t *testing.T) {
	answers := map[string]func(q *dns.Msg) [][]byte{
		"silent":   func(*dns.Msg) [][]byte { return nil },
		"SERVFAIL": func(q *dns.Msg) [][]byte { return [][]byte{packed(withRcode(q, dns.RcodeServerFailure))} },
		"REFUSED":  func(q *dns.Msg) [][]byte { return [][]byte{packed(withRcode(q, dns.RcodeRefused))} },
		"refused without question": func(q *dns.Msg) [][]byte {
			m := withRcode(q, dns.RcodeRefused)
			m.Question = nil
			return [][]byte{packed(m)}
		},
		"BADVERS": func(q *dns.Msg) [][]byte {
			m := withRcode(q, dns.RcodeBadVers) // more bits than the header has
			m.SetEdns0(1232, false)
			return [][]byte{packed(m)}
		},
	}
	for what, bad := range answers {
		t.Run(what, func(t *testing.T) {
			serve := func(_, server string, q *dns.Msg) [][]byte {
				if server == first {
					return bad(q)
				}
				return [][]byte{packed(replyTo(q, "db.example. 60 A 10.0.0.1"))}
			}
			onNet(t, 2, serve, func(c *client, n *fakeNet) {
				if a, err := n.look(c, db); err != nil || !slices.Equal(a.addrs, addrs("10.0.0.1")) {
					t.Errorf("%v, %v", a, err)
				}
			})
			onNet(t, 1, serve, func(c *client, n *fakeNet) { // a sole one is asked twice
				_, err := n.look(c, db)
				if err == nil || strings.Count(err.Error(), first) != 1 {
					t.Errorf("error: %v", err)
				}
				if n.seen("udp", first) != 2 {
					t.Errorf("%d queries", n.seen("udp", first))
				}
			})
		})
	}
}

func withRcode(q *dns.Msg, rcode int) *dns.Msg {
	m := new(dns.Msg)
	return m.SetRcode(q, rcode)
}

// TestNegativeAnswersAreFinal: another resolver is not asked for a better one.
func TestNegativeAnswersAreFinal(t *testing.T) {
	for _, rcode := range []int{dns.RcodeSuccess, dns.RcodeNameError} {
		serve := func(_, _ string, q *dns.Msg) [][]byte {
			m := withRcode(q, rcode)
			m.Ns = rrs("example. 90 SOA ns. host. 1 2 3 4 40")
			return [][]byte{packed(m)}
		}
		onNet(t, 2, serve, func(c *client, n *fakeNet) {
			a, err := n.look(c, db)
			if err != nil || !a.negative || a.ttl != 40*time.Second || n.seen("udp", "") != 1 {
				t.Errorf("%v, %v, %d queries", a, err, n.seen("udp", ""))
			}
		})
	}
}

// TestDownResolverIsAskedLast: after three silences in a row, for a time that grows.
func TestDownResolverIsAskedLast(t *testing.T) {
	down := true
	serve := func(_, server string, q *dns.Msg) [][]byte {
		if server == first && down {
			return nil
		}
		return [][]byte{packed(replyTo(q, "db.example. 60 A 10.0.0.1"))}
	}
	onNet(t, 2, serve, func(c *client, n *fakeNet) {
		ask := func(want int) {
			t.Helper()
			before := n.seen("udp", first)
			if _, err := n.look(c, db); err != nil {
				t.Fatal(err)
			}
			if got := n.seen("udp", first) - before; got != want {
				t.Errorf("the first resolver was asked %d times, want %d", got, want)
			}
		}
		ask(1)
		ask(1)
		ask(1)
		ask(0)
		if s := c.status()[0]; s.DownUntil.IsZero() || s.Silent != 3 {
			t.Errorf("status: %+v", s)
		}
		time.Sleep(downFirst)
		ask(1)
		time.Sleep(downFirst)
		ask(0) // twice as long this time
		time.Sleep(downFirst)
		down = false
		ask(1)
		ask(1)
		if s := c.status()[0]; !s.DownUntil.IsZero() {
			t.Errorf("status: %+v", s)
		}
	})
}

// TestAllDown: all are asked all the same, so that the first that is back serves.
func TestAllDown(t *testing.T) {
	serve := func(_, server string, q *dns.Msg) [][]byte { return nil }
	onNet(t, 3, serve, func(c *client, n *fakeNet) {
		for range 10 {
			if _, err := n.look(c, db); !errors.Is(err, errSilent) {
				t.Errorf("error: %v", err)
			}
		}
		if got := n.seen("udp", ""); got != 30 {
			t.Errorf("%d queries, want 30", got)
		}
		n.serve = func(_, server string, q *dns.Msg) [][]byte {
			if server != second {
				return nil
			}
			return [][]byte{packed(replyTo(q, "db.example. 60 A 10.0.0.1"))}
		}
		if _, err := n.look(c, db); err != nil {
			t.Error(err)
		}
	})
}

// TestSetResolvers: what is known of one that stays is kept.
func TestSetResolvers(t *testing.T) {
	serve := func(_, _ string, q *dns.Msg) [][]byte {
		return [][]byte{packed(replyTo(q, "db.example. 60 A 10.0.0.1"))}
	}
	onNet(t, 1, serve, func(c *client, n *fakeNet) {
		must := func(want ...string) {
			t.Helper()
			if _, err := n.look(c, db); err != nil {
				t.Error(err)
			}
			var got []string
			for _, s := range c.status() {
				got = append(got, fmt.Sprint(s.Resolver, " ", s.Queries))
			}
			if !slices.Equal(got, want) {
				t.Errorf("resolvers and their queries: %q, want %q", got, want)
			}
		}
		must(first + " 1")
		a, b := netip.MustParseAddrPort(first), netip.MustParseAddrPort(second)
		c.set([]netip.AddrPort{b, a, b})
		must(second+" 1", first+" 1")
		c.set([]netip.AddrPort{a})
		must(first + " 2")
	})
	l, err := New(Config{Resolvers: []netip.AddrPort{testResolver}, Enforce: func(context.Context, Known) error { return nil }})
	if err != nil {
		t.Fatal(err)
	}
	if err := l.SetResolvers(nil); err == nil {
		t.Error("no resolver was taken")
	}
	if err := l.SetResolvers([]netip.AddrPort{netip.MustParseAddrPort(second)}); err != nil || l.Status().Totals.Resolvers[0].Resolver.String() != second {
		t.Errorf("%v, %+v", err, l.Status().Totals.Resolvers)
	}
}

// TestUnreachable: an error of the socket counts as silence, and takes no time.
func TestUnreachable(t *testing.T) {
	serve := func(_, _ string, q *dns.Msg) [][]byte {
		return [][]byte{packed(replyTo(q, "db.example. 60 A 10.0.0.1"))}
	}
	onNet(t, 2, serve, func(c *client, n *fakeNet) {
		n.refuse = func(_, server string) error {
			if server == first {
				return &net.OpError{Op: "dial", Net: "udp", Err: syscall.ENETUNREACH}
			}
			return nil
		}
		begin := time.Now()
		if _, err := n.look(c, db); err != nil || time.Since(begin) > 0 {
			t.Errorf("%v after %s", err, time.Since(begin))
		}
		if s := c.status()[0]; s.Silent != 1 {
			t.Errorf("status: %+v", s)
		}
	})
}

// TestNoEDNS: a server that does not know EDNS is asked without, from then on.
func TestNoEDNS(t *testing.T) {
	for _, rcode := range []int{dns.RcodeFormatError, dns.RcodeNotImplemented} {
		serve := func(_, _ string, q *dns.Msg) [][]byte {
			if q.IsEdns0() != nil {
				return [][]byte{packed(withRcode(q, rcode))}
			}
			return [][]byte{packed(replyTo(q, "db.example. 60 A 10.0.0.1"))}
		}
		onNet(t, 1, serve, func(c *client, n *fakeNet) {
			for range 3 {
				if a, err := n.look(c, db); err != nil || len(a.addrs) != 1 {
					t.Errorf("%v, %v", a, err)
				}
			}
			if got := n.seen("udp", ""); got != 4 {
				t.Errorf("%d queries, want 4", got)
			}
		})
		bad := func(_, _ string, q *dns.Msg) [][]byte { return [][]byte{packed(withRcode(q, rcode))} }
		onNet(t, 1, bad, func(c *client, n *fakeNet) {
			if _, err := n.look(c, db); err == nil || !strings.Contains(err.Error(), dns.RcodeToString[rcode]) {
				t.Errorf("error: %v", err)
			}
		})
	}
}

// TestChainsOverAnswers: where an answer ends at a CNAME, its target is asked for.
func TestChainsOverAnswers(t *testing.T) {
	zone := map[string][]string{}
	serve := func(_, _ string, q *dns.Msg) [][]byte {
		return [][]byte{packed(replyTo(q, zone[dns.CanonicalName(q.Question[0].Name)]...))}
	}
	onNet(t, 1, serve, func(c *client, n *fakeNet) {
		zone["db.example."] = []string{"db.example. 50 CNAME X.example."}
		zone["x.example."] = []string{"x.example. 40 CNAME y.example.", "y.example. 60 CNAME z.example."}
		zone["z.example."] = []string{"Z.Example. 70 A 10.0.0.1"}
		a, err := n.look(c, db)
		if err != nil || !slices.Equal(a.addrs, addrs("10.0.0.1")) || a.ttl != 40*time.Second || n.seen("udp", "") != 3 {
			t.Errorf("%v, %v, %d queries", a, err, n.seen("udp", ""))
		}
		zone["z.example."] = []string{"z.example. 60 CNAME db.example."} // a circle over three answers
		if _, err := n.look(c, db); !errors.Is(err, errLoop) {
			t.Errorf("error: %v", err)
		}
		before := n.seen("udp", "")
		for i := range 100 { // each answer is one step
			zone[fmt.Sprintf("n%d.example.", i)] = []string{fmt.Sprintf("n%d.example. 60 CNAME n%d.example.", i, i+1)}
		}
		if _, err := n.look(c, "n0.example"); !errors.Is(err, errLong) {
			t.Errorf("error: %v", err)
		}
		if got := n.seen("udp", "") - before; got != maxAsks {
			t.Errorf("%d queries for a chain without end, want %d", got, maxAsks)
		}
	})
}

func TestPace(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p := newPace(1000)
		begin := time.Now()
		for range 10_100 {
			if err := p.wait(t.Context()); err != nil {
				t.Fatal(err)
			}
		}
		if d := time.Since(begin).Round(10 * time.Millisecond); d != 10*time.Second {
			t.Errorf("10,100 at 1,000 a second and 100 at once took %s", d)
		}
		time.Sleep(time.Hour)
		begin, n := time.Now(), 0
		for time.Since(begin) == 0 {
			n++
			_ = p.wait(t.Context())
		}
		if n < 100 || n > 103 {
			t.Errorf("%d at once after a rest, want 101", n)
		}
	})
}
