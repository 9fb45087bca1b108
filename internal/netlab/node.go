//go:build linux

package netlab

import (
	"fmt"
	"net"
	"net/netip"
	"time"

	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"
)

// Mode is how pods hang on their node.
type Mode uint8

const (
	// Routed pods have a /32 and a /128, and a gateway that stands for everyone:
	// 169.254.1.1 by proxy ARP, and fe80::1 (as Calico does).
	Routed Mode = iota
	// Bridged pods share a bridge, cni0, with bridge-nf-call-iptables and
	// bridge-nf-call-ip6tables on (as flannel and the bridge plug-in do).
	Bridged
	// Tunnelled pods are routed to through TUN devices, whose packets have no link
	// layer. This process carries them, so that [Node.Settle] can only give it time.
	Tunnelled
)

// String returns the mode in a word.
func (m Mode) String() string { return [...]string{"routed", "bridged", "tunnelled"}[m] }

// Spec describes a node with its pods and the world around it.
type Spec struct {
	Mode Mode
	Pods []PodSpec
	// Addrs are the node's own addresses, at its uplink.
	Addrs []netip.Addr
	// Bridge are the addresses of cni0; Bridged alone has it. A pod's network is
	// that of the entry that contains its address, its gateway the first of each family.
	Bridge []netip.Prefix
	// RealNeighbours leaves ARP and neighbour discovery between pods and node to the
	// kernel. Otherwise each side knows the other's hardware address for good.
	RealNeighbours bool
}

// PodSpec describes a pod.
type PodSpec struct {
	Name  string
	Addrs []netip.Addr
}

// Node is a node of the lab with its pods and the outside world. Outside is
// the node's default route: it receives whatever is sent to an address that
// is no pod's.
type Node struct {
	*Namespace
	Spec    Spec
	Outside *Host
	Pods    []*Host // in the order of Spec.Pods
}

// Host is a namespace with one network device, eth0: a pod, or the outside.
type Host struct {
	*Namespace
	Addrs   []netip.Addr
	MAC     net.HardwareAddr // of eth0
	Gateway net.HardwareAddr // of the device on the node's side, or of the bridge
	Device  string           // on the node's side: where pods are governed
	peers   map[netip.Addr]net.HardwareAddr
	tap     *Tap
	raw     bool // no link layer
}

// Pod returns the pod of that name, nil without one.
func (n *Node) Pod(name string) *Host {
	for i, p := range n.Spec.Pods {
		if p.Name == name {
			return n.Pods[i]
		}
	}
	return nil
}

// Addr returns the host's first address of the family, invalid without one.
func (h *Host) Addr(is6 bool) netip.Addr {
	for _, a := range h.Addrs {
		if a.Is6() == is6 {
			return a
		}
	}
	return netip.Addr{}
}

// Gateways of routed pods and of the outside, as the other side knows them,
// and addresses that every node has at its uplink.
var (
	gateway4 = netip.MustParseAddr("169.254.1.1")
	gateway6 = netip.MustParseAddr("fe80::1")
	uplink4  = netip.MustParseAddr("169.254.2.1")
	uplink6  = netip.MustParseAddr("fe80::2:1")
	last4    = netip.MustParseAddr("169.254.2.2")
	last6    = netip.MustParseAddr("fd74:7000::2")
	default4 = netip.MustParsePrefix("0.0.0.0/0")
	default6 = netip.MustParsePrefix("::/0")
)

// bridgeName is the name of the bridge in Bridged mode, uplinkName that of the
// node's device towards the outside.
const (
	bridgeName = "cni0"
	uplinkName = "uplink"
)

// Node makes a node, its pods and the outside.
func (l *Lab) Node(s Spec) (*Node, error) {
	space, err := l.Namespace("node")
	if err != nil {
		return nil, err
	}
	n := &Node{Namespace: space, Spec: s}
	steps := []func() error{n.forwarding, n.outside}
	if s.Mode == Bridged {
		steps = append(steps, n.bridge)
	}
	for i := range s.Pods {
		steps = append(steps, func() error { return n.pod(i) })
	}
	if s.Mode == Bridged && !s.RealNeighbours {
		steps = append(steps, n.introduce)
	}
	for _, step := range steps {
		if err := step(); err != nil {
			return nil, err
		}
	}
	return n, nil
}

func (n *Node) forwarding() error {
	for _, key := range []string{"net/ipv4/ip_forward", "net/ipv6/conf/all/forwarding"} {
		if err := n.Sysctl(key, "1"); err != nil {
			return err
		}
	}
	return nil
}

// mac returns a fresh locally administered hardware address.
func (l *Lab) mac() net.HardwareAddr {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.macs++
	return net.HardwareAddr{2, 't', 'p', byte(l.macs >> 16), byte(l.macs >> 8), byte(l.macs)}
}

