package names

import (
	"context"
	"net/netip"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"
)

// afterRestart runs a Learner that learns addresses of db.example and is stopped,
// and begin with one that has restored what it knew, after down. prepare comes before
// the second runs.
func afterRestart(t *testing.T, cfg Config, down time.Duration, prepare, f func(w *world)) {
	t.Helper()
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, cfg)
		w.run()
		w.answer(db, time.Minute, "10.0.0.1", "10.0.0.2")
		w.answer(db, time.Minute, "fd00::1")
		w.answer("other.example", time.Minute, "10.0.0.9")
		w.set(db, "other.example")
		w.answer(db, time.Minute, "10.0.0.1")
		w.wait(time.Minute)
		data := w.l.Snapshot()
		w.stop()
		time.Sleep(down)

		w = newWorld(t, cfg)
		if err := w.l.Restore(data); err != nil {
			t.Fatal(err)
		}
		w.fail(db)
		w.say(db, inet6, func() (answer, error) { return answer{}, errAsk })
		if prepare != nil {
			prepare(w)
		}
		w.run()
		defer w.stop()
		w.set(db)
		f(w)
	})
}

func TestRestartHoldsAddresses(t *testing.T) {
	cfg := Config{Stale: time.Hour, Grace: 5 * time.Minute}
	afterRestart(t, cfg, 20*time.Minute, nil, func(w *world) {
		w.has(db, "10.0.0.1", "10.0.0.2", "fd00::1")
		if _, ok := w.inForce["other.example"]; ok {
			t.Error("a name that is not set was restored")
		}
		if s := w.status(db); s.Addrs[0].Since.After(time.Now().Add(-20*time.Minute)) || s.StaleSince.IsZero() {
			t.Errorf("status: %+v", s)
		}
		w.answer(db, time.Minute, "10.0.0.1") // it holds until refreshed
		w.say(db, inet6, func() (answer, error) { return answer{negative: true}, nil })
		w.wait(4 * time.Minute)
		w.has(db, "10.0.0.1", "10.0.0.2", "fd00::1")
		w.wait(90 * time.Second)
		w.has(db, "10.0.0.1")
	})
	afterRestart(t, cfg, 20*time.Minute, nil, func(w *world) { // nobody answers
		w.wait(38 * time.Minute)
		w.has(db, "10.0.0.1", "10.0.0.2", "fd00::1")
		w.wait(3 * time.Minute)
		w.has(db)
	})
	afterRestart(t, cfg, 59*time.Minute+30*time.Second, nil, func(w *world) { // 10.0.0.2 is too old
		w.has(db, "10.0.0.1", "fd00::1")
	})
	afterRestart(t, cfg, 61*time.Minute, nil, func(w *world) { w.has(db) })
}

// TestRestartRefuses: what has become a pod's address meanwhile does not come back.
func TestRestartRefuses(t *testing.T) {
	refuse := func(w *world) { w.l.SetRefused([]Refusal{{"a pod's address", set("10.0.0.1/32")}}) }
	afterRestart(t, Config{}, time.Minute, refuse, func(w *world) { w.has(db, "10.0.0.2", "fd00::1") })
}

// TestRestartKeepsInUse: an address that is long past its time, and was kept for its
// connections, is kept if they still live.
func TestRestartKeepsInUse(t *testing.T) {
	for _, alive := range []bool{true, false} {
		inUse := func(_ context.Context, asked []netip.Addr) ([]netip.Addr, error) {
			if !alive {
				return nil, nil
			}
			return asked, nil
		}
		synctest.Test(t, func(t *testing.T) {
			yes := func(_ context.Context, asked []netip.Addr) ([]netip.Addr, error) { return asked, nil }
			w := newWorld(t, Config{InUse: yes})
			w.run()
			w.answer(db, time.Minute, "10.0.0.1")
			w.set(db)
			w.answer(db, time.Minute, "10.0.0.2")
			w.wait(24 * time.Hour)
			w.has(db, "10.0.0.1", "10.0.0.2")
			data := w.l.Snapshot()
			w.stop()
			w = newWorld(t, Config{InUse: inUse})
			if err := w.l.Restore(data); err != nil {
				t.Fatal(err)
			}
			w.fail(db)
			w.run()
			defer w.stop()
			w.set(db)
			w.wait(DefaultInUseCheck + endPause)
			if alive {
				w.has(db, "10.0.0.1", "10.0.0.2")
			} else {
				w.has(db, "10.0.0.2")
			}
		})
	}
}

