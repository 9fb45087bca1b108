//go:build linux

package bpf_test

import (
	"testing"

	"github.com/trafficpolicy/trafficpolicy/backends/ebpf/bpf"
)

func TestSimple(t *testing.T) {
	w := newWorld(t, bpf.Options{})
	w.set(policyOf("client", goodOut, goodIn), policyOf("server", closed))
	for f := range goodIP {
		good, bad := udp(clientIP[f], goodIP[f], 53), udp(clientIP[f], badIP[f], 53)
		w.expect("good", w.from(devClient, good.Bytes()), true)
		w.expect("its reply", w.to(devClient, reply(good).Bytes()), true)
		w.expect("again", w.from(devClient, good.Bytes()), true)
		w.expect("bad", w.from(devClient, bad.Bytes()), false)
		w.expect("its reply", w.to(devClient, reply(bad).Bytes()), false)
		t.Log(w.counted())
	}
}
