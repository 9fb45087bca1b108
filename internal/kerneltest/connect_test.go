//go:build linux

package kerneltest

import (
	"net/netip"
	"sync"
	"testing"

	"github.com/trafficpolicy/trafficpolicy/internal/netlab"
)

// ask is a probe by the kernel's own sockets.
type ask struct {
	what  string
	from  *netlab.Namespace
	proto string // tcp, udp or ping
	dst   netip.Addr
	port  uint16
	want  netlab.Outcome
}

// ask makes all probes at once and compares.
func (w *wire) ask(asks ...ask) {
	w.Helper()
	type answer struct {
		netlab.Outcome
		error
	}
	got := make([]answer, len(asks))
	var wg sync.WaitGroup
	for i, a := range asks {
		wg.Go(func() {
			to := netip.AddrPortFrom(a.dst, a.port)
			switch a.proto {
			case "tcp":
				got[i].Outcome, got[i].error = a.from.TCP(netip.Addr{}, to)
			case "udp":
				got[i].Outcome, got[i].error = a.from.UDP(netip.Addr{}, to)
			default:
				got[i].Outcome, got[i].error = a.from.Ping(netip.Addr{}, a.dst)
			}
		})
	}
	wg.Wait()
	for i, a := range asks {
		if got[i].error != nil || got[i].Outcome != a.want {
			w.Errorf("%s, %s %s port %d: %v (%v), want %v", a.what, a.proto, a.dst, a.port, got[i].Outcome, got[i].error, a.want)
		}
	}
}

// serve has pods, node and world answer on the ports; the world has goodIP and badIP.
func (w *wire) serve(ports ...uint16) {
	w.Helper()
	w.must(w.Node.Outside.Own(append(goodIP[:], badIP[:]...)...))
	for _, s := range []*netlab.Namespace{w.client.Namespace, w.server.Namespace, w.open.Namespace, w.Node.Namespace, w.Node.Outside.Namespace} {
		_, err := s.Serve(ports...)
		w.must(err)
	}
}

// TestRealNeighbours: with addresses resolved for real, real sockets get what
// the policies say, and a closed pod still answers its node's probes.
func TestRealNeighbours(t *testing.T) {
	forLoaded(t, func(t *testing.T, b Backend) {
		for _, mode := range []netlab.Mode{netlab.Routed, netlab.Bridged} {
			t.Run(mode.String(), func(t *testing.T) {
				spec := wireSpec(mode)
				spec.RealNeighbours = true
				w := newWire(t, b, spec, "")
				w.serve(8080)
				w.set(policyOf("client", goodOut), policyOf("server", closed))
				var asks []ask
				for f := range goodIP {
					for _, proto := range []string{"tcp", "udp", "ping"} {
						asks = append(asks,
							ask{"client to what it may reach", w.client.Namespace, proto, goodIP[f], 8080, netlab.Answered},
							ask{"client to what it may not", w.client.Namespace, proto, badIP[f], 8080, netlab.Silence},
							ask{"client to its node", w.client.Namespace, proto, nodeIP[f], 8080, netlab.Silence},
							ask{"client to server", w.client.Namespace, proto, serverIP[f], 8080, netlab.Silence},
							ask{"server to the world", w.server.Namespace, proto, goodIP[f], 8080, netlab.Silence},
							ask{"open to server", w.open.Namespace, proto, serverIP[f], 8080, netlab.Silence},
							ask{"open to the world", w.open.Namespace, proto, badIP[f], 8080, netlab.Answered},
							ask{"node to server", w.Node.Namespace, proto, serverIP[f], 8080, netlab.Answered},
							ask{"node to client", w.Node.Namespace, proto, clientIP[f], 8080, netlab.Answered},
							ask{"world to server", w.Node.Outside.Namespace, proto, serverIP[f], 8080, netlab.Silence},
							ask{"server to itself", w.server.Namespace, proto, serverIP[f], 8080, netlab.Answered},
						)
					}
				}
				w.ask(asks...)
			})
		}
	})
}

