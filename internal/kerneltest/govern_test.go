//go:build linux

package kerneltest

import (
	"fmt"
	"testing"

	"github.com/trafficpolicy/trafficpolicy/internal/netlab"
)

// TestGovern: pods that come under a policy, and that are left alone again, lose no
// packet that the policy allows, and while it is in force no other passes.
func TestGovern(t *testing.T) {
	onWire(t, func(w *wire) {
		rules := fmt.Sprintf("{rules: [{action: allow, ports: [{protocol: UDP, port: %d}]}]}", portBoth)
		var bundles [2][]byte
		for i, p := range []string{policyOf("client", "egress: "+rules) + policyOf("server", "ingress: "+rules), policyOf("open", closed)} {
			ps, err := WritePolicies(t.TempDir(), p, wireInventory)
			w.must(err)
			bundles[i], err = w.Compile(ps)
			w.must(err)
		}
		for _, h := range []*netlab.Host{w.Node.Outside, w.server} {
			w.must(h.NFT(countPorts))
		}
		dropped := softnetDrops(t)
		quit, done := make(chan struct{}), make(chan error, 1)
		var sent uint64
		go func() { done <- w.flood(quit, &sent) }()
		for i := range 20 {
			if err := w.Load(bundles[i%2]); err != nil {
				close(quit)
				<-done
				t.Fatal(err)
			}
		}
		close(quit)
		w.must(<-done)
		if n := softnetDrops(t) - dropped; n > 0 {
			t.Skipf("the machine dropped %d packets for lack of time, which proves nothing", n)
		}
		for _, h := range []*netlab.Host{w.Node.Outside, w.server} {
			got := w.counted(h)
			if got[portBoth] != sent {
				t.Errorf("%s: %d of %d packets that are always allowed were lost", h.Name, sent-got[portBoth], sent)
			}
			if got[portNone] == 0 || got[portNone] >= sent {
				t.Errorf("%s: %d of %d packets passed that only the absence of a policy allows", h.Name, got[portNone], sent)
			}
		}
		// The second bundle governs nobody: open is not enrolled.
		for i := range bundles {
			w.must(w.Load(bundles[1-i]))
			var shots []shot
			for f := range clientIP {
				shots = append(shots,
					w.one("client", w.client, udp(clientIP[f], goodIP[f], portNone), i == 0),
					w.one("server", w.Node.Outside, udp(goodIP[f], serverIP[f], portNone), i == 0))
			}
			w.fire(shots)
		}
	})
}
