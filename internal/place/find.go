//go:build linux

package place

import (
	"cmp"
	"errors"
	"fmt"
	"maps"
	"net/netip"
	"path"
	"slices"
	"strings"

	"github.com/trafficpolicy/trafficpolicy/internal/state"
	"github.com/trafficpolicy/trafficpolicy/model"
)

// Pod is a governed pod.
type Pod struct {
	Ref   string // NAMESPACE/NAME
	Addrs []netip.Addr
}

// Hooks says what a backend's hooks are like. The zero value is hooks on
// interfaces that can have any name.
type Hooks struct {
	// BridgeNetfilter is set where packets between two ports of a bridge meet the
	// hooks only by way of br_netfilter and its switches.
	BridgeNetfilter bool
	// Name, if not nil, reports whether the backend can be told an interface's
	// name; Tool is what cannot.
	Name func(string) bool
	Tool string
	// Own is set where a bundle of pod scope is attached to the interfaces of the
	// pod's own namespace. Other backends need none there.
	Own bool
}

// Place is where one address of a governed pod was found.
type Place struct {
	Pod  string // NAMESPACE/NAME
	Addr netip.Addr
	// Interface is the node's interface that the pod's packets arrive on, and
	// Index its number; empty and 0 where Reason says why there is none.
	Interface string
	Index     int
	Raw       bool // packets there have no link layer
	// Reason completes the sentence "address A of pod P ...".
	Reason string
	// Unseen is set where the pod's packets pass the node without passing its
	// hooks: no artifact of node scope can hold that pod.
	Unseen bool
	// Bridge is that of which the interface is a port, and MAC the hardware
	// address behind it; empty elsewhere.
	Bridge, MAC string

	link *link
	// lost is set where the address may well be where it was.
	lost bool
}

func (p *Place) at(l *link) { p.link, p.Interface, p.Index, p.Raw = l, l.name, l.index, l.raw }

// nowhere takes the interface back.
func (p *Place) nowhere(format string, args ...any) {
	p.link, p.Interface, p.Index, p.Raw, p.Reason = nil, "", 0, false, fmt.Sprintf(format, args...)
}

// lose says that the address cannot be found just now.
func (p *Place) lose(format string, args ...any) {
	p.nowhere(format, args...)
	p.lost = true
}

// unseen says that the hooks do not see the pod.
func (p *Place) unseen(format string, args ...any) {
	p.Unseen, p.Reason = true, fmt.Sprintf(format, args...)
}

// podKinds are the kinds of interface that lead to one pod and nowhere else. A
// source check there cannot hit anybody else's packets. Other kinds are taken
// only where --iface names them.
var podKinds = map[string]bool{"veth": true, "netkit": true, "tuntap": true, "tun": true}

// Find finds the interface of each address of the pods. Globs, if any, restrict
// it to interfaces whose names match one, and vouch for those. known are where pods
// were: an address that nothing speaks of just now, such as that of a pod that has
// been silent on its bridge, is taken to be there still.
func (n *Network) Find(pods []Pod, h Hooks, globs []string, known []state.Interface) ([]Place, error) {
	return find(n, pods, h, globs, known)
}

func find(n network, pods []Pod, h Hooks, globs []string, known []state.Interface) ([]Place, error) {
	var places []Place
	for _, p := range pods {
		for _, a := range p.Addrs {
			place := Place{Pod: p.Ref, Addr: a}
			if err := place.follow(n); err != nil {
				return nil, err
			}
			places = append(places, place)
		}
	}
	if err := behindBridges(n, places, h); err != nil {
		return nil, err
	}
	remember(n, places, known)
	for i := range places {
		places[i].judge(h, globs)
	}
	unshare(places)
	return places, nil
}

// Own finds the interfaces of the pod in whose own namespace this is: all but
// loopback, or those that match a glob. There is one Place for each; or one that
// says that there is none.
func (n *Network) Own(pods []Pod, h Hooks, globs []string) []Place {
	if !h.Own || len(pods) != 1 {
		return nil
	}
	p := Place{Pod: pods[0].Ref}
	if len(pods[0].Addrs) > 0 {
		p.Addr = pods[0].Addrs[0]
	}
	var places []Place
	for _, index := range slices.Sorted(maps.Keys(n.links)) {
		l := n.links[index]
		if l.loopback || len(globs) > 0 && !matches(globs, l.name) {
			continue
		}
		p.at(l)
		places = append(places, p)
	}
	if places == nil {
		p.nowhere("has no interface in this network namespace that could be attached to")
		places = append(places, p)
	}
	return places
}

func matches(globs []string, name string) bool {
	return slices.ContainsFunc(globs, func(g string) bool { ok, _ := path.Match(g, name); return ok })
}

// remember puts addresses that were lost where their pod was, if that is there and
// no other pod is.
func remember(n network, places []Place, known []state.Interface) {
	taken := map[int]string{}
	for _, p := range places {
		if p.link != nil {
			taken[p.link.index] = p.Pod
		}
	}
	was := map[string]state.Interface{}
	for _, i := range known {
		was[i.Pod] = i
	}
	for i := range places {
		p := &places[i]
		k, ok := was[p.Pod]
		if !p.lost || !ok {
			continue
		}
		l, ok := n.link(k.Index)
		if pod, other := taken[k.Index]; !ok || l.name != k.Name || other && pod != p.Pod {
			continue
		}
		p.at(l)
		p.Bridge, p.Reason = k.Bridge, ""
		if len(k.MACs) == 1 {
			p.MAC = k.MACs[0]
		}
	}
}

