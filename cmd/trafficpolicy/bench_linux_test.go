package main

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"syscall"
	"testing"

	"github.com/trafficpolicy/trafficpolicy/internal/synth"
	"github.com/trafficpolicy/trafficpolicy/internal/synth/scale"
	"github.com/trafficpolicy/trafficpolicy/model"
)

// BenchmarkLintProcess measures whole processes that lint YAML with every check,
// from start to the last line of the report. Besides what runProcess reports there
// is the size of the input (input-MB).
func BenchmarkLintProcess(b *testing.B) {
	bin := buildCommand(b)
	one := func(rules []model.Rule) []*model.Policy { return []*model.Policy{scale.Policy(rules)} }
	for _, input := range []struct {
		name     string
		policies func() []*model.Policy
	}{
		{"dense/100000", func() []*model.Policy { return one(scale.Dense(100_000)) }},
		{"sparse/100000", func() []*model.Policy { return one(scale.Sparse(100_000)) }},
		{"dense-1000-policies/100000", func() []*model.Policy { return scale.Split(scale.Dense(100_000), 100) }},
		{"one-prefix/50000", func() []*model.Policy { return one(scale.OnePrefix(50_000)) }},
		{"ports-first/100000", func() []*model.Policy { return one(scale.PortsFirst(100_000)) }},
		{"chain/100000", func() []*model.Policy { return one(scale.Chain(100_000)) }},
		{"policies-apart/10000", func() []*model.Policy { return scale.Policies(10_000, scale.Apart, scale.Spread) }},
		{"policies-joined/10000", func() []*model.Policy { return scale.Policies(10_000, scale.Joined, scale.Spread) }},
	} {
		b.Run(input.name, func(b *testing.B) {
			path := filepath.Join(b.TempDir(), "policies.yaml")
			size := writePolicies(b, path, input.policies())
			runProcess(b, bin, "lint", path)
			b.ReportMetric(float64(size)/1e6, "input-MB")
		})
	}
}

// runProcess runs a command once an iteration, and reports its CPU time (cpu-sec)
// and the most memory that it held (peak-MB).
func runProcess(b *testing.B, bin string, args ...string) {
	b.Helper()
	var cpu float64
	var peak int64
	for b.Loop() {
		cmd := exec.Command(bin, args...)
		if err := cmd.Run(); err != nil && cmd.ProcessState.ExitCode() != exitFailed {
			b.Fatal(err)
		}
		cpu += (cmd.ProcessState.UserTime() + cmd.ProcessState.SystemTime()).Seconds()
		peak = max(peak, cmd.ProcessState.SysUsage().(*syscall.Rusage).Maxrss) // kB (getrusage(2))
	}
	b.ReportMetric(cpu/float64(b.N), "cpu-sec")
	b.ReportMetric(float64(peak)/1000, "peak-MB")
}

// BenchmarkInventoryProcess measures whole processes that make the inventory of
// 5,000 and 50,000 pods compact, and that read one policy beside either form.
func BenchmarkInventoryProcess(b *testing.B) {
	bin := buildCommand(b)
	for _, tenth := range []int{1, 10} {
		s := synth.DefaultSizes
		s.Pods, s.Nodes, s.Services = s.Pods*tenth, s.Nodes*tenth, s.Services*tenth
		dir := b.TempDir()
		text, compact := filepath.Join(dir, "cluster.json"), filepath.Join(dir, "cluster.tpi")
		size := writeInventory(b, text, s)
		b.Run(fmt.Sprintf("compact/%d", s.Pods), func(b *testing.B) {
			runProcess(b, bin, "inventory", text, "-o", compact)
			b.ReportMetric(float64(size)/1e6, "input-MB")
			info, err := os.Stat(compact)
			if err != nil {
				b.Fatal(err)
			}
			b.ReportMetric(float64(info.Size())/1e6, "output-MB")
		})
		for _, file := range []string{text, compact} {
			b.Run(fmt.Sprintf("read%s/%d", filepath.Ext(file), s.Pods), func(b *testing.B) {
				runProcess(b, bin, "list", "../../testdata/corpus/openclaw-policy.yaml", "-i", file)
			})
		}
	}
}

// writeInventory writes the inventory of a fleet and returns its size in bytes.
func writeInventory(b *testing.B, path string, s synth.Sizes) int64 {
	b.Helper()
	fleet, err := synth.NewFleet(s)
	if err != nil {
		b.Fatal(err)
	}
	f, err := os.Create(path)
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
	return info.Size()
}

// writePolicies writes policies to a file and returns its size in bytes.
func writePolicies(b *testing.B, path string, policies []*model.Policy) int64 {
	b.Helper()
	f, err := os.Create(path)
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
	return info.Size()
}
