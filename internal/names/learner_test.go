package names

import (
	"context"
	"errors"
	"fmt"
	"net/netip"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"
	"go4.org/netipx"
)

const db = "db.example"

func TestAddressesAppearAndGo(t *testing.T) {
	inWorld(t, Config{}, func(w *world) {
		w.answer(db, time.Minute, "10.0.0.2", "10.0.0.1", "10.0.0.1")
		w.answer(db, time.Minute, "fd00::1")
		w.set(db, "none.example")
		w.has(db, "10.0.0.1", "10.0.0.2", "fd00::1")
		w.has("none.example")
		if _, ok := w.inForce["none.example"]; !ok {
			t.Error("a name without addresses was not handed over")
		}

		// 10.0.0.2 goes when the answer that had it has been over for Grace: 1 min TTL and 5 min.
		w.answer(db, time.Minute, "10.0.0.1", "10.0.0.3")
		w.wait(45 * time.Second) // 3/4 of the TTL
		w.has(db, "10.0.0.1", "10.0.0.2", "10.0.0.3", "fd00::1")
		w.wait(6*time.Minute - 46*time.Second)
		w.has(db, "10.0.0.1", "10.0.0.2", "10.0.0.3", "fd00::1")
		w.wait(2 * time.Second)
		w.has(db, "10.0.0.1", "10.0.0.3", "fd00::1")

		w.set("none.example") // a name that is not kept goes at once
		if _, ok := w.inForce[db]; ok {
			t.Errorf("%s is in force: %s", db, w.inForce[db])
		}
		w.asked(db + " A")
		w.wait(time.Hour)
		if n := w.asked(db + " A"); n > 0 {
			t.Errorf("asked %d times for a name that is not kept", n)
		}
	})
}

// TestTimeOfRefresh: at 3/4 of the TTL, which is taken for 10 s at least and 5 min
// at most; a tenth of that earlier with the jitter at its most.
func TestTimeOfRefresh(t *testing.T) {
	for _, test := range []struct {
		ttl  time.Duration
		rand float64
		want time.Duration
	}{
		{0, 0, 7500 * time.Millisecond},
		{10 * time.Second, 0, 7500 * time.Millisecond},
		{11 * time.Second, 0, 8250 * time.Millisecond},
		{time.Minute, 0, 45 * time.Second},
		{time.Minute, 0.5, 42750 * time.Millisecond},
		{5 * time.Minute, 0, 225 * time.Second},
		{5*time.Minute + 1, 0, 225 * time.Second},
		{24 * time.Hour, 0, 225 * time.Second},
	} {
		for _, negative := range []bool{false, true} {
			inWorld(t, Config{Rand: func() float64 { return test.rand }}, func(w *world) {
				w.say(db, inet4, func() (answer, error) {
					return answer{addrs: addrs("10.0.0.1")[:1-map[bool]int{true: 1}[negative]], ttl: test.ttl, negative: negative}, nil
				})
				w.set(db)
				w.asked(db + " A")
				if got := time.Until(w.status(db).Next) + DefaultEnforcePause; got > test.want {
					t.Errorf("TTL %s: next in %s, want %s", test.ttl, got, test.want)
				}
				w.wait(test.want - 2*DefaultEnforcePause)
				if n := w.asked(db + " A"); n != 0 {
					t.Errorf("TTL %s, jitter %v: asked again before %s", test.ttl, test.rand, test.want)
				}
				w.wait(DefaultEnforcePause)
				if n := w.asked(db + " A"); n != 1 {
					t.Errorf("TTL %s, jitter %v: asked %d times at %s", test.ttl, test.rand, n, test.want)
				}
			})
		}
	}
}

