package main

import (
	"math/rand/v2"
	"net/netip"
	"strings"
	"testing"

	"go4.org/netipx"

	"github.com/trafficpolicy/trafficpolicy/model"
)

// set builds addresses from words: a prefix is added, one behind a minus taken out.
func set(t *testing.T, words string) []netip.Prefix {
	t.Helper()
	var b netipx.IPSetBuilder
	for _, w := range strings.Fields(words) {
		if p, minus := strings.CutPrefix(w, "-"); minus {
			b.RemovePrefix(netip.MustParsePrefix(p))
		} else {
			b.AddPrefix(netip.MustParsePrefix(w))
		}
	}
	s, err := b.IPSet()
	if err != nil {
		t.Fatal(err)
	}
	return s.Prefixes()
}

func TestPrefixList(t *testing.T) {
	for words, want := range map[string]string{
		"":                                      "",
		"10.0.0.0/8":                            "10.0.0.0/8",
		"0.0.0.0/0":                             "0.0.0.0/0",
		"0.0.0.0/0 ::/0":                        "0.0.0.0/0; ::/0",
		"0.0.0.0/1":                             "0.0.0.0/1",
		"10.0.0.0/31 fd00::/8":                  "10.0.0.0/31; fd00::/8",
		"0.0.0.0/0 -10.0.0.0/8 -192.168.0.0/16": "0.0.0.0/0 but 10.0.0.0/8 192.168.0.0/16",
		"0.0.0.0/0 -10.0.0.0/8 10.1.1.1/32":     "0.0.0.0/0 but 10.0.0.0/8, yet 10.1.1.1/32",
		"::/0 -fc00::/7 fd00:1::/32 -fd00:1:2::/48":                        "::/0 but fc00::/7, yet fd00:1::/32 but fd00:1:2::/48",
		"10.0.0.0/8 -10.0.0.0/32":                                          "10.0.0.0/8 but 10.0.0.0/32",
		"0.0.0.0/0 -1.0.0.0/8 -3.0.0.0/8 -5.0.0.0/8 -7.0.0.0/8 -9.0.0.0/8": "0.0.0.0/0 but 1.0.0.0/8 3.0.0.0/8 5.0.0.0/8 7.0.0.0/8 9.0.0.0/8",
	} {
		if got := prefixList(set(t, words)); got != want {
			t.Errorf("%s: %q, want %q", words, got, want)
		}
	}
}

// The longest prefix of an outline that holds an address says whether it is in
// the set, and there are never more of them than prefixes of the set.
func TestOutline(t *testing.T) {
	rng := rand.New(rand.NewPCG(1, 0x6f75))
	addr := func(i int) netip.Addr { return netip.AddrFrom4([4]byte{10, 0, byte(i >> 8), byte(i)}) }
	for range 300 {
		var b netipx.IPSetBuilder
		for range rng.IntN(12) {
			p, err := addr(rng.IntN(512)).Prefix(23 + rng.IntN(10))
			if err != nil {
				t.Fatal(err)
			}
			if rng.IntN(3) == 0 {
				b.RemovePrefix(p)
			} else {
				b.AddPrefix(p)
			}
		}
		s, err := b.IPSet()
		if err != nil {
			t.Fatal(err)
		}
		levels, n := outline(s.Prefixes(), model.IPv4), 0
		for _, ps := range levels {
			n += len(ps)
		}
		if n > len(s.Prefixes()) {
			t.Fatalf("%v: %v is longer", s.Prefixes(), levels)
		}
		for i := range 600 {
			in := false
			for level, ps := range levels {
				for _, p := range ps {
					if p.Contains(addr(i)) {
						in = level%2 == 0
					}
				}
			}
			if in != s.Contains(addr(i)) {
				t.Fatalf("%v: %v has %s: %v", s.Prefixes(), levels, addr(i), in)
			}
		}
	}
}
