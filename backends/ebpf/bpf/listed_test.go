//go:build linux

package bpf_test

import (
	"testing"

	"github.com/trafficpolicy/trafficpolicy/backends/ebpf/bpf"
	"github.com/trafficpolicy/trafficpolicy/internal/bpflab"
)

// TestListed: on an interface that the graph in force does not list, what no record
// is about passes, and what other interfaces' pods may not do is still dropped.
func TestListed(t *testing.T) {
	w := newWorld(t, bpf.Options{Listed: true, Frags: 64})
	w.expect("without a graph", w.from(devClient, udp(clientIP[0], goodIP[0], 53).Bytes()), true)
	w.set(policyOf("client", goodOut), policyOf("server", closed))
	list := func(dev int) {
		w.must(w.Interfaces.Put(bpf.InterfaceKey{Generation: w.Generation, Ifindex: w.Devices[dev].Index}, uint32(0)))
	}
	list(devClient)
	list(devServer)
	for f := range goodIP {
		w.expect("not listed, an open pod", w.from(devUplink, udp(openIP[f], badIP[f], 53).Bytes()), true)
		w.expect("not listed, to an open pod", w.to(devUplink, udp(badIP[f], openIP[f], 53).Bytes()), true)
		w.expect("listed, another's address", w.from(devClient, udp(openIP[f], goodIP[f], 53).Bytes()), false)
		w.expect("listed, to another's address", w.to(devClient, udp(goodIP[f], openIP[f], 53).Bytes()), false)
		w.expect("listed, by a rule", w.from(devClient, udp(clientIP[f], goodIP[f], 53).Bytes()), true)
		w.expect("listed, by default", w.from(devClient, udp(clientIP[f], badIP[f], 53).Bytes()), false)
	}
	vlan := bpflab.FrameOf(w.Devices[devUplink], 0x8100, make([]byte, 60))
	w.expect("not listed, a VLAN", w.run(w.FromEther, vlan, bpflab.SKB{Ifindex: w.Devices[devUplink].Index}), true)
	w.expect("listed, a VLAN", w.run(w.FromEther, vlan, bpflab.SKB{Ifindex: w.Devices[devClient].Index}), false)
	if got := w.counted(); got["spoofed"] != 2 || got["stray"] != 2 || got["ethertype"] != 1 {
		t.Errorf("counted %v", got)
	}
}

// TestDeniedAgain: each packet of a connection that is denied by now is dropped, also
// where the peer is the first pod of the graph.
func TestDeniedAgain(t *testing.T) {
	w := newWorld(t, bpf.Options{})
	for f := range clientIP {
		w.Forget()
		w.set(policyOf("client", allowOut, allowIn), policyOf("server", allowOut, allowIn))
		p := udp(clientIP[f], serverIP[f], 53)
		w.expect("allowed", w.to(devServer, p.Bytes()), true)
		w.expect("the answer", w.from(devServer, reply(p).Bytes()), true)
		w.set(policyOf("client", allowOut, allowIn), policyOf("server", closed))
		for range 3 {
			w.expect("denied", w.to(devServer, p.Bytes()), false)
			w.expect("the answer when denied", w.from(devServer, reply(p).Bytes()), false)
		}
	}
}