// host makes a namespace whose eth0 is the other end of the node's device.
func (n *Node) host(name, device string) (*Host, error) {
	space, err := n.lab.Namespace(name)
	if err != nil {
		return nil, err
	}
	h := &Host{Namespace: space, MAC: n.lab.mac(), Gateway: n.lab.mac(), Device: device, peers: map[netip.Addr]net.HardwareAddr{}}
	if h.raw = n.Spec.Mode == Tunnelled && device != uplinkName; h.raw {
		err = n.tunnel(space, device)
	} else {
		err = n.veth(h)
	}
	if err != nil {
		return nil, err
	}
	if err := n.up(device); err != nil {
		return nil, err
	}
	if err := space.up("eth0"); err != nil {
		return nil, err
	}
	h.tap, err = newTap(space, h.raw)
	return h, err
}

// veth joins the host to the node's namespace.
func (n *Node) veth(h *Host) error {
	attrs := netlink.NewLinkAttrs()
	attrs.Name, attrs.HardwareAddr = h.Device, h.Gateway
	err := n.nl.LinkAdd(&netlink.Veth{LinkAttrs: attrs, PeerName: "eth0", PeerHardwareAddr: h.MAC, PeerNamespace: netlink.NsFd(h.handle)})
	if err != nil {
		return fmt.Errorf("veth %s: %w", h.Device, err)
	}
	return nil
}

// Own gives the host one more address, on its loopback: with one, the host's
// stack answers for it. Only the outside is routed what is no pod's.
func (h *Host) Own(addrs ...netip.Addr) error {
	for _, a := range addrs {
		if err := h.AddAddr("lo", netip.PrefixFrom(a, a.BitLen())); err != nil {
			return err
		}
		if err := h.local(a); err != nil {
			return err
		}
		h.Addrs = append(h.Addrs, a)
	}
	return nil
}

// local waits until packets for a are taken: an IPv6 address gets its route from a
// work queue (net/ipv6/addrconf.c, addrconf_dad_start).
func (n *Namespace) local(a netip.Addr) error {
	for end := time.Now().Add(5 * time.Second); time.Now().Before(end); time.Sleep(time.Millisecond) {
		if r, err := n.nl.RouteGet(a.AsSlice()); err == nil && len(r) > 0 && r[0].Type == unix.RTN_LOCAL {
			return nil
		}
	}
	return fmt.Errorf("address %s is not in use", a)
}

// outside makes the world, joined to the node by a link whose neighbours are known.
func (n *Node) outside() error {
	h, err := n.host("outside", uplinkName)
	if err != nil {
		return err
	}
	n.Outside = h
	// Without any address of a family the kernel has none to send ICMP errors from.
	for _, a := range append([]netip.Addr{last4, last6}, n.Spec.Addrs...) {
		if err := n.AddAddr(uplinkName, netip.PrefixFrom(a, a.BitLen())); err != nil {
			return err
		}
	}
	if err := h.gateway(uplink4, uplink6); err != nil {
		return err
	}
	if err := n.neighbour(uplinkName, uplink4, h.MAC); err != nil {
		return err
	}
	if err := n.neighbour(uplinkName, uplink6, h.MAC); err != nil {
		return err
	}
	if err := n.route(default4, uplinkName, uplink4); err != nil {
		return err
	}
	return n.route(default6, uplinkName, uplink6)
}

// gateway makes the addresses the host's default routes, for good those of h.Gateway.
func (h *Host) gateway(v4, v6 netip.Addr) error {
	if err := h.neighbour("eth0", v4, h.Gateway); err != nil {
		return err
	}
	if err := h.neighbour("eth0", v6, h.Gateway); err != nil {
		return err
	}
	return h.defaults(v4, v6)
}

func (h *Host) defaults(v4, v6 netip.Addr) error {
	if err := h.route(default4, "eth0", v4); err != nil {
		return err
	}
	return h.route(default6, "eth0", v6)
}

// pod makes pod i of the spec.
func (n *Node) pod(i int) error {
	s := n.Spec.Pods[i]
	h, err := n.host(s.Name, fmt.Sprintf("pod%d", i))
	if err != nil {
		return err
	}
	h.Addrs = s.Addrs
	n.Pods = append(n.Pods, h)
	switch n.Spec.Mode {
	case Bridged:
		return n.attach(h)
	case Tunnelled:
		return n.routeTunnel(h)
	}
	return n.routePod(h)
}

// routeTunnel gives a pod behind a tunnel its addresses and both sides their routes.
func (n *Node) routeTunnel(h *Host) error {
	for _, a := range h.Addrs {
		p := netip.PrefixFrom(a, a.BitLen())
		if err := h.AddAddr("eth0", p); err != nil {
			return err
		}
		if err := n.route(p, h.Device, netip.Addr{}); err != nil {
			return err
		}
	}
	return h.defaults(netip.Addr{}, netip.Addr{})
}

