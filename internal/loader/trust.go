//go:build linux

package loader

import (
	"fmt"

	"github.com/trafficpolicy/trafficpolicy/backends/bundle"
	"github.com/trafficpolicy/trafficpolicy/internal/state"
)

// trust checks that a bundle is signed as it must be, and returns the keys that are
// trusted from then on: those that the Loader was opened with, else those that are
// remembered, also from an earlier boot of the same target. It returns nil where no
// signature is asked for.
func (l *Loader) trust(b *Bundle) (*bundle.Keyring, error) {
	keys, err := l.trustedFor(b.Manifest)
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

func (l *Loader) trustedFor(m *bundle.Manifest) (*bundle.Keyring, error) {
	if l.trusted != nil || l.unsigned {
		return l.trusted, nil
	}
	s, err := l.memory(m)
	if err != nil {
		return nil, err
	}
	return keyringOf(s)
}

// trustStored is trust for a bundle of the state folder.
func (l *Loader) trustStored(b *Bundle) error {
	if _, err := l.trust(b); err != nil {
		return fmt.Errorf("stored %w", err)
	}
	return nil
}
