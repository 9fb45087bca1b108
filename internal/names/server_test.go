//go:build linux

package names_test

import (
	"context"
	"fmt"
	"net"
	"net/netip"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"go4.org/netipx"

	"github.com/trafficpolicy/trafficpolicy/internal/dnslab"
	"github.com/trafficpolicy/trafficpolicy/internal/names"
	"github.com/trafficpolicy/trafficpolicy/internal/netlab"
)

// Addresses of the server in its namespace; at silent nobody listens and nothing
// comes back.
var (
	serverAddr = netip.MustParseAddr("10.99.0.1")
	silent     = netip.MustParseAddrPort("10.99.0.2:53")
)

// live is a Learner that asks a real server.
type live struct {
	*testing.T
	*names.Learner
	server *dnslab.Server
	space  *netlab.Namespace

	mu      sync.Mutex
	inForce map[string][]netip.Addr
	lines   []string
	inUse   []netip.Addr
}

// quick has bounds that a test can wait for. The caps are the default.
func quick() names.Config {
	return names.Config{
		MinTTL: 200 * time.Millisecond, Grace: 300 * time.Millisecond, Stale: 3 * time.Second,
		Timeout: 300 * time.Millisecond, InUseCheck: 200 * time.Millisecond, EnforcePause: time.Millisecond,
	}
}

// newLive starts a server and a Learner. The server's zones are the root and away.test.
func newLive(t *testing.T, cfg names.Config) *live {
	t.Helper()
	dnslab.Require(t)
	lab := netlab.New()
	t.Cleanup(func() {
		if err := lab.Close(); err != nil {
			t.Error(err)
		}
	})
	ns, err := lab.Namespace("dns")
	if err != nil {
		t.Fatal(err)
	}
	for _, p := range []string{"10.99.0.1/24", "fd00:99::1/64"} {
		if err := ns.AddAddr("lo", netip.MustParsePrefix(p)); err != nil {
			t.Fatal(err)
		}
	}
	// Packets to an address that is routed to nowhere come back as errors: drop them.
	if err := ns.NFT("table ip t { chain c { type filter hook output priority 0; ip daddr 10.99.0.2 drop; }; }"); err != nil {
		t.Fatal(err)
	}
	l := &live{T: t, space: ns, server: dnslab.New(t, ns, []netip.Addr{serverAddr, netip.MustParseAddr("fd00:99::1")}, "away.test.")}
	if len(cfg.Resolvers) == 0 {
		cfg.Resolvers = []netip.AddrPort{netip.AddrPortFrom(serverAddr, dnslab.Port)}
	}
	cfg.Dial = func(ctx context.Context, network, address string) (c net.Conn, err error) {
		doErr := ns.Do(func() error {
			c, err = new(net.Dialer).DialContext(ctx, network, address)
			return nil
		})
		if doErr != nil {
			return nil, doErr
		}
		return c, err
	}
	cfg.Enforce = func(_ context.Context, k names.Known) error {
		l.mu.Lock()
		defer l.mu.Unlock()
		l.inForce = k.Addrs
		return nil
	}
	cfg.InUse = func(context.Context, []netip.Addr) ([]netip.Addr, error) {
		l.mu.Lock()
		defer l.mu.Unlock()
		return l.inUse, nil
	}
	cfg.Log = func(format string, args ...any) {
		l.mu.Lock()
		defer l.mu.Unlock()
		l.lines = append(l.lines, fmt.Sprintf(format, args...))
	}
	if l.Learner, err = names.New(cfg); err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan error, 1)
	go func() { done <- l.Learner.Run(ctx) }()
	t.Cleanup(func() {
		cancel()
		if err := <-done; err != nil {
			t.Error(err)
		}
	})
	return l
}

func (l *live) must(err error) {
	l.Helper()
	if err != nil {
		l.Fatal(err)
	}
}

// keep has the names kept.
func (l *live) keep(ns ...string) {
	l.Helper()
	var all []names.Name
	for _, n := range ns {
		all = append(all, names.Name{Name: n})
	}
	l.must(l.SetNames(all))
}

// becomes waits until the name has exactly these addresses in force, and returns
// how long that took.
func (l *live) becomes(name string, want ...string) time.Duration {
	l.Helper()
	addrs := []netip.Addr{}
	for _, s := range want {
		addrs = append(addrs, netip.MustParseAddr(s))
	}
	slices.SortFunc(addrs, netip.Addr.Compare)
	begin := time.Now()
	l.eventually(fmt.Sprintf("%s has %s", name, want), func() bool { return slices.Equal(l.has(name), addrs) })
	return time.Since(begin)
}

