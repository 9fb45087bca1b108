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

// additive is what names meant before a restart, as far as the learner does not know it:
// an earlier agent died before it had written down how old an address is. Until a name was
// asked for with success it stays beside what this one knows, so that no connection is
// cut because an agent was away.
type additive struct {
	mu     sync.Mutex
	before learned.Known
	// until is when it goes also of names for which resolvers fail, unless rules only
	// deny them. It is set before anything runs.
	until time.Time
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

func (d *additive) set(before learned.Known, until time.Time) {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.before, d.until = before, until
}

// drop forgets addresses, and reports whether there were such.
func (d *additive) drop(which func(netip.Addr) bool) (changed bool) {
	d.mu.Lock()
	defer d.mu.Unlock()
	rest := learned.Known{} // the old one may be in use
	for name, addrs := range d.before {
		left := slices.DeleteFunc(slices.Clone(addrs), which)
		changed = changed || len(left) < len(addrs)
		if len(left) > 0 {
			rest[name] = left
		}
	}
	d.before = rest
	return changed
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

// settle ends what is additive, for each name once it was asked for with success.
func (a *Agent) settle(ctx context.Context) {
	pending := map[string]bool{}
	for name := range a.names.Current() {
		pending[name] = true
	}
	a.keepBefore(pending) // what is too old does not wait for resolvers
	wait, cancel := context.WithTimeout(ctx, settleMost)
	defer cancel()
	a.names.Settle(wait, slices.Collect(maps.Keys(a.names.Current()))...)
	for ctx.Err() == nil {
		failing := map[string]bool{}
		for _, n := range a.names.Status().Names {
			failing[n.Name] = n.Error != ""
		}
		if !a.keepBefore(failing) {
			return
		}
		select {
		case <-ctx.Done():
		case <-time.After(settlePeriod):
		}
	}
}

// keepBefore keeps what was before of names that were not asked for with success, and when
// its time is over only of those that rules only deny. It reports whether anything is left.
func (a *Agent) keepBefore(pending map[string]bool) (left bool) {
	if effects := a.effects.Load(); effects != nil && !time.Now().Before(a.additive.until) {
		maps.DeleteFunc(pending, func(name string, _ bool) bool { return (*effects)[name] != loader.Denies })
	}
	changed, left := a.additive.keep(pending)
	if changed {
		a.names.Resync()
	}
	return left
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

// follow sets the names of the bundle in force, where that is another record than before,
// and what no answer may open, which changes with the node's addresses too.
func (a *Agent) follow(l *loader.Loader) error {
	r := l.Record()
	if r == nil {
		return nil
	}
	b, err := l.Current()
	if err != nil {
		return err
	}
	if a.names != nil {
		if err := a.refuse(b, r.Options.NodeAddrs); err != nil {
			return err
		}
	}
	if r.Apply == a.applied {
		return nil
	}
	if err := a.setNames(b); err != nil {
		return err
	}
	a.applied = r.Apply
	return nil
}

// setNames has the names of a bundle kept.
func (a *Agent) setNames(b *loader.Bundle) error {
	a.health.setNames(len(b.Manifest.Names))
	if a.names == nil {
		if n := len(b.Manifest.Names); n > 0 {
			a.warn(fmt.Errorf("%d domain names of the bundle are not kept: %w", n, a.o.NoResolver))
		}
		return nil
	}
	list, effects := make([]names.Name, len(b.Manifest.Names)), b.Effects()
	for i, n := range b.Manifest.Names {
		list[i] = names.Name{Name: n.Name, Static: n.Addrs, Hold: effects[n.Name] == loader.Denies}
	}
	a.effects.Store(&effects)
	if err := a.names.SetNames(list); err != nil {
		return fmt.Errorf("names of the bundle: %w", err)
	}
	// Whoever loaded this generation had what was learned then.
	a.names.Resync()
	return nil
}

// refuse has the learner, and what is additive, let go of what no answer may open.
func (a *Agent) refuse(b *loader.Bundle, nodeAddrs []netip.Addr) error {
	refused, err := a.refused(b, nodeAddrs)
	if err != nil {
		return err
	}
	same := func(x, y names.Refusal) bool { return x.What == y.What && x.Set.Equal(y.Set) }
	if slices.EqualFunc(refused, a.refusals, same) {
		return nil
	}
	a.names.SetRefused(refused)
	if a.additive.drop(a.names.Refuses) {
		a.names.Resync()
	}
	a.refusals = refused
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
	stale, now := cmp.Or(a.o.Stale, names.DefaultStale), time.Now()
	a.additive.set(l.Learned(), now.Add(stale))
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
	if a.names == nil || m.Names == nil {
		return nil
	}
	if err := a.names.Restore(m.Names); err != nil {
		a.warn(err)
		return nil
	}
	_, remembered, err := names.ReadSnapshot(m.Names)
	// What was learned and not remembered is as old as the file that has it at most: an
	// address is in the next snapshot.
	until := l.LearnedAt().Add(stale)
	if last := now.Add(stale); until.After(last) {
		until = last
	}
	a.additive.set(notRemembered(l.Learned(), remembered), until)
	return err
}

// notRemembered returns what was learned and has no age.
func notRemembered(known learned.Known, remembered map[string][]names.Remembered) learned.Known {
	rest := learned.Known{}
	for name, addrs := range known {
		for _, addr := range addrs {
			if !slices.ContainsFunc(remembered[name], func(r names.Remembered) bool { return r.Addr == addr }) {
				rest[name] = append(rest[name], addr)
			}
		}
	}
	return rest
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
