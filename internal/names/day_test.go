package names

import (
	"context"
	"fmt"
	"math/rand/v2"
	"net/netip"
	"runtime"
	"slices"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"
)

// TestDay lets a day pass for 25 names with all kinds of TTLs, answers and
// failures, and checks at the end that nothing has grown, that no question was asked
// more often than the bounds allow, and that the goroutines are what they were.
func TestDay(t *testing.T) {
	const n = 25
	cfg := Config{MaxPerName: 32, InUse: func(_ context.Context, asked []netip.Addr) ([]netip.Addr, error) { return asked[:len(asked)/3], nil }}
	inWorld(t, cfg, func(w *world) {
		rng := rand.New(rand.NewPCG(1, 2))
		var names []string
		for i := range n {
			name := fmt.Sprintf("n%d.example", i)
			names = append(names, name)
			ttl := []time.Duration{0, time.Second, 30 * time.Second, time.Minute, 24 * time.Hour}[i%5]
			w.say(name, inet4, func() (answer, error) {
				switch rng.IntN(20) {
				case 0:
					return answer{}, errAsk
				case 1:
					return answer{negative: true, ttl: ttl}, nil
				}
				a := answer{ttl: ttl}
				for range 1 + rng.IntN(8) {
					a.addrs = append(a.addrs, netip.AddrFrom4([4]byte{10, 0, byte(i), byte(rng.IntN(64))}))
				}
				return a, nil
			})
		}
		w.set(names...)
		w.wait(time.Hour)
		w.pass(0)
		routines, heap := runtime.NumGoroutine(), heapBytes()
		w.asks = nil
		for range 23 {
			w.wait(time.Hour)
			asked := map[string]int{}
			for _, key := range w.asks {
				asked[key]++
			}
			w.asks = nil
			for key, k := range asked { // every 7.5 s at the most often, and a few retries
				if k > 3600/6 || k < 10 {
					t.Fatalf("%s was asked for %d times in an hour", key, k)
				}
			}
			if len(asked) != 2*n {
				t.Fatalf("%d questions were asked in an hour, want %d", len(asked), 2*n)
			}
			w.logMu.Lock()
			w.lines = nil
			w.logMu.Unlock()
		}
		tot := w.l.Status().Totals
		if tot.Addrs > 32*n || tot.Names != n || len(w.l.owners) > tot.Addrs || len(w.l.asks.h) != 2*n || len(w.l.ends.h) > n || len(w.l.dirty) > n {
			t.Errorf("totals: %+v; %d owners, %d asks, %d ends, %d dirty", tot, len(w.l.owners), len(w.l.asks.h), len(w.l.ends.h), len(w.l.dirty))
		}
		if after := runtime.NumGoroutine(); after > routines+8 {
			t.Errorf("%d goroutines, before %d", after, routines)
		}
		if after := heapBytes(); after > heap+4<<20 {
			t.Errorf("heap grew from %d to %d bytes", heap, after)
		}
		w.set()
		tot = w.l.Status().Totals
		if tot.Addrs != 0 || tot.Names != 0 || len(w.l.owners)+len(w.l.asks.h)+len(w.l.ends.h)+len(w.inForce) != 0 || tot.Shared != 0 {
			t.Errorf("without names: %+v; %d owners, %d asks, %d ends, %d in force", tot, len(w.l.owners), len(w.l.asks.h), len(w.l.ends.h), len(w.inForce))
		}
	})
}

func heapBytes() uint64 {
	runtime.GC()
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	return m.HeapAlloc
}

// TestTenThousandNames: all are known within 21 s at the default rate of 1,000
// queries a second, which is never exceeded, and are asked for again in time.
func TestTenThousandNames(t *testing.T) {
	const n = 10_000
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, Config{})
		var asked atomic.Int64
		w.l.ask = func(ctx context.Context, name string, f family) (answer, error) { // as the client does
			if err := w.l.net.pace.wait(ctx); err != nil {
				return answer{}, err
			}
			asked.Add(1)
			time.Sleep(5 * time.Millisecond)
			if f == inet6 {
				return answer{negative: true, ttl: time.Minute}, nil
			}
			var i int
			if _, err := fmt.Sscanf(name, "n%d.example", &i); err != nil {
				t.Error(err)
			}
			return answer{addrs: []netip.Addr{netip.AddrFrom4([4]byte{10, 1, byte(i / 256), byte(i)})}, ttl: time.Minute}, nil
		}
		w.run()
		defer w.stop()
		var names []string
		for i := range n {
			names = append(names, fmt.Sprintf("n%d.example", i))
		}
		begin := time.Now()
		w.set(names...)
		w.mu.Unlock()
		err := w.l.Settle(w.t.Context(), names...)
		w.mu.Lock()
		if err != nil {
			t.Fatal(err)
		}
		if d := time.Since(begin); d > 21*time.Second {
			t.Errorf("all names are known after %s", d)
		}
		w.wait(DefaultEnforcePause)
		if tot := w.l.Status().Totals; tot.Addrs != n || tot.Unresolved > 0 || len(w.inForce) != n {
			t.Errorf("totals: %+v, %d in force", tot, len(w.inForce))
		}
		before := asked.Load()
		w.wait(3 * time.Minute)
		if got := asked.Load() - before; got > 181_000 || got < 2*n*3 {
			t.Errorf("%d queries in 3 min", got)
		}
		now := time.Now()
		for _, s := range w.l.Status().Names {
			if now.Sub(s.Answered) > time.Minute {
				t.Fatalf("%s was last answered %s ago", s.Name, now.Sub(s.Answered))
			}
		}
	})
}

