//go:build linux

package load

import (
	"crypto/sha256"
	"maps"
	"slices"

	"github.com/cilium/ebpf"

	"github.com/trafficpolicy/trafficpolicy/backends/ebpf/bpf"
)

// sharedMaps last as long as anything is attached, instanceMaps as long as an
// instance. Domain names, addresses of the node and interfaces belong to graphs,
// and so to an instance.
var (
	sharedMaps   = []string{bpf.MapConns, bpf.MapOpening, bpf.MapFrags, bpf.MapEvents, bpf.MapLimits, bpf.MapPrograms, mapMark}
	instanceMaps = []string{bpf.MapArea, bpf.MapCtl, bpf.MapCounters, bpf.MapNames, bpf.MapNodes, bpf.MapInterfaces, mapIDs, mapInfo}
)

// Programs by slot: those that judge, and those on interfaces, which go on there.
var (
	judgePrograms = []string{bpf.SlotFromEther: "tp_from_ether", bpf.SlotToEther: "tp_to_ether", bpf.SlotFromIP: "tp_from_ip", bpf.SlotToIP: "tp_to_ip"}
	enterPrograms = []string{bpf.SlotFromEther: "tp_enter_from_ether", bpf.SlotToEther: "tp_enter_to_ether", bpf.SlotFromIP: "tp_enter_from_ip", bpf.SlotToIP: "tp_enter_to_ip"}
)

// judges returns the programs that judge: of an instance that no interface without
// link layer needs those for Ethernet, because each takes the kernel long to check.
func judges(raw bool) []string {
	if raw {
		return judgePrograms
	}
	return judgePrograms[:bpf.SlotFromIP]
}

// Maps of the loader alone.
const (
	mapIDs  = "tp_ids"  // id of a rule or default deny -> number of its counter
	mapInfo = "tp_info" // digest of the programs that an instance is made from
	mapMark = "tp_mark" // the mark of our own answers
)

func idSpec(counters int) *ebpf.MapSpec {
	return &ebpf.MapSpec{Name: mapIDs, Type: ebpf.Hash, KeySize: 8, ValueSize: 4, MaxEntries: uint32(counters)}
}

func infoSpec() *ebpf.MapSpec {
	return &ebpf.MapSpec{Name: mapInfo, Type: ebpf.Array, KeySize: 4, ValueSize: sha256.Size, MaxEntries: 1}
}

func markSpec() *ebpf.MapSpec {
	return &ebpf.MapSpec{Name: mapMark, Type: ebpf.Array, KeySize: 4, ValueSize: 4, MaxEntries: 1}
}

// only removes other programs from a specification.
func only(spec *ebpf.CollectionSpec, programs []string) {
	maps.DeleteFunc(spec.Programs, func(name string, _ *ebpf.ProgramSpec) bool { return !slices.Contains(programs, name) })
}

// podTables are the sizes of what all instances share in one pod's namespace: on a
// node there may be many. The kernel takes the memory of such tables at once. Those
// of a node's are of the program's own size.
var podTables = bpf.Options{Conns: 32768, Opening: 8192, Frags: 1024, EventBytes: 64 << 10}

// sharedSpec specifies what all instances of a namespace share.
func sharedSpec(pod bool) (*ebpf.CollectionSpec, error) {
	var o bpf.Options
	if pod {
		o = podTables
	}
	spec, err := bpf.Spec(o)
	if err != nil {
		return nil, err
	}
	only(spec, enterPrograms)
	maps.DeleteFunc(spec.Maps, func(name string, _ *ebpf.MapSpec) bool {
		return name[0] != '.' && !slices.Contains(sharedMaps, name) // constants stay
	})
	spec.Maps[mapMark] = markSpec()
	return spec, nil
}
