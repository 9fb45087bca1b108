//go:build linux

package kerneltest

import (
	"encoding/json"
	"net/netip"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/trafficpolicy/trafficpolicy/internal/netlab"
	"github.com/trafficpolicy/trafficpolicy/model"
)

// packetCounts reads tploader stats: packets by rule, by "default DIRECTION PODS"
// and by "spoofed" and "broken"; without those of none.
func (w *wire) packetCounts() map[string]int {
	w.Helper()
	out, err := w.Loader("stats", "-o", "json")
	w.must(err)
	type count struct{ Packets int }
	var s struct {
		Rules []struct {
			Rule string
			count
		}
		DefaultDenies []struct {
			Direction string
			Pods      []string
			count
		}
		Spoofed, Broken, Unknown count
	}
	w.must(json.Unmarshal(out, &s))
	got := map[string]int{"spoofed": s.Spoofed.Packets, "broken": s.Broken.Packets, "unknown": s.Unknown.Packets}
	for _, r := range s.Rules {
		got[strings.TrimPrefix(r.Rule, "TrafficPolicy/default/")] += r.Packets
	}
	for _, d := range s.DefaultDenies {
		got["default "+d.Direction+" "+strings.Join(d.Pods, ",")] += d.Packets
	}
	for k, v := range got {
		if v == 0 {
			delete(got, k)
		}
	}
	return got
}

// TestCounters: each packet is counted once for each pod and direction that judges
// it, by the rule or the default deny that decides; spoofed and broken packets
// are counted; what is counted outlives an apply.
func TestCounters(t *testing.T) {
	forLoaded(t, func(t *testing.T, b Backend) {
		for _, mode := range []netlab.Mode{netlab.Routed, netlab.Bridged} {
			t.Run(mode.String(), func(t *testing.T) {
				w := newWire(t, b, wireSpec(mode), "")
				out := `egress: {rules: [{action: deny, to: [{cidr: 9.9.9.9}, {cidr: "2001:db8:9::9"}]}, {action: allow, to: [{workload: {selector: {app: server}}}], ports: [{protocol: UDP, port: 53}]}]}`
				policies := []string{policyOf("client", out), policyOf("server", allowIn)}
				w.set(policies...)
				send := func() {
					for f := range clientIP {
						allowed := udp(clientIP[f], serverIP[f], 53)
						w.fire([]shot{
							w.one("allowed by both", w.client, allowed, true),
							w.one("denied by a rule", w.client, udp(clientIP[f], badIP[f], 53), false),
							w.one("denied by a rule", w.client, udp(clientIP[f], badIP[f], 54), false),
							w.one("denied by default", w.client, udp(clientIP[f], serverIP[f], 54), false),
							w.one("denied by default", w.Node.Outside, udp(goodIP[f], clientIP[f], 53), false),
							w.one("spoofed", w.client, udp(openIP[f], goodIP[f], 53), false),
							w.one("broken", w.client, &netlab.Packet{Src: clientIP[f], Dst: serverIP[f], Proto: model.IPProtoTCP, SrcPort: 9, DstPort: 53, Flags: netlab.SYN | netlab.FIN}, false),
						})
						w.fire([]shot{w.one("a reply", w.server, w.Reply(allowed), true)})
					}
				}
				// Each of the two families; a reply is judged by both pods too. server's stack says
				// that the port is unreachable, which both pods judge: an ICMP error of the
				// allowed connection.
				want := map[string]int{
					"client#egress[0]":               4,
					"default egress default/client":  2,
					"default ingress default/client": 2,
					"spoofed":                        2,
					"broken":                         2,
				}
				send()
				check := func(times int) {
					t.Helper()
					got := w.packetCounts()
					for _, rule := range []string{"client#egress[1]", "server#ingress[0]"} {
						if n := got[rule]; n < 4*times {
							t.Errorf("%s: %d packets, want %d or more", rule, n, 4*times)
						}
						delete(got, rule)
					}
					wanted := map[string]int{}
					for k, v := range want {
						wanted[k] = v * times
					}
					if diff := cmp.Diff(wanted, got); diff != "" {
						t.Errorf("after %d times (-want +got):\n%s", times, diff)
					}
				}
				check(1)
				w.set(append(policies, policyOf("open", closed))...)
				check(1)
				send()
				check(2)
			})
		}
	})
}

// TestUnknownDeny: with --unknown deny a pod of the node's pod networks that the
// bundle does not know is closed, one that it knows and does not govern is open.
func TestUnknownDeny(t *testing.T) {
	stranger := [2]netip.Addr{addr("10.20.0.40"), addr("fd00:20::40")}
	forLoaded(t, func(t *testing.T, b Backend) {
		if b.Interfaces {
			return // compile refuses
		}
		for _, mode := range []netlab.Mode{netlab.Routed, netlab.Bridged} {
			t.Run(mode.String(), func(t *testing.T) {
				spec := wireSpec(mode)
				spec.Pods = append(spec.Pods, netlab.PodSpec{Name: "default.stranger", Addrs: stranger[:]})
				w := newWire(t, b, spec, "")
				inventory := strings.Replace(wireInventory, "  metadata: {name: node-a}\n", "  metadata: {name: node-a}\n  spec: {podCIDRs: [10.20.0.0/24, \"fd00:20::/64\"]}\n", 1)
				p, err := WritePolicies(t.TempDir(), policyOf("client", goodOut), inventory)
				w.must(err)
				pod := w.Node.Pod("default.stranger")
				both := func(pass bool) {
					t.Helper()
					var shots []shot
					for f := range stranger {
						shots = append(shots,
							w.one("stranger to the world", pod, udp(stranger[f], goodIP[f], 53), pass),
							w.one("the world to stranger", w.Node.Outside, udp(goodIP[f], stranger[f], 53), pass),
							w.one("stranger to open", pod, udp(stranger[f], openIP[f], 53), pass),
							w.one("open to the world", w.open, udp(openIP[f], goodIP[f], 53), true),
							w.one("the world to open", w.Node.Outside, udp(goodIP[f], openIP[f], 53), true),
							w.one("client to what it may reach", w.client, udp(clientIP[f], goodIP[f], 53), true),
							w.one("client to what it may not", w.client, udp(clientIP[f], badIP[f], 53), false),
						)
					}
					w.fire(shots)
				}
				w.apply(p, "--unknown", "allow")
				both(true)
				w.apply(p, "--unknown", "deny")
				both(false)
			})
		}
	})
}
