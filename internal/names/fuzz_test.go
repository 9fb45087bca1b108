package names

import (
	"testing"

	"github.com/miekg/dns"
)

// FuzzAnswer: whatever bytes a resolver sends, reading them ends, and gives
// addresses of the family, or an error, or somewhere else to ask, within the bounds.
func FuzzAnswer(f *testing.F) {
	for _, m := range []*dns.Msg{
		message(0, "db.example. 60 A 10.0.0.1", "db.example. 60 AAAA fd00::1"),
		message(0, append(links(5), "end.example. 60 A 10.0.0.1")...),
		message(0, "db.example. 60 CNAME y.example.", "y.example. 60 CNAME db.example."),
		message(dns.RcodeNameError, "--", "example. 100 SOA ns. host. 1 2 3 4 50"),
		message(0, "--", "example. 60 NS ns.example."),
	} {
		m.SetEdns0(udpSize, false)
		m.Compress = true
		f.Add(packed(m), true)
		f.Add(packed(m), false)
	}
	f.Fuzz(func(t *testing.T, b []byte, v4 bool) {
		qtype, size := dns.TypeAAAA, 16
		if v4 {
			qtype, size = dns.TypeA, 4
		}
		m := new(dns.Msg)
		if err := m.Unpack(b); err != nil {
			return
		}
		q := newQuery("db.example.", qtype, false)
		q.match(m)
		c := newChain("db.example.")
		a, done, err := c.follow(m, qtype)
		switch {
		case err != nil && (!done || len(a.addrs) > 0):
			t.Errorf("an error and an answer: %v, %+v", err, a)
		case !done && (c.at == "db.example." || len(a.addrs) > 0 || !dns.IsFqdn(c.at)):
			t.Errorf("to be asked for: %q, %+v", c.at, a)
		case done && err == nil && a.negative != (len(a.addrs) == 0):
			t.Errorf("neither addresses nor none: %+v", a)
		case a.ttl < 0 || len(a.addrs) > len(m.Answer) || len(c.passed) > maxLinks+1:
			t.Errorf("out of bounds: %+v", a)
		}
		for _, addr := range a.addrs {
			if !addr.IsValid() || addr.BitLen() != 8*size {
				t.Errorf("%s is no address of the family", addr)
			}
		}
		if !done { // it must be possible to ask for it
			if _, err := newQuery(c.at, qtype, false).msg.Pack(); err != nil {
				t.Errorf("%q cannot be asked for: %v", c.at, err)
			}
		}
	})
}

// FuzzRestore: a snapshot is refused, or restored to one that says the same.
func FuzzRestore(f *testing.F) {
	f.Add([]byte(aSnapshot))
	f.Add([]byte(`{"version":1,"names":[{"name":"a.example","addrs":[{"addr":"::1","record":"AAAA","seen":"2000-01-01T00:00:00Z"}]}]}`))
	f.Fuzz(func(t *testing.T, data []byte) {
		w := newWorld(t, Config{})
		if err := w.l.Restore(data); err != nil {
			if w.l.restored != nil {
				t.Error("refused, and something is restored")
			}
			return
		}
		var ns []Name
		for key := range w.l.restored {
			ns = append(ns, Name{Name: key})
		}
		if err := w.l.SetNames(ns); err != nil {
			t.Fatal(err)
		}
		for key, as := range w.l.Current() {
			for _, a := range as {
				if w.l.refused.why(a) != "" {
					t.Errorf("%s has %s", key, a)
				}
			}
		}
		again := newWorld(t, Config{})
		if err := again.l.Restore(w.l.Snapshot()); err != nil {
			t.Errorf("its own snapshot is refused: %v", err)
		}
	})
}
