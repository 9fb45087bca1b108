//go:build linux

package loader

import (
	"net/netip"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/trafficpolicy/trafficpolicy/backends/bundle"
	"github.com/trafficpolicy/trafficpolicy/internal/place"
)

// nodeOf is a payload that has addresses of a node.
type nodeOf []netip.Addr

func (n nodeOf) NodeAddrs() []netip.Addr { return n }

// Learned addresses that are a pod's or the node's of the bundle are left out; those that
// the bundle itself gives a name are not.
func TestMeaningLeavesOutItsOwn(t *testing.T) {
	addrs := func(list ...string) (all []netip.Addr) {
		for _, s := range list {
			all = append(all, netip.MustParseAddr(s))
		}
		return all
	}
	b := &Bundle{
		Manifest: &bundle.Manifest{Names: []bundle.KnownName{{Name: "a"}, {Name: "b", Addrs: addrs("10.0.0.1")}, {Name: "c"}}},
		Pods:     []Pod{{Pod: place.Pod{Ref: "default/x", Addrs: addrs("10.0.0.1", "fd00::1")}}},
		Payload:  nodeOf(addrs("192.168.0.1")),
	}
	learnt := Known{
		"a": addrs("10.0.0.0", "10.0.0.1", "10.0.0.2", "192.168.0.1", "192.168.0.2", "fd00::1", "fd00::2"),
		"b": addrs("10.0.0.1", "10.0.0.2"), "other": addrs("10.0.0.3"),
	}
	want := Known{"a": addrs("10.0.0.0", "10.0.0.2", "192.168.0.2", "fd00::2"), "b": addrs("10.0.0.1", "10.0.0.2"), "c": nil}
	same := cmp.Comparer(func(a, b netip.Addr) bool { return a == b })
	if diff := cmp.Diff(want, b.Meaning(learnt), same); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
	if len(learnt["a"]) != 7 || learnt["a"][1] != addrs("10.0.0.1")[0] {
		t.Errorf("what was learned has changed: %s", learnt["a"])
	}
}
