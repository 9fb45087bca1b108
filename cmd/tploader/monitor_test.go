//go:build linux

package main

import (
	"bytes"
	"encoding/json"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/trafficpolicy/trafficpolicy/internal/loader"
	"github.com/trafficpolicy/trafficpolicy/internal/netlab"
)

func TestMonitor(t *testing.T) {
	n := newNode(t, netlab.Routed)
	n.apply(0, shut.bundle(t))
	n.wantEvent()
}

// wantEvent monitors a ping of pod a that the policy denies.
func (n *node) wantEvent() {
	t := n.t
	t.Helper()
	var stdout, stderr bytes.Buffer
	cmd := n.command("monitor", "-o", "json", "--count", "1")
	cmd.Stdout, cmd.Stderr = &stdout, &stderr
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	done := make(chan error, 1)
	go func() { done <- cmd.Wait() }()
	deadline := time.After(10 * time.Second)
	for waiting := true; waiting; {
		n.ping()
		select {
		case err := <-done:
			if err != nil {
				t.Fatalf("%v: %s", err, stderr.String())
			}
			waiting = false
		case <-deadline:
			cmd.Process.Kill()
			t.Fatalf("no packet in ten seconds: %s", stderr.String())
		case <-time.After(100 * time.Millisecond):
		}
	}
	var got loader.Event
	if err := json.Unmarshal(stdout.Bytes(), &got); err != nil {
		t.Fatalf("%v: %q", err, stdout.String())
	}
	if age := time.Since(got.Time); age < -time.Second || age > time.Minute {
		t.Errorf("time %s", got.Time)
	}
	got.Time = time.Time{}
	typ, code := uint8(8), uint8(0)
	want := loader.Event{
		Pod: "default/a", Direction: "egress", Src: addrA[0], Dst: world, Proto: "ICMP", Type: &typ, Code: &code,
		Reason: "rule", Rule: "TrafficPolicy/default/p#egress[0]",
	}
	if diff := cmp.Diff(want, got, cmp.Comparer(sameAddr)); diff != "" {
		t.Errorf("event (-want +got):\n%s", diff)
	}
}

// Two cannot read one log.
func TestMonitorTwice(t *testing.T) {
	n := newNode(t, netlab.Routed)
	n.apply(0, shut.bundle(t))
	cmd := n.command("monitor")
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	defer func() {
		cmd.Process.Signal(interrupt)
		if err := cmd.Wait(); err != nil {
			t.Errorf("after Ctrl-C: %v", err)
		}
	}()
	for range 50 {
		time.Sleep(50 * time.Millisecond)
		second := n.command("monitor", "--count", "1")
		var stderr bytes.Buffer
		second.Stderr = &stderr
		if err := second.Start(); err != nil {
			t.Fatal(err)
		}
		timer := time.AfterFunc(500*time.Millisecond, func() { second.Process.Kill() })
		second.Wait()
		timer.Stop()
		if second.ProcessState.ExitCode() == 2 && strings.Contains(stderr.String(), "somebody does already") {
			return
		}
	}
	t.Error("the second was never refused")
}
