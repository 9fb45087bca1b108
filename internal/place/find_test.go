//go:build linux

package place

import (
	"net/netip"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"

	"github.com/trafficpolicy/trafficpolicy/internal/state"
	"github.com/trafficpolicy/trafficpolicy/model"
)

// fakeNetwork is a network of literals.
type fakeNetwork struct {
	routes    map[string]route
	links     []link // index is the place, from 1
	behind    map[string]port
	unfilterd map[model.Family]bool
}

func (f *fakeNetwork) route(a netip.Addr) (route, error) {
	if r, ok := f.routes[a.String()]; ok {
		return r, nil
	}
	return route{}, errNoRoute
}

func (f *fakeNetwork) link(index int) (*link, bool) {
	if index < 1 || index > len(f.links) {
		return nil, false
	}
	return &f.links[index-1], true
}

func (f *fakeNetwork) filtered(_ int, family model.Family) bool { return !f.unfilterd[family] }

func (f *fakeNetwork) ports(_ int, addrs []netip.Addr) (map[netip.Addr]port, error) {
	found := map[netip.Addr]port{}
	for _, a := range addrs {
		if p, ok := f.behind[a.String()]; ok {
			found[a] = p
		}
	}
	return found, nil
}

func pods(refs ...string) []Pod {
	var list []Pod
	for _, r := range refs {
		ref, addr, _ := strings.Cut(r, "=")
		list = append(list, Pod{Ref: ref, Addrs: []netip.Addr{netip.MustParseAddr(addr)}})
	}
	return list
}

// hooks are those of a backend that sees bridges by netfilter and can be told no
// quotes.
var hooks = Hooks{BridgeNetfilter: true, Name: func(s string) bool { return !strings.Contains(s, `"`) }, Tool: "nft"}

