//go:build linux

package place

import (
	"errors"
	"fmt"
	"net"
	"net/netip"
	"os"
	"regexp"
	"strings"
	"time"

	"github.com/vishvananda/netlink"
	"github.com/vishvananda/netlink/nl"
	"golang.org/x/sys/unix"

	"github.com/trafficpolicy/trafficpolicy/model"
)

// network is what find asks of a network namespace.
type network interface {
	// route returns where packets to a go, and errNoRoute if nowhere.
	route(a netip.Addr) (route, error)
	// link returns the interface with that index.
	link(index int) (*link, bool)
	// filtered reports whether packets that the bridge forwards between its
	// ports pass the forward hook of family f.
	filtered(bridge int, f model.Family) bool
	// ports returns the ports behind which the bridge has the addresses; those
	// that it does not know are missing.
	ports(bridge int, addrs []netip.Addr) (map[netip.Addr]port, error)
}

var errNoRoute = errors.New("no route")

// route is where packets to an address go.
type route struct {
	link    int
	gateway netip.Addr // invalid: directly on the link
	local   bool       // to an address of this namespace
}

// port is what a bridge knows of an address.
type port struct {
	link int    // index of the port
	mac  string // hardware address, as nft writes it
}

// link is an interface.
type link struct {
	index  int
	name   string
	kind   string // as in ip -d link: veth, bridge, ...; "device" if the kernel names none
	mac    net.HardwareAddr
	parent int // index of the interface that it is on top of, or 0
	// children holds the kinds of interfaces on top of this one.
	children map[string]bool
	loopback bool
	raw      bool // packets have no link layer
	vfs      int  // SR-IOV virtual functions
	vfPort   bool // the host's end of a virtual function (a representor)
}

// Network asks the kernel, in the calling thread's namespace. Links are read
// once.
type Network struct {
	h     *netlink.Handle
	links map[int]*link
}

// Open reads the interfaces of the namespace.
func Open() (*Network, error) {
	h, err := netlink.NewHandle(unix.NETLINK_ROUTE)
	if err != nil {
		return nil, fmt.Errorf("route netlink: %w", err)
	}
	n := &Network{h: h, links: map[int]*link{}}
	all, err := h.LinkList()
	if err != nil {
		h.Close()
		return nil, fmt.Errorf("list interfaces: %w", err)
	}
	for _, l := range all {
		a := l.Attrs()
		n.links[a.Index] = &link{
			index: a.Index, name: a.Name, kind: l.Type(), mac: a.HardwareAddr, parent: a.ParentIndex,
			children: map[string]bool{}, vfs: len(a.Vfs), loopback: a.Flags&net.FlagLoopback != 0,
			raw: a.EncapType != "ether",
		}
		if a.PhysSwitchID != 0 {
			name := linkAttrs(a.Index)[unix.IFLA_PHYS_PORT_NAME]
			n.links[a.Index].vfPort = isVFPort(strings.TrimRight(string(name), "\x00"))
		}
	}
	for _, l := range n.links {
		// A veth's "parent" is its peer, often an index in another namespace.
		if p, ok := n.links[l.parent]; ok && l.kind != "veth" {
			p.children[l.kind] = true
		}
	}
	return n, nil
}

// Close ends the connection to the kernel.
func (n *Network) Close() { n.h.Close() }

// vfPortName is what the kernel calls the port of a virtual function that
// stands in the host for it (devlink-port.rst, "Port function").
var vfPortName = regexp.MustCompile(`^(c\d+)?pf\d+(vf|sf)\d+$`)

func isVFPort(name string) bool { return vfPortName.MatchString(name) }

func (n *Network) link(index int) (*link, bool) {
	l, ok := n.links[index]
	return l, ok
}

func (n *Network) route(a netip.Addr) (route, error) {
	routes, err := n.h.RouteGet(a.AsSlice())
	if err != nil || len(routes) == 0 || routes[0].LinkIndex == 0 {
		// ENETUNREACH, and what unreachable, prohibit and blackhole routes give.
		return route{}, errNoRoute
	}
	r := routes[0]
	gw, _ := netip.AddrFromSlice(r.Gw)
	if via, ok := r.Via.(*netlink.Via); ok && via != nil {
		gw, _ = netip.AddrFromSlice(via.Addr)
	}
	return route{link: r.LinkIndex, gateway: gw.Unmap(), local: r.Type == unix.RTN_LOCAL}, nil
}

// Addrs returns the addresses of the namespace's own interfaces.
func (n *Network) Addrs() (map[netip.Addr]bool, error) {
	list, err := n.h.AddrList(nil, netlink.FAMILY_ALL)
	if err != nil {
		return nil, fmt.Errorf("list addresses: %w", err)
	}
	all := map[netip.Addr]bool{}
	for _, a := range list {
		if ip, ok := netip.AddrFromSlice(a.IP); ok {
			all[ip.Unmap()] = true
		}
	}
	return all, nil
}