// routePod gives a routed pod its addresses and both sides their routes.
func (n *Node) routePod(h *Host) error {
	for _, a := range h.Addrs {
		p := netip.PrefixFrom(a, a.BitLen())
		if err := h.AddAddr("eth0", p); err != nil {
			return err
		}
		if err := n.route(p, h.Device, netip.Addr{}); err != nil {
			return err
		}
		if n.Spec.RealNeighbours {
			continue
		}
		if err := n.neighbour(h.Device, a, h.MAC); err != nil {
			return err
		}
	}
	if err := n.AddAddr(h.Device, netip.PrefixFrom(gateway6, 64)); err != nil {
		return err
	}
	if err := n.Sysctl("net/ipv4/conf/"+h.Device+"/proxy_arp", "1"); err != nil {
		return err
	}
	// Otherwise an answer by proxy waits up to 0.8 s (net/ipv4/arp.c, pneigh_enqueue).
	if err := n.Sysctl("net/ipv4/neigh/"+h.Device+"/proxy_delay", "0"); err != nil {
		return err
	}
	if n.Spec.RealNeighbours {
		return h.defaults(gateway4, gateway6)
	}
	return h.gateway(gateway4, gateway6)
}

// bridge makes cni0 with its addresses.
func (n *Node) bridge() error {
	attrs := netlink.NewLinkAttrs()
	attrs.Name, attrs.HardwareAddr = bridgeName, n.lab.mac()
	off := false
	if err := n.nl.LinkAdd(&netlink.Bridge{LinkAttrs: attrs, MulticastSnooping: &off}); err != nil {
		return fmt.Errorf("bridge %s: %w", bridgeName, err)
	}
	for _, p := range n.Spec.Bridge {
		if err := n.AddAddr(bridgeName, p); err != nil {
			return err
		}
	}
	for _, key := range []string{"bridge-nf-call-iptables", "bridge-nf-call-ip6tables"} {
		if err := n.Sysctl("net/bridge/"+key, "1"); err != nil {
			return fmt.Errorf("br_netfilter: %w", err)
		}
	}
	return n.up(bridgeName)
}

// attach joins a pod to the bridge.
func (n *Node) attach(h *Host) error {
	port, err := n.nl.LinkByName(h.Device)
	if err != nil {
		return err
	}
	br, err := n.nl.LinkByName(bridgeName)
	if err != nil {
		return err
	}
	if err := n.nl.LinkSetMaster(port, br); err != nil {
		return fmt.Errorf("join %s to %s: %w", h.Device, bridgeName, err)
	}
	if err := n.nl.LinkSetHairpin(port, true); err != nil {
		return fmt.Errorf("hairpin of %s: %w", h.Device, err)
	}
	h.Gateway = br.Attrs().HardwareAddr
	var gw [2]netip.Addr
	for i, is6 := range []bool{false, true} {
		for _, p := range n.Spec.Bridge {
			if p.Addr().Is6() == is6 {
				gw[i] = p.Addr()
				break
			}
		}
	}
	for _, a := range h.Addrs {
		if err := n.join(h, a); err != nil {
			return err
		}
	}
	if n.Spec.RealNeighbours {
		return h.defaults(gw[0], gw[1])
	}
	return h.gateway(gw[0], gw[1])
}

// join gives a bridged pod an address, in the bridge's network where that holds
// it; otherwise the node routes the one address to the bridge.
func (n *Node) join(h *Host, a netip.Addr) error {
	for _, p := range n.Spec.Bridge {
		if p.Contains(a) {
			return h.AddAddr("eth0", netip.PrefixFrom(a, p.Bits()))
		}
	}
	p := netip.PrefixFrom(a, a.BitLen())
	if err := n.route(p, bridgeName, netip.Addr{}); err != nil {
		return err
	}
	return h.AddAddr("eth0", p)
}

// introduce tells pods and node on the bridge who has which hardware address.
func (n *Node) introduce() error {
	for _, h := range n.Pods {
		for _, a := range h.Addrs {
			if err := n.neighbour(bridgeName, a, h.MAC); err != nil {
				return err
			}
			for _, other := range n.Pods {
				if other == h {
					continue
				}
				other.peers[a] = h.MAC
				if err := other.neighbour("eth0", a, h.MAC); err != nil {
					return err
				}
			}
		}
	}
	return nil
}

// Learn makes frames of the host for dst go to a neighbour on its link.
func (h *Host) Learn(dst netip.Addr, mac net.HardwareAddr) { h.peers[dst] = mac }

// NextHop returns the hardware address to which the host sends packets for dst.
func (h *Host) NextHop(dst netip.Addr) net.HardwareAddr {
	switch {
	case dst.Is4() && dst.IsMulticast():
		b := dst.As4()
		return net.HardwareAddr{1, 0, 0x5e, b[1] & 0x7f, b[2], b[3]}
	case dst.IsMulticast():
		b := dst.As16()
		return net.HardwareAddr{0x33, 0x33, b[12], b[13], b[14], b[15]}
	case h.peers[dst] != nil:
		return h.peers[dst]
	}
	return h.Gateway
}