func TestFind(t *testing.T) {
	const (
		veth = iota + 1
		eth0
		cni0
		port1
		port2
		ipvl
		rep
		sriov
		parent
		odd
		vxlan
	)
	n := &fakeNetwork{
		links: []link{
			{name: "veth1", kind: "veth"}, {name: "eth0", kind: "device"}, {name: "cni0", kind: "bridge", index: cni0},
			{name: "veth2", kind: "veth", index: port1}, {name: "veth3", kind: "veth", index: port2}, {name: "ipvl0", kind: "ipvlan"},
			{name: "eth0_1", kind: "device", vfPort: true}, {name: "eth1", kind: "device", vfs: 4},
			{name: "eth2", kind: "device", children: map[string]bool{"macvlan": true}},
			{name: `a"b`, kind: "veth"}, {name: "vxlan0", kind: "vxlan"},
		},
		routes: map[string]route{
			"10.0.0.1":  {link: veth},
			"10.0.0.2":  {link: eth0, gateway: netip.MustParseAddr("192.168.0.1")},
			"10.0.0.3":  {link: eth0},
			"10.0.0.4":  {link: 1, local: true},
			"10.0.0.5":  {link: cni0},
			"10.0.0.6":  {link: cni0},
			"10.0.0.7":  {link: ipvl},
			"10.0.0.8":  {link: rep},
			"10.0.0.9":  {link: sriov},
			"10.0.0.10": {link: parent},
			"10.0.0.11": {link: 99},
			"10.0.0.12": {link: odd},
			"10.0.0.13": {link: vxlan},
			"10.0.0.14": {link: cni0},
			"fd00::5":   {link: cni0},
		},
		behind:    map[string]port{"10.0.0.5": {port1, "02:00:00:00:00:05"}, "fd00::5": {port1, "02:00:00:00:00:05"}, "10.0.0.14": {port2, "02:00:00:00:00:0e"}},
		unfilterd: map[model.Family]bool{model.IPv6: true},
	}
	for _, c := range []struct {
		name   string
		pods   []Pod
		globs  []string
		iface  string // of the first pod
		unseen bool
		reason string
	}{
		{"veth", pods("a=10.0.0.1"), nil, "veth1", false, ""},
		{"glob", pods("a=10.0.0.1"), []string{"x*", "veth?"}, "veth1", false, ""},
		{"other glob", pods("a=10.0.0.1"), []string{"veth"}, "", false, "no --iface matches"},
		{"nowhere", pods("a=10.1.0.1"), nil, "", false, "has no route"},
		{"by a gateway", pods("a=10.0.0.2"), nil, "", false, "by way of 192.168.0.1"},
		{"uplink", pods("a=10.0.0.3"), nil, "", false, "eth0 (device), which is not the interface of one pod (--iface eth0"},
		{"uplink, told", pods("a=10.0.0.3"), []string{"eth0"}, "eth0", false, ""},
		{"the node's", pods("a=10.0.0.4"), nil, "", false, "address of the node itself"},
		{"bridge", pods("a=10.0.0.5"), nil, "veth2", false, ""},
		{"bridge, glob of the port", pods("a=10.0.0.5"), []string{"veth2"}, "veth2", false, ""},
		{"bridge, glob of the bridge", pods("a=10.0.0.5"), []string{"cni0"}, "", false, "no --iface matches"},
		{"bridge, unknown port", pods("a=10.0.0.6"), nil, "", false, "does not know its port"},
		{"bridge without netfilter", pods("a=fd00::5"), nil, "cni0", true, "bridge-nf-call-ip6tables=1"},
		{"ipvlan", pods("a=10.0.0.7"), nil, "ipvl0", true, "of kind ipvlan"},
		{"representor", pods("a=10.0.0.8"), nil, "eth0_1", true, "SR-IOV"},
		{"uplink with functions", pods("a=10.0.0.9"), nil, "eth1", true, "with SR-IOV virtual functions"},
		{"parent of macvlan", pods("a=10.0.0.10"), nil, "eth2", true, "with interfaces of kind macvlan"},
		{"interface gone", pods("a=10.0.0.11"), nil, "", false, "which is gone"},
		{"odd name", pods("a=10.0.0.12"), nil, "", false, "a name that nft cannot be told"},
		{"tunnel", pods("a=10.0.0.13"), nil, "", false, "vxlan0 (vxlan)"},
		{"two behind one", pods("a=10.0.0.1", "b=10.0.0.1"), nil, "", false, "is behind veth1 with other pods"},
	} {
		places, err := find(n, c.pods, hooks, c.globs, nil)
		if err != nil {
			t.Fatalf("%s: %v", c.name, err)
		}
		p := places[0]
		if p.Interface != c.iface || p.Unseen != c.unseen || !strings.Contains(p.Reason, c.reason) || (p.Reason == "") != (c.reason == "") {
			t.Errorf("%s: %+v", c.name, p)
		}
		if err := Refusal(places); (err != nil) != c.unseen {
			t.Errorf("%s: refusal %v", c.name, err)
		} else if err != nil && !strings.Contains(err.Error(), "pod a: address "+p.Addr.String()) {
			t.Errorf("%s: refusal %q names no pod", c.name, err)
		}
	}
	for _, c := range []struct {
		name  string
		pods  []Pod
		iface string
	}{
		{"bridge without netfilter", pods("a=fd00::5"), "veth2"},
		{"odd name", pods("a=10.0.0.12"), `a"b`},
		{"ipvlan", pods("a=10.0.0.7"), "ipvl0"},
	} {
		places, err := find(n, c.pods, Hooks{}, nil, nil)
		if err != nil || places[0].Interface != c.iface || places[0].Unseen != (c.name == "ipvlan") {
			t.Errorf("hooks on interfaces, %s: %+v, %v", c.name, places[0], err)
		}
	}
	was := []state.Interface{{Name: "veth2", Index: port1, Pod: "a", Bridge: "cni0", MACs: []string{"02:00:00:00:00:05"}}}
	for _, c := range []struct {
		name  string
		pods  []Pod
		known []state.Interface
		iface string
	}{
		{"silent on its bridge", pods("a=10.0.0.6"), was, "veth2"},
		{"without a route", pods("a=10.1.0.1"), was, "veth2"},
		{"another pod", pods("b=10.0.0.6"), was, ""},
		{"another interface by now", pods("a=10.0.0.6"), []state.Interface{{Name: "veth9", Index: port1, Pod: "a"}}, ""},
		{"interface gone", pods("a=10.0.0.6"), []state.Interface{{Name: "veth99", Index: 99, Pod: "a"}}, ""},
		{"another pod there by now", pods("a=10.0.0.6", "b=10.0.0.5"), was, ""},
		{"elsewhere by now", pods("a=10.0.0.2"), was, ""},
		{"found", pods("a=10.0.0.1"), was, "veth1"},
	} {
		places, err := find(n, c.pods, hooks, nil, c.known)
		if err != nil || places[0].Interface != c.iface || (places[0].Reason == "") != (c.iface != "") {
			t.Errorf("remembered, %s: %+v, %v", c.name, places[0], err)
		}
	}
	places, err := find(n, pods("b=10.0.0.14", "a=10.0.0.5", "c=10.0.0.1"), hooks, nil, nil)
	if err != nil {
		t.Fatal(err)
	}
	want := []state.Interface{
		{Name: "veth1", Pod: "c"},
		{Name: "veth2", Index: port1, Pod: "a", Bridge: "cni0", MACs: []string{"02:00:00:00:00:05"}},
		{Name: "veth3", Index: port2, Pod: "b", Bridge: "cni0", MACs: []string{"02:00:00:00:00:0e"}},
	}
	if diff := cmp.Diff(want, Interfaces(places), cmpopts.EquateEmpty()); diff != "" {
		t.Errorf("interfaces (-want +got):\n%s", diff)
	}
}

func TestVFPortName(t *testing.T) {
	for name, want := range map[string]bool{"pf0vf3": true, "c1pf0vf12": true, "pf0sf88": true, "p0": false, "pf0": false, "": false, "xpf0vf1": false} {
		if got := isVFPort(name); got != want {
			t.Errorf("%q: %t", name, got)
		}
	}
}