// TestRotation: of 64 addresses each answer has 8 others; all are known in time,
// and stay.
func TestRotation(t *testing.T) {
	var all []string
	for i := range 64 {
		all = append(all, fmt.Sprintf("10.0.1.%d", i))
	}
	inWorld(t, Config{}, func(w *world) {
		turn := 0
		w.say(db, inet4, func() (answer, error) {
			a := answer{ttl: time.Minute}
			for i := range 8 {
				a.addrs = append(a.addrs, addrs(all[(turn*8+i)%64])...)
			}
			turn++
			return a, nil
		})
		w.set(db)
		for range 7 {
			w.wait(45 * time.Second)
		}
		w.has(db, all...)
		changes := 0
		for range 1000 {
			w.wait(45 * time.Second)
			if len(w.inForce[db]) != 64 {
				changes++
			}
		}
		if changes > 0 {
			t.Errorf("%d of 1000 times not all are in force", changes)
		}
		w.answer(db, time.Minute, all[0])
		w.wait(7 * time.Minute)
		w.has(db, all[0])
	})
}

func TestNegativeAnswerIsAnAnswer(t *testing.T) {
	inWorld(t, Config{Grace: time.Minute}, func(w *world) {
		w.answer(db, time.Minute, "10.0.0.1")
		w.set(db)
		w.answer(db, time.Hour)
		w.wait(45 * time.Second)
		if s := w.status(db); s.Error != "" || !s.StaleSince.IsZero() {
			t.Errorf("status: %+v", s)
		}
		w.wait(74 * time.Second)
		w.has(db, "10.0.0.1")
		w.wait(2 * time.Second)
		w.has(db)
		w.answer(db, time.Minute, "10.0.0.2")
		w.wait(5 * time.Minute)
		w.has(db, "10.0.0.2")
	})
}

// TestFailureKeepsAddresses: for Stale after the last answer that had them, then
// they go, whatever their TTL.
func TestFailureKeepsAddresses(t *testing.T) {
	inWorld(t, Config{Stale: time.Hour, Grace: time.Minute}, func(w *world) {
		w.answer(db, 10*time.Second, "10.0.0.1")
		w.set(db)
		begin := time.Now()
		w.fail(db)
		w.wait(10 * time.Second)
		w.logged(1, db+": SERVFAIL", "stay for up to 1h0m0s")
		s := w.status(db)
		if s.Error != "A: SERVFAIL" || s.StaleSince.Before(begin) || s.StaleSince.After(begin.Add(8*time.Second)) {
			t.Errorf("status: %+v", s)
		}
		if tot := w.l.Status().Totals; tot.Failing != 1 || tot.Unresolved != 0 || tot.Failures == 0 {
			t.Errorf("totals: %+v", tot)
		}
		w.wait(time.Until(begin.Add(time.Hour - 2*time.Second)))
		w.has(db, "10.0.0.1")
		w.wait(4 * time.Second)
		w.has(db)
		w.logged(1, db+": the address 10.0.0.1 goes", "1h0m0s", "SERVFAIL")
		w.answer(db, 10*time.Second, "10.0.0.1")
		w.wait(retryLast)
		w.has(db, "10.0.0.1")
		w.logged(1, db+": resolvers answer again")
		w.logged(1, db+": SERVFAIL")
	})
}

// TestHold: a name that only denies keeps its addresses as long as resolvers fail,
// also over a restart, and loses them as others do once they answer.
func TestHold(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		cfg := Config{Stale: time.Hour, Grace: time.Minute}
		w := newWorld(t, cfg)
		keep := []Name{{Name: db, Hold: true}, {Name: "allow.example"}}
		w.answer(db, 10*time.Second, "10.0.0.1")
		w.answer("allow.example", 10*time.Second, "10.0.0.2")
		if err := w.l.SetNames(keep); err != nil {
			t.Fatal(err)
		}
		w.run()
		w.wait(0)
		w.fail(db)
		w.fail("allow.example")
		w.wait(72 * time.Hour)
		w.has(db, "10.0.0.1")
		w.has("allow.example")
		if a := w.status(db).Addrs[0]; !a.Expires.IsZero() {
			t.Errorf("status: %+v", a)
		}
		w.logged(1, db+": SERVFAIL; its addresses of before stay")
		data := w.l.Snapshot()
		w.stop()

		w = newWorld(t, cfg)
		w.fail(db)
		if err := errors.Join(w.l.Restore(data), w.l.SetNames(keep)); err != nil {
			t.Fatal(err)
		}
		w.run()
		defer w.stop()
		w.wait(72 * time.Hour)
		w.has(db, "10.0.0.1")
		w.answer(db, 10*time.Second, "10.0.0.3")
		w.wait(2 * time.Minute)
		w.has(db, "10.0.0.3")
		w.fail(db)
		w.wait(10 * time.Second)
		keep[0].Hold = false // the rules have changed
		if err := w.l.SetNames(keep); err != nil {
			t.Fatal(err)
		}
		w.wait(2 * time.Hour)
		w.has(db)
	})
}

