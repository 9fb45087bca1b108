package compiler

import (
	"net/netip"
	"testing"

	"github.com/trafficpolicy/trafficpolicy/model"
)

func TestFamilies(t *testing.T) {
	v4 := func() *Input {
		return &Input{
			Policies: []*model.Policy{tp("a/p", 1, "", rule(model.Allow, "cidr 10.0.0.0/8", "service a/web"))},
			Inventory: &model.Inventory{
				Nodes:     []*model.Node{{Name: "n", Addresses: addrs("192.168.0.1"), PodCIDRs: []netip.Prefix{netip.MustParsePrefix("10.0.0.0/24")}}},
				Pods:      []*model.Pod{pod("a/p", "", "10.0.0.1")},
				Services:  []*model.Service{service("a/web", "172.16.0.1", "")},
				Endpoints: []*model.Endpoints{slice("a/web-x", "web", "10.0.0.1")},
			},
		}
	}
	for _, c := range []struct {
		name   string
		mode   FamilyMode
		change func(*Input, *Options)
		want   int
	}{
		{"no IPv6 anywhere", FamiliesAuto, nil, 1},
		{"asked for", FamiliesDual, nil, 2},
		{"an IPv6 cidr", FamiliesAuto, func(in *Input, _ *Options) { in.Policies[0].Egress.Rules[0].Peers[0] = peer("cidr ::/0") }, 2},
		{"not asked for", FamiliesIPv4, func(in *Input, _ *Options) { in.Policies[0].Egress.Rules[0].Peers[0] = peer("cidr ::/0") }, 1},
		{"a name", FamiliesAuto, func(_ *Input, o *Options) {
			o.Resolve = map[string][]netip.Addr{"a.example": addrs("10.0.0.1 fd00::1")}
		}, 2},
		{"a pod", FamiliesAuto, func(in *Input, _ *Options) { in.Inventory.Pods[0].IPs = addrs("10.0.0.1 fd00::1") }, 2},
		{"a clusterIP", FamiliesAuto, func(in *Input, _ *Options) { in.Inventory.Services[0].ClusterIPs = addrs("fd00::1") }, 2},
		{"an endpoint", FamiliesAuto, func(in *Input, _ *Options) { in.Inventory.Endpoints[0].Subsets[0].Addrs = addrs("fd00::1") }, 2},
		{"a node", FamiliesAuto, func(in *Input, _ *Options) { in.Inventory.Nodes[0].Addresses = addrs("fd00::1") }, 2},
		{"a node's podCIDR", FamiliesAuto, func(in *Input, _ *Options) {
			in.Inventory.Nodes[0].PodCIDRs = []netip.Prefix{netip.MustParsePrefix("fd00::/64")}
		}, 2},
	} {
		in, o := v4(), Options{Families: c.mode}
		if c.change != nil {
			c.change(in, &o)
		}
		if got := in.Families(o); len(got) != c.want {
			t.Errorf("%s: %v, want %d", c.name, got, c.want)
		}
	}
}
