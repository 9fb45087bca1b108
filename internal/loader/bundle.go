//go:build linux

package loader

import (
	"bytes"
	"fmt"
	"io"
	"net/netip"
	"slices"
	"strings"

	"github.com/trafficpolicy/trafficpolicy/backends/bundle"
	"github.com/trafficpolicy/trafficpolicy/internal/place"
)

// Bundle is a bundle that was read whole and checked.
type Bundle struct {
	Manifest *bundle.Manifest
	Pods     []Pod
	Payload  any // the backend's own
	envelope *bundle.Envelope
	data     []byte
}

// Pod is a governed pod of a bundle.
type Pod struct {
	place.Pod
	Class int
}

// Backends are those that a loader has.
type Backends []Backend

// find returns the backend of that name.
func (bs Backends) find(name string) (Backend, error) {
	i := slices.IndexFunc(bs, func(b Backend) bool { return b.Name() == name })
	if i < 0 {
		return nil, fmt.Errorf("it is for backend %s, and this loader has %s", name, bs.names())
	}
	return bs[i], nil
}

func (bs Backends) names() string {
	var names []string
	for _, b := range bs {
		names = append(names, b.Name())
	}
	slices.Sort(names)
	return strings.Join(names, ", ")
}

// Read reads and checks a whole bundle, which must be all that r has: container,
// digests, and that the backend takes the payload. Unless trusted is nil, one of its
// keys must have signed it, before anything else of it is looked at.
func (bs Backends) Read(r io.Reader, trusted *bundle.Keyring) (*Bundle, error) {
	c, err := bundle.Open(r, trusted)
	if err != nil {
		return nil, err
	}
	b, err := bs.find(c.Manifest.Backend)
	if err != nil {
		return nil, fmt.Errorf("bundle: %w", err)
	}
	pods, payload, err := b.Read(c)
	if err != nil {
		return nil, fmt.Errorf("bundle: %w", err)
	}
	if have := len(pods); c.Manifest.Counts.Pods != have {
		return nil, fmt.Errorf("bundle: %s counts %d pods and the payload has %d", bundle.ManifestName, c.Manifest.Counts.Pods, have)
	}
	data, err := c.Bytes()
	if err != nil {
		return nil, fmt.Errorf("bundle: %w", err)
	}
	return &Bundle{Manifest: &c.Manifest, Pods: pods, Payload: payload, envelope: c.Envelope, data: data}, nil
}

// stored is Read for what the state folder holds. It asks for no signature.
func (bs Backends) stored(data []byte, err error) (*Bundle, error) {
	if err != nil {
		return nil, err
	}
	b, err := bs.Read(bytes.NewReader(data), nil)
	if err != nil {
		return nil, fmt.Errorf("stored %w", err)
	}
	return b, nil
}

// NodeAddrs returns the addresses of the node that the bundle has.
func (b *Bundle) NodeAddrs() []netip.Addr {
	if p, ok := b.Payload.(interface{ NodeAddrs() []netip.Addr }); ok {
		return p.NodeAddrs()
	}
	return nil
}

// places returns the pods as discovery wants them.
func (b *Bundle) places() []place.Pod {
	pods := make([]place.Pod, len(b.Pods))
	for i, p := range b.Pods {
		pods[i] = p.Pod
	}
	return pods
}