// TestRetriesBackOff: 1 s after a failure, then twice as long each time up to 30 s.
func TestRetriesBackOff(t *testing.T) {
	inWorld(t, Config{}, func(w *world) {
		w.fail(db)
		var at []time.Duration
		begin := time.Now()
		w.say(db, inet4, func() (answer, error) {
			at = append(at, time.Since(begin))
			return answer{}, errAsk
		})
		w.set(db)
		w.wait(95 * time.Second)
		want := []time.Duration{0, 1, 3, 7, 15, 31, 61, 91}
		for i := range want {
			want[i] *= time.Second
		}
		if !slices.Equal(at, want) {
			t.Errorf("asked at %s, want %s", at, want)
		}
	})
}

// TestRecoveryKeepsWhatRotates: what was held while questions failed stays for
// Grace after the first answer, which may show only some.
func TestRecoveryKeepsWhatRotates(t *testing.T) {
	inWorld(t, Config{Grace: time.Minute}, func(w *world) {
		w.answer(db, 10*time.Second, "10.0.0.1", "10.0.0.2")
		w.set(db)
		w.fail(db)
		w.wait(10 * time.Minute)
		w.answer(db, 10*time.Second, "10.0.0.1")
		w.wait(retryLast)
		w.has(db, "10.0.0.1", "10.0.0.2")
		w.wait(62 * time.Second)
		w.has(db, "10.0.0.1")
	})
}

// TestFlappingHoldsNothingForEver: resolvers that fail every other time prolong
// nothing beyond Stale and Grace.
func TestFlappingHoldsNothingForEver(t *testing.T) {
	inWorld(t, Config{Grace: time.Minute, Stale: 10 * time.Minute}, func(w *world) {
		w.answer(db, 10*time.Second, "10.0.0.1", "10.0.0.2")
		w.set(db)
		n := 0
		w.say(db, inet4, func() (answer, error) {
			if n++; n%2 == 0 {
				return answer{}, errAsk
			}
			return answer{addrs: addrs("10.0.0.1"), ttl: 10 * time.Second}, nil
		})
		w.wait(11*time.Minute + 2*time.Second)
		w.has(db, "10.0.0.1")
	})
}

// TestSlowRefreshLosesNothing: what the last answer had stays while the next has
// not come yet.
func TestSlowRefreshLosesNothing(t *testing.T) {
	inWorld(t, Config{Grace: time.Second}, func(w *world) {
		w.answer(db, 10*time.Second, "10.0.0.1")
		w.set(db)
		w.latency = 40 * time.Minute
		w.wait(40 * time.Minute)
		w.has(db, "10.0.0.1")
	})
}

