//go:build linux

package loader

import (
	"bytes"
	"context"
	"fmt"
	"net"
	"net/netip"
	"slices"

	"github.com/trafficpolicy/trafficpolicy/backends/bundle"
	"github.com/trafficpolicy/trafficpolicy/compiler/space"
)

// Readings is what the bundle in force decides, and what the kernel does.
type Readings struct {
	Status   *Status
	Manifest *bundle.Manifest // of the bundle
	Bundle   *space.Reading
	// Kernel is nil where what the kernel holds is not what was applied and cannot be
	// understood; Altered says why.
	Kernel  *space.Reading
	Altered string
	// Nodes are addresses that the kernel may take for the node's beyond those of
	// the bundle: --node-addr, and in node scope those of the namespace's interfaces.
	Nodes []netip.Addr
}

// Readings decodes the bundle in force and what the kernel holds of it. It returns an
// error that wraps ErrNothing where nothing is in force, and others where one of the
// two cannot be read.
func (l *Loader) Readings(ctx context.Context) (*Readings, error) {
	current := l.state().Current
	if current == nil {
		return nil, ErrNothing
	}
	s, err := l.Status(ctx)
	if err != nil {
		return nil, err
	}
	r := &Readings{Status: s, Nodes: current.Options.NodeAddrs}
	if r.Manifest, r.Bundle, err = l.decode(); err != nil {
		return nil, err
	}
	if r.Manifest.Scope == bundle.ScopeNode {
		own, err := OwnAddrs()
		if err != nil {
			return nil, err
		}
		r.Nodes = slices.Concat(r.Nodes, own)
	}
	k, err := l.kernel(ctx, current.Backend)
	if err != nil {
		return nil, err
	}
	r.Kernel, err = k.Reading(ctx, l.applied(current, current.Backend))
	if err != nil && (len(s.Drift) > 0 || !s.InForce) {
		r.Altered, err = err.Error(), nil
	}
	if err != nil {
		return nil, fmt.Errorf("read back what the kernel holds: %w", err)
	}
	if r.Kernel != nil {
		setApart(r.Kernel, r.Manifest.Names, l.known())
	}
	return r, nil
}

// setApart tells the addresses that this node has learned of names from those that the
// bundle has, and from those that nobody ought to have put there.
func setApart(r *space.Reading, compiled []bundle.KnownName, learned Known) {
	for _, n := range compiled {
		var own []netip.Addr
		for _, a := range r.Names[n.Name] {
			if _, ok := slices.BinarySearchFunc(n.Addrs, a, netip.Addr.Compare); !ok && slices.Contains(learned[n.Name], a) {
				if r.Learned == nil {
					r.Learned = map[string][]netip.Addr{}
				}
				r.Learned[n.Name] = append(r.Learned[n.Name], a)
				continue
			}
			own = append(own, a)
		}
		r.Names[n.Name] = own
	}
}

// decode returns what the stored bundle in force decides.
func (l *Loader) decode() (*bundle.Manifest, *space.Reading, error) {
	b, err := l.Current()
	if err != nil {
		return nil, nil, err
	}
	c, err := bundle.Read(bytes.NewReader(b.data))
	if err != nil {
		return nil, nil, fmt.Errorf("stored %w", err)
	}
	backend, err := l.backends.find(c.Manifest.Backend)
	if err != nil {
		return nil, nil, fmt.Errorf("stored bundle: %w", err)
	}
	r, err := backend.Decode(c)
	if err != nil {
		return nil, nil, fmt.Errorf("stored bundle cannot be decoded: %w", err)
	}
	return &c.Manifest, r, nil
}

// OwnAddrs returns the addresses of the namespace's interfaces that a node can send
// to pods from.
func OwnAddrs() (list []netip.Addr, err error) {
	own, err := net.InterfaceAddrs()
	if err != nil {
		return nil, fmt.Errorf("list addresses: %w", err)
	}
	for _, n := range own {
		p, err := netip.ParsePrefix(n.String())
		if err != nil || p.Addr().IsLoopback() || p.Addr().Is6() && p.Addr().IsLinkLocalUnicast() {
			continue
		}
		list = append(list, p.Addr().Unmap())
	}
	return list, nil
}