func (l *live) has(name string) []netip.Addr {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.inForce[name]
}

func (l *live) eventually(what string, cond func() bool) {
	l.Helper()
	for end := time.Now().Add(15 * time.Second); !cond(); time.Sleep(2 * time.Millisecond) {
		if time.Now().After(end) {
			l.mu.Lock()
			defer l.mu.Unlock()
			l.Fatalf("it did not become true that %s; in force: %.300s\n%s", what, fmt.Sprint(l.inForce), strings.Join(l.lines, "\n"))
		}
	}
}

// logged waits for a line with all of the parts.
func (l *live) logged(parts ...string) {
	l.Helper()
	l.eventually(fmt.Sprintf("the log has %q", parts), func() bool {
		l.mu.Lock()
		defer l.mu.Unlock()
		return slices.ContainsFunc(l.lines, func(line string) bool {
			return !slices.ContainsFunc(parts, func(p string) bool { return !strings.Contains(line, p) })
		})
	})
}

func (l *live) status(name string) names.NameStatus {
	l.Helper()
	for _, n := range l.Status().Names {
		if n.Name == name {
			return n
		}
	}
	l.Fatalf("no status of %s", name)
	return names.NameStatus{}
}

func ipSet(t *testing.T, prefixes ...string) *netipx.IPSet {
	t.Helper()
	var b netipx.IPSetBuilder
	for _, p := range prefixes {
		b.AddPrefix(netip.MustParsePrefix(p))
	}
	s, err := b.IPSet()
	if err != nil {
		t.Fatal(err)
	}
	return s
}

const db = "db.example"

func TestServerAddressesComeAndGo(t *testing.T) {
	t.Parallel()
	l := newLive(t, quick())
	l.keep(db)
	l.eventually("there is a negative answer", func() bool { return !l.status(db).Answered.IsZero() })
	l.must(l.server.Set("db.example. 0 A 10.0.0.1", "DB.Example. 0 AAAA fd00::1"))
	l.Refresh()
	l.becomes(db, "10.0.0.1", "fd00::1")
	l.Logf("from answer to enforcement: %s", l.Status().Totals.Delay)
	l.must(l.server.Set("db.example. 0 A 10.0.0.1", "db.example. 0 A 10.0.0.2"))
	l.becomes(db, "10.0.0.1", "10.0.0.2", "fd00::1")
	l.becomes(db, "10.0.0.1", "10.0.0.2") // NODATA
	l.must(l.server.Set())                // NXDOMAIN
	l.becomes(db)
	if s := l.status(db); s.Error != "" {
		t.Errorf("a negative answer is an error: %s", s.Error)
	}
}

// TestServerRotates: each answer has 4 of 64; all come to be in force, and stay.
func TestServerRotates(t *testing.T) {
	t.Parallel()
	cfg := quick()
	cfg.Grace = 20 * time.Second
	l := newLive(t, cfg)
	var all []string
	for i := range 64 {
		all = append(all, fmt.Sprintf("10.0.1.%d", i))
	}
	l.keep(db)
	for turn := range 16 {
		var rrs []string
		for _, a := range all[turn*4 : turn*4+4] {
			rrs = append(rrs, "db.example. 0 A "+a)
		}
		l.must(l.server.Set(rrs...))
		l.Refresh()
		l.becomes(db, all[:turn*4+4]...)
	}
}

// TestServerTruncates: 64 addresses of IPv6 do not fit in 1232 bytes, and come over TCP.
func TestServerTruncates(t *testing.T) {
	t.Parallel()
	l := newLive(t, quick())
	var rrs, all []string
	for i := range 64 {
		all = append(all, fmt.Sprintf("fd00:1::%x", i+1))
		rrs = append(rrs, "db.example. 60 AAAA "+all[i])
	}
	l.must(l.server.Set(rrs...))
	l.keep(db)
	l.becomes(db, all...)
	l.eventually("there were three queries: A, AAAA, AAAA over TCP", func() bool { return l.Status().Totals.Resolvers[0].Queries >= 3 })
}