func TestInUseStays(t *testing.T) {
	used := addrs("10.0.0.1")
	var fail error
	inUse := func(_ context.Context, asked []netip.Addr) ([]netip.Addr, error) {
		var out []netip.Addr
		for _, a := range asked {
			if slices.Contains(used, a) {
				out = append(out, a)
			}
		}
		return out, fail
	}
	inWorld(t, Config{InUse: inUse, Grace: time.Minute, Stale: time.Hour}, func(w *world) {
		w.answer(db, 10*time.Second, "10.0.0.1", "10.0.0.2", "10.0.0.3")
		w.set(db)
		w.answer(db, 10*time.Second, "10.0.0.3")
		w.wait(10 * time.Minute)
		w.has(db, "10.0.0.1", "10.0.0.3")
		if s := w.status(db); !s.Addrs[0].InUse || s.Addrs[1].InUse {
			t.Errorf("status: %+v", s.Addrs)
		}
		if n := w.l.Status().Totals.InUse; n != 1 {
			t.Errorf("%d in use, want 1", n)
		}
		w.wait(48 * time.Hour)
		w.has(db, "10.0.0.1", "10.0.0.3")
		fail = errors.New("no table") // cannot tell: stays for Stale more
		used = nil
		w.wait(59 * time.Minute)
		w.has(db, "10.0.0.1", "10.0.0.3")
		w.logged(118, "cannot tell which addresses are in use", "no table") // every 30 s
		w.wait(2 * time.Minute)
		w.has(db, "10.0.0.3")
	})
	used, fail = addrs("10.0.0.1"), nil
	inWorld(t, Config{InUse: inUse, Grace: time.Minute}, func(w *world) { // its connections end
		w.answer(db, 10*time.Second, "10.0.0.1")
		w.set(db)
		w.answer(db, 10*time.Second)
		w.wait(10 * time.Minute)
		w.has(db, "10.0.0.1")
		used = nil
		w.wait(DefaultInUseCheck + endPause)
		w.has(db)
	})
}

// TestInUseCannotBeToldLater: that an address was in use once, before answers had it
// again, shortens nothing.
func TestInUseCannotBeToldLater(t *testing.T) {
	var fail error
	inUse := func(_ context.Context, asked []netip.Addr) ([]netip.Addr, error) {
		if fail != nil {
			return nil, fail
		}
		return asked, nil
	}
	inWorld(t, Config{InUse: inUse, Grace: time.Minute, Stale: time.Hour}, func(w *world) {
		w.answer(db, 10*time.Second, "10.0.0.1")
		w.set(db)
		w.answer(db, 10*time.Second)
		w.wait(10 * time.Minute) // in use
		w.answer(db, 10*time.Second, "10.0.0.1")
		w.wait(24 * time.Hour)
		fail = errors.New("no table")
		w.answer(db, 10*time.Second)
		w.wait(30 * time.Minute)
		w.has(db, "10.0.0.1")
	})
}

// TestAnsweredWhileInUseIsAsked: an answer that comes meanwhile keeps its address.
func TestAnsweredWhileInUseIsAsked(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, Config{Grace: time.Second})
		defer w.mu.Unlock()
		if err := w.l.SetNames([]Name{{Name: db}}); err != nil {
			t.Fatal(err)
		}
		it := &w.l.names[db].fam[inet4].ask
		begin := time.Now()
		w.l.take(it, answer{addrs: addrs("10.0.0.1", "10.0.0.2"), ttl: 0}, begin)
		w.l.take(it, answer{addrs: addrs("10.0.0.3"), ttl: 0}, begin.Add(time.Second))
		w.l.scheduleEnd(it.name)
		then := begin.Add(time.Minute)
		done, _ := w.l.collectOver(then)
		if len(done) != 2 {
			t.Fatalf("%d addresses are over, want 2", len(done))
		}
		w.l.take(it, answer{addrs: addrs("10.0.0.2", "10.0.0.3"), ttl: 0}, then)
		w.l.endOver(done, nil, nil, then)
		if got := w.l.Current()[db]; !slices.Equal(got, addrs("10.0.0.2", "10.0.0.3")) {
			t.Errorf("left: %s", got)
		}
	})
}

