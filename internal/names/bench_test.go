package names

import (
	"context"
	"fmt"
	"net/netip"
	"runtime"
	"testing"
	"time"
)

// BenchmarkRefresh takes one answer of each of 10,000 names with four addresses,
// of which one is another than before, and hands all of them over: what a refresh of
// everything costs beside the network. B/name is what is held for a name.
func BenchmarkRefresh(b *testing.B) {
	const n = 10_000
	before := heapBytes()
	l, err := New(Config{Resolvers: []netip.AddrPort{testResolver}, Enforce: func(context.Context, Known) error { return nil }})
	if err != nil {
		b.Fatal(err)
	}
	var ns []Name
	for i := range n {
		ns = append(ns, Name{Name: fmt.Sprintf("n%d.example", i)})
	}
	if err := l.SetNames(ns); err != nil {
		b.Fatal(err)
	}
	now := time.Now()
	pass := func(turn int) {
		now = now.Add(time.Hour)
		for i := range n {
			a := answer{ttl: time.Minute}
			for k := range 4 {
				a.addrs = append(a.addrs, netip.AddrFrom4([4]byte{10, byte(k), byte(i / 256), byte(i)}))
			}
			a.addrs[0] = netip.AddrFrom4([4]byte{10, byte(4 + turn%2), byte(i / 256), byte(i)})
			l.mu.Lock()
			it := &l.names[ns[i].Name].fam[inet4].ask
			l.asks.remove(it)
			l.take(it, a, now)
			l.scheduleEnd(it.name)
			l.mu.Unlock()
		}
		done, _ := l.collectOver(now)
		l.endOver(done, nil, nil, now)
		if k, _, ok := l.toEnforce(); !ok || len(k.Addrs) != n {
			b.Fatalf("%d names, want %d", len(k.Addrs), n)
		}
	}
	pass(0)
	b.ReportAllocs()
	turn := 0
	for b.Loop() {
		turn++
		pass(turn)
	}
	b.ReportMetric(float64(heapBytes()-before)/n, "B/name")
	runtime.KeepAlive(l)
	b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(b.N)/n, "ns/name")
}
