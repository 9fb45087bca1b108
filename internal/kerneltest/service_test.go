//go:build linux

package kerneltest

import (
	"fmt"
	"net/netip"
	"testing"

	"github.com/trafficpolicy/trafficpolicy/internal/netlab"
)

// serviceProxy does what kube-proxy does for the Service web and a node port:
// destinations are translated at prerouting and output, and a pod that reaches
// itself, and the world by the node port, are masqueraded.
const serviceProxy = `table inet proxy {
	chain pre {
		type nat hook prerouting priority -100
		ip daddr 172.21.0.100 tcp dport 80 dnat ip to 10.20.0.20:8080
		ip6 daddr fd00:21::100 tcp dport 80 dnat ip6 to [fd00:20::20]:8080
		ip daddr 192.168.10.11 tcp dport 30080 dnat ip to 10.20.0.20:8080
		ip6 daddr fd00:10::11 tcp dport 30080 dnat ip6 to [fd00:20::20]:8080
	}
	chain out {
		type nat hook output priority -100
		ip daddr 172.21.0.100 tcp dport 80 dnat ip to 10.20.0.20:8080
		ip6 daddr fd00:21::100 tcp dport 80 dnat ip6 to [fd00:20::20]:8080
	}
	chain post {
		type nat hook postrouting priority 100
		ip saddr 10.20.0.20 ip daddr 10.20.0.20 ct status dnat masquerade
		ip6 saddr fd00:20::20 ip6 daddr fd00:20::20 ct status dnat masquerade
		meta l4proto tcp ct original proto-dst 30080 masquerade
		oifname "uplink" ip saddr 10.20.0.0/24 masquerade
		oifname "uplink" ip6 saddr fd00:20::/64 masquerade
	}
}
`

