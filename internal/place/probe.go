//go:build linux

package place

import (
	"encoding/binary"
	"net/netip"

	"golang.org/x/sys/unix"
)

// A bridge forgets a port's hardware address after minutes of silence, while
// the neighbour entry lives on and the kernel sees no need to ask again. The
// probes below make the pod answer, and with its answer the bridge knows the
// port. They are best effort: whether it worked shows in the tables.

// probe asks a neighbour on the bridge for its hardware address.
func probe(bridge *link, a netip.Addr) {
	if a.Is4() {
		probeARP(bridge, a)
		return
	}
	probeND(bridge, a)
}

// probeARP sends an ARP probe (RFC 5227, 2.1.1: the sender has no address yet).
func probeARP(bridge *link, a netip.Addr) {
	fd, err := unix.Socket(unix.AF_PACKET, unix.SOCK_DGRAM|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		return
	}
	defer unix.Close(fd)
	b := make([]byte, 0, 28)
	b = binary.BigEndian.AppendUint16(b, 1) // Ethernet
	b = binary.BigEndian.AppendUint16(b, unix.ETH_P_IP)
	b = append(b, 6, 4)                     // lengths of the addresses
	b = binary.BigEndian.AppendUint16(b, 1) // request
	b = append(b, bridge.mac...)
	b = append(b, make([]byte, 4+6)...) // no sender address, target unknown
	b = append(b, a.AsSlice()...)
	to := unix.SockaddrLinklayer{Protocol: htons(unix.ETH_P_ARP), Ifindex: bridge.index, Halen: 6}
	copy(to.Addr[:], []byte{0xff, 0xff, 0xff, 0xff, 0xff, 0xff})
	unix.Sendto(fd, b, 0, &to)
}

// probeND sends a neighbour solicitation (RFC 4861, 4.3) to the solicited-node
// address. The kernel adds source and checksum.
func probeND(bridge *link, a netip.Addr) {
	fd, err := unix.Socket(unix.AF_INET6, unix.SOCK_RAW|unix.SOCK_CLOEXEC, unix.IPPROTO_ICMPV6)
	if err != nil {
		return
	}
	defer unix.Close(fd)
	if unix.SetsockoptInt(fd, unix.IPPROTO_IPV6, unix.IPV6_MULTICAST_HOPS, 255) != nil ||
		unix.SetsockoptInt(fd, unix.IPPROTO_IPV6, unix.IPV6_MULTICAST_IF, bridge.index) != nil {
		return
	}
	target := a.As16()
	b := append([]byte{135, 0, 0, 0, 0, 0, 0, 0}, target[:]...)
	b = append(b, 1, 1) // source link-layer address, 8 bytes
	b = append(b, bridge.mac...)
	group := [16]byte{0: 0xff, 1: 0x02, 11: 1, 12: 0xff}
	copy(group[13:], target[13:])
	unix.Sendto(fd, b, 0, &unix.SockaddrInet6{ZoneId: uint32(bridge.index), Addr: group})
}

func htons(v uint16) uint16 { return v<<8 | v>>8 }
