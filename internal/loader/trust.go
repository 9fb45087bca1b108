//go:build linux

package loader

import (
	"fmt"

	"github.com/trafficpolicy/trafficpolicy/backends/bundle"
	"github.com/trafficpolicy/trafficpolicy/internal/state"
)

// trust checks that a bundle is signed as it must be on that node, and returns the keys
// that are trusted from then on: those that the Loader was opened with, else those that
// are remembered, also from an earlier boot. It returns nil where no signature is asked for.
func (l *Loader) trust(b *Bundle, node string) (*bundle.Keyring, error) {
	keys, err := l.trustedFor(b.Manifest, node)
	if err != nil {
		return nil, err
	}
	c := bundle.Bundle{Envelope: b.envelope}
	return keys, c.Verify(keys)
}

// Trusted returns the keys that a new bundle must be signed by, nil where no signature
// is asked for.
func (l *Loader) Trusted() (*bundle.Keyring, error) {
	if l.trusted != nil || l.unsigned {
		return l.trusted, nil
	}
	return keyringOf(l.state())
}

func keyringOf(s *state.State) (*bundle.Keyring, error) {
	keys, err := bundle.KeyringOf(s.Trusted)
	if err != nil {
		return nil, fmt.Errorf("state directory: %w", err)
	}
	return keys, nil
}

// trustedFor is trust without a look at the signature. Nothing says that a namespace in
// which nothing is in force yet is not the node's own, and whoever writes bundles chooses
// their scope: so there a bundle of a pod is asked for what the node's own would be.
func (l *Loader) trustedFor(m *bundle.Manifest, node string) (*bundle.Keyring, error) {
	if l.trusted != nil || l.unsigned {
		return l.trusted, nil
	}
	s, err := l.memory(m)
	if err != nil {
		return nil, err
	}
	keys, err := keyringOf(s)
	if err != nil || keys != nil || l.state().Current != nil || m.Scope == bundle.ScopeNode {
		return keys, err
	}
	p, err := l.earlier(string(bundle.ScopeNode), node)
	if err != nil || p == nil {
		return nil, err
	}
	return keyringOf(p.State)
}

// trustStored is trust for a bundle of the state folder.
func (l *Loader) trustStored(b *Bundle, node string) error {
	if _, err := l.trust(b, node); err != nil {
		return fmt.Errorf("stored %w", err)
	}
	return nil
}
