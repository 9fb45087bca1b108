package nftwalk

import "net/netip"

// Packet is a packet as a hook meets it, with what the kernel knows of its
// connection and of the addresses.
type Packet struct {
	Src, Dst         netip.Addr
	Proto            string // tcp, udp, sctp, icmp, ipv6-icmp; anything else is no name of nft's
	SrcPort, DstPort uint16 // TCP, UDP, SCTP
	Type, Code       uint8  // ICMP
	HopLimit         uint8  // IPv6
	Reset            bool   // TCP
	// Routing is set where there is an IPv6 routing header, SegmentsLeft is its field.
	Routing      bool
	SegmentsLeft uint8
	// Short: the packet ends before its ports.
	Short bool

	In, Out string // devices; "" for none

	SrcLocal, DstLocal bool // the address is the node's (fib type local)
	// Missing: the way back to the source is not by the device that the packet came
	// from (fib saddr . iif oif missing).
	Missing bool

	Conn
}

// Conn is what connection tracking says. Of an untracked or invalid packet there is
// State alone.
type Conn struct {
	State string // new, established, related, invalid or untracked
	Reply bool   // the packet's direction
	// Of the connection's first packet, and of answers to it.
	OrigSrc, OrigDst, ReplySrc netip.Addr
	OrigDstPort, ReplySrcPort  uint16
	Proto                      string // ct protocol
	SNAT                       bool   // the source is translated
}

// First returns p as the first packet of a connection that nothing translates.
func (p Packet) First() Packet {
	p.Conn = Conn{State: "new", OrigSrc: p.Src, OrigDst: p.Dst, ReplySrc: p.Dst, OrigDstPort: p.DstPort, ReplySrcPort: p.DstPort, Proto: p.Proto}
	return p
}

// Answer returns the packet that answers p, the first of a connection.
func (p Packet) Answer() Packet {
	p.Src, p.Dst, p.SrcPort, p.DstPort, p.In, p.Out = p.Dst, p.Src, p.DstPort, p.SrcPort, p.Out, p.In
	p.SrcLocal, p.DstLocal = p.DstLocal, p.SrcLocal
	p.State, p.Reply = "established", true
	return p
}

// tracked reports whether there is a connection.
func (p *Packet) tracked() bool { return p.State != "invalid" && p.State != "untracked" }

func (p *Packet) ports() bool {
	return (p.Proto == "tcp" || p.Proto == "udp" || p.Proto == "sctp") && !p.Short
}
