//go:build linux

package kerneltest

import (
	"testing"

	"github.com/trafficpolicy/trafficpolicy/internal/netlab"
)

// TestTunnelled: pods behind devices without link layer are judged like others, in
// node and in pod scope.
func TestTunnelled(t *testing.T) {
	forLoaded(t, func(t *testing.T, b Backend) {
		for _, pod := range []string{"", "default/client"} {
			t.Run(map[string]string{"": "node", "default/client": "pod"}[pod], func(t *testing.T) {
				w := newWire(t, b, wireSpec(netlab.Tunnelled), pod)
				ports := `{rules: [{action: allow, ports: [{protocol: UDP, port: 53}, {protocol: TCP, port: 443}, {protocol: ICMP}]}]}`
				w.set(policyOf("client", "egress: "+ports, "ingress: "+ports), policyOf("server", "ingress: "+ports))
				var shots []shot
				for _, way := range w.ways() {
					for f := range clientIP {
						reply := map[int]uint8{0: 1, 1: 58}[f]
						for _, c := range []struct {
							proto uint8
							port  uint16
							typ   uint8
							pass  bool
						}{
							{17, 53, 0, true}, {17, 54, 0, false}, {6, 443, 0, true}, {6, 444, 0, false},
							{reply, 0, map[int]uint8{0: 8, 1: 128}[f], true}, {reply, 0, map[int]uint8{0: 0, 1: 129}[f], false}, {253, 0, 0, false},
						} {
							p := udp(way.src[f], way.dst[f], c.port)
							p.Proto, p.Type = c.proto, c.typ
							shots = append(shots, w.one(way.what, way.from, p, c.pass))
						}
						if pod == "" || way.from != w.client {
							p := udp(badIP[f], way.dst[f], 53)
							shots = append(shots, w.one(way.what+", another source", way.from, p, way.from != w.client))
						}
					}
				}
				w.fire(shots)
			})
		}
	})
}
