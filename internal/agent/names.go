//go:build linux

package agent

import (
	"cmp"
	"context"
	"encoding/json"
	"fmt"
	"maps"
	"net"
	"net/netip"
	"slices"
	"sync"
	"time"

	"github.com/trafficpolicy/trafficpolicy/internal/learned"
	"github.com/trafficpolicy/trafficpolicy/internal/loader"
	"github.com/trafficpolicy/trafficpolicy/internal/names"
)

// additive is what names meant before a restart. Until a name was asked for with
// success, what an earlier agent had enforced stays beside what this one knows: no
// connection is cut because an agent was away, or died before it had written down how
// old an address is.
type additive struct {
	mu     sync.Mutex
	before learned.Known
}

// with returns what is known and, as long as that stays, what was before.
func (d *additive) with(known learned.Known) learned.Known {
	d.mu.Lock()
	defer d.mu.Unlock()
	if len(d.before) == 0 {
		return known
	}
	all := make(learned.Known, len(known))
	for name, addrs := range known {
		all[name] = learned.Sorted(slices.Concat(addrs, d.before[name]))
	}
	return all
}

func (d *additive) set(before learned.Known) {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.before = before
}

// keep forgets what was before of all but some names. It reports whether there was
// something to forget, and whether anything is left.
func (d *additive) keep(some map[string]bool) (changed, left bool) {
	d.mu.Lock()
	defer d.mu.Unlock()
	rest := learned.Known{} // the old one may be in use
	for name, addrs := range d.before {
		if some[name] {
			rest[name] = addrs
		}
	}
	changed = len(rest) < len(d.before)
	d.before = rest
	return changed, len(rest) > 0
}

// settle ends what is additive, for each name once it was asked for with success, for
// all after the time for which addresses stay while resolvers fail.
func (a *Agent) settle(ctx context.Context) {
	end := time.Now().Add(cmp.Or(a.o.Stale, names.DefaultStale))
	wait, cancel := context.WithTimeout(ctx, settleMost)
	defer cancel()
	a.names.Settle(wait, slices.Collect(maps.Keys(a.names.Current()))...)
	for ctx.Err() == nil {
		failing := map[string]bool{}
		if time.Now().Before(end) {
			for _, n := range a.names.Status().Names {
				failing[n.Name] = n.Error != ""
			}
		}
		changed, left := a.additive.keep(failing)
		if changed {
			a.names.Resync()
		}
		if !left {
			return
		}
		select {
		case <-ctx.Done():
		case <-time.After(settlePeriod):
		}
	}
}

// decides reports whether rules do one thing to the one name and another to the other.
func (a *Agent) decides(x, y string) bool {
	effects := a.effects.Load()
	if effects == nil {
		return true
	}
	both := (*effects)[x] | (*effects)[y]
	return both&(loader.Allows|loader.Denies) == loader.Allows|loader.Denies
}

// enforce has the backend hold what is known of names.
func (a *Agent) enforce(ctx context.Context, k names.Known) error {
	changed := []string{}
	for _, c := range k.Changes {
		changed = append(changed, c.Name)
	}
	if k.Whole {
		changed = nil
	}
	return a.with(ctx, false, func(l *loader.Loader) error {
		if l.Record() == nil {
			return nil // what is applied next has its names asked for
		}
		return l.Learn(ctx, a.additive.with(k.Addrs), changed)
	})
}

// inUse returns those of the addresses that connections of pods are with.
func (a *Agent) inUse(ctx context.Context, addrs []netip.Addr) (used []netip.Addr, err error) {
	err = a.with(ctx, false, func(l *loader.Loader) error {
		used, err = l.InUse(ctx, addrs)
		return err
	})
	return used, err
}

// follow sets the names of the bundle in force, where that is another record than before.
func (a *Agent) follow(l *loader.Loader) error {
	r := l.Record()
	if r == nil || r.Apply == a.applied {
		return nil
	}
	b, err := l.Current()
	if err != nil {
		return err
	}
	a.health.setNames(len(b.Manifest.Names))
	if a.names == nil {
		a.applied = r.Apply
		if n := len(b.Manifest.Names); n > 0 {
			a.warn(fmt.Errorf("%d domain names of the bundle are not kept: %w", n, a.o.NoResolver))
		}
		return nil
	}
	refused, err := a.refused(b, r.Options.NodeAddrs)
	if err != nil {
		return err
	}
	list, effects := make([]names.Name, len(b.Manifest.Names)), b.Effects()
	for i, n := range b.Manifest.Names {
		list[i] = names.Name{Name: n.Name, Static: n.Addrs, Hold: effects[n.Name] == loader.Denies}
	}
	a.effects.Store(&effects)
	a.names.SetRefused(refused)
	if err := a.names.SetNames(list); err != nil {
		return fmt.Errorf("names of the bundle: %w", err)
	}
	// Whoever loaded this generation had what was learned then.
	a.names.Resync()
	a.applied = r.Apply
	return nil
}

