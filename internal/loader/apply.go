//go:build linux

package loader

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"slices"

	"github.com/trafficpolicy/trafficpolicy/backends/bundle"
	"github.com/trafficpolicy/trafficpolicy/internal/place"
	"github.com/trafficpolicy/trafficpolicy/internal/state"
)

// ErrSequence says that a bundle is older than one that was in force.
var ErrSequence = errors.New("refusing to go back")

// ApplyOptions are the switches of the apply command.
type ApplyOptions struct {
	state.Options
	// Node is the name of this node, which a bundle of node scope must be for.
	Node string
	// DryRun checks everything, the kernel's own checks included, and changes
	// nothing.
	DryRun bool
	// force loads the generation also where it is in force.
	force bool
}

// Result says what an apply did, or with DryRun would do.
type Result struct {
	Record *state.Record
	Places []place.Place // of every pod address, in node scope
	// Changed is false where the kernel and the state were as asked already.
	Changed bool
	// Loaded says that a generation was loaded, not only interfaces attached or
	// flags recorded.
	Loaded bool
	Drift  []string // what was mended
	// Unattached are the pods whose traffic the backend's hooks on interfaces do not see,
	// where it has such, and why.
	Unattached []PodStatus
}

// Apply puts a bundle in force. Whatever fails up to the switch leaves the
// policy in force as it was.
func (l *Loader) Apply(ctx context.Context, b *Bundle, o ApplyOptions) (*Result, error) {
	most, err := l.maxSequence(b.Manifest)
	if err != nil {
		return nil, err
	}
	// Another bundle of the same generation may differ in what its manifest says of
	// domain names: the exception is for the very bundle.
	inForce := l.state().Current != nil && l.state().Current.Bundle == digest(b.data)
	if b.Manifest.Sequence < most && !inForce {
		return nil, fmt.Errorf("bundle has sequence %d and one with %d was in force already: %w (tploader rollback does)", b.Manifest.Sequence, most, ErrSequence)
	}
	return l.put(ctx, b, o, nil)
}

// maxSequence returns the highest sequence that was in force here or, for the
// same target, in an earlier boot.
func (l *Loader) maxSequence(m *bundle.Manifest) (uint64, error) {
	s, err := l.memory(m)
	if err != nil {
		return 0, err
	}
	return max(s.MaxSequence, l.state().MaxSequence), nil
}

// memory returns the state that counts for bundles of a target: that of this
// namespace or, where nothing was in force in it yet, the target's of an earlier boot.
func (l *Loader) memory(m *bundle.Manifest) (*state.State, error) {
	if l.state().Current == nil {
		p, err := l.earlier(string(m.Scope), m.Name)
		if err != nil {
			return nil, err
		}
		if p != nil {
			return p.State, nil
		}
	}
	return l.state(), nil
}

// put puts a bundle in force. before, if not nil, is the record to be remembered
// as the one before it; otherwise that follows from the state.
func (l *Loader) put(ctx context.Context, b *Bundle, o ApplyOptions, before *state.Record) (*Result, error) {
	keys, err := l.trust(b, o.Node)
	if err != nil {
		return nil, err
	}
	k, err := l.kernel(ctx, b.Manifest.Backend)
	if err != nil {
		return nil, err
	}
	places, err := l.target(b, o)
	if err != nil {
		return nil, err
	}
	if !o.DryRun {
		if err := l.adopt(b); err != nil {
			return nil, err
		}
	}
	c, res, err := l.compare(ctx, k, b, o, places)
	if err != nil {
		return nil, err
	}
	res.Changed = res.Changed || !slices.Equal(keys.Texts(), l.state().Trusted)
	if !res.Changed {
		res.Record = l.state().Current
	}
	res.Unattached = unattached(podStatus(b, places, res.Record.Interfaces))
	if !res.Changed {
		return res, nil
	}
	p, err := k.Plan(ctx, c)
	if err != nil {
		return nil, err
	}
	if o.DryRun {
		return res, p.Check(ctx)
	}
	next, err := l.next(c.Record, b.Manifest, before)
	if err != nil {
		return nil, err
	}
	next.Trusted = keys.Texts()
	l.cache.get(c.Record.Bundle, func() (*Bundle, error) { return b, nil })
	return res, l.carryOut(ctx, k, c, p, next)
}

// compare finds out what has to change. Where nothing but interfaces or flags
// differ, what is loaded is kept; where the kernel does not hold what was loaded,
// the generation is loaded anew beside it, and so mended without a moment
// without a policy.
func (l *Loader) compare(ctx context.Context, k Kernel, b *Bundle, o ApplyOptions, places []place.Place) (*Change, *Result, error) {
	m, current := b.Manifest, l.state().Current
	r := &state.Record{
		Apply: 1, Backend: m.Backend, Scope: string(m.Scope), Name: m.Name, Generation: m.Generation,
		Sequence: m.Sequence, Bundle: digest(b.data), Applied: l.now(), Options: o.Options, Interfaces: place.Interfaces(places),
	}
	c := &Change{Bundle: b, Record: r, Places: places, Learned: l.known(), Load: true}
	res := &Result{Record: r, Places: places, Changed: true}
	if current != nil {
		r.Apply = current.Apply + 1
		if current.Backend == m.Backend {
			c.Current = current
			var err error
			if res.Drift, err = l.drift(ctx, k, current); err != nil {
				return nil, nil, err
			}
			if current.Generation == m.Generation {
				c.Load = o.force || len(res.Drift) > 0 || !sameObjects(current, r)
				res.Changed = c.Load || !sameRecord(current, r)
			}
		}
	}
	res.Loaded = c.Load
	return c, res, nil
}

// drift returns how the kernel differs from what it held when r was applied.
func (l *Loader) drift(ctx context.Context, k Kernel, r *state.Record) ([]string, error) {
	held, err := l.folder.Kernel(r)
	if err != nil {
		return nil, err
	}
	return k.Drift(ctx, l.applied(r, r.Backend), held)
}

// next returns the state once r is in force.
func (l *Loader) next(r *state.Record, m *bundle.Manifest, before *state.Record) (*state.State, error) {
	most, err := l.maxSequence(m)
	if err != nil {
		return nil, err
	}
	s := l.state()
	next := &state.State{MaxSequence: max(most, r.Sequence), Current: r, Previous: s.Current}
	switch {
	case before != nil:
		next.Previous = before
	case s.Current != nil && s.Current.Generation == r.Generation:
		next.Previous = s.Previous
	}
	return next, nil
}

// sameObjects reports whether two records of one generation need the same
// objects in the kernel.
func sameObjects(a, b *state.Record) bool {
	return slices.Equal(a.Options.NodeAddrs, b.Options.NodeAddrs) && a.Options.MaxConnections == b.Options.MaxConnections
}

func sameRecord(a, b *state.Record) bool {
	return a.Bundle == b.Bundle && slices.Equal(a.Options.Interfaces, b.Options.Interfaces) &&
		slices.EqualFunc(a.Interfaces, b.Interfaces, func(x, y state.Interface) bool {
			return x.Name == y.Name && x.Index == y.Index && x.Pod == y.Pod && x.Bridge == y.Bridge && slices.Equal(x.MACs, y.MACs)
		})
}

func digest(data []byte) string {
	sum := sha256.Sum256(data)
	return hex.EncodeToString(sum[:])
}
