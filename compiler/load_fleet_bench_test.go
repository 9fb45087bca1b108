package compiler

import (
	"os"
	"path/filepath"
	"testing"

	"github.com/trafficpolicy/trafficpolicy/internal/synth"
)

// BenchmarkLoadInventory reads the inventory of a fleet.
func BenchmarkLoadInventory(b *testing.B) {
	path, size := writeFleet(b, synth.DefaultSizes)
	b.Run("json", func(b *testing.B) {
		b.SetBytes(size)
		b.ReportAllocs()
		for b.Loop() {
			in, err := Load(b.Context(), LoadOptions{Inventory: []string{path}})
			if err != nil || len(in.Findings) > 0 {
				b.Fatal(err, in.Findings)
			}
		}
	})
}

// writeFleet writes the inventory of a fleet as JSON to a file that lives as long
// as b.
func writeFleet(b *testing.B, s synth.Sizes) (path string, size int64) {
	b.Helper()
	fleet, err := synth.NewFleet(s)
	if err != nil {
		b.Fatal(err)
	}
	f, err := os.Create(filepath.Join(b.TempDir(), "cluster.json"))
	if err != nil {
		b.Fatal(err)
	}
	defer f.Close()
	if err := synth.WriteJSON(f, fleet.Inventory()); err != nil {
		b.Fatal(err)
	}
	info, err := f.Stat()
	if err != nil {
		b.Fatal(err)
	}
	return f.Name(), info.Size()
}
