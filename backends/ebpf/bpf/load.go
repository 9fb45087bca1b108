//go:build linux

package bpf

import (
	"crypto/sha256"
	"errors"
	"fmt"
	"math/bits"

	"github.com/cilium/ebpf"
)

// Options are what a loader chooses. The zero Options is an instance with room for
// a graph of one line; zero fields have the defaults of maps.h.
type Options struct {
	// Lines is the size of tp_area: room for two graphs side by side.
	Lines uint32
	// Deciders is how many counters there are beside the fixed ones.
	Deciders uint32
	// Sizes of the tables, in entries.
	Conns, Opening, Frags, Names, Nodes, Interfaces uint32
	// EventBytes is the size of the ring buffer, rounded up to a power of two.
	EventBytes uint32
	// Listed: where tp_interfaces lacks an interface for the graph in force, what would
	// be dropped by no rule passes.
	Listed bool
	// PodScope: the programs run in the pod's own network namespace.
	PodScope bool
	// Mark is what tells our own answers from packets: a random number, not zero, that
	// every instance in a namespace shares.
	Mark uint32
	// Rates a second and CPU, and bursts, of events and of answers to rejected packets.
	EventsRate, EventsBurst, RejectsRate, RejectsBurst uint32
	// Maps are used in place of new ones, by name. They are not closed with the
	// Instance.
	Maps map[string]*ebpf.Map
	// Programs is passed to the kernel's verifier.
	Programs ebpf.ProgramOptions
}

// Instance is the program with its maps in the kernel.
type Instance struct {
	FromEther *ebpf.Program `ebpf:"tp_from_ether"` // what a pod sends, Ethernet
	ToEther   *ebpf.Program `ebpf:"tp_to_ether"`   // what a pod is sent
	FromIP    *ebpf.Program `ebpf:"tp_from_ip"`    // the same on devices without link layer
	ToIP      *ebpf.Program `ebpf:"tp_to_ip"`

	// What can be attached in their place: they go on at the program in their [Slot] of
	// Programs, and drop where there is none.
	EnterFromEther *ebpf.Program `ebpf:"tp_enter_from_ether"`
	EnterToEther   *ebpf.Program `ebpf:"tp_enter_to_ether"`
	EnterFromIP    *ebpf.Program `ebpf:"tp_enter_from_ip"`
	EnterToIP      *ebpf.Program `ebpf:"tp_enter_to_ip"`

	Area       *ebpf.Map `ebpf:"tp_area"`
	Ctl        *ebpf.Map `ebpf:"tp_ctl"`
	Counters   *ebpf.Map `ebpf:"tp_counters"`
	Conns      *ebpf.Map `ebpf:"tp_conns"`
	Opening    *ebpf.Map `ebpf:"tp_opening"`
	Frags      *ebpf.Map `ebpf:"tp_frags"`
	Names      *ebpf.Map `ebpf:"tp_names"`
	Nodes      *ebpf.Map `ebpf:"tp_nodes"`
	Interfaces *ebpf.Map `ebpf:"tp_interfaces"`
	Events     *ebpf.Map `ebpf:"tp_events"`
	Limits     *ebpf.Map `ebpf:"tp_limits"`
	Programs   *ebpf.Map `ebpf:"tp_programs"`
}

// Digest tells programs of one version of this package from those of another.
func Digest() [sha256.Size]byte { return sha256.Sum256(_TpBytes) }

// Spec returns the program and its maps as o wants them, not yet in the kernel.
func Spec(o Options) (*ebpf.CollectionSpec, error) {
	spec, err := loadTp()
	if err != nil {
		return nil, fmt.Errorf("read the eBPF object: %w", err)
	}
	return spec, o.apply(spec)
}

// apply sets sizes and constants.
func (o Options) apply(spec *ebpf.CollectionSpec) error {
	sizes := map[string]uint32{
		MapArea: o.Lines, MapConns: o.Conns, MapOpening: o.Opening, MapFrags: o.Frags,
		MapNames: o.Names, MapNodes: o.Nodes, MapInterfaces: o.Interfaces, MapCounters: uint32(FixedCounters) + o.Deciders,
		MapEvents: roundUp(o.EventBytes),
	}
	for name, size := range sizes {
		m := spec.Maps[name]
		if m == nil {
			return fmt.Errorf("the eBPF object has no map %s", name)
		}
		if size != 0 {
			m.MaxEntries = size
		}
	}
	constants := map[string]uint32{
		"tp_mark": o.Mark, "tp_events_rate": o.EventsRate, "tp_events_burst": o.EventsBurst,
		"tp_rejects_rate": o.RejectsRate, "tp_rejects_burst": o.RejectsBurst,
	}
	for name, value := range constants {
		if value == 0 {
			continue
		}
		if err := set(spec, name, value); err != nil {
			return err
		}
	}
	for name, on := range map[string]bool{"tp_listed": o.Listed, "tp_pod_scope": o.PodScope} {
		if !on {
			continue
		}
		if err := set(spec, name, uint8(1)); err != nil {
			return err
		}
	}
	return nil
}

func set(spec *ebpf.CollectionSpec, name string, value any) error {
	v := spec.Variables[name]
	if v == nil {
		return fmt.Errorf("the eBPF object has no constant %s", name)
	}
	if err := v.Set(value); err != nil {
		return fmt.Errorf("constant %s: %w", name, err)
	}
	return nil
}

// roundUp returns the least power of two that is n or more, which the size of a
// ring buffer must be.
func roundUp(n uint32) uint32 {
	if n == 0 {
		return 0
	}
	return 1 << bits.Len32(n-1)
}

// Load puts an instance into the kernel. It enforces nothing before it has a graph
// in Area, its line in Ctl, and is attached. A refusal of the verifier is an error
// that wraps [ebpf.VerifierError].
func Load(o Options) (*Instance, error) {
	spec, err := Spec(o)
	if err != nil {
		return nil, err
	}
	i := new(Instance)
	opts := ebpf.CollectionOptions{Programs: o.Programs, MapReplacements: o.Maps}
	if err := spec.LoadAndAssign(i, &opts); err != nil {
		return nil, fmt.Errorf("load the eBPF program: %w", err)
	}
	return i, nil
}

// Program returns the program of a slot.
func (i *Instance) Program(s Slot) *ebpf.Program {
	return [Slots]*ebpf.Program{i.FromEther, i.ToEther, i.FromIP, i.ToIP}[s]
}

// Enter returns the program that goes on at a slot.
func (i *Instance) Enter(s Slot) *ebpf.Program {
	return [Slots]*ebpf.Program{i.EnterFromEther, i.EnterToEther, i.EnterFromIP, i.EnterToIP}[s]
}

// Close closes the file descriptors of programs and maps. What is pinned or
// attached stays.
func (i *Instance) Close() error {
	var errs []error
	for _, p := range []*ebpf.Program{i.FromEther, i.ToEther, i.FromIP, i.ToIP, i.EnterFromEther, i.EnterToEther, i.EnterFromIP, i.EnterToIP} {
		errs = append(errs, p.Close())
	}
	for _, m := range []*ebpf.Map{i.Area, i.Ctl, i.Counters, i.Conns, i.Opening, i.Frags, i.Names, i.Nodes, i.Interfaces, i.Events, i.Limits, i.Programs} {
		errs = append(errs, m.Close())
	}
	return errors.Join(errs...)
}
