//go:build linux

package load

import (
	"context"
	"fmt"

	"github.com/trafficpolicy/trafficpolicy/backends/bundle"
	"github.com/trafficpolicy/trafficpolicy/internal/state"
)

// ApplyOptions are the switches of the apply command.
type ApplyOptions struct {
	state.Options
	// Node is the name of this node, which a bundle of node scope must be for.
	Node string
	// DryRun checks everything, nft's own checks included, and changes nothing.
	DryRun bool
}

// Result says what an apply did, or with DryRun would do.
type Result struct {
	Record *state.Record
	Places []Place // of every pod address, in node scope
	// Changed is false where the kernel and the state were as asked already.
	Changed bool
	// Loaded says that objects were created, not only attached or recorded.
	Loaded bool
	Drift  []string // what was mended
}

// Apply puts a bundle in force. Whatever fails up to the switch leaves the
// policy in force as it was.
func (l *Loader) Apply(ctx context.Context, b *Bundle, o ApplyOptions) (*Result, error) {
	most, err := l.maxSequence(b.Manifest)
	if err != nil {
		return nil, err
	}
	inForce := l.state().Current != nil && l.state().Current.Generation == b.Manifest.Generation
	if b.Manifest.Sequence < most && !inForce {
		return nil, fmt.Errorf("bundle has sequence %d and one with %d was in force already: refusing to go back (tploader rollback does)", b.Manifest.Sequence, most)
	}
	return l.put(ctx, b, o, nil)
}

// maxSequence returns the highest sequence that was in force here or, for the
// same target, in an earlier boot.
func (l *Loader) maxSequence(m *bundle.Manifest) (uint64, error) {
	if l.folder == nil || l.state().Current != nil {
		return l.state().MaxSequence, nil
	}
	s, _, err := l.folder.Earlier(string(m.Scope), m.Name)
	if s == nil || err != nil {
		return l.state().MaxSequence, err
	}
	return max(s.MaxSequence, l.state().MaxSequence), nil
}

// put puts a bundle in force. before, if not nil, is the record to be remembered
// as the one before it; otherwise that follows from the state.
func (l *Loader) put(ctx context.Context, b *Bundle, o ApplyOptions, before *state.Record) (*Result, error) {
	places, err := l.target(b, o)
	if err != nil {
		return nil, err
	}
	c, err := l.plan(ctx, b, o, places)
	if err != nil {
		return nil, err
	}
	if c.maxSequence, err = l.maxSequence(b.Manifest); err != nil {
		return nil, err
	}
	if before != nil {
		c.previous = before
	}
	res := &Result{Record: c.record, Places: places, Changed: c.changed, Loaded: c.load, Drift: c.drift}
	switch {
	case !c.changed:
		res.Record = l.state().Current
		return res, nil
	case o.DryRun:
		return res, l.nft.check(ctx, c.skeleton+c.objects+c.dispatch)
	}
	return res, l.carryOut(ctx, c, b)
}

// target checks that the bundle is for this node or pod, and finds its pods.
func (l *Loader) target(b *Bundle, o ApplyOptions) ([]Place, error) {
	m := b.Manifest
	if c := l.state().Current; c != nil && c.Scope != string(m.Scope) {
		return nil, fmt.Errorf("bundle has scope %s, but one of scope %s is in force in this network namespace (tploader remove takes it away)", m.Scope, c.Scope)
	}
	n, err := openNetwork()
	if err != nil {
		return nil, err
	}
	defer n.close()
	if m.Scope == bundle.ScopePod {
		return nil, l.checkPod(n, m)
	}
	if m.Name != o.Node {
		return nil, fmt.Errorf("bundle is for node %q and this is %q (--node says otherwise)", m.Name, o.Node)
	}
	places, err := discover(n, b.pods, o.Interfaces)
	if err != nil {
		return nil, err
	}
	return places, refusal(places)
}

// checkPod makes sure that the namespace is that of the bundle's pod. The bundle
// of a pod without addresses of its own (hostNetwork, finished, not started) has
// none to tell: it is taken only where the bundle in force is of the same pod.
func (l *Loader) checkPod(n network, m *bundle.Manifest) error {
	if c := l.state().Current; len(m.PodAddrs) == 0 && (c == nil || c.Name != m.Name) {
		return fmt.Errorf("bundle of pod %s has no addresses, so there is no telling whether this is its network namespace (a hostNetwork or finished pod has none of its own)", m.Name)
	}
	return ownsAddrs(n, m)
}

// ownsAddrs returns an error if the namespace lacks an address of the pod.
func ownsAddrs(n network, m *bundle.Manifest) error {
	have, err := n.addrs()
	if err != nil {
		return err
	}
	for _, a := range m.PodAddrs {
		if !have[a] {
			return fmt.Errorf("bundle is for pod %s, whose address %s is not in this network namespace (--netns enters the pod's)", m.Name, a)
		}
	}
	return nil
}
