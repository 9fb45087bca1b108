package agree

import (
	"fmt"
	"slices"

	"github.com/trafficpolicy/trafficpolicy/backends/bundle"
	"github.com/trafficpolicy/trafficpolicy/backends/ebpf"
	"github.com/trafficpolicy/trafficpolicy/backends/ebpf/bpf"
	"github.com/trafficpolicy/trafficpolicy/internal/bpflab"
	"github.com/trafficpolicy/trafficpolicy/internal/netlab"
	"github.com/trafficpolicy/trafficpolicy/model"
)

// Programs are the eBPF programs in the kernel, of node scope and of pod scope. They
// must be closed.
type Programs struct {
	lab      *bpflab.Lab
	machines [2]*bpflab.Machine
}

// Devices of the lab: pods take turns with all but the last, from where packets to
// pods come.
const (
	podDevices = 2
	uplink     = podDevices
)

// NewPrograms loads the programs.
func NewPrograms() (*Programs, error) {
	lab, err := bpflab.NewLab(podDevices + 1)
	if err != nil {
		return nil, err
	}
	p := &Programs{lab: lab}
	for i := range p.machines {
		if p.machines[i], err = bpflab.NewMachine(bpf.Options{PodScope: i == 1}); err != nil {
			p.Close()
			return nil, err
		}
	}
	return p, nil
}

// Close unloads the programs.
func (p *Programs) Close() {
	p.lab.Close()
	for _, m := range p.machines {
		if m != nil {
			m.Close()
		}
	}
}

// Reading has the programs judge packets (BPF_PROG_TEST_RUN).
func (p *Programs) Reading() Reading {
	return Reading{"eBPF program", func(s *Set) (Judge, error) {
		a, err := ebpf.Emit(s.Program)
		if err != nil {
			return nil, err
		}
		return p.install(s, a)
	}}
}

// Of is Reading for an artifact that is not, or not quite, what the set compiles to.
func (p *Programs) Of(a *bundle.Bundle) Reading {
	return Reading{"eBPF program", func(s *Set) (Judge, error) { return p.install(s, a) }}
}

// install puts an artifact in force.
func (p *Programs) install(s *Set, a *bundle.Bundle) (Judge, error) {
	m := p.machines[0]
	if s.Program.Target.Pod != "" {
		m = p.machines[1]
	}
	m.Forget()
	devices := map[string]bpflab.Device{}
	_, err := m.Install(a, func(ref string, i int) bpflab.Device {
		devices[ref] = p.lab.Devices[i%podDevices]
		return devices[ref]
	})
	if err != nil {
		return nil, err
	}
	port := uint16(0)
	return func(q Packet) (Verdict, error) {
		d, ok := devices[q.Pod]
		if !ok {
			return Verdict{}, fmt.Errorf("pod %s is not in the artifact", q.Pod)
		}
		port++
		program, ctx := m.FromEther, bpflab.SKB{Ifindex: d.Index, IngressIfindex: d.Index}
		if q.Direction == model.Ingress {
			program, ctx.IngressIfindex = m.ToEther, p.lab.Devices[uplink].Index
		}
		r, err := p.lab.Run(program, bpflab.Frame(d, first(q, port).Bytes()), ctx)
		if err != nil {
			return Verdict{}, err
		}
		return s.ended(q, r.End)
	}, nil
}

// ended says what the end of a program says of a packet, where the rules decide it.
func (s *Set) ended(q Packet, end bpflab.End) (Verdict, error) {
	switch {
	case s.Program.Target.Pod != "" && q.Direction == model.Ingress && slices.Contains(s.Program.NodeAddrs, q.Peer):
		return s.mute(q) // the node's own, which in pod scope its address tells
	case end == bpflab.Passed:
		return Verdict{Action: model.Allow}, nil
	case end == bpflab.Answered:
		return Verdict{Action: model.Reject}, nil
	case end != bpflab.Dropped:
		return Verdict{}, fmt.Errorf("the program %s", end)
	case !bpflab.Answerable(q.Peer) || !bpflab.Answerable(q.Local):
		if v, err := s.mute(q); err != nil || v.Action == model.Reject {
			return v, err
		}
	}
	return Verdict{Action: model.Deny}, nil
}

// first builds the first packet of a connection that no other has.
func first(q Packet, port uint16) *netlab.Packet {
	p := &netlab.Packet{Src: q.Local, Dst: q.Peer, SrcPort: port, DstPort: q.L4.Port(), ID: port}
	if q.Direction == model.Ingress {
		p.Src, p.Dst = q.Peer, q.Local
	}
	switch q.L4.Proto() {
	case model.TCP:
		p.Proto = model.IPProtoTCP
	case model.UDP:
		p.Proto = model.IPProtoUDP
	case model.SCTP:
		p.Proto = model.IPProtoSCTP
	case model.ICMP:
		p.Proto, p.Type = model.IPProtoICMP, 8
		if q.Local.Is6() {
			p.Proto, p.Type = model.IPProtoICMPv6, 128
		}
	default:
		// Without ports all packets between two addresses are one connection, whoever
		// opens it.
		p.Proto = 253
		if q.Direction == model.Ingress {
			p.Proto = 254
		}
	}
	return p
}