// TestRestartAsksForConnections: connections with an address may live although it has become too
// old since it was last written down.
func TestRestartAsksForConnections(t *testing.T) {
	alive := addrs("10.0.0.2")
	cfg := Config{Stale: time.Hour, InUse: func(context.Context, []netip.Addr) ([]netip.Addr, error) { return alive, nil }}
	afterRestart(t, cfg, 24*time.Hour, nil, func(w *world) {
		w.wait(endPause)
		w.has(db, "10.0.0.2")
		alive = nil
		w.wait(DefaultInUseCheck + endPause)
		w.has(db)
	})
}

// TestClockPutBack: addresses that seem to be of the future are of now.
func TestClockPutBack(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, Config{Stale: time.Hour})
		data := strings.ReplaceAll(aSnapshot, "2000-", "2030-")
		if err := w.l.Restore([]byte(data)); err != nil {
			t.Fatal(err)
		}
		w.fail(db)
		w.run()
		defer w.stop()
		w.set(db)
		w.has(db, "10.0.0.1")
		w.wait(time.Hour + time.Minute)
		w.has(db)
	})
}

const aSnapshot = `{"version":1,"written":"2000-01-01T00:00:00Z","names":[{"name":"db.example","addrs":[{"addr":"10.0.0.1","record":"A",` +
	`"since":"2000-01-01T00:00:00Z","seen":"2000-01-01T00:00:00Z","expires":"2000-01-01T00:06:00Z"}]}]}` + "\n"

// TestSnapshotForm: another version of the program must be able to read it.
func TestSnapshotForm(t *testing.T) {
	inWorld(t, Config{}, func(w *world) {
		w.answer(db, time.Minute, "10.0.0.1")
		if err := w.l.SetNames([]Name{{Name: db, Static: addrs("192.0.2.1")}, {Name: "none.example"}}); err != nil {
			t.Fatal(err)
		}
		w.pass(0)
		if got := string(w.l.Snapshot()); got != aSnapshot {
			t.Errorf("%s\nwant\n%s", got, aSnapshot)
		}
	})
}

func TestRestoreChecks(t *testing.T) {
	for _, bad := range []string{
		"", "{}", "[]", `{"version":2,"names":[]}`, aSnapshot + "x",
		strings.Replace(aSnapshot, "db.example", "DB.example", 1), strings.Replace(aSnapshot, "db.example", "*", 1),
		strings.Replace(aSnapshot, "10.0.0.1", "::ffff:10.0.0.1", 1), strings.Replace(aSnapshot, "10.0.0.1", "fe80::1%eth0", 1),
		strings.Replace(aSnapshot, "10.0.0.1", "", 1), strings.Replace(aSnapshot, "10.0.0.1", "10.0.0", 1),
		strings.Replace(aSnapshot, `"A"`, `"MX"`, 1), strings.Replace(aSnapshot, `"seen":"2000-01-01T00:00:00Z",`, "", 1),
		strings.Replace(aSnapshot, `"names":[`, `"names":[{"name":"db.example"},`, 1),
	} {
		l, err := New(Config{Resolvers: []netip.AddrPort{testResolver}, Enforce: func(context.Context, Known) error { return nil }})
		if err != nil {
			t.Fatal(err)
		}
		if err := l.Restore([]byte(bad)); err == nil {
			t.Errorf("taken: %s", bad)
		}
		if len(l.restored) > 0 {
			t.Errorf("restored: %s", bad)
		}
		if err := l.SetNames([]Name{{Name: db}}); err != nil {
			t.Fatal(err)
		}
		if err := l.Restore([]byte(aSnapshot)); err == nil {
			t.Error("taken after names were set")
		}
	}
}

// TestRestoreKeepsCaps: a snapshot of a process with wider caps.
func TestRestoreKeepsCaps(t *testing.T) {
	afterRestart(t, Config{}, time.Minute, func(w *world) { w.l.cfg.MaxPerName = 2 }, func(w *world) {
		if got := w.inForce[db]; !slices.Equal(got, addrs("10.0.0.1", "10.0.0.2")) {
			t.Errorf("in force: %s", got)
		}
	})
}
