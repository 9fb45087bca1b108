//go:build linux

package bpf_test

import (
	"fmt"
	"reflect"
	"strings"
	"testing"

	"github.com/cilium/ebpf/btf"

	"github.com/trafficpolicy/trafficpolicy/backends/ebpf/bpf"
)

// typeOf returns a type of the object.
func typeOf[T btf.Type](t *testing.T, name string) (x T) {
	t.Helper()
	spec, err := bpf.Spec(bpf.Options{})
	if err != nil {
		t.Fatal(err)
	}
	if err := spec.Types.TypeByName(name, &x); err != nil {
		t.Fatal(err)
	}
	return x
}

// TestLayout: each Go struct has the size of the C struct, and its fields stand where
// those of C with the same name do.
func TestLayout(t *testing.T) {
	for name, v := range map[string]any{
		"tp_ctl": bpf.Ctl{}, "tp_counter": bpf.Counter{}, "tp_conn_key": bpf.ConnKey{}, "tp_conn": bpf.Conn{},
		"tp_frag_key": bpf.FragKey{}, "tp_frag": bpf.Frag{}, "tp_name_key": bpf.NameKey{}, "tp_node_key": bpf.NodeKey{},
	} {
		c := typeOf[*btf.Struct](t, name)
		g := reflect.TypeOf(v)
		if uintptr(c.Size) != g.Size() {
			t.Errorf("%s has %d bytes, %s %d", name, c.Size, g, g.Size())
		}
		at := map[string]uint32{}
		for _, m := range c.Members {
			at[strings.ReplaceAll(m.Name, "_", "")] = m.Offset.Bytes()
		}
		for i := range g.NumField() {
			f := g.Field(i)
			if f.Name == "_" {
				continue
			}
			if offset, ok := at[strings.ToLower(f.Name)]; !ok || uintptr(offset) != f.Offset {
				t.Errorf("%s.%s stands at %d, in %s at %d (%v)", g, f.Name, f.Offset, name, offset, ok)
			}
		}
	}
	if c := typeOf[*btf.Struct](t, "tp_line"); uintptr(c.Size) != reflect.TypeOf(bpf.Line{}).Size() {
		t.Errorf("tp_line has %d bytes", c.Size)
	}
	if c := typeOf[*btf.Struct](t, "tp_event"); c.Size != 160 {
		t.Errorf("tp_event has %d bytes", c.Size)
	}
}

// TestCounterNames: the counters of C and Go are the same, in the same order.
func TestCounterNames(t *testing.T) {
	enum := typeOf[*btf.Enum](t, "tp_counter_number")
	for i, v := range enum.Values {
		name := strings.ToLower(strings.ReplaceAll(strings.TrimPrefix(v.Name, "TP_COUNTER_"), "_", " "))
		if i == len(enum.Values)-1 {
			if name != "fixed" || bpf.CounterNumber(v.Value) != bpf.FixedCounters {
				t.Errorf("%s is %d, FixedCounters %d", v.Name, v.Value, uint32(bpf.FixedCounters))
			}
			continue
		}
		if got := bpf.CounterNumber(v.Value).String(); got != name {
			t.Errorf("counter %d is %q, in C %s", v.Value, got, v.Name)
		}
	}
	if n := len(bpf.CounterNames()); n != len(enum.Values)-1 {
		t.Errorf("Go has %d names, C %d", n, len(enum.Values)-1)
	}
	for n, want := range map[bpf.CounterNumber]string{15: "counter 15", 16: "decider 0", 116: "decider 100"} {
		if got := n.String(); got != want {
			t.Errorf("%d is %q, want %q", uint32(n), got, want)
		}
	}
}

// TestMapSizes: options reach the maps; what is left out has the default.
func TestMapSizes(t *testing.T) {
	spec, err := bpf.Spec(bpf.Options{Lines: 3, Deciders: 5, Conns: 7, Opening: 8, Frags: 9, Names: 10, Nodes: 11, EventBytes: 5000})
	if err != nil {
		t.Fatal(err)
	}
	got := map[string]uint32{}
	for name, m := range spec.Maps {
		got[name] = m.MaxEntries
	}
	for name, want := range map[string]uint32{
		bpf.MapArea: 3, bpf.MapCounters: 21, bpf.MapConns: 7, bpf.MapOpening: 8, bpf.MapFrags: 9, bpf.MapNames: 10, bpf.MapNodes: 11,
		bpf.MapEvents: 8192, bpf.MapCtl: 1, bpf.MapPrograms: 4,
	} {
		if got[name] != want {
			t.Errorf("%s has %d entries, want %d", name, got[name], want)
		}
	}
	for _, name := range bpf.SharedMaps {
		if spec.Maps[name] == nil {
			t.Errorf("no map %s", name)
		}
	}
	if _, ok := spec.Maps["tp_scratch"]; !ok {
		t.Error(fmt.Sprint("no map tp_scratch in ", got))
	}
}
