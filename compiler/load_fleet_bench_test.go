package compiler

import (
	"os"
	"path/filepath"
	"testing"

	"github.com/trafficpolicy/trafficpolicy/internal/synth"
)

// BenchmarkLoadInventory reads the inventory of a fleet of 5,000 pods, as kubectl
// prints it and in compact form. Besides the time it reports the size of the file.
func BenchmarkLoadInventory(b *testing.B) {
	text, _ := writeFleet(b, synth.DefaultSizes)
	_, compact, err := Snapshot(b.Context(), LoadOptions{Inventory: []string{text}})
	if err != nil {
		b.Fatal(err)
	}
	file := filepath.Join(b.TempDir(), "cluster.tpi")
	if err := os.WriteFile(file, compact, 0o666); err != nil {
		b.Fatal(err)
	}
	for _, input := range []struct{ name, path string }{{"json", text}, {"compact", file}} {
		b.Run(input.name, func(b *testing.B) {
			b.ReportAllocs()
			for b.Loop() {
				in, err := Load(b.Context(), LoadOptions{Inventory: []string{input.path}})
				if err != nil || len(in.Findings) > 0 {
					b.Fatal(err, in.Findings)
				}
			}
			info, err := os.Stat(input.path)
			if err != nil {
				b.Fatal(err)
			}
			b.ReportMetric(float64(info.Size())/1e6, "file-MB")
		})
	}
}

// BenchmarkSnapshot makes a compact inventory of what kubectl prints.
func BenchmarkSnapshot(b *testing.B) {
	text, size := writeFleet(b, synth.DefaultSizes)
	b.SetBytes(size)
	b.ReportAllocs()
	for b.Loop() {
		if _, _, err := Snapshot(b.Context(), LoadOptions{Inventory: []string{text}}); err != nil {
			b.Fatal(err)
		}
	}
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
