//go:build linux

package load

import (
	"fmt"
	"strings"

	"github.com/trafficpolicy/trafficpolicy/backends/bundle"
	"github.com/trafficpolicy/trafficpolicy/backends/nftables"
	"github.com/trafficpolicy/trafficpolicy/internal/state"
	"github.com/trafficpolicy/trafficpolicy/model"
)

// The limit of tracked connections of a pod keeps one pod from filling the
// node's table, at which every new connection of every pod fails. It is judged
// behind the policy, so that what is denied does not count, and it counts the
// connections that the pod opens and those opened to it. Off is the default: the
// right number depends on nf_conntrack_max and on how many pods share it.

// limitPods is how many pod addresses of one family the sets of the limit hold. An
// address for which there is no room would have no limit: [checkLimit] refuses that.
const limitPods = 65535

// checkLimit returns an error where the limit could not hold for every pod; most is
// limitPods.
func checkLimit(b *payload, r *state.Record, most int) error {
	if r.Options.MaxConnections == 0 {
		return nil
	}
	have := map[model.Family]int{}
	for _, p := range b.pods {
		for _, a := range p.Addrs {
			have[model.FamilyOf(a)]++
		}
	}
	for _, f := range model.Families {
		if have[f] > most {
			return fmt.Errorf("--max-connections can count for %d %s addresses of pods, and the bundle has %d: apply without it", most, f, have[f])
		}
	}
	return nil
}

// limitPrefix begins the names of the limit's objects.
const limitPrefix = "tp_limit"

// limitSet returns the name of the set that counts connections to or from
// addresses of one family. It outlives generations, and the counts with it; a
// set's elements keep the limit they were made with, so each limit has its own.
func limitSet(family string, limit uint32) string {
	return fmt.Sprintf("%s%s_%d", limitPrefix, family, limit)
}

// limitSkeleton creates the sets, if there is a limit.
func limitSkeleton(r *state.Record) string {
	if r.Options.MaxConnections == 0 {
		return ""
	}
	var s strings.Builder
	for _, f := range [][2]string{{"4", "ipv4_addr"}, {"6", "ipv6_addr"}} {
		fmt.Fprintf(&s, "add set %s %s { type %s; size %d; flags dynamic; }\n", nftables.Table, limitSet(f[0], r.Options.MaxConnections), f[1], limitPods)
	}
	return s.String()
}

// limitHook is one place where connections are counted.
type limitHook struct {
	chain, hook, address string
	priority             int
}

// limitHooks are the hooks behind those of the skeleton.
func limitHooks(scope bundle.Scope) []limitHook {
	if scope == bundle.ScopePod {
		return []limitHook{{"tp_limit_out", "output", "saddr", -109}, {"tp_limit_in", "input", "daddr", 1}}
	}
	return []limitHook{{"tp_limit_out", "prerouting", "saddr", -109}, {"tp_limit_in", "forward", "daddr", 1}}
}

// limitScript sets the limit, or takes it away.
func limitScript(s *strings.Builder, b *payload, r *state.Record, objects []object) {
	exists := map[string]bool{}
	for _, o := range objects {
		exists[o.key()] = true
	}
	limit := r.Options.MaxConnections
	for _, h := range limitHooks(b.scope) {
		if limit == 0 {
			if exists["chain "+h.chain] {
				fmt.Fprintf(s, "delete chain %s %s\n", nftables.Table, h.chain)
			}
			continue
		}
		fmt.Fprintf(s, "add chain %s %s { type filter hook %s priority %d; policy accept; }\n", nftables.Table, h.chain, h.hook, h.priority)
		fmt.Fprintf(s, "flush chain %s %s\n", nftables.Table, h.chain)
		for _, f := range [][2]string{{"4", "ip"}, {"6", "ip6"}} {
			fmt.Fprintf(s, "add rule %[1]s %[2]s ct state new %[3]s %[4]s @tp_pods%[5]s add @%[6]s { %[3]s %[4]s ct count over %[7]d } counter name \"%[8]s\" drop\n",
				nftables.Table, h.chain, f[1], h.address, f[0], limitSet(f[0], limit), limit, nftables.CounterLimited)
		}
	}
	for _, o := range objects {
		if o.kind == "set" && strings.HasPrefix(o.name, limitPrefix) && o.name != limitSet("4", limit) && o.name != limitSet("6", limit) {
			fmt.Fprintf(s, "delete set %s %s\n", nftables.Table, o.name)
		}
	}
}