func TestInUseIsAskedOnceForAll(t *testing.T) {
	calls := 0
	inUse := func(context.Context, []netip.Addr) ([]netip.Addr, error) { calls++; return nil, nil }
	inWorld(t, Config{InUse: inUse, Grace: time.Minute}, func(w *world) {
		var names []string
		for i := range 500 {
			name := fmt.Sprintf("n%d.example", i)
			names = append(names, name)
			w.answer(name, 10*time.Second, fmt.Sprintf("10.1.%d.%d", i/256, i%256))
		}
		w.set(names...)
		for _, name := range names {
			w.answer(name, 10*time.Second)
		}
		w.wait(5 * time.Minute)
		if n := w.l.Status().Totals.Addrs; n > 0 {
			t.Errorf("%d addresses are left", n)
		}
		if calls == 0 || calls > 3 {
			t.Errorf("%d calls for 500 addresses that go within half a second", calls)
		}
	})
}

func TestCaps(t *testing.T) {
	inWorld(t, Config{MaxPerName: 3, MaxAddrs: 5}, func(w *world) {
		w.answer(db, time.Minute, "10.0.0.5", "10.0.0.4")
		w.set(db)
		w.answer(db, time.Minute, "10.0.0.1", "10.0.0.2", "10.0.0.3", "10.0.0.4", "10.0.0.5")
		w.wait(time.Minute)
		w.has(db, "10.0.0.1", "10.0.0.4", "10.0.0.5") // those in force stay, of the new the lowest
		w.logged(1, db+": 2 of its addresses are left out, first 10.0.0.2: it has 3, the limit")
		if s := w.status(db); s.Capped != 2 {
			t.Errorf("capped: %d", s.Capped)
		}
		w.wait(time.Hour)
		w.has(db, "10.0.0.1", "10.0.0.4", "10.0.0.5")
		w.logged(1, "left out")

		w.answer("b.example", time.Minute, "10.0.1.1", "10.0.1.2", "10.0.1.3")
		w.set(db, "b.example")
		w.has("b.example", "10.0.1.1", "10.0.1.2")
		w.logged(1, "b.example: 1 of its addresses are left out, first 10.0.1.3: all names together have 5, the limit")
		if tot := w.l.Status().Totals; tot.Addrs != 5 || tot.Capped != 3 {
			t.Errorf("totals: %+v", tot)
		}
		w.set("b.example") // there is room again
		w.wait(time.Minute)
		w.has("b.example", "10.0.1.1", "10.0.1.2", "10.0.1.3")
		if s := w.status("b.example"); s.Capped != 0 {
			t.Errorf("capped: %d", s.Capped)
		}
	})
}

func TestRefusedAddresses(t *testing.T) {
	inWorld(t, Config{}, func(w *world) {
		w.l.SetRefused([]Refusal{{"a pod's address", set("10.20.0.0/16")}, {"nothing", nil}})
		w.answer(db, time.Minute, "100.100.100.200", "10.20.0.7", "10.0.0.1")
		w.answer(db, time.Minute, "::ffff:10.0.0.2", "::ffff:169.254.169.254", "fd00::1")
		w.set(db)
		w.has(db, "10.0.0.1", "10.0.0.2", "fd00::1")
		w.logged(1, db, "100.100.100.200", "refused", "metadata")
		w.logged(1, db, "10.20.0.7", "refused", "a pod's address")
		w.logged(1, db, "169.254.169.254", "refused", "metadata")
		w.wait(time.Hour)
		w.logged(3, "refused")
		want := []RefusedAddr{
			{netip.MustParseAddr("10.20.0.7"), "a pod's address"}, {netip.MustParseAddr("100.100.100.200"), metadata},
			{netip.MustParseAddr("169.254.169.254"), metadata},
		}
		if s := w.status(db); !slices.Equal(s.Refused, want) || s.RefusedCount != 3 {
			t.Errorf("refused: %+v", s)
		}

		// What becomes a pod's goes at once.
		w.l.SetRefused([]Refusal{{"a pod's address", set("10.0.0.1/32", "fd00::/16")}})
		w.wait(0)
		w.has(db, "10.0.0.2")
		w.logged(1, db+": the address 10.0.0.1 goes: it is a pod's address")
		w.wait(time.Minute)
		w.has(db, "10.0.0.2", "10.20.0.7")
	})
}