// filtered asks br_netfilter, the module, first: without it its switches do not
// exist. They are the namespace's (net.bridge.bridge-nf-call-*) or the bridge's
// own (net/bridge/br_netfilter_hooks.c, br_nf_pre_routing).
func (n *Network) filtered(bridge int, f model.Family) bool {
	file, attr := "bridge-nf-call-iptables", uint16(nl.IFLA_BR_NF_CALL_IPTABLES)
	if f == model.IPv6 {
		file, attr = "bridge-nf-call-ip6tables", nl.IFLA_BR_NF_CALL_IP6TABLES
	}
	text, err := os.ReadFile("/proc/sys/net/bridge/" + file)
	if err != nil {
		return false
	}
	return strings.TrimSpace(string(text)) == "1" || n.bridgeSwitch(bridge, attr)
}

// bridgeSwitch returns a one-byte attribute of a bridge (IFLA_INFO_DATA).
func (n *Network) bridgeSwitch(bridge int, attr uint16) bool {
	info := attrs(linkAttrs(bridge)[unix.IFLA_LINKINFO])
	v := attrs(info[nl.IFLA_INFO_DATA])[attr]
	return len(v) > 0 && v[0] == 1
}

// linkAttrs returns the attributes of an interface, for what the library does
// not decode; none if it is gone.
func linkAttrs(index int) map[uint16][]byte {
	req := nl.NewNetlinkRequest(unix.RTM_GETLINK, 0)
	msg := nl.NewIfInfomsg(unix.AF_UNSPEC)
	msg.Index = int32(index)
	req.AddData(msg)
	answers, err := req.Execute(unix.NETLINK_ROUTE, unix.RTM_NEWLINK)
	if err != nil || len(answers) == 0 || len(answers[0]) < unix.SizeofIfInfomsg {
		return nil
	}
	return attrs(answers[0][unix.SizeofIfInfomsg:])
}

// attrs splits netlink attributes by type; none where they cannot be read.
func attrs(b []byte) map[uint16][]byte {
	list, err := nl.ParseRouteAttr(b)
	m := make(map[uint16][]byte, len(list))
	if err != nil {
		return m
	}
	for _, a := range list {
		m[a.Attr.Type&^unix.NLA_F_NESTED] = a.Value
	}
	return m
}

// resolveTime is how long ports waits for the kernel to find neighbours.
const resolveTime = 1500 * time.Millisecond

func (n *Network) ports(bridge int, addrs []netip.Addr) (map[netip.Addr]port, error) {
	deadline := time.Now().Add(resolveTime)
	asked := map[netip.Addr]bool{}
	for {
		macs, err := n.neighbours(bridge)
		if err != nil {
			return nil, err
		}
		byMAC, err := n.forwarding(bridge)
		if err != nil {
			return nil, err
		}
		found := map[netip.Addr]port{}
		for _, a := range addrs {
			if index, ok := byMAC[macs[a]]; ok {
				found[a] = port{index, macs[a]}
			} else if !asked[a] {
				asked[a] = true
				n.resolve(bridge, a)
			}
		}
		if len(found) == len(addrs) || time.Now().After(deadline) {
			return found, nil
		}
		time.Sleep(50 * time.Millisecond)
	}
}

// neighbours returns the hardware addresses known on the bridge.
func (n *Network) neighbours(bridge int) (map[netip.Addr]string, error) {
	macs := map[netip.Addr]string{}
	for _, family := range []int{unix.AF_INET, unix.AF_INET6} {
		list, err := n.h.NeighList(bridge, family)
		if err != nil {
			return nil, fmt.Errorf("list neighbours: %w", err)
		}
		for _, e := range list {
			ip, ok := netip.AddrFromSlice(e.IP)
			if ok && len(e.HardwareAddr) > 0 && e.State&(unix.NUD_FAILED|unix.NUD_INCOMPLETE) == 0 {
				macs[ip.Unmap()] = e.HardwareAddr.String()
			}
		}
	}
	return macs, nil
}

// forwarding returns the bridge's ports by the hardware addresses learned there.
func (n *Network) forwarding(bridge int) (map[string]int, error) {
	list, err := n.h.NeighList(0, unix.AF_BRIDGE)
	if err != nil {
		return nil, fmt.Errorf("list the forwarding table: %w", err)
	}
	ports := map[string]int{}
	for _, e := range list {
		// Permanent entries are the addresses of the ports themselves.
		if e.MasterIndex == bridge && e.State&unix.NUD_PERMANENT == 0 && len(e.HardwareAddr) > 0 {
			ports[e.HardwareAddr.String()] = e.LinkIndex
		}
	}
	return ports, nil
}

// resolve makes the kernel ask for a neighbour, as a packet to it would, and
// asks as well, for when the kernel thinks that it knows.
func (n *Network) resolve(bridge int, a netip.Addr) {
	n.h.NeighSet(&netlink.Neigh{
		LinkIndex: bridge, Family: familyNumber(a), IP: net.IP(a.AsSlice()),
		State: unix.NUD_NONE, Flags: unix.NTF_USE,
	})
	if l, ok := n.link(bridge); ok && len(l.mac) == 6 {
		probe(l, a)
	}
}

func familyNumber(a netip.Addr) int {
	if a.Is4() {
		return unix.AF_INET
	}
	return unix.AF_INET6
}
