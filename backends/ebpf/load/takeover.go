//go:build linux

package load

import (
	"errors"
	"fmt"
	"net/netip"
	"slices"

	"github.com/cilium/ebpf"
	"golang.org/x/sys/unix"

	"github.com/trafficpolicy/trafficpolicy/backends/ebpf/bpf"
	"github.com/trafficpolicy/trafficpolicy/internal/conntrack"
	"github.com/trafficpolicy/trafficpolicy/model"
)

// takeover tells the connection tables of connections that are older than the
// policy, so that their replies are not taken for something new. Each is judged
// by what is in force when its next packet comes. The kernel's own table knows
// them where it tracks any, and in the pod's own namespace its sockets do.
type takeover struct {
	addrs map[netip.Addr]uint32 // of pods that are new, with their interface
	nodes []netip.Addr
	pod   bool
}

// takeover is for the pods behind interfaces that were not attached to.
func (p *plan) takeover(fresh map[int]bool) (t *takeover, err error) {
	t = &takeover{addrs: map[netip.Addr]uint32{}, pod: p.pod()}
	index := map[string]uint32{}
	for _, i := range p.change.Record.Interfaces {
		if fresh[i.Index] {
			index[i.Pod] = uint32(i.Index)
		}
	}
	for _, pod := range p.change.Bundle.Pods {
		if i, ok := index[pod.Ref]; ok {
			for _, a := range pod.Addrs {
				t.addrs[a] = i
			}
		}
	}
	t.nodes, err = nodeAddrs(p.change.Bundle, p.change.Record)
	return t, err
}

// run looks for connections and adds those that are not known. crowded are sentences
// about tables that cannot hold them all.
func (t *takeover) run(o *objects) (crowded []string, err error) {
	if len(t.addrs) == 0 {
		return nil, nil
	}
	wanted := func(a netip.Addr) bool { _, ok := t.addrs[a]; return ok }
	all, err := trackedConnections(wanted)
	if err != nil {
		return nil, fmt.Errorf("take over connections: %w", err)
	}
	if t.pod {
		sockets, err := socketConnections(wanted)
		if err != nil {
			return nil, fmt.Errorf("take over connections: %w", err)
		}
		all = append(all, sockets...)
	}
	entered := map[string]int{}
	for i := range all {
		key, value, ok := t.entry(&all[i])
		if !ok {
			continue
		}
		table := bpf.MapOpening
		if all[i].replied {
			table = bpf.MapConns
		}
		entered[table]++
		if err := o.maps[table].Update(key, value, ebpf.UpdateNoExist); err != nil && !errors.Is(err, ebpf.ErrKeyExist) {
			return nil, fmt.Errorf("take over connections: %w", err)
		}
	}
	for _, table := range []string{bpf.MapConns, bpf.MapOpening} {
		if text := overfull(entered[table], int(o.maps[table].MaxEntries())); text != "" {
			crowded = append(crowded, text)
		}
	}
	return crowded, nil
}

// overfull returns what to say where a table has room for fewer connections than are
// there; it forgets some for others.
func overfull(connections, room int) string {
	if connections <= room {
		return ""
	}
	return fmt.Sprintf("%d connections are older than the policy, and their table holds %d: the others count as opened by whoever sends next", connections, room)
}

// States of nf_conntrack (nf_conntrack_tcp.h).
const (
	tcpEstablished = conntrack.TCPEstablished
	tcpTimeWait    = conntrack.TCPTimeWait
)

// entry returns what the tables hold of a connection; false where it has ended.
func (t *takeover) entry(l *live) (key bpf.ConnKey, value bpf.Conn, ok bool) {
	if l.proto == model.IPProtoTCP && l.state >= tcpTimeWait {
		return key, value, false
	}
	key = bpf.ConnKey{
		Local: bpf.AddressOf(l.local.Addr()), Peer: bpf.AddressOf(l.peer.Addr()),
		LocalPort: bpf.PortOf(l.local.Port()), PeerPort: bpf.PortOf(l.peer.Port()), Protocol: l.proto,
	}
	if request, query := echoes[l.proto]; query {
		key.PeerPort, key.Kind = bpf.PortOf(request), bpf.ConnQueried
		if l.opened {
			key.Kind = bpf.ConnQuery
		}
	}
	var now unix.Timespec
	if err := unix.ClockGettime(unix.CLOCK_MONOTONIC, &now); err != nil {
		return key, value, false
	}
	value = bpf.Conn{Seen: uint64(now.Nano()), Ifindex: t.addrs[l.local.Addr()], Direction: bpf.Ingress}
	if l.opened {
		value.Direction = bpf.Egress
	} else if slices.Contains(t.nodes, l.peer.Addr()) && !l.translated {
		value.Flags |= bpf.ConnNode
	}
	if l.replied {
		value.Flags |= bpf.ConnReplied
	}
	if l.proto == model.IPProtoTCP && l.state >= tcpEstablished {
		value.TCP = bpf.TCPOpen
	}
	return key, value, true
}

// echoes are the requests that conntrack follows by identifier and that have one.
var echoes = map[uint8]uint16{model.IPProtoICMP: 8, model.IPProtoICMPv6: 128}
