//go:build linux

package kerneltest

import (
	"errors"
	"fmt"
	"syscall"
	"time"

	"github.com/trafficpolicy/trafficpolicy/internal/netlab"
	"github.com/trafficpolicy/trafficpolicy/model"
)

// denied reports whether the kernel refused to send because of a policy
// (NF_DROP in an output hook) or an earlier ICMP error.
func denied(err error) bool {
	for _, e := range []error{syscall.EPERM, syscall.EACCES, syscall.EHOSTUNREACH, syscall.ECONNREFUSED, syscall.ENETUNREACH} {
		if errors.Is(err, e) {
			return true
		}
	}
	return false
}

// Mismatch is a packet that the kernel treated otherwise than the simulator says.
type Mismatch struct {
	Flow    Flow
	Want    Verdict
	Packet  string // which packet of the flow, such as "reply"
	Problem string
}

func (m Mismatch) String() string {
	return fmt.Sprintf("%s, %s: %s, simulated: %s", m.Flow, m.Packet, m.Problem, m.Want)
}

// late is how long a packet that ought to have arrived is waited for after all.
const late = 300 * time.Millisecond

// Check sends the first packet of each flow, then a reply and an ICMP error on
// its connection, and compares with the verdicts: where a flow is allowed all
// arrive, where it is denied none. A plain deny is silent, a reject answers.
func (s *Stage) Check(flows []Flow, want []Verdict) ([]Mismatch, error) {
	if err := s.flush(); err != nil {
		return nil, err
	}
	first := make([]*netlab.Packet, len(flows))
	var bad []Mismatch
	send := func(what string, build func(i int) *netlab.Packet, ok func(i int) bool) error {
		s.Forget()
		sent := make([]*netlab.Packet, len(flows))
		err := s.Node.Settle(func() error {
			for i := range flows {
				if sent[i] = build(i); sent[i] == nil {
					continue
				}
				if err := s.Send(sent[i].Src, sent[i].Bytes()); err != nil {
					return err
				}
			}
			return nil
		})
		if err != nil {
			return err
		}
		for i, p := range sent {
			if p == nil {
				continue
			}
			if problem := s.arrived(p, ok(i)); problem != "" {
				bad = append(bad, Mismatch{flows[i], want[i], what, problem})
			} else if what == firstPacket && !want[i].Allow {
				if problem := s.answer(p, want[i].Reject); problem != "" {
					bad = append(bad, Mismatch{flows[i], want[i], what, problem})
				}
			}
		}
		return nil
	}
	allowed := func(i int) bool { return want[i].Allow }
	err := send(firstPacket, func(i int) *netlab.Packet { first[i] = s.Packet(flows[i]); return first[i] }, allowed)
	if err != nil {
		return bad, err
	}
	err = send("reply", func(i int) *netlab.Packet {
		if !want[i].Allow || !s.plain(flows[i]) {
			return nil
		}
		return s.Reply(first[i])
	}, allowed)
	if err != nil {
		return bad, err
	}
	return bad, send("ICMP error about it", func(i int) *netlab.Packet {
		if s.isNode(flows[i].Dst) || s.isNode(flows[i].Src) {
			return nil // the node's own errors and those to it are not for policies
		}
		if want[i].Allow && flows[i].Proto == model.TCP && s.host(flows[i].Dst) != s.Node.Outside {
			return nil // the pod's stack has reset it, so that there is no connection
		}
		return s.Unreachable(first[i], flows[i].Dst)
	}, allowed)
}

const firstPacket = "first packet"

// plain reports whether we, and not a kernel's own stack, answer the flow: a
// stack resets a TCP connection to a port where nobody listens.
func (s *Stage) plain(f Flow) bool {
	return f.Proto == model.UDP || f.Proto == model.Other || f.Proto == model.ICMP && s.host(f.Dst) == s.Node.Outside && !s.isNode(f.Dst)
}

// arrived compares whether p arrived with whether it should.
func (s *Stage) arrived(p *netlab.Packet, ok bool) string {
	at := s.Receiver(p.Dst)
	match := netlab.WithCookie(p.Cookie)
	if p.Type != 0 && isError(p) {
		match = func(a *netlab.Arrival) bool { return a.Cookie == p.Cookie }
	}
	_, seen := at.Find(match)
	if !seen && ok {
		_, seen = at.Wait(late, match)
	}
	switch {
	case seen && !ok:
		return "it passed"
	case !seen && ok:
		return "it was dropped"
	}
	return ""
}

func isError(p *netlab.Packet) bool {
	a := netlab.Arrival{Proto: p.Proto, Type: p.Type}
	return a.IsError()
}

// answer compares what the sender of a denied packet was told.
func (s *Stage) answer(p *netlab.Packet, reject bool) string {
	told := func(a *netlab.Arrival) bool {
		if p.Proto == model.IPProtoTCP {
			return a.IsReset() && a.DstPort == p.SrcPort && a.SrcPort == p.DstPort || a.IsError() && a.Cookie == p.Cookie
		}
		return a.IsError() && a.Cookie == p.Cookie
	}
	at := s.Receiver(p.Src)
	a, seen := at.Find(told)
	if !seen && reject {
		a, seen = at.Wait(late, told)
	}
	switch {
	case seen && !reject:
		return "a silent deny was answered by " + a.String()
	case !seen && reject:
		return "a reject was silent"
	case seen && p.Proto != model.IPProtoTCP && !a.IsProhibited():
		return "a reject was answered by " + a.String()
	case seen && p.Proto == model.IPProtoTCP && !a.IsReset():
		return "a reject of TCP was answered by " + a.String()
	}
	return ""
}

// flush empties the connection tables of the stage.
func (s *Stage) flush() error {
	for space := range s.local {
		if err := space.FlushConnections(); err != nil {
			return fmt.Errorf("flush connections: %w", err)
		}
	}
	return nil
}
