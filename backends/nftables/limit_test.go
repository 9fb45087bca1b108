package nftables

import (
	"errors"
	"net/netip"
	"strings"
	"testing"
)

// TestLimits asks for exactly what a program needs, and for one less.
func TestLimits(t *testing.T) {
	p := sample()
	e, err := build(p)
	if err != nil {
		t.Fatal(err)
	}
	needs := limits{rules: e.deciders}
	for _, n := range p.Names {
		for _, f := range fams {
			needs.nameAddrs = max(needs.nameAddrs, len(ofFamily(n.Addrs, f)))
		}
	}
	if counters := strings.Count(e.out.objects.String(), "add counter "); needs.rules != counters || needs.nameAddrs == 0 {
		t.Fatalf("the sample needs %+v, and has %d counters", needs, counters)
	}
	if _, err := buildWithin(p, needs); err != nil {
		t.Errorf("as much as it needs: %v", err)
	}
	for what, less := range map[string]limits{
		"rules and default denies": {needs.rules - 1, needs.nameAddrs},
		"addresses of domain name": {needs.rules, needs.nameAddrs - 1},
	} {
		_, err := buildWithin(p, less)
		if limit := (*LimitError)(nil); !errors.As(err, &limit) || !strings.Contains(limit.What, what) || limit.Have != limit.Max+1 || limit.Hint == "" {
			t.Errorf("one less of %s: error %v", what, err)
		}
	}
}

// A name with as many addresses as a set holds, and one more.
func TestLimitOfName(t *testing.T) {
	p := sample()
	addrs := make([]netip.Addr, maxNameAddrs+1)
	for i := range addrs {
		addrs[i] = netip.AddrFrom4([4]byte{203, byte(i >> 16), byte(i >> 8), byte(i)})
	}
	p.Names[0].Addrs = addrs[:maxNameAddrs]
	if _, err := Emit(p); err != nil {
		t.Errorf("%d addresses: %v", maxNameAddrs, err)
	}
	p.Names[0].Addrs = addrs
	_, err := Emit(p)
	if limit := (*LimitError)(nil); !errors.As(err, &limit) || limit.Have != maxNameAddrs+1 {
		t.Errorf("one more: %v", err)
	}
	if _, err := Script(p); !errors.As(err, new(*LimitError)) {
		t.Errorf("one more in a script: %v", err)
	}
}
