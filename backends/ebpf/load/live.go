//go:build linux

package load

import (
	"encoding/binary"
	"errors"
	"fmt"
	"net/netip"

	"github.com/mdlayher/netlink"
	vishvananda "github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"

	"github.com/trafficpolicy/trafficpolicy/model"
)

// live is a connection that was there before the policy, as the pod sees it.
type live struct {
	local, peer netip.AddrPort // of ICMP the identifier is the port of local
	proto       uint8
	opened      bool // by the pod; otherwise to it
	replied     bool
	translated  bool  // peer is not who opened it
	state       uint8 // of TCP, TCP_CONNTRACK_* (nf_conntrack_tcp.h)
}

// Messages and attributes of ctnetlink
// (include/uapi/linux/netfilter/nfnetlink_conntrack.h).
const (
	ctGet = unix.NFNL_SUBSYS_CTNETLINK<<8 | 1

	ctTupleOrig  = 1
	ctTupleReply = 2
	ctStatus     = 3 // be32
	ctProtoInfo  = 4

	tupleIP    = 1
	tupleProto = 2

	ipSrc4, ipDst4, ipSrc6, ipDst6 = 1, 2, 3, 4

	protoNumber, protoSrcPort, protoDstPort = 1, 2, 3
	protoICMPID, protoICMPv6ID              = 4, 7

	infoTCP, infoTCPState = 1, 1

	statusSeenReply = 1 << 1 // IPS_SEEN_REPLY
)

// tuple is one direction of a tracked connection.
type tuple struct {
	src, dst netip.AddrPort
	proto    uint8
}

// trackedConnections returns what the kernel tracks of connections from and to
// the addresses, in the calling thread's network namespace; nothing where it
// tracks none.
func trackedConnections(wanted func(netip.Addr) bool) ([]live, error) {
	conn, err := netlink.Dial(unix.NETLINK_NETFILTER, nil)
	if err != nil {
		return nil, fmt.Errorf("conntrack: %w", err)
	}
	defer conn.Close()
	messages, err := conn.Execute(netlink.Message{
		Header: netlink.Header{Type: ctGet, Flags: netlink.Request | netlink.Dump},
		Data:   []byte{unix.AF_UNSPEC, unix.NFNETLINK_V0, 0, 0},
	})
	if errors.Is(err, unix.EINVAL) || errors.Is(err, unix.EOPNOTSUPP) || errors.Is(err, unix.ENOENT) {
		return nil, nil // no nf_conntrack, so nothing is tracked
	}
	if err != nil {
		return nil, fmt.Errorf("conntrack: %w", err)
	}
	var all []live
	for _, m := range messages {
		if len(m.Data) < 4 {
			continue
		}
		found, err := parseTracked(m.Data[4:], wanted)
		if err != nil {
			return nil, fmt.Errorf("conntrack: %w", err)
		}
		all = append(all, found...)
	}
	return all, nil
}

// parseTracked returns the connection as each of the addresses sees it that is an
// end of it: who opened it by the tuple of its first packet, the other end, behind
// address translation, by the tuple of replies.
func parseTracked(data []byte, wanted func(netip.Addr) bool) ([]live, error) {
	var orig, reply tuple
	var l live
	d, err := netlink.NewAttributeDecoder(data)
	if err != nil {
		return nil, err
	}
	d.ByteOrder = binary.BigEndian
	for d.Next() {
		switch d.Type() {
		case ctTupleOrig:
			d.Nested(orig.parse)
		case ctTupleReply:
			d.Nested(reply.parse)
		case ctStatus:
			l.replied = d.Uint32()&statusSeenReply != 0
		case ctProtoInfo:
			d.Nested(l.parseState)
		}
	}
	if err := d.Err(); err != nil {
		return nil, err
	}
	var found []live
	l.proto = orig.proto
	if l.proto == model.IPProtoICMP || l.proto == model.IPProtoICMPv6 {
		// Both ports of an echo are its identifier.
		orig.src, orig.dst = netip.AddrPortFrom(orig.src.Addr(), orig.src.Port()), netip.AddrPortFrom(orig.dst.Addr(), 0)
		reply.src, reply.dst = netip.AddrPortFrom(reply.src.Addr(), orig.src.Port()), netip.AddrPortFrom(reply.dst.Addr(), 0)
	}
	if wanted(orig.src.Addr()) {
		own := l
		own.local, own.peer, own.opened = orig.src, orig.dst, true
		found = append(found, own)
	}
	if wanted(reply.src.Addr()) {
		own := l
		own.local, own.peer, own.translated = reply.src, reply.dst, reply.dst.Addr() != orig.src.Addr()
		found = append(found, own)
	}
	return found, nil
}