// TestReject: a reject tells the sender, a deny does not, and where both sides
// of a flow deny the egress side decides how.
func TestReject(t *testing.T) {
	rejectOut := `egress: {rules: [{action: reject, to: [{cidr: 9.9.9.9/32}, {cidr: "2001:db8:9::9"}, {workload: {selector: {app: server}}}]}, {action: deny, to: [{workload: {selector: {app: open}}}]}, {action: allow}]}`
	rejectIn := `ingress: {rules: [{action: reject}]}`
	onWire(t, func(w *wire) {
		w.serve(8080)
		w.set(policyOf("client", rejectOut), policyOf("server", closed), policyOf("open", rejectIn))
		var asks []ask
		add := func(what string, from *netlab.Host, dst [2]netip.Addr, tcp, other netlab.Outcome) {
			for f := range dst {
				asks = append(asks,
					ask{what, from.Namespace, "tcp", dst[f], 8080, tcp},
					ask{what, from.Namespace, "udp", dst[f], 8080, other},
					ask{what, from.Namespace, "ping", dst[f], 0, other})
			}
		}
		add("egress rejects", w.client, badIP, netlab.Refused, netlab.Prohibited)
		add("egress rejects, ingress denies", w.client, serverIP, netlab.Refused, netlab.Prohibited)
		add("egress denies", w.client, openIP, netlab.Silence, netlab.Silence)
		add("egress allows", w.client, goodIP, netlab.Answered, netlab.Answered)
		add("ingress denies", w.Node.Outside, serverIP, netlab.Silence, netlab.Silence)
		w.ask(asks...)

		w.set(policyOf("client", allowOut), policyOf("server", rejectIn))
		asks = nil
		add("ingress rejects a pod", w.client, serverIP, netlab.Refused, netlab.Prohibited)
		add("ingress rejects the world", w.Node.Outside, serverIP, netlab.Refused, netlab.Prohibited)
		w.ask(asks...)
	})
}

// TestSelf: a pod reaches itself whatever policies say, by its own addresses
// and also through a packet that goes by way of its node.
func TestSelf(t *testing.T) {
	onWire(t, func(w *wire) {
		w.set(policyOf("client", closed), policyOf("server", closed))
		var shots []shot
		for f := range clientIP {
			shots = append(shots,
				w.one("to itself", w.client, udp(clientIP[f], clientIP[f], 53), true),
				w.one("to another", w.client, udp(clientIP[f], serverIP[f], 53), false))
		}
		if w.Node.Spec.Mode == netlab.Routed {
			w.fire(shots)
		}
	})
}

// TestPodScope: in the pod's own namespace the loopback is open, everything
// else is judged, and the node's addresses are those of the inventory and of
// --node-addr.
func TestPodScope(t *testing.T) {
	inPod(t, func(w *wire) {
		w.serve(8080)
		extra := addr("169.254.2.9")
		w.must(w.Node.AddAddr("lo", netip.PrefixFrom(extra, 32)))
		w.LoaderArgs = []string{"--node-addr", extra.String()}
		w.set(policyOf("client", goodOut))
		var asks []ask
		for f := range goodIP {
			for _, proto := range []string{"tcp", "udp", "ping"} {
				denied := netlab.Dropped
				switch {
				case w.Backend.Interfaces && proto == "ping" && f == 0:
					denied = netlab.Unsent
				case w.Backend.Interfaces, proto == "tcp", proto == "ping" && f == 1:
					denied = netlab.Silence // TCP tries again, ping of IPv6 keeps the error to itself
				}
				asks = append(asks,
					ask{"client to what it may reach", w.client.Namespace, proto, goodIP[f], 8080, netlab.Answered},
					ask{"client to what it may not", w.client.Namespace, proto, badIP[f], 8080, denied},
					ask{"client to its node", w.client.Namespace, proto, nodeIP[f], 8080, denied},
					ask{"client to itself", w.client.Namespace, proto, clientIP[f], 8080, netlab.Answered},
					ask{"client to its loopback", w.client.Namespace, proto, []netip.Addr{addr("127.0.0.1"), addr("::1")}[f], 8080, netlab.Answered},
					ask{"world to client", w.Node.Outside.Namespace, proto, clientIP[f], 8080, netlab.Silence},
					ask{"pod to client", w.server.Namespace, proto, clientIP[f], 8080, netlab.Silence},
				)
			}
		}
		w.ask(asks...)
		for f := range nodeIP {
			o, err := w.Node.TCP(nodeIP[f], netip.AddrPortFrom(clientIP[f], 8080))
			if o != netlab.Answered || err != nil {
				w.Errorf("node %s to client: %v, %v", nodeIP[f], o, err)
			}
		}
		if o, err := w.Node.TCP(extra, netip.AddrPortFrom(clientIP[0], 8080)); o != netlab.Answered || err != nil {
			w.Errorf("node by --node-addr to client: %v, %v", o, err)
		}
	})
}
