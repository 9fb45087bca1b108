//go:build linux

package kerneltest

import (
	"fmt"
	"net/netip"
	"slices"

	"github.com/trafficpolicy/trafficpolicy/internal/netlab"
	"github.com/trafficpolicy/trafficpolicy/model"
)

// Protocol numbers that stand for "other" (RFC 3692). Which one a flow gets
// depends on its direction: the kernel tracks such packets by addresses alone,
// so that with one number a flow back would be a reply.
const (
	otherUp   = 253
	otherDown = 254
)

// Stage sends packets from any address of a node's pods, the node or the
// world, and knows where they must arrive.
type Stage struct {
	Node *netlab.Node
	// Pod is the pod in whose own namespace the policy is enforced, so that
	// packets must go through its stack; nil in node scope.
	Pod *netlab.Host

	local map[*netlab.Namespace]*localEnd
	port  uint16
}

type localEnd struct {
	*netlab.Receiver
	*netlab.RawSender
}

// NewStage makes a stage of a node. pod is nil in node scope.
func NewStage(n *netlab.Node, pod *netlab.Host) (*Stage, error) {
	s := &Stage{Node: n, Pod: pod, local: map[*netlab.Namespace]*localEnd{}, port: 20000}
	spaces := []*netlab.Namespace{n.Namespace}
	if pod != nil {
		spaces = append(spaces, pod.Namespace)
	}
	for _, space := range spaces {
		r, err := space.LocalReceiver(model.IPProtoTCP, model.IPProtoUDP, model.IPProtoICMP, model.IPProtoSCTP, otherUp, otherDown)
		if err != nil {
			return nil, err
		}
		out, err := space.NewRawSender()
		if err != nil {
			return nil, err
		}
		s.local[space] = &localEnd{r, out}
	}
	return s, nil
}

// isNode reports whether a is an address of the node.
func (s *Stage) isNode(a netip.Addr) bool {
	return slices.Contains(s.Node.Spec.Addrs, a) ||
		slices.ContainsFunc(s.Node.Spec.Bridge, func(p netip.Prefix) bool { return p.Addr() == a })
}

// host returns the pod that has a, or else the outside.
func (s *Stage) host(a netip.Addr) *netlab.Host {
	for _, h := range s.Node.Pods {
		if slices.Contains(h.Addrs, a) {
			return h
		}
	}
	return s.Node.Outside
}

// end returns the sender and receiver of a, nil where frames are used.
func (s *Stage) end(a netip.Addr) *localEnd {
	if s.isNode(a) {
		return s.local[s.Node.Namespace]
	}
	return s.local[s.host(a).Namespace]
}

// Receiver returns where packets for a arrive.
func (s *Stage) Receiver(a netip.Addr) *netlab.Receiver {
	if e := s.end(a); e != nil {
		return e.Receiver
	}
	return &s.host(a).Tap().Receiver
}

// Send sends a packet from where a is.
func (s *Stage) Send(a netip.Addr, packet []byte) error {
	if e := s.end(a); e != nil {
		err := e.RawSender.Send(packet)
		if err != nil && !denied(err) {
			return fmt.Errorf("send from %s: %w", a, err)
		}
		return nil
	}
	return s.host(a).SendFrame(packet)
}

// Forget drops what has arrived anywhere.
func (s *Stage) Forget() {
	for _, e := range s.local {
		e.Forget()
	}
	for _, h := range append(slices.Clone(s.Node.Pods), s.Node.Outside) {
		h.Tap().Forget()
	}
}

// Packet builds the first packet of a connection, with ports and identifiers
// that no other of the stage has.
func (s *Stage) Packet(f Flow) *netlab.Packet {
	s.port++
	if s.port == 0 {
		s.port = 20000
	}
	p := &netlab.Packet{Src: f.Src, Dst: f.Dst, SrcPort: s.port, DstPort: f.Port, ID: s.port, IPID: s.port, Cookie: netlab.NextCookie()}
	switch f.Proto {
	case model.TCP:
		p.Proto = model.IPProtoTCP
	case model.UDP:
		p.Proto = model.IPProtoUDP
	case model.SCTP:
		p.Proto = model.IPProtoSCTP
	case model.ICMP:
		p.Proto, p.Type = model.IPProtoICMP, 8
		if f.Src.Is6() {
			p.Proto, p.Type = model.IPProtoICMPv6, 128
		}
	default:
		p.Proto = otherUp
		if f.Dst.Less(f.Src) {
			p.Proto = otherDown
		}
	}
	return p
}

// Reply builds an answer to p: the second packet of its connection.
func (s *Stage) Reply(p *netlab.Packet) *netlab.Packet {
	q := *p
	q.Src, q.Dst, q.SrcPort, q.DstPort, q.Cookie = p.Dst, p.Src, p.DstPort, p.SrcPort, netlab.NextCookie()
	switch p.Proto {
	case model.IPProtoTCP:
		q.Flags, q.Ack = netlab.SYN|netlab.ACK, p.Seq+1
	case model.IPProtoICMP:
		q.Type = 0
	case model.IPProtoICMPv6:
		q.Type = 129
	}
	return &q
}

// Unreachable builds an ICMP error about p from the address by: port
// unreachable, which quotes p's IP header and what follows to its ports.
func (s *Stage) Unreachable(p *netlab.Packet, by netip.Addr) *netlab.Packet {
	e := &netlab.Packet{Src: by, Dst: p.Src, Proto: model.IPProtoICMP, Type: 3, Code: 3, Cookie: netlab.NextCookie()}
	quoted := p.Bytes()
	if p.Src.Is6() {
		e.Proto, e.Type, e.Code = model.IPProtoICMPv6, 1, 4
	}
	e.Payload = quoted[:min(len(quoted), 64)]
	return e
}
