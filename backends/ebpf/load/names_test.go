//go:build linux

package load

import (
	"testing"
	"time"

	"github.com/trafficpolicy/trafficpolicy/backends/ebpf/bpf"
)

// A connection is live until it has ended, was denied, or has been idle for as long as
// the programs remember it.
func TestIsLive(t *testing.T) {
	const allow, deny = uint32(1 << 31), uint32(1<<31 | 1<<29)
	for _, c := range []struct {
		name     string
		proto    uint8
		flags    bpf.ConnFlags
		tcp      bpf.TCPState
		terminal uint32
		most     time.Duration // idle; 0: not live at all
	}{
		{"TCP, open", 6, bpf.ConnReplied, bpf.TCPOpen, allow, 5 * 24 * time.Hour},
		{"TCP, open and not judged yet", 6, bpf.ConnReplied, bpf.TCPOpen, 0, 5 * 24 * time.Hour},
		{"TCP, open and denied", 6, bpf.ConnReplied, bpf.TCPOpen, deny, 0},
		{"TCP, unanswered", 6, 0, 0, allow, 2 * time.Minute},
		{"TCP, half closed", 6, bpf.ConnReplied, bpf.TCPOpen | bpf.TCPFinOpener, allow, 2 * time.Minute},
		{"TCP, closed", 6, bpf.ConnReplied, bpf.TCPOpen | bpf.TCPFinOpener | bpf.TCPFinOther, allow, 0},
		{"TCP, reset", 6, bpf.ConnReplied, bpf.TCPOpen | bpf.TCPReset, allow, 0},
		{"UDP", 17, bpf.ConnReplied, 0, allow, 2 * time.Minute},
		{"UDP, unanswered", 17, 0, 0, allow, 30 * time.Second},
		{"SCTP", 132, bpf.ConnReplied, 0, allow, 210 * time.Second},
		{"echo", 1, bpf.ConnReplied, 0, allow, 30 * time.Second},
		{"GRE", 47, 0, 0, allow, 10 * time.Minute},
	} {
		const now = uint64(10 * 24 * time.Hour)
		key := &bpf.ConnKey{Protocol: c.proto}
		live := func(idle time.Duration) bool {
			return isLive(key, &bpf.Conn{Flags: c.flags, TCP: c.tcp, Terminal: c.terminal, Seen: now - uint64(idle)}, now)
		}
		if got := live(c.most); got != (c.most > 0) {
			t.Errorf("%s, idle for %s: live is %t", c.name, c.most, got)
		}
		if live(c.most + 1) {
			t.Errorf("%s, idle for %s and a moment: live", c.name, c.most)
		}
	}
}