func TestServerFails(t *testing.T) {
	t.Parallel()
	l := newLive(t, quick())
	l.must(l.server.Set("db.example. 0 A 10.0.0.1"))
	l.keep(db)
	l.becomes(db, "10.0.0.1")
	l.must(l.server.Fail("db.example."))
	begin := time.Now()
	l.logged(db, "SERVFAIL")
	if s := l.status(db); !strings.Contains(s.Error, "SERVFAIL") || s.StaleSince.IsZero() {
		t.Errorf("status: %+v", s)
	}
	if d := l.becomes(db); time.Since(begin) < 2500*time.Millisecond {
		t.Errorf("the address went after %s, long before its 3 s", d)
	}
	l.must(l.server.Fail())
	l.becomes(db, "10.0.0.1")
	l.logged(db, "answer again")
}

// TestServerIsSilent: stopped, it holds its port and answers nothing.
func TestServerIsSilent(t *testing.T) {
	t.Parallel()
	l := newLive(t, quick())
	l.must(l.server.Set("db.example. 0 A 10.0.0.1"))
	l.keep(db)
	l.becomes(db, "10.0.0.1")
	begin := time.Now()
	l.must(l.server.Pause())
	l.logged(db, "no answer: none in time")
	l.eventually("the resolver is down", func() bool { return !l.Status().Totals.Resolvers[0].DownUntil.IsZero() })
	if len(l.has(db)) != 1 {
		t.Errorf("in force: %s", l.has(db))
	}
	if l.becomes(db); time.Since(begin) < 2500*time.Millisecond {
		t.Errorf("the address went after %s, long before its 3 s", time.Since(begin))
	}
	l.must(l.server.Resume())
	l.becomes(db, "10.0.0.1")
}

// TestServerFailover: of three resolvers the first is silent, the second has a
// closed port, the third answers.
func TestServerFailover(t *testing.T) {
	t.Parallel()
	cfg := quick()
	cfg.Resolvers = []netip.AddrPort{silent, netip.MustParseAddrPort("10.99.0.1:5353"), netip.MustParseAddrPort("[fd00:99::1]:53")}
	l := newLive(t, cfg)
	l.must(l.server.Set("db.example. 0 A 10.0.0.1"))
	l.keep(db)
	l.becomes(db, "10.0.0.1")
	l.eventually("the first two are down", func() bool {
		r := l.Status().Totals.Resolvers
		return !r[0].DownUntil.IsZero() && !r[1].DownUntil.IsZero() && r[2].DownUntil.IsZero()
	})
	if s := l.status(db); s.Error != "" {
		t.Error(s.Error)
	}
}

// TestServerTTL: 0 is 10 s, a day is 5 min.
func TestServerTTL(t *testing.T) {
	t.Parallel()
	l := newLive(t, names.Config{Rand: func() float64 { return 0 }})
	l.must(l.server.Set("zero.example. 0 A 10.0.0.1", "zero.example. 0 AAAA fd00::1", "day.example. 86400 A 10.0.0.2", "day.example. 86400 AAAA fd00::2"))
	begin := time.Now()
	l.keep("zero.example", "day.example")
	l.becomes("zero.example", "10.0.0.1", "fd00::1")
	l.becomes("day.example", "10.0.0.2", "fd00::2")
	for name, ttl := range map[string]time.Duration{"zero.example": names.DefaultMinTTL, "day.example": names.DefaultMaxTTL} {
		s := l.status(name)
		if next := s.Next.Sub(begin); next < ttl*3/4 || next > ttl*3/4+3*time.Second {
			t.Errorf("%s is asked for again after %s, want 3/4 of %s", name, next, ttl)
		}
	}
}

func TestServerCNAMEs(t *testing.T) {
	t.Parallel()
	l := newLive(t, quick())
	l.must(l.server.Set(
		"db.example. 60 CNAME one.example.", "one.example. 60 CNAME two.example.", "two.example. 60 A 10.0.0.1",
		"back.away.test. 60 CNAME leaves.example.", "leaves.example. 60 CNAME one.example.", // over two zones: two answers
		"loop.example. 60 CNAME pool.example.", "pool.example. 60 CNAME loop.example.",
		"circle.away.test. 60 CNAME circle.example.", "circle.example. 60 CNAME circle.away.test.",
	))
	l.keep(db, "back.away.test", "loop.example", "circle.away.test")
	l.becomes(db, "10.0.0.1")
	l.becomes("back.away.test", "10.0.0.1")
	l.logged("loop.example", "circle")
	l.logged("circle.away.test", "circle")
	if l.has("loop.example") == nil || len(l.has("loop.example")) > 0 {
		t.Errorf("a loop has %s", l.has("loop.example"))
	}
}