// unshare gives up interfaces that two pods are behind: their packets cannot be
// told apart, and a check for one would drop what the other sends.
func unshare(places []Place) {
	pods := map[string]string{}
	shared := map[string]bool{}
	for _, p := range places {
		if first, ok := pods[p.Interface]; ok && first != p.Pod {
			shared[p.Interface] = true
		} else {
			pods[p.Interface] = p.Pod
		}
	}
	for i := range places {
		if p := &places[i]; p.Interface != "" && !p.Unseen && shared[p.Interface] {
			p.nowhere("is behind %s with other pods", p.Interface)
		}
	}
}

// follow takes the interface that the address is routed to.
func (p *Place) follow(n network) error {
	r, err := n.route(p.Addr)
	if errors.Is(err, errNoRoute) {
		p.lose("has no route")
		return nil
	}
	if err != nil {
		return err
	}
	l, ok := n.link(r.link)
	switch {
	case r.local:
		p.nowhere("is an address of the node itself")
	case !ok:
		p.nowhere("is routed to interface %d, which is gone", r.link)
	case r.gateway.IsValid():
		p.nowhere("is routed to %s by way of %s, so it is not on this node", l.name, r.gateway)
	default:
		p.at(l)
	}
	return nil
}

// behindBridges replaces bridges by the ports behind which the addresses are.
func behindBridges(n network, places []Place, h Hooks) error {
	bridged := map[*link][]netip.Addr{}
	for i := range places {
		p := &places[i]
		if p.link == nil || p.link.kind != "bridge" {
			continue
		}
		if f := model.FamilyOf(p.Addr); h.BridgeNetfilter && !n.filtered(p.link.index, f) {
			p.unseen("is behind bridge %s, whose packets do not pass netfilter (br_netfilter and net.bridge.bridge-nf-call-%s=1 make them)",
				p.Interface, map[model.Family]string{model.IPv4: "iptables", model.IPv6: "ip6tables"}[f])
			continue
		}
		bridged[p.link] = append(bridged[p.link], p.Addr)
	}
	ports := map[netip.Addr]port{}
	for bridge, addrs := range bridged {
		found, err := n.ports(bridge.index, addrs)
		if err != nil {
			return err
		}
		maps.Copy(ports, found)
	}
	for i := range places {
		p := &places[i]
		if p.link == nil || p.link.kind != "bridge" || p.Unseen {
			continue
		}
		at := ports[p.Addr]
		if l, ok := n.link(at.link); ok {
			p.Bridge, p.MAC = p.link.name, at.mac
			p.at(l)
			continue
		}
		p.lose("is on bridge %s, which does not know its port (is the pod running?)", p.Interface)
	}
	return nil
}

// judge decides whether the interface can be attached to.
func (p *Place) judge(h Hooks, globs []string) {
	l := p.link
	if l == nil || p.Unseen {
		return
	}
	switch {
	case h.Name != nil && !h.Name(l.name):
		p.nowhere("is behind %q, a name that %s cannot be told", l.name, h.Tool)
	case h.Name != nil && p.Bridge != "" && !h.Name(p.Bridge):
		p.nowhere("is on bridge %q, a name that %s cannot be told", p.Bridge, h.Tool)
	case matches(globs, l.name):
	case unseenKind(l) != "":
		p.unseen("is behind %s, %s, whose packets do not pass this node's hooks", l.name, unseenKind(l))
	case len(globs) > 0:
		p.nowhere("is behind %s, which no --iface matches", l.name)
	case !podKinds[l.kind]:
		p.nowhere("is behind %s (%s), which is not the interface of one pod (--iface %s attaches there nevertheless)", l.name, l.kind, l.name)
	}
}

// unseenKind describes an interface whose pods' packets go past the hooks, ""
// for any other. Pods on ipvlan and macvlan are seen from here only as
// addresses on the parent.
func unseenKind(l *link) string {
	switch {
	case slices.Contains([]string{"ipvlan", "ipvtap", "macvlan", "macvtap"}, l.kind):
		return "of kind " + l.kind
	case l.vfPort:
		return "the host's end of an SR-IOV virtual function"
	case podKinds[l.kind]:
		return ""
	case l.vfs > 0:
		return "with SR-IOV virtual functions"
	}
	for _, kind := range []string{"ipvlan", "ipvtap", "macvlan", "macvtap"} {
		if l.children[kind] {
			return "with interfaces of kind " + kind
		}
	}
	return ""
}

// Refusal returns an error that names every pod that the hooks would not see,
// nil if there is none.
func Refusal(places []Place) error {
	var lines []string
	for _, p := range places {
		if p.Unseen {
			lines = append(lines, fmt.Sprintf("pod %s: address %s %s", p.Pod, p.Addr, p.Reason))
		}
	}
	if lines == nil {
		return nil
	}
	slices.Sort(lines)
	return fmt.Errorf("node scope cannot enforce this bundle, compile these pods for pod scope:\n  %s", strings.Join(lines, "\n  "))
}

// Interfaces groups places by interface, sorted by name.
func Interfaces(places []Place) []state.Interface {
	sorted := slices.Clone(places)
	slices.SortFunc(sorted, func(a, b Place) int {
		return cmp.Or(cmp.Compare(a.Interface, b.Interface), cmp.Compare(a.Pod, b.Pod), a.Addr.Compare(b.Addr))
	})
	var list []state.Interface
	for _, p := range sorted {
		if p.Interface == "" {
			continue
		}
		if n := len(list); n == 0 || list[n-1].Name != p.Interface {
			list = append(list, state.Interface{Name: p.Interface, Index: p.Index})
		}
		last := &list[len(list)-1]
		last.Pod, last.Bridge = p.Pod, p.Bridge
		if p.MAC != "" && !slices.Contains(last.MACs, p.MAC) {
			last.MACs = append(last.MACs, p.MAC)
		}
	}
	for i := range list {
		slices.Sort(list[i].MACs)
	}
	return list
}
