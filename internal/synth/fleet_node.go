package synth

import (
	"encoding/binary"
	"fmt"
	"net/netip"

	"github.com/trafficpolicy/trafficpolicy/model"
)

// pool is the nodes of one kind and the pods on them. A pod's number says where it
// runs and which address it has, so that slices need no table of the pods.
type pool struct {
	nodes, daemons int
	pods           int // without those of DaemonSets
	bits           int // of a node's IPv4 range of pods
	base           uint32
}

// planNodes chooses the ranges of the nodes' pods: /24 unless a node has more.
func (f *Fleet) planNodes() error {
	base := uint32(10 << 24)
	for i := range f.pools {
		p := &f.pools[i]
		if p.nodes == 0 {
			continue
		}
		p.base, p.bits = base, 24
		for most := 2 + p.daemons + (p.pods+p.nodes-1)/p.nodes; most >= 1<<(32-p.bits); {
			if p.bits--; p.bits == 8 {
				return fmt.Errorf("%d pods of a node do not fit into 10.0.0.0/8", most)
			}
		}
		// The second pool begins where the first ends, on a bound of its own ranges.
		size := uint32(1) << (32 - p.bits)
		p.base = (base + size - 1) / size * size
		end := uint64(p.base) + uint64(p.nodes)*uint64(size)
		if end > 11<<24 {
			return fmt.Errorf("%d nodes with %d addresses for pods each do not fit into 10.0.0.0/8", p.nodes, size)
		}
		base = uint32(end)
	}
	return nil
}

// place returns the node of pod i of the pool and its number there.
func (p *pool) place(i int) (node, slot int) {
	slot = i / p.nodes
	return (i + slot*7919) % p.nodes, p.daemons + slot
}

// addr returns the IPv4 address of a slot; the first two are the bridge's.
func (p *pool) addr(node, slot int) netip.Addr {
	return ipv4(p.base + uint32(node)<<(32-p.bits) + 2 + uint32(slot))
}

func ipv4(a uint32) netip.Addr {
	var b [4]byte
	binary.BigEndian.PutUint32(b[:], a)
	return netip.AddrFrom4(b)
}

// ipv6 is fd00 with three groups and a number.
func ipv6(b, c, d uint16, n uint32) netip.Addr {
	a := [16]byte{0: 0xfd}
	binary.BigEndian.PutUint16(a[2:], b)
	binary.BigEndian.PutUint16(a[4:], c)
	binary.BigEndian.PutUint16(a[6:], d)
	binary.BigEndian.PutUint32(a[12:], n)
	return netip.AddrFrom16(a)
}

// nodeNumber numbers the nodes of both pools.
func (f *Fleet) nodeNumber(virtual bool, node int) int {
	if virtual {
		return f.pools[0].nodes + node
	}
	return node
}

func (f *Fleet) nodeAddr(i int) netip.Addr { return ipv4(192<<24 | 168<<16 + 10 + uint32(i)) }

func (f *Fleet) nodeName(i int) string {
	if i >= f.pools[0].nodes {
		return fmt.Sprintf("virtual-kubelet-cn-hangzhou-%d", i-f.pools[0].nodes)
	}
	return "cn-hangzhou." + f.nodeAddr(i).String()
}

// pod6 is the IPv6 range of a node's pods, a /64.
func pod6(node int) netip.Prefix { return netip.PrefixFrom(ipv6(0x10, 0, uint16(node), 0), 64) }

var kubeletVersions = []string{"v1.31.1-aliyun.1", "v1.31.1-aliyun.1", "v1.31.1-aliyun.1", "v1.30.7-aliyun.1", "v1.28.9-aliyun.1"}

func (f *Fleet) nodeObject(i int) object {
	name, virtual := f.nodeName(i), i >= f.pools[0].nodes
	g := f.draw("node", i)
	o := f.header("v1", "Node", "", name, "node", i)
	meta := o["metadata"].(object)
	labels := object{
		"kubernetes.io/arch": "amd64", "kubernetes.io/hostname": name, "kubernetes.io/os": "linux",
		"topology.kubernetes.io/region": "cn-hangzhou", "topology.kubernetes.io/zone": "cn-hangzhou-" + one(g, []string{"h", "i", "j"}),
		"node.kubernetes.io/instance-type": "ecs.g7.8xlarge",
	}
	meta["labels"], meta["annotations"] = labels, object{"node.alpha.kubernetes.io/ttl": "0", "volumes.kubernetes.io/controller-managed-attach-detach": "true"}
	spec := object{"providerID": "cn-hangzhou.i-" + g.suffix(20)}
	if virtual {
		labels["type"] = "virtual-kubelet"
		spec["taints"] = []object{{"effect": "NoSchedule", "key": "virtual-kubelet.io/provider", "value": "alibabacloud"}}
	} else {
		p := f.pools[0]
		cidrs := []string{netip.PrefixFrom(p.addr(i, -2), p.bits).String()}
		if f.sizes.DualStack > 0 {
			cidrs = append(cidrs, pod6(i).String())
		}
		spec["podCIDR"], spec["podCIDRs"] = cidrs[0], cidrs
	}
	version := one(g, kubeletVersions)
	if f.faulty(g) {
		version = "v1.18.8-aliyun.1" // older than the agent supports
	}
	o["spec"] = spec
	o["status"] = object{
		"addresses": []object{{"address": f.nodeAddr(i).String(), "type": "InternalIP"}, {"address": name, "type": "Hostname"}},
		"capacity":  object{"cpu": "32", "memory": "128798912Ki", "pods": "256"},
		"conditions": []object{{"lastHeartbeatTime": g.moment(), "lastTransitionTime": g.moment(),
			"message": "kubelet is posting ready status", "reason": "KubeletReady", "status": "True", "type": "Ready"}},
		"nodeInfo": object{"architecture": "amd64", "containerRuntimeVersion": "containerd://1.6.28", "kernelVersion": "5.10.134-16.3.al8.x86_64",
			"kubeProxyVersion": version, "kubeletVersion": version, "operatingSystem": "linux", "osImage": "Alibaba Cloud Linux 3"},
	}
	return o
}

// podAddrs returns the addresses of pod i of w.
func (f *Fleet) podAddrs(w *workload, i int) (node int, addrs []netip.Addr) {
	p := &f.pools[0]
	if w.virtual {
		p = &f.pools[1]
	}
	at, slot := i, w.daemon
	if w.kind != "DaemonSet" {
		at, slot = p.place(w.first + i)
	}
	node = f.nodeNumber(w.virtual, at)
	if w.host {
		return node, []netip.Addr{f.nodeAddr(node)}
	}
	addrs = []netip.Addr{p.addr(at, slot)}
	if w.namespace.dual {
		prefix := pod6(node).Addr().As16()
		binary.BigEndian.PutUint32(prefix[12:], 2+uint32(slot))
		addrs = append(addrs, netip.AddrFrom16(prefix))
	}
	return node, addrs
}

// ofFamily returns the address of a family, if there is one.
func ofFamily(addrs []netip.Addr, f model.Family) (netip.Addr, bool) {
	for _, a := range addrs {
		if model.FamilyOf(a) == f {
			return a, true
		}
	}
	return netip.Addr{}, false
}