func set(prefixes ...string) *netipx.IPSet {
	var b netipx.IPSetBuilder
	for _, p := range prefixes {
		b.AddPrefix(netip.MustParsePrefix(p))
	}
	s, err := b.IPSet()
	if err != nil {
		panic(err)
	}
	return s
}

// TestStaticAddresses: the operator's are enforced whatever answers say, and are
// not refused.
func TestStaticAddresses(t *testing.T) {
	inWorld(t, Config{}, func(w *world) {
		w.answer(db, time.Minute, "169.254.169.254", "169.254.169.253", "10.0.0.1")
		if err := w.l.SetNames([]Name{{Name: db, Static: addrs("169.254.169.254", "::ffff:192.0.2.1")}}); err != nil {
			t.Fatal(err)
		}
		w.wait(0)
		w.has(db, "10.0.0.1", "169.254.169.254", "192.0.2.1")
		w.fail(db)
		w.wait(24 * time.Hour)
		w.has(db, "169.254.169.254", "192.0.2.1")
		for _, a := range w.status(db).Addrs {
			if !a.Static || !a.Expires.IsZero() {
				t.Errorf("status: %+v", a)
			}
		}
		w.answer(db, time.Minute, "10.0.0.1", "192.0.2.1")
		w.wait(retryLast)
		w.set(db) // none is static any more: what answers have stays, if it may
		w.has(db, "10.0.0.1", "192.0.2.1")
		w.answer(db, time.Minute, "10.0.0.1")
		w.wait(8 * time.Minute)
		w.has(db, "10.0.0.1")
	})
}

// TestStaticNoMore: an address that only the operator may open goes when the operator
// no longer does, whatever answers say.
func TestStaticNoMore(t *testing.T) {
	inWorld(t, Config{}, func(w *world) {
		w.answer(db, time.Minute, "169.254.169.254", "10.0.0.1")
		if err := w.l.SetNames([]Name{{Name: db, Static: addrs("169.254.169.254", "10.0.0.1")}}); err != nil {
			t.Fatal(err)
		}
		w.wait(0)
		w.has(db, "10.0.0.1", "169.254.169.254")
		w.set(db)
		w.has(db, "10.0.0.1")
	})
}

func TestSetNamesChecks(t *testing.T) {
	l, err := New(Config{Resolvers: []netip.AddrPort{testResolver}, Enforce: func(context.Context, Known) error { return nil }})
	if err != nil {
		t.Fatal(err)
	}
	for _, bad := range [][]Name{{{Name: "DB.example"}}, {{Name: "db.example."}}, {{Name: "*.example"}}, {{Name: ""}}, {{Name: db}, {Name: db}}} {
		if err := l.SetNames(bad); err == nil {
			t.Errorf("%v was taken", bad)
		}
	}
	if n := len(l.Status().Names); n != 0 {
		t.Errorf("%d names are kept", n)
	}
}

func TestNewChecks(t *testing.T) {
	enforce := func(context.Context, Known) error { return nil }
	for _, bad := range []Config{
		{Enforce: enforce}, {Resolvers: []netip.AddrPort{testResolver}},
		{Enforce: enforce, Resolvers: []netip.AddrPort{{}}},
		{Enforce: enforce, Resolvers: []netip.AddrPort{netip.AddrPortFrom(testResolver.Addr(), 0)}},
	} {
		if _, err := New(bad); err == nil {
			t.Errorf("%+v was taken", bad)
		}
	}
}

