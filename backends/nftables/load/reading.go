//go:build linux

package load

import (
	"context"
	"fmt"
	"slices"
	"strings"

	"github.com/trafficpolicy/trafficpolicy/backends/bundle"
	"github.com/trafficpolicy/trafficpolicy/backends/nftables"
	"github.com/trafficpolicy/trafficpolicy/backends/nftables/ruleset"
	"github.com/trafficpolicy/trafficpolicy/compiler/space"
	"github.com/trafficpolicy/trafficpolicy/internal/loader"
	"github.com/trafficpolicy/trafficpolicy/internal/state"
)

// Reading returns what the kernel decides now, as it lists it. Nodes has the
// addresses of --node-addr too. What a packet could meet and neither the bundle's
// format nor the loader has put there is an error; it wraps [loader.ErrNothing]
// where the kernel holds no table.
func (k *kernel) Reading(ctx context.Context, a *loader.Applied) (*space.Reading, error) {
	objects, err := k.list(ctx)
	if err != nil {
		return nil, err
	}
	if objects == nil {
		return nil, fmt.Errorf("table %s is missing: %w", nftables.Table, loader.ErrNothing)
	}
	b, err := a.Bundle()
	if err != nil {
		return nil, err
	}
	p, ok := b.Payload.(*payload)
	if !ok {
		return nil, fmt.Errorf("the bundle is not of backend %s", bundle.NFTables)
	}
	p = p.rename(a.Record.Prefix)
	rest, err := cutOwn(objects, p, a.Record)
	if err != nil {
		return nil, err
	}
	t, err := ruleset.FromListing(rest)
	if err != nil {
		return nil, err
	}
	return t.Decode(nftables.KeyOf(b.Manifest, p.prefix, p.pods))
}

// cutOwn checks what the loader itself has made and filled, and returns the
// objects without it.
func cutOwn(objects []object, p *payload, r *state.Record) ([]ruleset.Object, error) {
	gone, err := goneChains(r)
	if err != nil {
		return nil, err
	}
	own := ownObjects(p, r)
	var rest []ruleset.Object
	for i := range objects {
		o := &objects[i]
		want, ok := own[o.key()]
		switch {
		case !ok && o.kind != "counter" && (strings.HasPrefix(o.name, devicePrefix) || strings.HasPrefix(o.name, limitPrefix)):
			return nil, fmt.Errorf("%s is not of what was applied", o.key())
		case !ok:
			rest = append(rest, ruleset.Object{Kind: o.kind, Name: o.name, Body: o.body})
			continue
		}
		delete(own, o.key())
		head, elements := cutElements(strings.Join(o.body, "\n"))
		if slices.Sort(elements); head != want.head || want.elements != nil && !slices.Equal(elements, want.elements) {
			return nil, fmt.Errorf("%s is not what the loader has made", o.key())
		}
		if want.format {
			rest = append(rest, ruleset.Object{Kind: o.kind, Name: o.name, Body: strings.Split(head, "\n")})
		}
	}
	for key := range own {
		if !gone[key] {
			return nil, fmt.Errorf("%s is missing", key)
		}
	}
	return rest, nil
}

// ownObject is an object of the loader as nft lists it.
type ownObject struct {
	head     string
	elements []string // sorted; nil where packets fill it
	format   bool     // it belongs to the format, and only its elements to the loader
}

// ownObjects returns what the loader has made for a record, by kind and name.
func ownObjects(p *payload, r *state.Record) map[string]ownObject {
	m := mark{r.Generation, r.Apply, r.Prefix}
	own := map[string]ownObject{
		"chain " + markChain: {head: fmt.Sprintf("return comment \"generation %s apply %d prefix %s\"", m.generation, m.apply, m.prefix), elements: []string{}},
	}
	if p.scope == bundle.ScopeNode {
		ownDevices(own, p, r)
	}
	if limit := r.Options.MaxConnections; limit > 0 {
		ownLimit(own, p.scope, limit)
	}
	return own
}

// ownDevices adds the chains on devices and the maps of what they lead to.
func ownDevices(own map[string]ownObject, p *payload, r *state.Record) {
	pods := map[string]nftables.Pod{}
	for _, pod := range p.pods {
		pods[pod.Ref] = pod
	}
	from, to, mac := []string{}, []string{}, []string{}
	for _, i := range r.Interfaces {
		own["chain "+deviceChain(i.Name)] = ownObject{head: fmt.Sprintf(
			"type filter hook ingress device %q priority %d; policy accept;\niifname vmap @%s", i.Name, devicePriority, nftables.MapDevice)}
		from = append(from, fmt.Sprintf("%q : goto %s", i.Name, pods[i.Pod].Source))
		if i.Bridge == "" {
			to = append(to, fmt.Sprintf("%q : goto %s", i.Name, pods[i.Pod].Deliver))
		}
	}
	bridges, owners := bridged(r)
	for _, bridge := range bridges {
		to = append(to, fmt.Sprintf("%q : jump %s", bridge, bridgeChain))
	}
	for _, address := range owners {
		mac = append(mac, fmt.Sprintf("%s : goto %s", address.mac, pods[address.pod].Deliver))
	}
	for _, list := range [][]string{from, to, mac} {
		slices.Sort(list)
	}
	own["map "+nftables.MapDevice] = ownObject{"type ifname : verdict", from, true}
	own["map "+nftables.MapDeliver] = ownObject{"type ifname : verdict", to, true}
	own["chain "+bridgeChain] = ownObject{head: "ether daddr vmap @" + bridgeMap, elements: []string{}}
	own["map "+bridgeMap] = ownObject{head: "type ether_addr : verdict", elements: mac}
}

// ownLimit adds the chains and sets of the limit of connections.
func ownLimit(own map[string]ownObject, scope bundle.Scope, limit uint32) {
	for _, h := range limitHooks(scope) {
		lines := []string{fmt.Sprintf("type filter hook %s priority %d; policy accept;", h.hook, h.priority)}
		for _, f := range [][2]string{{"4", "ip"}, {"6", "ip6"}} {
			lines = append(lines, fmt.Sprintf("ct state 0x8 %[1]s %[2]s @tp_pods%[3]s add @%[4]s { %[1]s %[2]s ct count over %[5]d } counter name %[6]q drop",
				f[1], h.address, f[0], limitSet(f[0], limit), limit, nftables.CounterLimited))
		}
		own["chain "+h.chain] = ownObject{head: strings.Join(lines, "\n")}
	}
	for _, f := range [][2]string{{"4", "ipv4_addr"}, {"6", "ipv6_addr"}} {
		own["set "+limitSet(f[0], limit)] = ownObject{head: fmt.Sprintf("type %s\nsize %d\nflags dynamic", f[1], limitPods)}
	}
}
