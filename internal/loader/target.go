//go:build linux

package loader

import (
	"fmt"

	"github.com/trafficpolicy/trafficpolicy/backends/bundle"
	"github.com/trafficpolicy/trafficpolicy/internal/place"
	"github.com/trafficpolicy/trafficpolicy/internal/state"
)

// target checks that the bundle is for this node or pod, and finds its pods.
func (l *Loader) target(b *Bundle, o ApplyOptions) ([]place.Place, error) {
	m := b.Manifest
	if c := l.state().Current; c != nil && c.Scope != string(m.Scope) {
		return nil, fmt.Errorf("bundle has scope %s, but one of scope %s is in force in this network namespace (tploader remove takes it away)", m.Scope, c.Scope)
	}
	if m.Scope == bundle.ScopeNode && m.Name != o.Node {
		return nil, fmt.Errorf("bundle is for node %q and this is %q (--node says otherwise)", m.Name, o.Node)
	}
	n, err := place.Open()
	if err != nil {
		return nil, err
	}
	defer n.Close()
	if m.Scope == bundle.ScopePod {
		if err := l.checkPod(n, m); err != nil {
			return nil, err
		}
	}
	places, err := l.find(n, b, o.Interfaces)
	if err != nil {
		return nil, err
	}
	return places, place.Refusal(places)
}

// find looks for the interfaces of the bundle's pods.
func (l *Loader) find(n *place.Network, b *Bundle, globs []string) ([]place.Place, error) {
	backend, err := l.backends.find(b.Manifest.Backend)
	if err != nil {
		return nil, err
	}
	if b.Manifest.Scope == bundle.ScopePod {
		return n.Own(b.places(), backend.Hooks(), globs), nil
	}
	var known []state.Interface
	if c := l.state().Current; c != nil {
		known = c.Interfaces
	}
	return n.Find(b.places(), backend.Hooks(), globs, known)
}

// checkPod makes sure that the namespace is that of the bundle's pod. The bundle
// of a pod without addresses of its own (hostNetwork, finished, not started) has
// none to tell: it is taken only where the bundle in force is of the same pod.
func (l *Loader) checkPod(n *place.Network, m *bundle.Manifest) error {
	if c := l.state().Current; len(m.PodAddrs) == 0 && (c == nil || c.Name != m.Name) {
		return fmt.Errorf("bundle of pod %s has no addresses, so there is no telling whether this is its network namespace (a hostNetwork or finished pod has none of its own)", m.Name)
	}
	return ownsAddrs(n, m)
}

// ownsAddrs returns an error if the namespace lacks an address of the pod.
func ownsAddrs(n *place.Network, m *bundle.Manifest) error {
	have, err := n.Addrs()
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
