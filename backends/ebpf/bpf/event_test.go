//go:build linux

package bpf_test

import (
	"bytes"
	"errors"
	"os"
	"testing"
	"time"

	"github.com/cilium/ebpf/ringbuf"

	"github.com/trafficpolicy/trafficpolicy/backends/ebpf/bpf"
)

// events reads what is in the ring buffer.
func (w *world) events() (out []bpf.Event) {
	w.Helper()
	r, err := ringbuf.NewReader(w.Events)
	w.must(err)
	defer r.Close()
	r.SetDeadline(time.Now().Add(50 * time.Millisecond))
	for {
		record, err := r.Read()
		if errors.Is(err, os.ErrDeadlineExceeded) {
			return out
		}
		w.must(err)
		e, err := bpf.DecodeEvent(record.RawSample)
		w.must(err)
		out = append(out, e)
	}
}

// TestEvents: every drop is told with what dropped it and the packet's beginning.
func TestEvents(t *testing.T) {
	w := newWorld(t, bpf.Options{EventsRate: 1000, EventsBurst: 1000})
	w.set(policyOf("client", `egress: {rules: [{action: deny, to: [{cidr: 9.9.9.9}]}, {action: reject, to: [{cidr: 8.8.4.4}]}]}`))
	w.events()
	long := udp(clientIP[0], badIP[0], 53)
	long.Payload = make([]byte, 300)
	in := udp(goodIP[1], clientIP[1], 53)
	for _, c := range []struct {
		what      string
		packet    []byte
		to        bool
		direction bpf.Direction
		counter   string
		rejected  bool
	}{
		{"denied by a rule", udp(clientIP[0], badIP[0], 53).Bytes(), false, bpf.Egress, "client#egress[0]", false},
		{"rejected", udp(clientIP[0], addr("8.8.4.4"), 53).Bytes(), false, bpf.Egress, "client#egress[1]", true},
		{"denied by default", udp(clientIP[0], goodIP[0], 53).Bytes(), false, bpf.Egress, "default egress", false},
		{"denied by default", in.Bytes(), true, bpf.Ingress, "default ingress", false},
		{"spoofed", udp(openIP[0], goodIP[0], 53).Bytes(), false, bpf.Egress, "spoofed", false},
		{"stray", udp(goodIP[0], openIP[0], 53).Bytes(), true, bpf.Ingress, "stray", false},
		{"longer than its packet", append([]byte{0x45, 0, 200, 0}, udp(clientIP[0], goodIP[0], 53).Bytes()[4:]...), false, bpf.Egress, "broken", false},
		{"a long packet", long.Bytes(), false, bpf.Egress, "client#egress[0]", false},
	} {
		before := now()
		if c.to {
			w.to(devClient, c.packet)
		} else {
			w.from(devClient, c.packet)
		}
		got := w.events()
		if len(got) != 1 {
			t.Fatalf("%s: %d events", c.what, len(got))
		}
		e := got[0]
		name := e.Counter.String()
		if d, ok := e.Counter.Decider(); ok {
			name = w.rules[w.deciders[d]]
		}
		if name != c.counter || e.Direction != c.direction || e.Rejected != c.rejected || e.Generation != w.Generation || e.Ifindex != w.Devices[devClient].Index {
			t.Errorf("%s: %+v by %s", c.what, e, name)
		}
		if int(e.Length) != len(c.packet) || !bytes.Equal(e.Packet, c.packet[:min(len(c.packet), 128)]) {
			t.Errorf("%s: %d bytes, want %d: %x", c.what, e.Length, len(c.packet), e.Packet)
		}
		if e.Time+uint64(time.Second) < before || e.Time > now() {
			t.Errorf("%s: at %d, now it is %d", c.what, e.Time, now())
		}
	}
}

// TestEventRate: events are limited, and counted when they are.
func TestEventRate(t *testing.T) {
	w := newWorld(t, bpf.Options{EventsRate: 1, EventsBurst: 5})
	w.set(policyOf("client", closed))
	var before, after [2]uint64
	read := func(into *[2]uint64) {
		for i, n := range []bpf.CounterNumber{bpf.CounterEvents, bpf.CounterEventsLimited} {
			var perCPU []bpf.Counter
			w.must(w.Counters.Lookup(uint32(n), &perCPU))
			for _, c := range perCPU {
				into[i] += c.Packets
			}
		}
	}
	read(&before)
	for range 30 {
		w.expect("denied", w.from(devClient, udp(clientIP[0], goodIP[0], 53).Bytes()), false)
	}
	read(&after)
	told, limited := after[0]-before[0], after[1]-before[1]
	// Each CPU has its own bucket, and a second may have passed.
	if told < 5 || told > 11 || told+limited != 30 || len(w.events()) != int(told) {
		t.Errorf("%d events, %d limited", told, limited)
	}
}

// TestDecodeEvent: records that are none.
func TestDecodeEvent(t *testing.T) {
	record := make([]byte, 160)
	for n := range record {
		if _, err := bpf.DecodeEvent(record[:n]); err == nil {
			t.Errorf("%d bytes are an event", n)
		}
	}
	if _, err := bpf.DecodeEvent(record); err != nil {
		t.Error(err)
	}
	record[24] = 129
	if _, err := bpf.DecodeEvent(record); err == nil {
		t.Error("129 bytes are in 128")
	}
}
