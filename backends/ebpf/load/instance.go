//go:build linux

package load

import (
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"sync/atomic"
	"unsafe"

	"github.com/cilium/ebpf"
	"golang.org/x/sys/unix"

	graph "github.com/trafficpolicy/trafficpolicy/backends/ebpf"
	"github.com/trafficpolicy/trafficpolicy/backends/ebpf/bpf"
)

// instance holds the graph in force and room for the next, and what belongs to
// graphs: counters, domain names, addresses of the node, interfaces.
type instance struct {
	*objects
	dir  string // of the namespace's pins
	name instanceName
	area []byte // tp_area
	ctl  []byte // tp_ctl
}

// sizes are what a generation needs.
type sizes struct {
	lines    int // of one graph
	counters int // of rules and default denies, of this generation and the one in force
	names    int // of both generations, and so the others
	nodes    int
	ifaces   int
	raw      bool // there are interfaces without link layer
}

// Least sizes of an instance.
const (
	minLines    = 2048 // 128 KiB
	minCounters = 1024
)

// powerOfTwo returns the least power of two that is at least n and least.
func powerOfTwo(n, least int) int {
	p := least
	for p < n {
		p *= 2
	}
	return p
}

func newInstance(d *datapath, name instanceName, s sizes) (*instance, error) {
	if s.lines > graph.MaxSlots/2 {
		return nil, fmt.Errorf("a graph of %d lines is too large", s.lines)
	}
	o := bpf.Options{Listed: true, PodScope: d.pod}
	if err := d.shared.maps[mapMark].Lookup(uint32(0), &o.Mark); err != nil {
		return nil, fmt.Errorf("mark of answers: %w", err)
	}
	for name, size := range map[string]*uint32{bpf.MapConns: &o.Conns, bpf.MapOpening: &o.Opening, bpf.MapFrags: &o.Frags, bpf.MapEvents: &o.EventBytes} {
		*size = d.shared.maps[name].MaxEntries()
	}
	counters := powerOfTwo(s.counters, minCounters)
	o.Lines = 2 * uint32(powerOfTwo(s.lines, minLines))
	// Behind the counters is as much again for what earlier instances have counted.
	o.Deciders = uint32(2*counters) + fixedCounters
	o.Names, o.Nodes, o.Interfaces = tableSize(s.names), tableSize(s.nodes), tableSize(s.ifaces)
	spec, err := bpf.Spec(o)
	if err != nil {
		return nil, err
	}
	only(spec, judges(s.raw))
	spec.Maps[mapIDs], spec.Maps[mapInfo] = idSpec(counters), infoSpec()
	given := maps.Clone(d.shared.maps)
	delete(given, mapMark)
	loaded, err := create(spec, given)
	if err != nil {
		return nil, fmt.Errorf("load the programs: %w", err)
	}
	i := &instance{objects: loaded, dir: d.dir, name: name}
	if err := i.maps[mapInfo].Put(uint32(0), bpf.Digest()); err != nil {
		i.close()
		return nil, err
	}
	return i, i.mmap()
}

// tableSize returns the size of a table that takes memory for what it holds alone.
func tableSize(n int) uint32 { return uint32(powerOfTwo(n, 4096)) }

func openInstance(dir string, name instanceName) (*instance, error) {
	folder := filepath.Join(dir, name.String())
	_, err := os.Stat(filepath.Join(folder, judgePrograms[bpf.SlotFromIP]))
	o, err := openObjects(folder, instanceMaps, judges(err == nil))
	if err != nil {
		return nil, err
	}
	i := &instance{objects: o, dir: dir, name: name}
	return i, i.mmap()
}

func (i *instance) pin() error { return i.objects.pin(filepath.Join(i.dir, i.name.String())) }

func (i *instance) close() {
	unix.Munmap(i.area)
	unix.Munmap(i.ctl)
	i.objects.close()
}

// mmap maps what is written to behind the back of system calls.
func (i *instance) mmap() (err error) {
	if i.area, err = mmap(i.maps[bpf.MapArea]); err == nil {
		i.ctl, err = mmap(i.maps[bpf.MapCtl])
	}
	if err != nil {
		i.close()
		return fmt.Errorf("map memory of instance %s: %w", i.name, err)
	}
	return nil
}

