//go:build linux

package bpf_test

import (
	"testing"

	"github.com/trafficpolicy/trafficpolicy/backends/ebpf/bpf"
	"github.com/trafficpolicy/trafficpolicy/internal/netlab"
)

// Sizes of the flood tests: tables that are full long before the end.
const (
	floodConns       = 4096 // entries of tp_conns
	floodOpening     = 1024 // of tp_opening
	floodEstablished = 1000 // connections of the pod that is not flooded from
	floodNew         = 8000 // that the other opens
)

// flooded is a world with established connections of server, whose replies pass by
// their entries alone.
func flooded(t *testing.T) (*world, []*netlab.Packet) {
	w := newWorld(t, bpf.Options{Conns: floodConns, Opening: floodOpening})
	w.set(policyOf("client", allowOut), policyOf("server", onlyOut))
	var established []*netlab.Packet
	for i := range floodEstablished {
		p := udp(serverIP[i%2], goodIP[i%2], 53)
		p.SrcPort = uint16(1000 + i)
		w.expect("first", w.from(devServer, p.Bytes()), true)
		w.expect("reply", w.to(devServer, reply(p).Bytes()), true)
		established = append(established, p)
	}
	return w, established
}

// replies returns how many of the connections still get theirs.
func (w *world) replies(established []*netlab.Packet) (n int) {
	for _, p := range established {
		if w.to(devServer, reply(p).Bytes()).End == passed {
			n++
		}
	}
	return n
}

// TestFlood: a pod that opens connections without end takes no reply from another's
// established ones, however long these were silent.
func TestFlood(t *testing.T) {
	w, established := flooded(t)
	for i := range floodNew {
		p := udp(clientIP[0], goodIP[0], uint16(i))
		p.SrcPort = uint16(i >> 8)
		w.expect("new", w.from(devClient, p.Bytes()), true)
	}
	if n := w.replies(established); n < len(established)*99/100 {
		t.Errorf("%d of %d established connections get their replies", n, len(established))
	}
	if n := len(w.connections()); n > floodConns+floodOpening {
		t.Errorf("%d entries", n)
	}
}

// TestAnsweredFlood: even where somebody answers the flood, connections that are in use
// go on: those go first that have been silent longest.
func TestAnsweredFlood(t *testing.T) {
	w, established := flooded(t)
	got, want := 0, 0
	for i := range floodNew {
		p := udp(clientIP[0], goodIP[0], uint16(i))
		p.SrcPort = uint16(i >> 8)
		w.from(devClient, p.Bytes())
		w.to(devClient, reply(p).Bytes())
		if i%500 == 0 {
			got += w.replies(established)
			want += len(established)
		}
	}
	t.Logf("%d of %d replies passed", got, want)
	if got < want*99/100 {
		t.Errorf("%d of %d replies passed", got, want)
	}
}
