//go:build linux

package load

import (
	"context"
	"errors"
	"fmt"
	"io/fs"

	"github.com/trafficpolicy/trafficpolicy/backends/ebpf/bpf"
	"github.com/trafficpolicy/trafficpolicy/internal/loader"
	"github.com/trafficpolicy/trafficpolicy/internal/state"
)

// kernel is the datapath of the calling thread's network namespace.
type kernel struct {
	space *loader.Space
	dir   string    // of pins, empty where there is none
	data  *datapath // opened when it is needed, nil where there is none
}

// open opens the datapath, nil if there is none.
func (k *kernel) open() (*datapath, error) {
	if k.data != nil {
		return k.data, nil
	}
	dir, err := pinFolder(k.space.Key, false)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	k.dir = dir
	k.data, err = open(dir)
	return k.data, err
}

// Unknown says whether there is a datapath.
func (k *kernel) Unknown(context.Context) ([]string, error) {
	d, err := k.open()
	if err != nil || d == nil {
		return nil, err
	}
	return []string{fmt.Sprintf("the kernel holds eBPF programs and maps, pinned in %s, that this state directory does not know", k.dir)}, nil
}

// InForce reports whether there is a graph in force. Where that cannot be told Drift
// says why.
func (k *kernel) InForce(context.Context) (bool, error) {
	d, err := k.open()
	return err == nil && d != nil && d.inst.generation() != 0, nil
}

// Settle knows from the number of the graph in force which record is.
func (k *kernel) Settle(ctx context.Context, next, current *loader.Applied) (switched bool, err error) {
	d, err := k.open()
	if err != nil {
		return false, err
	}
	if d != nil && prefix(d.inst.generation()) == next.Record.Prefix {
		return true, k.cleanTo(next)
	}
	if current == nil {
		_, err := k.Remove(ctx)
		return false, err
	}
	if d == nil {
		return false, nil // somebody has removed it
	}
	return false, k.cleanTo(current)
}

func (k *kernel) cleanTo(a *loader.Applied) error {
	b, err := a.Bundle()
	if err != nil {
		return err
	}
	return k.clean(a.Record, b)
}

// clean brings interfaces, maps and counters down to what the generation in force
// needs, which is that of the record.
func (k *kernel) clean(r *state.Record, b *loader.Bundle) error {
	loader.Grace()
	d := k.data
	want := map[int]bool{}
	for _, i := range r.Interfaces {
		want[i.Index] = true
	}
	all, err := d.hooks.list()
	if err != nil {
		return err
	}
	for _, h := range all {
		if !want[h.index] {
			if err := d.hooks.detach(h.index); err != nil {
				return err
			}
		}
	}
	if err := d.inst.purge(d.inst.generation()); err != nil {
		return err
	}
	idle, err := d.inst.ids()
	if err != nil {
		return err
	}
	for _, id := range graphOf(b).Tables.Deciders {
		delete(idle, idKey(id))
	}
	return d.inst.release(idle)
}

// Remove detaches and deletes everything.
func (k *kernel) Remove(context.Context) (bool, error) {
	d, err := k.open()
	if k.dir == "" {
		return false, err
	}
	if d == nil { // nothing, or too little to open
		h, herr := openHooks(k.dir, false)
		if herr != nil {
			return false, herr
		}
		if err != nil {
			k.space.Log("what is pinned in %s is incomplete: %v", k.dir, err)
		}
		d = &datapath{dir: k.dir, hooks: h}
	}
	k.data, k.dir = nil, ""
	defer d.close()
	return true, d.remove()
}

// Counts reads all counters.
func (k *kernel) Counts(context.Context) (*loader.Counts, error) {
	d, err := k.open()
	if err != nil {
		return nil, err
	}
	if d == nil {
		return nil, loader.ErrNothing
	}
	t, err := d.inst.totals()
	if err != nil {
		return nil, err
	}
	c := &loader.Counts{Rules: map[string]loader.Count{}, Fixed: loader.Fixed{
		Spoofed: t.fixed[bpf.CounterSpoofed], Stray: t.fixed[bpf.CounterStray],
		Broken: t.fixed[bpf.CounterBroken], Unknown: t.fixed[bpf.CounterUnknown], Logged: t.fixed[bpf.CounterEvents],
	}}
	for _, o := range others {
		c.Others = append(c.Others, loader.OtherCount{Name: o.name, Drop: o.drop, Count: t.fixed[o.number]})
	}
	for key, n := range t.ids {
		c.Rules[keyID(key)] = n
	}
	c.Defaults = c.Rules // ids of both are of one kind
	return c, nil
}

// others are the counters that only this backend has.
var others = []struct {
	number bpf.CounterNumber
	name   string
	drop   bool
}{
	{bpf.CounterEthertype, "ethertype", true},
	{bpf.CounterUntracked, "untracked", false},
	{bpf.CounterRejectsLimited, "rejects limited", false},
	{bpf.CounterEventsLimited, "events limited", false},
	{bpf.CounterEventsLost, "events lost", false},
}

// Connections counts what the two tables of connections hold, and compares the
// one that is fuller.
func (k *kernel) Connections(context.Context) *loader.ConnTable {
	d, err := k.open()
	if err != nil || d == nil {
		return nil
	}
	var worst *loader.ConnTable
	for _, name := range []string{bpf.MapConns, bpf.MapOpening} {
		m := d.shared.maps[name]
		n, err := countEntries[bpf.ConnKey, bpf.Conn](m)
		if err != nil {
			return nil
		}
		t := loader.NewConnTable(uint64(n), uint64(m.MaxEntries()))
		if worst == nil || t.Count*worst.Max > worst.Count*t.Max {
			worst = t
		}
	}
	return worst
}