func (t *tuple) parse(d *netlink.AttributeDecoder) error {
	var src, dst netip.Addr
	var sport, dport uint16
	for d.Next() {
		switch d.Type() {
		case tupleIP:
			d.Nested(func(d *netlink.AttributeDecoder) error {
				for d.Next() {
					a, _ := netip.AddrFromSlice(d.Bytes())
					switch d.Type() {
					case ipSrc4, ipSrc6:
						src = a
					case ipDst4, ipDst6:
						dst = a
					}
				}
				return nil
			})
		case tupleProto:
			d.Nested(func(d *netlink.AttributeDecoder) error {
				d.ByteOrder = binary.BigEndian
				for d.Next() {
					switch d.Type() {
					case protoNumber:
						t.proto = d.Uint8()
					case protoSrcPort, protoICMPID, protoICMPv6ID:
						sport = d.Uint16()
					case protoDstPort:
						dport = d.Uint16()
					}
				}
				return nil
			})
		}
	}
	t.src, t.dst = netip.AddrPortFrom(src, sport), netip.AddrPortFrom(dst, dport)
	return nil
}

func (l *live) parseState(d *netlink.AttributeDecoder) error {
	for d.Next() {
		if d.Type() == infoTCP {
			d.Nested(func(d *netlink.AttributeDecoder) error {
				for d.Next() {
					if d.Type() == infoTCPState {
						l.state = d.Uint8()
					}
				}
				return nil
			})
		}
	}
	return nil
}

// socketConnections returns the connections of the sockets in the calling
// thread's network namespace. One at a port where a socket listens was opened to
// it, any other by it; a UDP socket without a peer shows none.
func socketConnections(wanted func(netip.Addr) bool) ([]live, error) {
	var all []live
	for _, family := range []uint8{unix.AF_INET, unix.AF_INET6} {
		tcp, err := vishvananda.SocketDiagTCP(family)
		if err != nil && !errors.Is(err, unix.ENOENT) { // no tcp_diag
			return nil, fmt.Errorf("sockets: %w", err)
		}
		udp, err := vishvananda.SocketDiagUDP(family)
		if err != nil && !errors.Is(err, unix.ENOENT) {
			return nil, fmt.Errorf("sockets: %w", err)
		}
		all = append(all, liveSockets(tcp, model.IPProtoTCP, wanted)...)
		all = append(all, liveSockets(udp, model.IPProtoUDP, wanted)...)
	}
	return all, nil
}

// States of sockets (include/net/tcp_states.h), and what conntrack calls them.
const (
	socketEstablished = 1
	socketClose       = 7
	socketListen      = 10
)

var trackedState = map[uint8]uint8{1: 3, 2: 1, 3: 2, 4: 4, 5: 4, 6: 7, 8: 5, 9: 6, 11: 4}

func liveSockets(sockets []*vishvananda.Socket, proto uint8, wanted func(netip.Addr) bool) []live {
	listens := map[uint16]bool{}
	for _, s := range sockets {
		if s.State == socketListen || proto == model.IPProtoUDP && s.State == socketClose {
			listens[s.ID.SourcePort] = true
		}
	}
	var all []live
	for _, s := range sockets {
		local, ok1 := netip.AddrFromSlice(s.ID.Source)
		peer, ok2 := netip.AddrFromSlice(s.ID.Destination)
		local, peer = local.Unmap(), peer.Unmap()
		if !ok1 || !ok2 || !wanted(local) || peer.IsUnspecified() || s.State == socketListen || s.State == socketClose {
			continue
		}
		l := live{
			local: netip.AddrPortFrom(local, s.ID.SourcePort), peer: netip.AddrPortFrom(peer, s.ID.DestinationPort),
			proto: proto, opened: !listens[s.ID.SourcePort], replied: s.State == socketEstablished,
		}
		if proto == model.IPProtoTCP {
			l.state = trackedState[s.State]
		}
		all = append(all, l)
	}
	return all
}
