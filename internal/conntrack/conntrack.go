//go:build linux

// Package conntrack reads the connections that the kernel tracks in the calling
// thread's network namespace, one at a time however many there are.
package conntrack

import (
	"encoding/binary"
	"errors"
	"fmt"
	"net/netip"

	"github.com/mdlayher/netlink"
	"github.com/vishvananda/netlink/nl"
	"golang.org/x/sys/unix"

	"github.com/trafficpolicy/trafficpolicy/model"
)

// Connection is a tracked connection.
type Connection struct {
	// Original is the direction of the packet that opened it, before address translation,
	// Reply that of answers, as they come from the other end.
	Original, Reply Tuple
	Replied         bool
	State           uint8 // of TCP, TCP_CONNTRACK_* (nf_conntrack_tcp.h)
}

// Tuple is one direction of a connection. Of ICMP the source port is the identifier, in
// both directions, and the other zero.
type Tuple struct {
	Src, Dst netip.AddrPort
	Proto    uint8
}

// States of TCP.
const (
	TCPEstablished = 3
	TCPTimeWait    = 7 // and above: it has ended
)

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

// Each calls visit for every tracked connection, for none where the kernel tracks
// none. One that begins or ends meanwhile may be left out.
func Each(visit func(*Connection)) error {
	req := nl.NewNetlinkRequest(ctGet, unix.NLM_F_DUMP)
	req.AddData(&nl.Nfgenmsg{NfgenFamily: unix.AF_UNSPEC, Version: nl.NFNETLINK_V0})
	var bad error
	err := req.ExecuteIter(unix.NETLINK_NETFILTER, 0, func(msg []byte) bool {
		if len(msg) < nl.SizeofNfgenmsg {
			return true
		}
		c, err := parse(msg[nl.SizeofNfgenmsg:])
		if err != nil {
			bad = err
			return false
		}
		visit(c)
		return true
	})
	switch {
	case errors.Is(err, unix.EINVAL), errors.Is(err, unix.EOPNOTSUPP), errors.Is(err, unix.ENOENT):
		return nil // no nf_conntrack, so nothing is tracked
	case err == nil:
		err = bad
	}
	if err != nil {
		return fmt.Errorf("conntrack: %w", err)
	}
	return nil
}

// parse reads the attributes of a connection.
func parse(data []byte) (*Connection, error) {
	c := &Connection{}
	d, err := netlink.NewAttributeDecoder(data)
	if err != nil {
		return nil, err
	}
	d.ByteOrder = binary.BigEndian
	for d.Next() {
		switch d.Type() {
		case ctTupleOrig:
			d.Nested(c.Original.parse)
		case ctTupleReply:
			d.Nested(c.Reply.parse)
		case ctStatus:
			c.Replied = d.Uint32()&statusSeenReply != 0
		case ctProtoInfo:
			d.Nested(c.parseState)
		}
	}
	if c.Original.Proto == model.IPProtoICMP || c.Original.Proto == model.IPProtoICMPv6 {
		id := c.Original.Src.Port()
		for _, t := range []*Tuple{&c.Original, &c.Reply} {
			t.Src, t.Dst = netip.AddrPortFrom(t.Src.Addr(), id), netip.AddrPortFrom(t.Dst.Addr(), 0)
		}
	}
	return c, d.Err()
}

func (t *Tuple) parse(d *netlink.AttributeDecoder) error {
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
						t.Proto = d.Uint8()
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
	t.Src, t.Dst = netip.AddrPortFrom(src, sport), netip.AddrPortFrom(dst, dport)
	return nil
}

func (c *Connection) parseState(d *netlink.AttributeDecoder) error {
	for d.Next() {
		if d.Type() == infoTCP {
			d.Nested(func(d *netlink.AttributeDecoder) error {
				for d.Next() {
					if d.Type() == infoTCPState {
						c.State = d.Uint8()
					}
				}
				return nil
			})
		}
	}
	return nil
}