// TestService: the peer of egress is the address that the pod used, that of
// ingress the source before the node's own translation; ports are those that
// the packet carries at either place.
func TestService(t *testing.T) {
	rule := func(action, peers, port string) string {
		if port != "" {
			port = ", ports: [{port: " + port + "}]"
		}
		return fmt.Sprintf("{rules: [{action: %s, %s%s}]}", action, peers, port)
	}
	toService := `to: [{cidr: 172.21.0.100}, {cidr: "fd00:21::100"}]`
	toEndpoint := `to: [{cidr: 10.20.0.20}, {cidr: "fd00:20::20"}]`
	fromClient := `from: [{cidr: 10.20.0.10}, {cidr: "fd00:20::10"}]`
	fromWorld := `from: [{cidr: 9.9.9.9}, {cidr: "2001:db8:9::9"}]`
	yes, no := netlab.Answered, netlab.Silence
	onWire(t, func(w *wire) {
		w.must(w.Node.NFT(serviceProxy))
		w.serve(8080)
		for _, c := range []struct {
			what            string
			client, server  string
			service, direct netlab.Outcome // client's
		}{
			{"the Service by name", "egress: " + rule("allow", "to: [{service: {name: web}}]", ""), "ingress: " + rule("allow", fromClient, ""), yes, yes},
			{"its address alone", "egress: " + rule("allow", toService, ""), "ingress: " + rule("allow", fromClient, ""), yes, no},
			{"its endpoint alone", "egress: " + rule("allow", toEndpoint, ""), "ingress: " + rule("allow", fromClient, ""), no, yes},
			{"the Service's port", "egress: " + rule("allow", toService, "80"), "ingress: " + rule("allow", fromClient, ""), yes, no},
			{"the endpoint's port at the Service", "egress: " + rule("allow", toService, "8080"), "ingress: " + rule("allow", fromClient, ""), no, no},
			{"ingress to the endpoint's port", allowOut, "ingress: " + rule("allow", fromClient, "8080"), yes, yes},
			{"ingress to the Service's port", allowOut, "ingress: " + rule("allow", fromClient, "80"), no, no},
			{"ingress closed", allowOut, closed, no, no},
			{"the world alone", allowOut, "ingress: " + rule("allow", fromWorld, ""), no, no},
		} {
			w.set(policyOf("client", c.client), policyOf("server", c.server))
			var asks []ask
			for f := range serviceIP {
				asks = append(asks,
					ask{c.what, w.client.Namespace, "tcp", serviceIP[f], 80, c.service},
					ask{c.what, w.client.Namespace, "tcp", serverIP[f], 8080, c.direct},
					ask{c.what + ", the node itself", w.Node.Namespace, "tcp", serviceIP[f], 80, yes},
				)
			}
			w.ask(asks...)
		}

		// A pod to itself through the Service: its egress side is to the Service, its
		// ingress side from itself, though the packet comes from the node's address.
		for _, c := range []struct {
			policy string
			want   netlab.Outcome
		}{{"egress: " + rule("allow", toService, "80"), yes}, {closed, no}} {
			w.set(policyOf("server", c.policy))
			for f := range serviceIP {
				w.ask(ask{"to itself through the Service", w.server.Namespace, "tcp", serviceIP[f], 80, c.want})
			}
		}

		// A node port: the world's own address counts, though the pod sees the node's,
		// where the hook is before that translation.
		seen := yes
		if w.Backend.Interfaces {
			seen = no
		}
		for _, from := range []struct {
			peers string
			want  netlab.Outcome
		}{{fromWorld, seen}, {fromClient, no}} {
			w.set(policyOf("server", "ingress: "+rule("allow", from.peers, "8080")))
			for f := range nodeIP {
				o, err := w.Node.Outside.TCP(badIP[f], netip.AddrPortFrom(nodeIP[f], 30080))
				if o != from.want || err != nil {
					w.Errorf("by the node port from %s, allowed %s: %v, %v", badIP[f], from.peers, o, err)
				}
			}
		}

		// Masqueraded connections to the world: replies and errors belong to the pod's.
		w.set(policyOf("client", goodOut))
		var asks []ask
		for f := range goodIP {
			for _, proto := range []string{"tcp", "udp", "ping"} {
				asks = append(asks,
					ask{"masqueraded", w.client.Namespace, proto, goodIP[f], 8080, yes},
					ask{"masqueraded", w.client.Namespace, proto, badIP[f], 8080, no})
			}
			asks = append(asks,
				ask{"masqueraded, to a closed port", w.client.Namespace, "tcp", goodIP[f], 8081, netlab.Refused},
				ask{"masqueraded, to a closed port", w.client.Namespace, "udp", goodIP[f], 8081, netlab.Refused})
		}
		w.ask(asks...)
	})
}

// TestUntracked: packets that the node does not track, as those to NodeLocal
// DNS, are judged by their own fields.
func TestUntracked(t *testing.T) {
	dns := addr("169.254.20.10")
	onWire(t, func(w *wire) {
		w.serve(53, 54)
		w.must(w.Node.AddAddr("lo", netip.PrefixFrom(dns, 32)))
		w.must(w.Node.NFT(`table ip untracked {
			chain pre { type filter hook prerouting priority -300; ip daddr 169.254.20.10 notrack; }
			chain out { type filter hook output priority -300; ip saddr 169.254.20.10 notrack; }
		}`))
		w.set(policyOf("client", `egress: {rules: [{action: allow, to: [{cidr: 169.254.20.10}], ports: [{protocol: UDP, port: 53}]}]}`))
		w.ask(
			ask{"the port that is allowed", w.client.Namespace, "udp", dns, 53, netlab.Answered},
			ask{"another port", w.client.Namespace, "udp", dns, 54, netlab.Silence},
			ask{"another protocol", w.client.Namespace, "tcp", dns, 53, netlab.Silence},
			ask{"ICMP", w.client.Namespace, "ping", dns, 0, netlab.Silence},
		)
		w.set(policyOf("client", closed))
		w.ask(ask{"closed", w.client.Namespace, "udp", dns, 53, netlab.Silence})
	})
}
