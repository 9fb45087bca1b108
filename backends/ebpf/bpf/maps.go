package bpf

import "net/netip"

// Names of the maps. Those of [SharedMaps] can outlive an instance of the program;
// the others belong to one.
const (
	MapArea       = "tp_area"       // ARRAY of [Line], mmapable: the graphs
	MapCtl        = "tp_ctl"        // ARRAY of one [Ctl], mmapable: which graph is in force
	MapCounters   = "tp_counters"   // PERCPU_ARRAY of [Counter], by [CounterNumber]
	MapConns      = "tp_conns"      // LRU_HASH [ConnKey] to [Conn]: connections in which both ends have sent
	MapOpening    = "tp_opening"    // the same: connections that wait for the first answer
	MapFrags      = "tp_frags"      // LRU_HASH [FragKey] to [Frag]
	MapNames      = "tp_names"      // HASH [NameKey] to ebpf.Ref
	MapNodes      = "tp_nodes"      // HASH [NodeKey] to uint32 (any)
	MapInterfaces = "tp_interfaces" // HASH [InterfaceKey] to uint32 (any)
	MapEvents     = "tp_events"     // RINGBUF of [Event]
	MapLimits     = "tp_limits"     // PERCPU_ARRAY of token buckets: events, rejects
	MapPrograms   = "tp_programs"   // PROG_ARRAY by Slot
)

// SharedMaps are the maps that several instances of the program can use at once.
var SharedMaps = []string{MapConns, MapOpening, MapFrags, MapNames, MapNodes, MapInterfaces, MapEvents, MapLimits, MapPrograms}

// Line is struct tp_line: a cache line of the graph.
type Line [16]uint32

// Ctl is struct tp_ctl.
type Ctl struct {
	// Root is the line of tp_area where the header of the graph in force stands. One
	// aligned 64-bit store of it and Epoch switches every interface of the instance.
	Root uint32
	// Epoch, which never falls, is raised after tp_names was changed for the graph in
	// force and no program is under way that may not have seen it: connections are
	// then judged again.
	Epoch uint32
	_     [14]uint32
}

// Counter is struct tp_counter.
type Counter struct {
	Packets uint64
	Bytes   uint64 // from the IP header on
}

// Address is an IP address as keys of maps have it: 16 bytes in network byte
// order, IPv4 as ::ffff:a.b.c.d.
type Address [16]byte

// AddressOf returns a as keys of maps have it.
func AddressOf(a netip.Addr) Address { return a.As16() }

// Addr returns the address, unmapped.
func (a Address) Addr() netip.Addr { return netip.AddrFrom16(a).Unmap() }

// Port is a port, or an identifier, in network byte order.
type Port [2]byte

// PortOf returns p as keys of maps have it.
func PortOf(p uint16) Port { return Port{byte(p >> 8), byte(p)} }

// Uint16 returns the port's number.
func (p Port) Uint16() uint16 { return uint16(p[0])<<8 | uint16(p[1]) }

// ConnKind tells connections of ICMP apart.
type ConnKind uint8

// Kinds of connections (TP_CONN_*).
const (
	ConnPlain     ConnKind = iota // by ports, or by addresses and protocol alone
	ConnQuery                     // ICMP, the pod asks: LocalPort is the identifier, PeerPort the request's type
	ConnQueried                   // ICMP, the pod is asked; the same
	ConnNeighbour                 // pod scope: the peer asked for the pod's link-layer address
)

// ConnKey is struct tp_conn_key: a connection of one pod, as the pod sees it.
type ConnKey struct {
	Local, Peer         Address
	LocalPort, PeerPort Port  // zero where the protocol has none
	Protocol            uint8 // of IP
	Kind                ConnKind
	_                   uint16
}

// Direction is that of a packet as the pod sees it.
type Direction uint8

// Directions (TP_EGRESS, TP_INGRESS), in the order of model.Directions.
const (
	Egress  Direction = iota // the pod sends
	Ingress                  // the pod is sent
)

// ConnFlags are bits of a connection (TP_CONN_NODE, TP_CONN_REPLIED).
type ConnFlags uint8

const (
	ConnNode    ConnFlags = 1 << iota // the node itself opened it: no rule is asked
	ConnReplied                       // both ends have sent
)

// TCPState are bits of a TCP connection (TP_TCP_*).
type TCPState uint8

const (
	TCPOpen      TCPState = 1 << iota // behind the handshake, or picked up from its midst
	TCPFinOpener                      // who opened it has nothing more to send
	TCPFinOther
	TCPReset
)

// Conn is struct tp_conn: what is known of a connection. A loader that takes over a
// live connection writes one with Stamp and Terminal zero, which has it judged
// before the next packet passes, and puts it into tp_conns where both ends are
// known to have sent (ConnReplied, of TCP TCPOpen), else into tp_opening.
type Conn struct {
	// Stamp is the generation of the graph that judged it last, plus the Epoch; zero:
	// none yet. Neither falls, so no two judges have the same.
	Stamp     uint32
	Terminal  uint32 // ebpf.Ref, what it said; zero with another stamp: the node's own
	Seen      uint64 // last packet, CLOCK_MONOTONIC in nanoseconds
	Ifindex   uint32 // of the pod's interface; zero makes the program look it up
	Direction Direction
	Flags     ConnFlags
	TCP       TCPState
	_         uint8
}

// FragKey is struct tp_frag_key: the fragments of one packet.
type FragKey struct {
	Local, Peer Address
	ID          [4]byte // as it stands in the packet
	Protocol    uint8
	Direction   Direction
	_           uint16
}

// Frag is struct tp_frag: what later fragments lack.
type Frag struct {
	Seen                uint64 // CLOCK_MONOTONIC in nanoseconds
	LocalPort, PeerPort Port
	Protocol            uint8
	Kind                ConnKind
	About               uint8
	_                   uint8
}

// NameKey is struct tp_name_key: an address that some domain name of a chain has.
// The value is the entry of the chain to go on with, as tables.json has it; slots
// count from the beginning of the graph, so it is not relocated.
type NameKey struct {
	Generation uint32
	Chain      uint32
	Address    Address
}

// NodeKey is struct tp_node_key: an address of the node. In node scope that is every
// local address from which the node may send to pods, bridges' included.
type NodeKey struct {
	Generation uint32
	Address    Address
}

// InterfaceKey is struct tp_interface_key: an interface that a graph judges. The
// programs ask where [Options.Listed] is set.
type InterfaceKey struct {
	Generation uint32
	Ifindex    uint32
}

// Slot is an index of tp_programs: where the programs tp_enter_* go on.
type Slot uint32

// Slots (TP_PROGRAM_*).
const (
	SlotFromEther Slot = iota
	SlotToEther
	SlotFromIP
	SlotToIP
	Slots // how many there are
)
