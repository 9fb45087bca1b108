//go:build linux

package load

import (
	"fmt"
	"maps"
	"slices"
	"strings"

	"github.com/trafficpolicy/trafficpolicy/backends/bundle"
	"github.com/trafficpolicy/trafficpolicy/backends/nftables"
	"github.com/trafficpolicy/trafficpolicy/internal/state"
)

// A packet from one port of a bridge to another leaves, as the forward hook
// shows it, through the bridge (net/bridge/br_netfilter_hooks.c,
// br_nf_forward_ip), so its interface does not tell the pod. Its frame does: by
// the hardware address that it is for. Without that, a pod could be reached at
// its link-local address, which no inventory has. Packets that the node routes
// to the bridge carry the frame they came in and are for no pod's.
const (
	bridgeChain = "tp_bridge"
	bridgeMap   = "tp_mac" // hardware address -> deliver chain of the pod
)

// bridgeSkeleton creates the chain and its map.
func bridgeSkeleton(b *payload) string {
	if b.scope != bundle.ScopeNode {
		return ""
	}
	return fmt.Sprintf("add chain %[1]s %[2]s\nadd map %[1]s %[3]s { type ether_addr : verdict; }\nflush chain %[1]s %[2]s\n"+
		"add rule %[1]s %[2]s ether daddr vmap @%[3]s\n", nftables.Table, bridgeChain, bridgeMap)
}

// bridgeScript sends what is forwarded through a bridge to the deliver chain of
// the pod whose hardware address the frame is for.
func bridgeScript(s *strings.Builder, r *state.Record, pods map[string]nftables.Pod) {
	fmt.Fprintf(s, "flush map %s %s\n", nftables.Table, bridgeMap)
	bridges, owners := bridged(r)
	for _, bridge := range bridges {
		fmt.Fprintf(s, "add element %s %s { \"%s\" : jump %s }\n", nftables.Table, nftables.MapDeliver, bridge, bridgeChain)
	}
	for _, o := range owners {
		fmt.Fprintf(s, "add element %s %s { %s : goto %s }\n", nftables.Table, bridgeMap, o.mac, pods[o.pod].Deliver)
	}
}

// macOwner is a hardware address with its pod.
type macOwner struct{ mac, pod string }

// bridged returns the bridges of the interfaces, and whose the hardware addresses
// behind them are, both sorted. Two pods with one address cannot be told apart:
// those are left out.
func bridged(r *state.Record) (bridges []string, owners []macOwner) {
	pods := map[string]string{}
	for _, i := range r.Interfaces {
		if i.Bridge == "" {
			continue
		}
		bridges = append(bridges, i.Bridge)
		for _, mac := range i.MACs {
			if pod, ok := pods[mac]; ok && pod != i.Pod {
				pods[mac] = ""
				continue
			}
			pods[mac] = i.Pod
		}
	}
	for _, mac := range slices.Sorted(maps.Keys(pods)) {
		if pod := pods[mac]; pod != "" {
			owners = append(owners, macOwner{mac, pod})
		}
	}
	slices.Sort(bridges)
	return slices.Compact(bridges), owners
}
