//go:build linux

package load

import (
	"context"
	"errors"
	"fmt"

	"golang.org/x/sys/unix"

	graph "github.com/trafficpolicy/trafficpolicy/backends/ebpf"

	"github.com/trafficpolicy/trafficpolicy/backends/bundle"
	"github.com/trafficpolicy/trafficpolicy/compiler/space"
	"github.com/trafficpolicy/trafficpolicy/internal/loader"
	"github.com/trafficpolicy/trafficpolicy/internal/place"
)

// Backend is the loader's backend for eBPF.
type Backend struct{}

// Name returns bundle.EBPF.
func (Backend) Name() string { return bundle.EBPF }

// Hooks returns what programs on interfaces see.
func (Backend) Hooks() place.Hooks { return place.Hooks{Own: true} }

// Read takes a payload whose graph ends every walk at a decider of the manifest.
func (Backend) Read(c *bundle.Bundle) ([]loader.Pod, any, error) {
	g, err := graph.Read(c)
	if err != nil {
		return nil, nil, err
	}
	list := make([]loader.Pod, len(g.Tables.Pods))
	for i, p := range g.Tables.Pods {
		list[i] = loader.Pod{Pod: place.Pod{Ref: p.Ref}, Class: p.Class}
		for _, a := range p.Addrs {
			list[i].Addrs = append(list[i].Addrs, a.Addr)
		}
	}
	return list, g, nil
}

// Decode reads the graph as a walk does.
func (Backend) Decode(c *bundle.Bundle) (*space.Reading, error) {
	return graph.DecodeBundle(c)
}

// Open makes sure that this kernel can be asked about programs.
func (Backend) Open(_ context.Context, s *loader.Space) (loader.Kernel, error) {
	if err := usable(); err != nil {
		return nil, err
	}
	return &kernel{space: s}, nil
}

// usable says what is missing: a privilege, or the kernel.
func usable() error {
	var caps [2]unix.CapUserData
	header := unix.CapUserHeader{Version: unix.LINUX_CAPABILITY_VERSION_3}
	if err := unix.Capget(&header, &caps[0]); err != nil {
		return nil // let the kernel say so
	}
	has := func(c uint) bool { return caps[c/32].Effective&(1<<(c%32)) != 0 }
	if !has(unix.CAP_SYS_ADMIN) && !(has(unix.CAP_BPF) && has(unix.CAP_NET_ADMIN)) {
		return errors.New("not permitted to load eBPF programs (tploader needs root, or CAP_BPF and CAP_NET_ADMIN)")
	}
	return nil
}

// graphOf returns the graph of a bundle.
func graphOf(b *loader.Bundle) *graph.Graph { return b.Payload.(*graph.Graph) }

// errLimit refuses a flag of nftables.
var errLimit = fmt.Errorf("--max-connections is for backend %s: with %s a connection table of its own keeps one pod from filling the node's", bundle.NFTables, bundle.EBPF)
