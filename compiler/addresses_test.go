package compiler

import (
	"net/netip"
	"testing"

	"github.com/trafficpolicy/trafficpolicy/model"
)

func TestAddresses(t *testing.T) {
	const ip = "10.0.0.1"
	live, other, third := pod("a/live", "", ip), pod("a/other", "", ip), pod("b/third", "", ip)
	old, older := pod("a/old", "", ip+" 10.0.0.2", deleting), pod("a/older", "", ip, deleting)
	host, done, dead := pod("a/host", "", ip, hostNetwork), pod("a/done", "", ip, finished), pod("a/dead", "", ip, failed)
	for _, c := range []struct {
		name string
		pods []*model.Pod
		want string // owners of ip
	}{
		{"nobody", nil, ""},
		{"one", []*model.Pod{live}, "a/live"},
		{"two live pods conflict", []*model.Pod{live, other}, "a/live a/other"},
		{"three live pods conflict", []*model.Pod{third, live, other}, "b/third a/live a/other"},
		{"a deleting pod keeps what nobody else has", []*model.Pod{old}, "a/old"},
		{"a deleting pod yields", []*model.Pod{old, live}, "a/live"},
		{"in any order", []*model.Pod{live, old}, "a/live"},
		{"two deleting pods conflict", []*model.Pod{old, older}, "a/old a/older"},
		{"both yield", []*model.Pod{old, older, live}, "a/live"},
		{"both yield in any order", []*model.Pod{old, live, older}, "a/live"},
		{"hostNetwork and finished pods own nothing", []*model.Pod{host, done, dead}, ""},
		{"nor do they conflict", []*model.Pod{host, done, live, dead}, "a/live"},
	} {
		x := NewAddresses(&model.Inventory{Pods: c.pods})
		owners := x.Owners(netip.MustParseAddr(ip))
		if got := refs(owners); got != c.want {
			t.Errorf("%s: owners %q, want %q", c.name, got, c.want)
		}
		if conflicts := x.Conflicts(); len(conflicts) > 0 != (len(owners) > 1) {
			t.Errorf("%s: conflicts %v", c.name, conflicts)
		}
	}
	x := NewAddresses(&model.Inventory{Pods: []*model.Pod{old, live}})
	if got := x.Of(old); len(got) != 1 || got[0] != netip.MustParseAddr("10.0.0.2") {
		t.Errorf("a pod that yields one address has %v, want 10.0.0.2 alone", got)
	}
	if got := x.Of(host); got != nil {
		t.Errorf("a hostNetwork pod owns %v", got)
	}
}
