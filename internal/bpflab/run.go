//go:build linux

package bpflab

import (
	"encoding/binary"
	"fmt"
	"net/netip"
	"slices"

	"github.com/cilium/ebpf"
	"golang.org/x/sys/unix"
)

// SKB is struct __sk_buff of linux/bpf.h: what a program is told of a packet
// beside its bytes.
type SKB struct {
	Len, PktType, Mark, QueueMapping, Protocol, VlanPresent, VlanTci, VlanProto, Priority uint32
	IngressIfindex, Ifindex, TcIndex                                                      uint32
	Cb                                                                                    [5]uint32
	Hash, TcClassid, Data, DataEnd, NapiID, Family, RemoteIP4, LocalIP4                   uint32
	RemoteIP6, LocalIP6                                                                   [4]uint32
	RemotePort, LocalPort, DataMeta                                                       uint32
	FlowKeys, Tstamp                                                                      uint64
	WireLen, GsoSegs                                                                      uint32
	Sk                                                                                    uint64
	GsoSize                                                                               uint32
	TstampType                                                                            uint8
	_                                                                                     [3]uint8
	Hwtstamp                                                                              uint64
}

// End is what a program returned.
type End uint32

// Ends of a judgement (linux/pkt_cls.h).
const (
	Passed   End = 0xffffffff // TC_ACT_UNSPEC
	Dropped  End = 2          // TC_ACT_SHOT
	Answered End = 7          // TC_ACT_REDIRECT
)

func (e End) String() string {
	switch e {
	case Passed:
		return "passed"
	case Dropped:
		return "dropped"
	case Answered:
		return "answered"
	}
	return fmt.Sprintf("returned %#x", uint32(e))
}

// Answerable reports whether a packet to or from a may be answered: a is one host.
func Answerable(a netip.Addr) bool {
	if a.Is4() {
		return a.As4()[0] != 0 && a.As4()[0] < 224
	}
	return !a.IsMulticast() && !a.IsUnspecified()
}

// Result is what a program did.
type Result struct {
	End
	Frame []byte // as the program left it
	Mark  uint32
}

// Run has a program judge a frame.
func (l *Lab) Run(p *ebpf.Program, frame []byte, ctx SKB) (r Result, err error) {
	out := make([]byte, 2048)
	var after SKB
	l.Do(func() {
		opts := ebpf.RunOptions{Data: frame, DataOut: out, Context: &ctx, ContextOut: &after}
		var end uint32
		end, err = p.Run(&opts)
		r.End, r.Frame = End(end), opts.DataOut
	})
	r.Mark = after.Mark
	if err != nil {
		return r, fmt.Errorf("run %s with %x: %w", p, frame, err)
	}
	return r, nil
}

// Frame puts a packet behind an Ethernet header to a device.
func Frame(to Device, packet []byte) []byte {
	proto := uint16(unix.ETH_P_IP)
	if len(packet) > 0 && packet[0]>>4 == 6 {
		proto = unix.ETH_P_IPV6
	}
	return FrameOf(to, proto, packet)
}

// Elsewhere is the link-layer address at the other end of every device.
var Elsewhere = [6]byte{2, 0, 0, 0, 0, 9}

// FrameOf puts a payload behind an Ethernet header of the given type.
func FrameOf(to Device, proto uint16, payload []byte) []byte {
	b := slices.Concat(to.MAC[:], Elsewhere[:])
	return append(binary.BigEndian.AppendUint16(b, proto), payload...)
}