// TestEnforceIsTriedAgain: what changed since it last succeeded adds up.
func TestEnforceIsTriedAgain(t *testing.T) {
	inWorld(t, Config{}, func(w *world) {
		w.answer(db, time.Minute, "10.0.0.1")
		w.answer("gone.example", time.Minute, "10.0.0.9")
		w.set(db, "gone.example")
		calls := w.calls
		w.failing = errors.New("busy")
		w.answer(db, time.Minute, "10.0.0.1", "10.0.0.2")
		w.answer("new.example", time.Minute, "10.0.1.1")
		since := time.Now()
		w.set(db, "new.example")
		w.l.Refresh()
		w.wait(time.Minute)
		if n := w.calls - calls; n < 8 || n > 14 { // 0.1, 0.2, 0.4 .. 25.6 s
			t.Errorf("%d calls in a minute", n)
		}
		w.logged(w.calls-calls, "changed addresses of", "busy")
		want := []Change{
			{db, addrs("10.0.0.2"), nil},
			{"gone.example", nil, addrs("10.0.0.9")},
			{"new.example", addrs("10.0.1.1"), nil},
		}
		same := cmp.Comparer(func(a, b netip.Addr) bool { return a == b })
		if d := cmp.Diff(want, w.last.Changes, same); d != "" || w.last.Whole || !w.last.Since.Equal(since) {
			t.Errorf("whole %v, since %s, want %s; changes (-want +got):\n%s", w.last.Whole, w.last.Since, since, d)
		}
		if tot := w.l.Status().Totals; tot.EnforceError != "busy" || tot.EnforceFailures == 0 {
			t.Errorf("totals: %+v", tot)
		}
		w.failing = nil
		w.wait(enforceRetryLast)
		w.has(db, "10.0.0.1", "10.0.0.2")
		w.has("new.example", "10.0.1.1")
		if tot := w.l.Status().Totals; tot.EnforceError != "" || tot.Delay < time.Minute || tot.Delay > 2*time.Minute {
			t.Errorf("totals: %+v", tot)
		}
	})
}

// TestNothingBeforeNames: a process that begins anew takes nothing from a backend
// before it knows what it should hold.
func TestNothingBeforeNames(t *testing.T) {
	inWorld(t, Config{}, func(w *world) {
		w.wait(time.Hour)
		if w.calls > 0 {
			t.Errorf("%d calls before names were set", w.calls)
		}
		w.set()
		if w.calls != 1 || !w.last.Whole || len(w.last.Addrs) > 0 {
			t.Errorf("%d calls, %+v", w.calls, w.last)
		}
	})
}

// TestWhole: the first call, also if it has to be made again, and after Resync.
func TestWhole(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, Config{})
		w.failing = errors.New("busy")
		w.run()
		defer w.stop()
		w.answer(db, time.Minute, "10.0.0.1")
		w.set(db)
		if !w.last.Whole {
			t.Error("the first call is not for the whole")
		}
		w.failing = nil
		w.wait(time.Second)
		if !w.last.Whole || len(w.last.Changes) != 1 {
			t.Errorf("after a failure: %+v", w.last)
		}
		w.answer(db, time.Minute, "10.0.0.1", "10.0.0.2")
		w.wait(time.Minute)
		if w.last.Whole || !slices.Equal(w.last.Changes[0].Added, addrs("10.0.0.2")) {
			t.Errorf("a change: %+v", w.last)
		}
		w.l.Resync()
		w.wait(0)
		if !w.last.Whole || !slices.Equal(w.last.Changes[0].Added, addrs("10.0.0.1", "10.0.0.2")) {
			t.Errorf("after Resync: %+v", w.last)
		}
		calls := w.calls
		w.wait(time.Hour)
		if w.calls != calls {
			t.Errorf("%d calls without a change", w.calls-calls)
		}
	})
}

// TestEnforceIsPaced: many changes are few calls, and the first does not wait.
func TestEnforceIsPaced(t *testing.T) {
	inWorld(t, Config{}, func(w *world) {
		var names []string
		for i := range 2000 {
			names = append(names, fmt.Sprintf("n%d.example", i))
			w.answer(names[i], time.Minute, fmt.Sprintf("10.1.%d.%d", i/256, i%256))
		}
		w.latency = 50 * time.Millisecond // 64 at a time: 3.2 s
		w.wait(time.Second)
		calls := w.calls
		w.set(names...)
		w.wait(5 * time.Second)
		if n := w.calls - calls; n < 20 || n > 40 {
			t.Errorf("%d calls for 2000 names that were learned in 3 s", n)
		}
		w.wait(10 * time.Second)
		w.latency = 0
		w.say(names[0], inet4, func() (answer, error) { return answer{addrs: addrs("10.9.9.9"), ttl: time.Minute}, nil })
		w.l.Refresh()
		w.pass(0)
		if !slices.Contains(w.inForce[names[0]], netip.MustParseAddr("10.9.9.9")) {
			t.Error("a change after a pause was not enforced at once")
		}
	})
}

