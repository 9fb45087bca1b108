package simulate

import (
	"errors"
	"net/netip"

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
	pod  *subject   // nil where the end is no pod of this cluster
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
	return (&worker{Simulator: s}).judge(f)
}

// point returns the transport part of a packet of f in one family.
func (f *Flow) point(fam model.Family) point {
	proto, _ := model.ParseProto(f.Proto, fam)
	if !proto.HasPorts() {
		return point{proto: proto, known: true}
	}
	return point{proto: proto, port: f.Port, known: f.HasPort}
}
