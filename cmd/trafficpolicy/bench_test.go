package main

import (
	"os"
	"os/exec"
	"path/filepath"
	"testing"
	"time"
)

// BenchmarkStartup compares whole processes in one run: linting the corpus with
// its cluster costs at most three times what printing the version costs. An
// iteration is one run of each; the metric "ratio" is lint over version.
func BenchmarkStartup(b *testing.B) {
	bin := buildCommand(b)
	run := func(args ...string) time.Duration {
		cmd := exec.Command(bin, args...)
		start := time.Now()
		if err := cmd.Run(); err != nil && cmd.ProcessState.ExitCode() != exitFailed {
			b.Fatal(err)
		}
		return time.Since(start)
	}
	corpus, cluster := "../../testdata/corpus", "../../testdata/cluster/small.yaml"
	if _, err := os.Stat(corpus); err != nil {
		b.Fatal(err)
	}
	run("version")
	var lint, version time.Duration
	for b.Loop() {
		version += run("version")
		lint += run("lint", corpus, "-i", cluster)
	}
	b.ReportMetric(float64(lint)/float64(version), "ratio")
	b.ReportMetric(float64(version.Microseconds())/float64(b.N), "version-us")
	b.ReportMetric(float64(lint.Microseconds())/float64(b.N), "lint-us")
}

// buildCommand builds trafficpolicy and returns its path.
func buildCommand(b *testing.B) string {
	b.Helper()
	bin := filepath.Join(b.TempDir(), "trafficpolicy")
	if out, err := exec.Command("go", "build", "-o", bin, ".").CombinedOutput(); err != nil {
		b.Fatalf("build: %v\n%s", err, out)
	}
	return bin
}
