package simulate

import (
	"errors"
	"fmt"
	"net/netip"
	"slices"

	"github.com/trafficpolicy/trafficpolicy/model"
)

// Flow is a flow as users write it: NAMESPACE/POD, NAMESPACE?k=v,k=v or an IP
// address at either end, svc:NAMESPACE/NAME or a domain name as Dst.
type Flow struct {
	Src, Dst string
	Proto    string // tcp, udp, sctp, icmp, other or an IP protocol number; "" is tcp
	Port     uint16 // destination port, valid iff HasPort
	HasPort  bool
}

var errNoAddress = errors.New("the other end has no address of the family that it could be judged with")

// party is one end of a packet.
type party struct {
	pod  *model.Pod // nil where the end is no pod of this cluster
	addr netip.Addr // invalid where there is none
}

// packet is one reading of a flow: the addresses that the two directions are
// judged on.
type packet struct {
	src, dst party
	to       remote // what egress sees; dst.addr but for a clusterIP or a name
	family   model.Family
	egress   point
	ingress  point // after the translation of a Service's port

	endpoint string // of a Service, where clusterIP and endpoint differ
	// conditions tell the packet from the others of its flow.
	conditions []string
}

// Judge says what happens to f. An error is about f: an end that is not there
// or makes no sense, or a port that is needed and was left out.
func (s *Simulator) Judge(f Flow) (*Result, error) {
	src, err := s.end(f.Src, false)
	if err != nil {
		return nil, fmt.Errorf("src: %w", err)
	}
	dst, err := s.end(f.Dst, true)
	if err != nil {
		return nil, fmt.Errorf("dst: %w", err)
	}
	if f.Proto == "" {
		f.Proto = "tcp"
	}
	if _, ok := model.ParseProto(f.Proto, model.IPv4); !ok {
		return nil, fmt.Errorf("protocol %q is not tcp, udp, sctp, icmp, other or a number from 0 to 255", f.Proto)
	}
	packets, err := s.packets(f, src, dst)
	if err != nil {
		return nil, err
	}
	all := make([]Result, 0, len(packets))
	for i := range packets {
		if all, err = s.judge(all, f, &packets[i]); err != nil {
			return nil, err
		}
	}
	res := merge(f, all)
	res.Notes = s.notes(src, dst)
	return res, nil
}

// point returns the transport part of a packet of f in one family.
func (f *Flow) point(fam model.Family) point {
	proto, _ := model.ParseProto(f.Proto, fam)
	if !proto.HasPorts() {
		return point{proto: proto, known: true}
	}
	return point{proto: proto, port: f.Port, known: f.HasPort}
}

// judge appends the answers to one packet: one, or one for each case of what is
// not known.
func (s *Simulator) judge(out []Result, f Flow, p *packet) ([]Result, error) {
	egress, err := s.side(model.Egress, p.src.pod, p.to, p.dst.pod, p.egress)
	if err != nil {
		return nil, fmt.Errorf("egress of %s: %w", f.Src, err)
	}
	ingress, err := s.side(model.Ingress, p.dst.pod, remote{addr: p.src.addr}, p.src.pod, p.ingress)
	if err != nil {
		return nil, fmt.Errorf("ingress of %s: %w", f.Dst, err)
	}
	for _, e := range egress {
		for _, i := range ingress {
			out = append(out, p.result(f, e, i))
		}
	}
	return out, nil
}

// side judges one direction at pod, whose other end is r, and peerPod where that
// was given as a pod.
func (s *Simulator) side(d model.Direction, pod *model.Pod, r remote, peerPod *model.Pod, x point) ([]*Side, error) {
	if d == model.Egress && r.addr.IsValid() && peerPod != nil && !stands(peerPod, r.addr) {
		peerPod = nil // a clusterIP: the pod behind it is not what egress sees
	}
	if why := s.exempt(pod, d, r.addr, peerPod); why != "" {
		return []*Side{{Verdict: Allow, Reason: why}}, nil
	}
	w := s.subject(pod).walks[d]
	outs, err := w.outcomes(r, x)
	if err != nil {
		return nil, err
	}
	sides := make([]*Side, len(outs))
	for i := range outs {
		sides[i] = newSide(judged{walk: w, pod: pod, peer: r, point: x, outcome: outs[i]})
	}
	return sides, nil
}

func newSide(at judged) *Side {
	s := &Side{at: at}
	d := &s.at.outcome.decision
	s.Verdict, s.Reject, s.Reason = verdictOf(d.Action), d.Action == model.Reject, d.Reason
	if r := at.outcome.rule; r != nil {
		s.Rule = r.name
	}
	if d.Peer != noPeer {
		s.Peer = &d.Peer
	}
	if s.Reason != NotSelected {
		s.Policies = at.walk.names
	}
	return s
}

// stands reports whether a is one of the addresses that p was given with.
func stands(p *model.Pod, a netip.Addr) bool {
	return slices.Contains(p.IPs, a)
}

// addrs returns the addresses that a pod given by name sends from and is reached
// at: those it owns, or, where it is never a subject of policy, those it has.
func (s *Simulator) addrs(p *model.Pod) []netip.Addr {
	switch {
	case p.Name == "":
		return nil
	case p.Subject():
		return s.subject(p).own
	}
	return p.IPs
}

// first returns the first address of a family, or an invalid one.
func first(addrs []netip.Addr, f model.Family) netip.Addr {
	for _, a := range addrs {
		if model.FamilyOf(a) == f {
			return a
		}
	}
	return netip.Addr{}
}