func TestSharedAddressIsSaidOnce(t *testing.T) {
	var differ atomic.Bool
	decides := func(a, b string) bool { return differ.Load() || a != "like.example" && b != "like.example" }
	inWorld(t, Config{Decides: decides}, func(w *world) {
		w.answer("b.example", time.Minute, "10.0.0.1", "10.0.0.2")
		w.answer("a.example", time.Minute, "10.0.0.1", "10.0.0.2")
		w.answer("like.example", time.Minute, "10.0.0.1")
		w.set("b.example", "a.example", "like.example")
		w.wait(24 * time.Hour)
		w.logged(1, "a.example and b.example both have the address 10.0.0.1")
		w.logged(1, "both have")
		if n := w.l.Status().Totals.Shared; n != 2 {
			t.Errorf("%d shared, want 2", n)
		}
		differ.Store(true) // the rules have changed
		w.set("a.example", "like.example")
		w.logged(1, "a.example and like.example both have the address 10.0.0.1")
		w.set("a.example")
		if n := w.l.Status().Totals.Shared; n != 0 {
			t.Errorf("%d shared, want 0", n)
		}
	})
}

// TestLogIsBounded: an outage of 10,000 names is few lines, that say how many.
func TestLogIsBounded(t *testing.T) {
	inWorld(t, Config{}, func(w *world) {
		var names []string
		for i := range 10_000 {
			names = append(names, fmt.Sprintf("n%d.example", i))
			w.fail(names[i])
		}
		w.set(names...)
		w.wait(3 * time.Minute)
		w.logged(quietMost, "SERVFAIL")
		w.logged(1, fmt.Sprintf("failing: %d more like those above", 10_000-quietMost))
		if len(w.lines) > 15 {
			t.Errorf("%d lines", len(w.lines))
		}
	})
}

func TestSettle(t *testing.T) {
	inWorld(t, Config{}, func(w *world) {
		w.answer(db, time.Minute, "10.0.0.1")
		w.fail("bad.example")
		w.latency = 3 * time.Second
		begin := time.Now()
		if err := w.l.SetNames([]Name{{Name: db}, {Name: "bad.example"}}); err != nil {
			t.Fatal(err)
		}
		short, cancel := context.WithTimeout(w.t.Context(), time.Second)
		defer cancel()
		w.mu.Unlock()
		defer w.mu.Lock()
		if err := w.l.Settle(short, db); !errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("error: %v", err)
		}
		if err := w.l.Settle(w.t.Context(), db, "bad.example", "other.example"); err != nil || time.Since(begin) != 3*time.Second {
			t.Errorf("settled after %s, %v", time.Since(begin), err)
		}
		if got := w.l.Current()[db]; !slices.Equal(got, addrs("10.0.0.1")) {
			t.Errorf("current: %s", got)
		}
	})
}

// TestConcurrencyIsBounded: questions of 10,000 names, none of which is answered.
func TestConcurrencyIsBounded(t *testing.T) {
	inWorld(t, Config{Concurrency: 7}, func(w *world) {
		var names []string
		for i := range 10_000 {
			names = append(names, fmt.Sprintf("n%d.example", i))
		}
		w.latency = time.Hour
		w.set(names...)
		w.wait(59 * time.Minute)
		if n := len(w.asks); n != 7 {
			t.Errorf("%d questions at a time, want 7", n)
		}
		if s := strings.Join(w.lines, "\n"); s != "" {
			t.Error(s)
		}
	})
}
