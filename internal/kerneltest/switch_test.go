//go:build linux

package kerneltest

import (
	"fmt"
	"regexp"
	"runtime"
	"strconv"
	"testing"
	"time"

	"github.com/trafficpolicy/trafficpolicy/internal/netlab"
)

// switches returns how often TestSwitch replaces one policy by the other.
func switches(b Backend) int {
	switch {
	case soak() > 1:
		return 1000
	case b.Interfaces:
		return 300
	}
	return 100 // a switch takes nft longer
}

// Ports of TestSwitch's flows: two that one policy allows and the other denies,
// one that both allow and one that both deny.
const (
	portA, portB, portBoth, portNone = 7001, 7002, 7003, 7004
)

// TestSwitch: every judgement is made wholly by the old or wholly by the new
// policy, and none finds neither. The policies disagree on every packet but two
// flows. A judgement that finds no policy lets pass what both deny; one that
// finds half of one loses what both allow.
func TestSwitch(t *testing.T) {
	onWire(t, func(w *wire) {
		policy := func(own, other int) string {
			rules := fmt.Sprintf("{rules: [{action: allow, ports: [{protocol: UDP, port: %d}]}, {action: deny, ports: [{protocol: UDP, port: %d}, {protocol: UDP, port: %d}, {protocol: UDP, port: %d}]}",
				portBoth, other, portNone, portNone+1)
			if own == portA {
				rules += ", {action: allow, ports: [{protocol: UDP}]}"
			} else {
				rules += fmt.Sprintf(", {action: allow, ports: [{protocol: UDP, port: %d}]}", own)
			}
			rules += "]}"
			return policyOf("client", "egress: "+rules) + policyOf("server", "ingress: "+rules)
		}
		var bundles [2][]byte
		for i, p := range []string{policy(portA, portB), policy(portB, portA)} {
			ps, err := WritePolicies(t.TempDir(), p, wireInventory)
			w.must(err)
			bundles[i], err = w.Compile(ps)
			w.must(err)
		}
		w.must(w.Load(bundles[0]))
		for _, h := range []*netlab.Host{w.Node.Outside, w.server} {
			w.must(h.NFT(countPorts))
		}
		dropped := softnetDrops(t)
		quit, done := make(chan struct{}), make(chan error, 1)
		var sent uint64 // of each port and destination, when done
		go func() { done <- w.flood(quit, &sent) }()
		for i := range switches(w.Backend) {
			if err := w.Load(bundles[(i+1)%2]); err != nil {
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
			t.Logf("%s: %d of each sent, seen %v", h.Name, sent, got)
			if got[portBoth] != sent {
				t.Errorf("%s: %d packets that both policies allow were lost", h.Name, sent-got[portBoth])
			}
			if got[portNone] != 0 {
				t.Errorf("%s: %d packets that both policies deny passed", h.Name, got[portNone])
			}
			if got[portA] == 0 || got[portB] == 0 || got[portA]+got[portB] > 2*sent {
				t.Errorf("%s: the policies were not both in force", h.Name)
			}
		}
	})
}

// flood sends from client to the world and from the world to server until quit.
func (w *wire) flood(quit chan struct{}, sent *uint64) error {
	runtime.LockOSThread()
	defer runtime.UnlockOSThread()
	type frame struct {
		from *netlab.Host
		b    []byte
	}
	var round []frame
	for source := range uint16(32) {
		for f := range goodIP {
			for port := uint16(portA); port <= portNone; port++ {
				out, in := udp(clientIP[f], goodIP[f], port), udp(goodIP[f], serverIP[f], port)
				out.SrcPort, in.SrcPort = 20000+source, 20000+source
				round = append(round, frame{w.client, out.Bytes()}, frame{w.Node.Outside, in.Bytes()})
			}
		}
	}
	for {
		select {
		case <-quit:
			return w.Node.Settle(func() error { return nil })
		default:
		}
		for _, f := range round {
			if err := f.from.SendFrame(f.b); err != nil {
				return err
			}
		}
		*sent += uint64(len(round) / (portNone - portA + 1) / 2)
		time.Sleep(200 * time.Microsecond) // leave the loader a share of two cores
	}
}

// countPorts counts what arrives at a host by port, before anything drops it.
const countPorts = `table inet seen {
	chain c {
		type filter hook prerouting priority -400
		udp dport 7001 counter comment "7001"
		udp dport 7002 counter comment "7002"
		udp dport 7003 counter comment "7003"
		udp dport 7004 counter comment "7004"
	}
}
`

var countLine = regexp.MustCompile(`udp dport ([0-9]+) counter packets ([0-9]+)`)

// counted reads the counters of countPorts.
func (w *wire) counted(h *netlab.Host) map[int]uint64 {
	w.Helper()
	out, err := h.Command(w.Context(), "", "nft", "list", "table", "inet", "seen")
	w.must(err)
	got := map[int]uint64{}
	for _, m := range countLine.FindAllStringSubmatch(out, -1) {
		port, _ := strconv.Atoi(m[1])
		got[port], _ = strconv.ParseUint(m[2], 10, 64)
	}
	return got
}
