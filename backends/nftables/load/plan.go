//go:build linux

package load

import (
	"context"
	"crypto/sha256"
	"fmt"
	"slices"

	"github.com/trafficpolicy/trafficpolicy/internal/state"
)

// change is what an apply has to do.
type change struct {
	record   *state.Record // to be in force
	previous *state.Record // to be the one before
	changed  bool          // otherwise everything is as asked already
	load     bool          // create objects; otherwise those in the kernel serve
	drift    []string      // what this mends
	found    []object      // what the kernel held before

	maxSequence uint64 // to be remembered, unless the record's own is higher

	// The transactions, in order.
	skeleton string // what outlives generations; changes nothing where it exists
	objects  string // the generation, referred to from nowhere
	dispatch string // switches to it
}

// plan compares what is asked with what the kernel holds. Where nothing but
// interfaces, flags or the sequence differ, the objects in the kernel are kept;
// where they are not what was loaded, the generation is loaded anew beside them,
// under another prefix, and so mended without a moment without a policy.
func (l *Loader) plan(ctx context.Context, b *Bundle, o ApplyOptions, places []Place) (*change, error) {
	objects, err := l.nft.list(ctx, false)
	if err != nil {
		return nil, err
	}
	m, s := b.Manifest, l.state()
	kernel, _ := findMark(objects)
	c := &change{previous: s.Current, load: true, changed: true, found: objects}
	c.record = &state.Record{
		Apply: kernel.apply + 1, Backend: m.Backend, Scope: string(m.Scope), Name: m.Name, Generation: m.Generation,
		Sequence: m.Sequence, Bundle: digest(b.data), Applied: l.now(), Options: o.Options, Interfaces: interfaces(places),
	}
	if current := s.Current; current != nil {
		c.record.Apply = max(kernel.apply, current.Apply) + 1
		if c.drift, err = l.drift(objects, current); err != nil {
			return nil, err
		}
		if current.Generation == m.Generation {
			c.previous = s.Previous
			c.load = len(c.drift) > 0 || !sameObjects(current, c.record)
			c.changed = c.load || !sameRecord(current, c.record)
		}
	}
	if !c.load {
		c.record.Prefix = s.Current.Prefix
	} else {
		c.record.Prefix = freePrefix(b.prefix, objects)
		b = b.rename(c.record.Prefix)
		c.skeleton = b.skeleton + bridgeSkeleton(b) + limitSkeleton(c.record)
		c.objects = b.objects + nodeAddrScript(b, o.NodeAddrs)
	}
	c.dispatch = dispatchScript(b.rename(c.record.Prefix), c.record, objects)
	return c, nil
}

// sameObjects reports whether two records of one generation need the same
// objects in the kernel.
func sameObjects(a, b *state.Record) bool {
	return slices.Equal(a.Options.NodeAddrs, b.Options.NodeAddrs) && a.Options.MaxConnections == b.Options.MaxConnections
}

func sameRecord(a, b *state.Record) bool {
	return a.Bundle == b.Bundle && slices.Equal(a.Options.Interfaces, b.Options.Interfaces) &&
		slices.EqualFunc(a.Interfaces, b.Interfaces, func(x, y state.Interface) bool {
			return x.Name == y.Name && x.Pod == y.Pod && x.Bridge == y.Bridge && slices.Equal(x.MACs, y.MACs)
		})
}

// freePrefix returns a prefix that no object has: that of the compiler, or one
// derived from it.
func freePrefix(compiled string, objects []object) string {
	used := map[string]bool{}
	for _, o := range objects {
		used[generationName.FindString(o.name)] = true
	}
	prefix := compiled
	for i := 1; used[prefix]; i++ {
		sum := sha256.Sum256(fmt.Appendf(nil, "%s %d", compiled, i))
		prefix = fmt.Sprintf("tp_%x_", sum[:6])
	}
	return prefix
}

// interfaces groups places by interface, sorted by name.
func interfaces(places []Place) []state.Interface {
	sorted := slices.Clone(places)
	slices.SortFunc(sorted, comparePlaces)
	var list []state.Interface
	for _, p := range sorted {
		if p.Interface == "" {
			continue
		}
		if n := len(list); n == 0 || list[n-1].Name != p.Interface {
			list = append(list, state.Interface{Name: p.Interface})
		}
		last := &list[len(list)-1]
		last.Pod, last.Bridge = p.Pod, p.bridge
		if p.mac != "" && !slices.Contains(last.MACs, p.mac) {
			last.MACs = append(last.MACs, p.mac)
		}
	}
	for i := range list {
		slices.Sort(list[i].MACs)
	}
	return list
}

// drift returns how the kernel differs from what it held when r was applied.
func (l *Loader) drift(objects []object, r *state.Record) ([]string, error) {
	text, err := l.folder.Kernel(r)
	if err != nil {
		return nil, err
	}
	if text == nil {
		return []string{"what the kernel should hold was not recorded"}, nil
	}
	h, err := decodeHolding(text)
	if err != nil {
		return []string{err.Error()}, nil
	}
	gone, err := goneChains(r)
	if err != nil {
		return nil, err
	}
	return h.compare(l.nft.version, objects, gone), nil
}
