//go:build linux

package load

import (
	"errors"
	"fmt"
	"net/netip"

	vishvananda "github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"

	"github.com/trafficpolicy/trafficpolicy/internal/conntrack"
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

// trackedConnections returns what the kernel tracks of connections from and to
// the addresses, in the calling thread's network namespace; nothing where it
// tracks none.
func trackedConnections(wanted func(netip.Addr) bool) (all []live, err error) {
	err = conntrack.Each(func(c *conntrack.Connection) { all = append(all, seen(c, wanted)...) })
	return all, err
}

// seen returns the connection as each of the addresses sees it that is an end of it: who
// opened it by the tuple of its first packet, the other end, behind address
// translation, by the tuple of replies.
func seen(c *conntrack.Connection, wanted func(netip.Addr) bool) (found []live) {
	l := live{proto: c.Original.Proto, replied: c.Replied, state: c.State}
	orig, reply := &c.Original, &c.Reply
	if wanted(orig.Src.Addr()) {
		own := l
		own.local, own.peer, own.opened = orig.Src, orig.Dst, true
		found = append(found, own)
	}
	if wanted(reply.Src.Addr()) {
		own := l
		own.local, own.peer, own.translated = reply.Src, reply.Dst, reply.Dst.Addr() != orig.Src.Addr()
		found = append(found, own)
	}
	return found
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