// refused returns the addresses that no answer may open, as the bundle and the node show
// them: of the pods, and of the node's interfaces, which with kube-proxy's IPVS have those of
// Services.
func (a *Agent) refused(b *loader.Bundle, nodeAddrs []netip.Addr) ([]names.Refusal, error) {
	var pods, node []netip.Prefix
	for _, p := range b.Pods {
		pods = append(pods, single(p.Addrs)...)
	}
	own, err := net.InterfaceAddrs()
	if err != nil {
		return nil, fmt.Errorf("list addresses: %w", err)
	}
	for _, n := range own {
		if p, err := netip.ParsePrefix(n.String()); err == nil {
			node = append(node, single([]netip.Addr{p.Addr()})...)
		}
	}
	node = append(node, single(nodeAddrs)...)
	node = append(node, single(b.NodeAddrs())...)
	var all []names.Refusal
	for _, r := range []struct {
		what string
		list []netip.Prefix
	}{{"a pod's address", pods}, {"an address of the node", node}, {"refused by the operator (--refuse)", a.o.Refused}} {
		set, err := prefixes(r.list)
		if err != nil {
			return nil, err
		}
		all = append(all, names.Refusal{What: r.what, Set: set})
	}
	return all, nil
}

func single(addrs []netip.Addr) []netip.Prefix {
	list := make([]netip.Prefix, len(addrs))
	for i, a := range addrs {
		list[i] = netip.PrefixFrom(a.Unmap(), a.Unmap().BitLen())
	}
	return list
}

// memorySchema is the version of what an agent remembers.
const memorySchema = 1

// memory is what an agent remembers.
type memory struct {
	Schema int `json:"schema"`
	// Handled is the SHA-256, in hex, of the last bundle of the source that was
	// applied or refused for good: it is not applied again.
	Handled string `json:"handled,omitempty"`
	// Names is a snapshot of the learner.
	Names json.RawMessage `json:"names,omitempty"`
}

// remember writes down what is known.
func (a *Agent) remember(ctx context.Context) error {
	return a.with(ctx, false, func(l *loader.Loader) error { return a.write(l) })
}

func (a *Agent) write(l *loader.Loader) error {
	if l.Record() == nil {
		return nil
	}
	m := memory{Schema: memorySchema, Handled: a.handled}
	if a.names != nil {
		m.Names = a.names.Snapshot()
	}
	text, err := json.Marshal(m)
	if err != nil {
		return err
	}
	return l.SetMemory(append(text, '\n'))
}

// recall takes up what an earlier agent knew. What cannot be read is forgotten: names
// are then asked for as new ones are.
func (a *Agent) recall(l *loader.Loader) error {
	a.additive.set(l.Learned())
	text, err := l.Memory()
	if err != nil || text == nil {
		return err
	}
	var m memory
	if err := json.Unmarshal(text, &m); err != nil || m.Schema != memorySchema {
		a.warn(fmt.Errorf("what was remembered is not taken up: schema %d, %v", m.Schema, err))
		return nil
	}
	a.handled = m.Handled
	if a.names != nil && m.Names != nil {
		if err := a.names.Restore(m.Names); err != nil {
			a.warn(err)
		}
	}
	return nil
}

// Remembered returns what an agent has written down of the addresses that it had
// learned, by name, from the result of [loader.Loader.Memory]; none for nil.
func Remembered(text []byte) (map[string][]names.Remembered, error) {
	if text == nil {
		return nil, nil
	}
	var m memory
	if err := json.Unmarshal(text, &m); err != nil {
		return nil, fmt.Errorf("what the agent remembers: %w", err)
	}
	if m.Schema != memorySchema {
		return nil, fmt.Errorf("what the agent remembers has schema %d, not %d", m.Schema, memorySchema)
	}
	if m.Names == nil {
		return nil, nil
	}
	_, known, err := names.ReadSnapshot(m.Names)
	return known, err
}