// TestServerPointsInside: answers with the metadata service, or a pod.
func TestServerPointsInside(t *testing.T) {
	t.Parallel()
	l := newLive(t, quick())
	l.SetRefused([]names.Refusal{{What: "a pod's address", Set: ipSet(t, "10.20.0.0/16", "fd00:20::/32")}})
	l.must(l.server.Set("db.example. 0 A 100.100.100.200", "db.example. 0 A 10.20.0.10", "db.example. 0 A 10.0.0.1",
		"db.example. 0 AAAA fd00:20::10", "db.example. 0 AAAA ::1", "db.example. 0 AAAA 64:ff9b::100.100.100.200"))
	l.keep(db)
	l.becomes(db, "10.0.0.1")
	for _, want := range [][]string{{"100.100.100.200", "metadata"}, {"10.20.0.10", "a pod's"}, {"fd00:20::10", "a pod's"}, {"::1", "loopback"}, {"64:ff9b::6464:64c8", "NAT64"}} {
		l.logged(append(want, db, "refused")...)
	}
	if s := l.status(db); s.RefusedCount != 5 {
		t.Errorf("status: %+v", s)
	}
}

func TestServerInUse(t *testing.T) {
	t.Parallel()
	l := newLive(t, quick())
	l.inUse = []netip.Addr{netip.MustParseAddr("10.0.0.1")}
	l.must(l.server.Set("db.example. 0 A 10.0.0.1", "db.example. 0 A 10.0.0.2", "db.example. 0 A 10.0.0.3"))
	l.keep(db)
	l.becomes(db, "10.0.0.1", "10.0.0.2", "10.0.0.3")
	l.must(l.server.Set("db.example. 0 A 10.0.0.3"))
	l.becomes(db, "10.0.0.1", "10.0.0.3")
	time.Sleep(2 * time.Second)
	l.becomes(db, "10.0.0.1", "10.0.0.3")
	l.mu.Lock()
	l.inUse = nil
	l.mu.Unlock()
	l.becomes(db, "10.0.0.3")
}

// TestServerFourThousandNames are known, and after all have changed known again.
func TestServerFourThousandNames(t *testing.T) {
	t.Parallel()
	const n = 4000
	cfg := names.Config{Rate: 100_000}
	l := newLive(t, cfg)
	records := func(net byte) (rrs []string) {
		for i := range n {
			rrs = append(rrs, fmt.Sprintf("n%d.example. 10 A 10.%d.%d.%d", i, net, i/256, i%256))
		}
		return rrs
	}
	var keep []string
	for i := range n {
		keep = append(keep, fmt.Sprintf("n%d.example", i))
	}
	l.must(l.server.Set(records(1)...))
	begin := time.Now()
	l.keep(keep...)
	all := func(net byte) func() bool {
		return func() bool {
			l.mu.Lock()
			defer l.mu.Unlock()
			for i, name := range keep {
				if !slices.Contains(l.inForce[name], netip.AddrFrom4([4]byte{10, net, byte(i / 256), byte(i)})) {
					return false
				}
			}
			return true
		}
	}
	l.eventually("all are known", all(1))
	t.Logf("%d names known after %s", n, time.Since(begin))
	l.must(l.server.Set(records(2)...))
	begin = time.Now()
	l.Refresh()
	l.eventually("all have changed", all(2))
	t.Logf("and changed after %s", time.Since(begin))
	if tot := l.Status().Totals; tot.Failures > 0 || tot.Addrs != 2*n || tot.Capped > 0 {
		t.Errorf("totals: %+v", tot)
	}
}

// TestServerRestart: a Learner that is stopped and begun anew while nobody answers
// holds what the one before knew.
func TestServerRestart(t *testing.T) {
	t.Parallel()
	cfg := quick()
	cfg.Stale = time.Hour
	l := newLive(t, cfg)
	l.must(l.server.Set("db.example. 0 A 10.0.0.1"))
	l.keep(db)
	l.becomes(db, "10.0.0.1")
	data := l.Snapshot()

	again := newLive(t, cfg)
	again.must(again.server.Pause())
	again.must(again.Restore(data))
	again.keep(db)
	again.becomes(db, "10.0.0.1")
	again.logged(db, "no answer")
	again.must(again.server.Resume())
	again.must(again.server.Set("db.example. 0 A 10.0.0.2"))
	again.becomes(db, "10.0.0.2")
}
