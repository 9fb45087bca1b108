//go:build linux

package main

import (
	"bytes"
	"testing"
	"time"

	"github.com/trafficpolicy/trafficpolicy/internal/loader"
	"github.com/trafficpolicy/trafficpolicy/internal/netlab"
)

// BenchmarkEBPFApply applies two bundles of a node of 10,000 rules in turn, with
// the programs loaded: from the bytes of the bundle to the state on disk. Of that
// read-ms is reading and checking the bundle.
func BenchmarkEBPFApply(b *testing.B) {
	n := newEBPFNode(b, netlab.Routed)
	var bundles [2][]byte
	for i, p := range []policy{open, shut} {
		p.rules = 10000
		bundles[i] = p.ebpf(b)
		n.apply(0, bundles[i])
	}
	var reading time.Duration
	apply := func(data []byte) error {
		start := time.Now()
		parsed, err := backends.Read(bytes.NewReader(data), nil)
		if err != nil {
			return err
		}
		reading += time.Since(start)
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
	b.ReportMetric(float64(reading.Milliseconds())/float64(b.N), "read-ms")
	b.ReportMetric(float64((b.Elapsed()-reading).Milliseconds())/float64(b.N), "apply-ms")
}