// TestRandom draws answers, failures, time, names, caps and connections, and checks
// after each step what must hold whatever happens.
func TestRandom(t *testing.T) {
	for seed := range uint64(40) {
		t.Run(fmt.Sprint(seed), func(t *testing.T) { testRandom(t, seed) })
	}
}

func testRandom(t *testing.T, seed uint64) {
	rng := rand.New(rand.NewPCG(seed, 7))
	var live []netip.Addr
	cfg := Config{
		Grace: time.Minute, Stale: 10 * time.Minute, MaxPerName: 6, MaxAddrs: 15,
		InUse: func(_ context.Context, asked []netip.Addr) ([]netip.Addr, error) {
			return slices.DeleteFunc(slices.Clone(asked), func(a netip.Addr) bool { return !slices.Contains(live, a) }), nil
		},
	}
	type given struct {
		at  time.Time
		ttl time.Duration
	}
	inWorld(t, cfg, func(w *world) {
		universe := []string{"a.example", "b.example", "c.example"}
		seen := map[string]map[netip.Addr]given{} // the last answer that had it
		latest := map[string][]netip.Addr{}       // of the last answer
		for _, name := range universe {
			seen[name] = map[netip.Addr]given{}
		}
		lived := map[netip.Addr]time.Time{} // when connections were last live
		var steps []string
		for range 150 {
			name := universe[rng.IntN(len(universe))]
			switch rng.IntN(6) {
			case 0, 1:
				var as []netip.Addr
				for range rng.IntN(5) {
					as = append(as, netip.AddrFrom4([4]byte{10, 0, 0, byte(rng.IntN(12))}))
				}
				ttl := time.Duration(rng.IntN(100)) * time.Second
				steps = append(steps, fmt.Sprintf("%s answers %s for %s", name, as, ttl))
				w.say(name, inet4, func() (answer, error) {
					for _, a := range as {
						seen[name][a] = given{time.Now(), w.cfg.clampTTL(ttl)}
					}
					latest[name] = as
					return answer{addrs: as, ttl: ttl, negative: len(as) == 0}, nil
				})
			case 2:
				steps = append(steps, name+" fails")
				w.fail(name)
			case 3:
				for _, a := range live {
					lived[a] = time.Now()
				}
				live = nil
				for i := range byte(12) {
					if rng.IntN(8) == 0 {
						live = append(live, netip.AddrFrom4([4]byte{10, 0, 0, i}))
					}
				}
				steps = append(steps, fmt.Sprintf("live: %s", live))
			case 4:
				keep := slices.DeleteFunc(slices.Clone(universe), func(string) bool { return rng.IntN(3) == 0 })
				steps = append(steps, fmt.Sprintf("names: %s", keep))
				for _, n := range universe {
					if !slices.Contains(keep, n) {
						seen[n], latest[n] = map[netip.Addr]given{}, nil
					}
				}
				w.set(keep...)
			case 5:
				w.failing = nil
				if rng.IntN(3) == 0 {
					w.failing = errAsk
				}
			}
			w.wait(time.Duration(rng.IntN(300)) * time.Second)
			if rng.IntN(10) == 0 {
				w.wait(time.Duration(rng.IntN(30)) * time.Minute)
			}
			now, total := time.Now(), 0
			for key, as := range w.l.Current() {
				total += len(as)
				for _, a := range as {
					g, ok := seen[key][a]
					if !ok {
						t.Errorf("%s has %s, which no answer had", key, a)
					}
					if bound := max(cfg.Stale, g.ttl) + cfg.Grace + DefaultInUseCheck + 3*endPause; now.Sub(g.at) > bound && !slices.Contains(live, a) && now.Sub(lived[a]) > DefaultInUseCheck+3*endPause {
						t.Errorf("%s has %s, last answered %s ago, and no connection", key, a, now.Sub(g.at))
					}
				}
				if len(as) > cfg.MaxPerName {
					t.Errorf("%s has %d addresses", key, len(as))
				}
				for _, a := range latest[key] {
					if now.Sub(seen[key][a].at) < cfg.Stale && !slices.Contains(as, a) && w.status(key).Capped == 0 {
						t.Errorf("%s lacks %s, which the last answer had", key, a)
					}
				}
			}
			if total > cfg.MaxAddrs || total != w.l.Status().Totals.Addrs {
				t.Errorf("%d addresses, totals say %d", total, w.l.Status().Totals.Addrs)
			}
			if t.Failed() {
				t.Fatalf("after these steps: %q", steps)
			}
		}
		w.failing = nil
		w.wait(enforceRetryLast + time.Second)
		for key, as := range w.l.Current() {
			if !slices.Equal(as, w.inForce[key]) {
				t.Errorf("%s: %s is known, %s in force", key, as, w.inForce[key])
			}
		}
	})
}
