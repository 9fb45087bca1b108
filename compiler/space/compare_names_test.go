package space

import (
	"fmt"
	"slices"
	"testing"

	"github.com/trafficpolicy/trafficpolicy/model"
)

// named returns a list of a rule for each of n names, every other a denial.
func named(n int) *model.RuleList {
	rules := make([]model.ListRule, n)
	for i := range rules {
		rules[i] = model.ListRule{
			Action: []model.Action{model.Deny, model.Allow}[i%2], L4: model.EveryL4,
			Peers: []model.ListPeer{{Atom: model.Atom(fmt.Sprintf("fqdn n%05d", i))}},
		}
	}
	return isolated(rules)
}

// Ten thousand names in one order are compared in one pass; a pair in another order
// is found, with an address that both have.
func TestCompareManyNames(t *testing.T) {
	const n = 10_000
	a, b := named(n), named(n)
	if ds, err := Compare(a, b, model.IPv4); err != nil || len(ds) != 0 {
		t.Fatalf("equal lists differ: %v, %v", ds, err)
	}
	b.Rules[n-2], b.Rules[n-1] = b.Rules[n-1], b.Rules[n-2]
	ds, err := Compare(a, b, model.IPv4)
	if err != nil || len(ds) != 1 {
		t.Fatalf("%d differences, %v", len(ds), err)
	}
	want := []model.Atom{"fqdn n09998", "fqdn n09999"}
	if got := slices.Sorted(slices.Values(ds[0].Witness.In)); !slices.Equal(got, want) || ds[0].Kind != NewlyAllowed {
		t.Errorf("witness in %v of kind %d, want %v", got, ds[0].Kind, want)
	}
}

// What comes behind names that are alike is compared with none of them.
func TestCompareBehindAlikeNames(t *testing.T) {
	for _, tt := range []struct {
		name   string
		change func(l *model.RuleList)
		in     []model.Atom
	}{
		{"nothing", func(*model.RuleList) {}, nil},
		{"first", func(l *model.RuleList) { l.Rules[0].Action = model.Allow }, []model.Atom{"fqdn n00000"}},
		{"last", func(l *model.RuleList) { l.Rules[5].Action = model.Deny }, []model.Atom{"fqdn n00005"}},
		{"one less", func(l *model.RuleList) { l.Rules = l.Rules[:5] }, []model.Atom{"fqdn n00005"}},
		{"a denial less", func(l *model.RuleList) { l.Rules = l.Rules[:4] }, []model.Atom{"fqdn n00005"}},
		{"same action, other order", func(l *model.RuleList) { l.Rules[2], l.Rules[4] = l.Rules[4], l.Rules[2] }, []model.Atom{"fqdn n00002", "fqdn n00003"}},
	} {
		a, b := named(6), named(6)
		tt.change(b)
		ds, err := Compare(a, b, model.IPv6)
		if err != nil {
			t.Fatal(err)
		}
		var got []model.Atom
		if len(ds) > 0 {
			got = slices.Sorted(slices.Values(ds[0].Witness.In))
		}
		if !slices.Equal(got, tt.in) || len(ds) > 1 {
			t.Errorf("%s: %d differences, in %v, want in %v", tt.name, len(ds), got, tt.in)
		}
	}
}
