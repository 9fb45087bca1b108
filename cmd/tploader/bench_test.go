//go:build linux

package main

import (
	"testing"

	"github.com/trafficpolicy/trafficpolicy/internal/loader"
	"github.com/trafficpolicy/trafficpolicy/internal/netlab"
)

// BenchmarkEBPFApply applies two bundles of a node of 10,000 rules in turn, with
// the programs loaded: from the bytes of the bundle to the state on disk.
func BenchmarkEBPFApply(b *testing.B) {
	n := newEBPFNode(b, netlab.Routed)
	var bundles [2][]byte
	for i, p := range []policy{open, shut} {
		p.rules = 10000
		bundles[i] = p.ebpf(b)
		n.apply(0, bundles[i])
	}
	apply := func(data []byte) error {
		parsed, err := backends.Read(data)
		if err != nil {
			return err
		}
		l, err := backends.Open(b.Context(), loader.OpenOptions{StateDir: n.state, Bundle: parsed})
		if err != nil {
			return err
		}
		defer l.Close()
		_, err = l.Apply(b.Context(), parsed, loader.ApplyOptions{Node: "n1"})
		return err
	}
	err := n.space.Do(func() error {
		for i := 0; b.Loop(); i++ {
			if err := apply(bundles[i%2]); err != nil {
				return err
			}
		}
		return nil
	})
	if err != nil {
		b.Fatal(err)
	}
}
