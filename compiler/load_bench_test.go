package compiler

import (
	"os"
	"path/filepath"
	"testing"

	"github.com/trafficpolicy/trafficpolicy/internal/synth/scale"
	"github.com/trafficpolicy/trafficpolicy/model"
)

// BenchmarkLoad reads 100,000 rules of YAML, as one document and as a thousand,
// and 10,000 policies.
func BenchmarkLoad(b *testing.B) {
	for _, input := range []struct {
		name     string
		policies func() []*model.Policy
	}{
		{"one-document/dense/100000", func() []*model.Policy { return []*model.Policy{scale.Policy(scale.Dense(100_000))} }},
		{"one-document/sparse/100000", func() []*model.Policy { return []*model.Policy{scale.Policy(scale.Sparse(100_000))} }},
		{"1000-documents/sparse/100000", func() []*model.Policy { return scale.Split(scale.Sparse(100_000), 100) }},
		{"policies/10000", func() []*model.Policy { return scale.Policies(10_000, scale.Apart, scale.Spread) }},
	} {
		b.Run(input.name, func(b *testing.B) {
			path, size := writeScale(b, input.policies())
			b.SetBytes(size)
			b.ReportAllocs()
			for b.Loop() {
				in, err := Load(b.Context(), LoadOptions{Policies: []string{path}})
				if err != nil || len(in.Findings) > 0 {
					b.Fatal(err, in.Findings)
				}
			}
		})
	}
}

// writeScale writes policies to a file that lives as long as b.
func writeScale(b *testing.B, policies []*model.Policy) (path string, size int64) {
	b.Helper()
	f, err := os.Create(filepath.Join(b.TempDir(), "policies.yaml"))
	if err != nil {
		b.Fatal(err)
	}
	defer f.Close()
	if err := scale.WriteYAML(f, policies); err != nil {
		b.Fatal(err)
	}
	info, err := f.Stat()
	if err != nil {
		b.Fatal(err)
	}
	return f.Name(), info.Size()
}