func mmap(m *ebpf.Map) ([]byte, error) {
	size := int(m.MaxEntries() * m.ValueSize())
	page := os.Getpagesize()
	b, err := unix.Mmap(m.FD(), 0, (size+page-1)/page*page, unix.PROT_READ|unix.PROT_WRITE, unix.MAP_SHARED)
	if err != nil {
		return nil, err
	}
	return b[:size:cap(b)], nil
}

// control is what all programs read at once: below, the line of the graph in force
// (the root), above, the epoch of what domain names mean.
func (i *instance) control() *uint64 { return (*uint64)(unsafe.Pointer(&i.ctl[0])) }

// root returns the line of the graph in force.
func (i *instance) root() uint32 { return uint32(atomic.LoadUint64(i.control())) }

// epochShift is where the epoch stands in the control word.
const epochShift = 32

// judgeAgain has every connection judged again before its next packet passes. No
// program may be under way that began before names were changed.
func (i *instance) judgeAgain() { atomic.AddUint64(i.control(), 1<<epochShift) }

// halves returns the half of the area whose graph is in force, none where the root
// is of neither, and the other half with the root that puts it in force.
func (i *instance) halves() (inForce, free []byte, other uint32) {
	n := len(i.area) / 2
	switch i.root() {
	case 0:
		return i.area[:n:n], i.area[n:], uint32(n / graph.LineSize)
	case uint32(n / graph.LineSize):
		return i.area[n:], i.area[:n:n], 0
	}
	return nil, i.area[n:], uint32(n / graph.LineSize)
}

// generation returns the number of the graph in force, 0 without one.
func (i *instance) generation() uint32 {
	inForce, _, _ := i.halves()
	if inForce == nil {
		return 0
	}
	return word(inForce, graph.HeaderGeneration)
}

// graph returns the bytes of the graph in force.
func (i *instance) graph() []byte {
	inForce, _, _ := i.halves()
	if inForce == nil {
		return nil
	}
	n := int(word(inForce, graph.HeaderSize)) * graph.SlotSize
	return inForce[:min(n, len(inForce))]
}

// write puts a graph into the half that is not in force.
func (i *instance) write(g []byte) {
	_, free, _ := i.halves()
	copy(free, g)
}

// flip puts the graph in force that write has written.
func (i *instance) flip() {
	_, _, other := i.halves()
	epoch := atomic.LoadUint64(i.control()) >> epochShift
	atomic.StoreUint64(i.control(), epoch<<epochShift|uint64(other))
}

// fits reports whether a generation of that size can be written beside the one in
// force.
func (i *instance) fits(s sizes) bool {
	return (!s.raw || i.raw()) && 2*s.lines <= int(i.maps[bpf.MapArea].MaxEntries()) &&
		s.counters <= int(i.maps[mapIDs].MaxEntries()) &&
		s.names <= int(i.maps[bpf.MapNames].MaxEntries()) &&
		s.nodes <= int(i.maps[bpf.MapNodes].MaxEntries()) &&
		s.ifaces <= int(i.maps[bpf.MapInterfaces].MaxEntries())
}

// raw reports whether it has programs for interfaces without link layer.
func (i *instance) raw() bool { return i.programs[judgePrograms[bpf.SlotFromIP]] != nil }

// copy has the same policy in force as in another instance, which nobody else
// writes to.
func (i *instance) copy(from *instance) error {
	copy(i.area, from.graph())
	// Its root is zero. Stamps of connections go on.
	atomic.StoreUint64(i.control(), atomic.LoadUint64(from.control())>>epochShift<<epochShift)
	for _, name := range []string{mapIDs, bpf.MapNames, bpf.MapNodes, bpf.MapInterfaces} {
		if err := copyMap(i.maps[name], from.maps[name]); err != nil {
			return fmt.Errorf("copy %s: %w", name, err)
		}
	}
	return nil
}

func word(b []byte, i int) uint32 { return *(*uint32)(unsafe.Pointer(&b[4*i])) }
