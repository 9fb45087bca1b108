//go:build linux

package netlab

import (
	"errors"
	"fmt"
	"net/netip"
	"sync/atomic"
	"time"

	"golang.org/x/sys/unix"
)

// cookies numbers packets of this process.
var cookies atomic.Uint64

// NextCookie returns a cookie that no other packet of the process has.
func NextCookie() uint64 { return cookies.Add(1) }

// settleTimeout is how long a sentinel may take on a busy machine, sent anew
// every sentinelEvery.
const (
	settleTimeout = 3 * time.Second
	sentinelEvery = 100 * time.Millisecond
)

// tunnelTime is how long this process takes at most to carry packets through
// tunnels, unless the machine is very busy.
const tunnelTime = 100 * time.Millisecond

// errLost says that a packet that nothing can stop did not arrive.
var errLost = errors.New("a sentinel packet was lost")

// Settle runs send and returns when all frames that it sent are where they
// end: a packet that has not arrived then never will, unless it waits for a
// neighbour. send runs on one processor, where a veth hands each frame to the
// receiving side in the order of sending (drivers/net/veth.c, net/core/dev.c
// enqueue_to_backlog); then a sentinel follows from the outside through the node
// and back, which no policy for pods concerns.
func (n *Node) Settle(send func() error) error {
	return onThread(func() error {
		var one unix.CPUSet
		var allowed unix.CPUSet
		if err := unix.SchedGetaffinity(0, &allowed); err != nil {
			return fmt.Errorf("processors: %w", err)
		}
		for cpu := 0; one.Count() == 0; cpu++ {
			if allowed.IsSet(cpu) {
				one.Set(cpu)
			}
		}
		if err := unix.SchedSetaffinity(0, &one); err != nil {
			return fmt.Errorf("stay on one processor: %w", err)
		}
		if err := send(); err != nil {
			return err
		}
		if n.Spec.Mode == Tunnelled {
			time.Sleep(tunnelTime)
		}
		return n.sentinel()
	})
}

// sentinel sends a packet from the outside to an address of the outside, which
// the node routes back.
func (n *Node) sentinel() error {
	for end := time.Now().Add(settleTimeout); time.Now().Before(end); {
		p := Packet{Src: sentinelSrc, Dst: sentinelDst, Proto: 17, SrcPort: 9, DstPort: 9, Cookie: NextCookie()}
		if err := n.Outside.SendFrame(p.Bytes()); err != nil {
			return err
		}
		if _, ok := n.Outside.tap.Wait(sentinelEvery, WithCookie(p.Cookie)); ok {
			return nil
		}
	}
	return errLost
}

// Addresses of the sentinel, of no cluster (RFC 5737, TEST-NET-1).
var (
	sentinelSrc = netip.MustParseAddr("192.0.2.253")
	sentinelDst = netip.MustParseAddr("192.0.2.254")
)
