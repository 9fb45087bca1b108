//go:build linux

package load

import (
	"cmp"
	"errors"
	"fmt"
	"maps"
	"net/netip"
	"path"
	"regexp"
	"slices"
	"strings"

	"github.com/trafficpolicy/trafficpolicy/backends/nftables"
	"github.com/trafficpolicy/trafficpolicy/model"
)

// Place is where one address of a governed pod was found.
type Place struct {
	Pod  string     `json:"pod"` // NAMESPACE/NAME
	Addr netip.Addr `json:"address"`
	// Interface is the node's interface that the pod's packets arrive on; empty
	// where Reason says why there is none.
	Interface string `json:"interface,omitempty"`
	// Reason completes the sentence "address A of pod P ...".
	Reason string `json:"reason,omitempty"`
	// Unseen is set where the pod's packets pass the node without passing its
	// hooks: no artifact of node scope can hold that pod.
	Unseen bool `json:"unseen,omitempty"`

	link *link
	// bridge is that of which the interface is a port, and mac the hardware
	// address behind it; empty elsewhere.
	bridge, mac string
}

func (p *Place) at(l *link) { p.link, p.Interface = l, l.name }

// nowhere takes the interface back.
func (p *Place) nowhere(format string, args ...any) {
	p.link, p.Interface, p.Reason = nil, "", fmt.Sprintf(format, args...)
}

// unseen says that the hooks do not see the pod.
func (p *Place) unseen(format string, args ...any) {
	p.Unseen, p.Reason = true, fmt.Sprintf(format, args...)
}

// podKinds are the kinds of interface that lead to one pod and nowhere else. A
// source check there cannot hit anybody else's packets. Other kinds are taken
// only where --iface names them.
var podKinds = map[string]bool{"veth": true, "netkit": true, "tuntap": true, "tun": true}

// discover finds the interface of each pod: the one that its address is routed
// to, or the bridge port behind that. Globs, if any, restrict it to interfaces
// whose names match one, and vouch for those.
func discover(n network, pods []nftables.Pod, globs []string) ([]Place, error) {
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
	if err := behindBridges(n, places); err != nil {
		return nil, err
	}
	for i := range places {
		places[i].judge(globs)
	}
	unshare(places)
	return places, nil
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
		p.nowhere("has no route")
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
func behindBridges(n network, places []Place) error {
	bridged := map[*link][]netip.Addr{}
	for i := range places {
		p := &places[i]
		if p.link == nil || p.link.kind != "bridge" {
			continue
		}
		if f := model.FamilyOf(p.Addr); !n.filtered(p.link.index, f) {
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
			p.bridge, p.mac = p.link.name, at.mac
			p.at(l)
			continue
		}
		p.nowhere("is on bridge %s, which does not know its port (is the pod running?)", p.Interface)
	}
	return nil
}

// plainName matches the names that stand for themselves between quotes in an nft
// script: nft knows no escapes there, and a final * would match more names.
var plainName = regexp.MustCompile(`^[!#-)+-.0-9;-\[\]-~]+$`)

// judge decides whether the interface can be attached to.
func (p *Place) judge(globs []string) {
	l := p.link
	if l == nil || p.Unseen {
		return
	}
	named := slices.ContainsFunc(globs, func(g string) bool { ok, _ := path.Match(g, l.name); return ok })
	switch {
	case !plainName.MatchString(l.name):
		p.nowhere("is behind %q, a name that nft cannot be told", l.name)
	case p.bridge != "" && !plainName.MatchString(p.bridge):
		p.nowhere("is on bridge %q, a name that nft cannot be told", p.bridge)
	case named:
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

// refusal returns an error that names every pod that the hooks would not see,
// nil if there is none.
func refusal(places []Place) error {
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

// comparePlaces orders by interface, pod and address.
func comparePlaces(a, b Place) int {
	return cmp.Or(cmp.Compare(a.Interface, b.Interface), cmp.Compare(a.Pod, b.Pod), a.Addr.Compare(b.Addr))
}
