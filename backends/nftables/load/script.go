//go:build linux

package load

import (
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"net"
	"net/netip"
	"regexp"
	"slices"
	"strings"

	"github.com/trafficpolicy/trafficpolicy/backends/bundle"
	"github.com/trafficpolicy/trafficpolicy/backends/nftables"
	"github.com/trafficpolicy/trafficpolicy/internal/state"
)

// nodeAddrScript adds addresses to the sets of the node's own.
func nodeAddrScript(b *payload, addrs []netip.Addr) string {
	var s strings.Builder
	for _, a := range addrs {
		set := b.nodeSets[0]
		if a.Is6() {
			set = b.nodeSets[1]
		}
		fmt.Fprintf(&s, "add element %s %s { %s }\n", nftables.Table, set, a)
	}
	return s.String()
}

// plainName matches the names that stand for themselves between quotes in an nft
// script: nft knows no escapes there, and a final * would match more names.
var plainName = regexp.MustCompile(`^[!#-)+-.0-9;-\[\]-~]+$`)

// devicePrefix begins the names of the chains on interfaces.
const devicePrefix = "tp_dev_"

// deviceChain returns the name of the chain on an interface. Interface names
// may have characters that no chain's can.
func deviceChain(name string) string {
	sum := sha256.Sum256([]byte(name))
	return devicePrefix + hex.EncodeToString(sum[:8])
}

// devicePriority is that of the chains on interfaces: before flow tables, which
// take established connections past every later hook.
const devicePriority = -500

// dispatchScript returns the switching transaction: the bundle's own, then what
// only this node knows: the source and delivery checks of interfaces, the limit
// of connections, and the mark.
func dispatchScript(b *payload, r *state.Record, objects []object) string {
	var s strings.Builder
	s.WriteString(b.dispatch)
	want := map[string]bool{}
	for _, i := range r.Interfaces {
		want[deviceChain(i.Name)] = true
	}
	for _, o := range objects {
		if o.kind == "chain" && strings.HasPrefix(o.name, devicePrefix) && !want[o.name] {
			fmt.Fprintf(&s, "delete chain %s %s\n", nftables.Table, o.name)
		}
	}
	if b.scope == bundle.ScopeNode {
		deviceScript(&s, b, r)
	}
	limitScript(&s, b, r, objects)
	s.WriteString(mark{r.Generation, r.Apply, r.Prefix}.script())
	return s.String()
}

// deviceScript fills the maps of devices. What arrives on an interface meets a
// base chain of its own, which asks tp_if; what is forwarded out of it, the
// forward chain, which asks tp_oif.
func deviceScript(s *strings.Builder, b *payload, r *state.Record) {
	pods := map[string]nftables.Pod{}
	for _, p := range b.pods {
		pods[p.Ref] = p
	}
	fmt.Fprintf(s, "flush map %s %s\n", nftables.Table, nftables.MapDevice)
	fmt.Fprintf(s, "flush map %s %s\n", nftables.Table, nftables.MapDeliver)
	for _, i := range r.Interfaces {
		chain, p := deviceChain(i.Name), pods[i.Pod]
		fmt.Fprintf(s, "add chain %s %s { type filter hook ingress device \"%s\" priority %d; policy accept; }\n", nftables.Table, chain, i.Name, devicePriority)
		fmt.Fprintf(s, "flush chain %s %s\n", nftables.Table, chain)
		fmt.Fprintf(s, "add rule %s %s iifname vmap @%s\n", nftables.Table, chain, nftables.MapDevice)
		fmt.Fprintf(s, "add element %s %s { \"%s\" : goto %s }\n", nftables.Table, nftables.MapDevice, i.Name, p.Source)
		if i.Bridge == "" {
			fmt.Fprintf(s, "add element %s %s { \"%s\" : goto %s }\n", nftables.Table, nftables.MapDeliver, i.Name, p.Deliver)
		}
	}
	bridgeScript(s, r, pods)
}

// goneChains returns the keys of the chains of r's interfaces that do not exist
// any more. The kernel takes such a chain away with its interface (before 6.16)
// or keeps it for when the name returns.
func goneChains(r *state.Record) (map[string]bool, error) {
	all, err := net.Interfaces()
	if err != nil {
		return nil, fmt.Errorf("list interfaces: %w", err)
	}
	gone := map[string]bool{}
	for _, i := range r.Interfaces {
		if !slices.ContainsFunc(all, func(n net.Interface) bool { return n.Name == i.Name }) {
			gone["chain "+deviceChain(i.Name)] = true
		}
	}
	return gone, nil
}
