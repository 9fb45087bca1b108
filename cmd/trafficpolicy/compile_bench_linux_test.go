package main

import (
	"bytes"
	"encoding/json"
	"io"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/trafficpolicy/trafficpolicy/compiler"
	"github.com/trafficpolicy/trafficpolicy/internal/synth"
)

// largest is the cluster that the guide promises.
var largest = synth.Sizes{Seed: 1, Nodes: 5_000, Namespaces: 100, Pods: 50_000, Services: 3_000, Policies: 2_000, Rules: 40_000,
	LongestList: 10_000, Enrolled: 85, Virtual: 10}

// tenth has a tenth of its nodes, pods and Services, and as many policies.
var tenth = synth.Sizes{Seed: 1, Nodes: 500, Namespaces: 100, Pods: 5_000, Services: 300, Policies: 2_000, Rules: 40_000,
	LongestList: 10_000, Enrolled: 85, Virtual: 10}

// clusterFiles writes a fleet's policies as YAML to DIR/policies and its objects as a compact
// inventory to DIR/cluster.tpi.
func clusterFiles(b *testing.B, s synth.Sizes) (dir string, fleet *synth.Fleet) {
	b.Helper()
	fleet, err := synth.NewFleet(s)
	if err != nil {
		b.Fatal(err)
	}
	dir = b.TempDir()
	var text bytes.Buffer
	if err := synth.WriteJSON(&text, fleet.Inventory()); err != nil {
		b.Fatal(err)
	}
	_, compact, err := compiler.Snapshot(b.Context(), compiler.LoadOptions{Inventory: []string{"-"}, Stdin: &text})
	if err != nil {
		b.Fatal(err)
	}
	var policies bytes.Buffer
	if err := synth.WriteYAML(&policies, fleet.Policies()); err != nil {
		b.Fatal(err)
	}
	putBytes(b, filepath.Join(dir, "cluster.tpi"), compact)
	putBytes(b, filepath.Join(dir, "policies", "all.yaml"), policies.Bytes())
	return dir, fleet
}

func putBytes(b *testing.B, path string, data []byte) {
	b.Helper()
	if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
		b.Fatal(err)
	}
	if err := os.WriteFile(path, data, 0o644); err != nil {
		b.Fatal(err)
	}
}

// podOf returns an enrolled pod of an application of the fleet, under another name and address.
func podOf(b *testing.B, fleet *synth.Fleet) map[string]any {
	b.Helper()
	for o := range fleet.Inventory() {
		if o["kind"] != "Pod" {
			continue
		}
		text, err := json.Marshal(o)
		if err != nil {
			b.Fatal(err)
		}
		if !bytes.Contains(text, []byte(`enable-network-policy-agent":"true"`)) || bytes.Contains(text, []byte(`hostNetwork`)) {
			continue
		}
		var pod map[string]any
		if err := json.Unmarshal(text, &pod); err != nil {
			b.Fatal(err)
		}
		pod["metadata"].(map[string]any)["name"] = "added"
		status := pod["status"].(map[string]any)
		status["phase"], status["podIP"], status["podIPs"] = "Running", "10.255.255.1", []any{map[string]any{"ip": "10.255.255.1"}}
		return pod
	}
	b.Fatal("no pod is enrolled")
	return nil
}

// BenchmarkWatchPod adds a pod to the largest cluster and takes it away again: from
// reading its file to the bundles written. "alone" is in a namespace that no rule
// names, "peer" of a workload that rules do. Besides the time it reports the bundles written
// and the CPU time (cpu-ms) of each. Pods have a file of their own beside that of all others.
func BenchmarkWatchPod(b *testing.B) {
	dir, fleet := clusterFiles(b, largest)
	pod := podOf(b, fleet)
	peer, err := json.Marshal(pod)
	if err != nil {
		b.Fatal(err)
	}
	added := filepath.Join(dir, "pods", "added.json")
	meta := pod["metadata"].(map[string]any)
	meta["namespace"], meta["name"] = "quiet", "first"
	first, err := json.Marshal(pod)
	if err != nil {
		b.Fatal(err)
	}
	putBytes(b, filepath.Join(dir, "pods", "first.json"), bytes.ReplaceAll(first, []byte("10.255.255.1"), []byte("10.255.255.2")))
	meta["name"] = "added"
	alone, err := json.Marshal(pod)
	if err != nil {
		b.Fatal(err)
	}
	for _, backend := range backendNames {
		b.Run(backend, func(b *testing.B) {
			c := &command{Stdin: strings.NewReader(""), Stdout: io.Discard, Stderr: io.Discard, Getenv: os.Getenv}
			f := &compileFlags{
				commonFlags: &commonFlags{
					policies: []string{filepath.Join(dir, "policies")}, inventory: []string{filepath.Join(dir, "cluster.tpi"), filepath.Join(dir, "pods")},
					isolation: "both", enrollment: "annotated", families: "auto", namespace: "default", color: "auto",
				},
				all: true, outDir: filepath.Join(dir, "out-"+backend), backend: backend, format: "bundle", unknown: "allow", allowUnresolved: true,
			}
			s, err := c.newWatchSession(f, nil)
			if err != nil {
				b.Fatal(err)
			}
			defer s.close()
			if err := s.step(b.Context()); err != nil {
				b.Fatal(err)
			}
			for _, input := range []struct {
				name string
				text []byte
			}{{"alone", alone}, {"peer", peer}} {
				b.Run(input.name, func(b *testing.B) {
					written, cpu := 0, 0.0
					for b.Loop() {
						b.StopTimer()
						if err := os.Remove(added); err != nil && !os.IsNotExist(err) {
							b.Fatal(err)
						}
						if err := s.step(b.Context()); err != nil {
							b.Fatal(err)
						}
						putBytes(b, added, input.text)
						before := cpuSeconds()
						b.StartTimer()
						if err := s.step(b.Context()); err != nil {
							b.Fatal(err)
						}
						cpu += cpuSeconds() - before
						written += s.written
					}
					b.ReportMetric(float64(written)/float64(b.N), "bundles")
					b.ReportMetric(1000*cpu/float64(b.N), "cpu-ms")
				})
			}
		})
	}
}

// cpuSeconds returns the CPU time that this process has had.
func cpuSeconds() float64 {
	var u syscall.Rusage
	if err := syscall.Getrusage(syscall.RUSAGE_SELF, &u); err != nil {
		return 0
	}
	return time.Duration(u.Utime.Nano() + u.Stime.Nano()).Seconds()
}

// BenchmarkCompileProcess measures whole processes that compile one node and all
// nodes of the largest cluster and of one with a tenth of its pods, from the compact
// inventory. Besides the time it reports the CPU time of one process (cpu-sec), the
// most memory that one held (peak-MB) and the size of what it wrote (output-MB).
func BenchmarkCompileProcess(b *testing.B) {
	bin := buildCommand(b)
	for _, cluster := range []struct {
		name  string
		sizes synth.Sizes
	}{{"50000", largest}, {"5000", tenth}} {
		dir, _ := clusterFiles(b, cluster.sizes)
		in, err := compiler.Load(b.Context(), compiler.LoadOptions{Inventory: []string{filepath.Join(dir, "cluster.tpi")}})
		if err != nil {
			b.Fatal(err)
		}
		node := in.Inventory.Nodes[0].Name
		for _, backend := range backendNames {
			args := []string{"compile", filepath.Join(dir, "policies"), "-i", filepath.Join(dir, "cluster.tpi"), "--backend", backend, "--allow-unresolved"}
			out := filepath.Join(dir, "out")
			b.Run(cluster.name+"/"+backend+"/node", func(b *testing.B) {
				measureProcess(b, bin, out, append(args, "--node", node, "-o", out))
			})
			b.Run(cluster.name+"/"+backend+"/all", func(b *testing.B) {
				measureProcess(b, bin, out, append(args, "--all", "--out-dir", out))
			})
		}
	}
}

// measureProcess runs a command that writes to out, which it removes before each time.
func measureProcess(b *testing.B, bin, out string, args []string) {
	var cpu float64
	var peak int64
	for b.Loop() {
		b.StopTimer()
		if err := os.RemoveAll(out); err != nil {
			b.Fatal(err)
		}
		b.StartTimer()
		cmd := exec.Command(bin, args...)
		if err := cmd.Run(); err != nil {
			b.Fatal(err)
		}
		cpu += (cmd.ProcessState.UserTime() + cmd.ProcessState.SystemTime()).Seconds()
		peak = max(peak, cmd.ProcessState.SysUsage().(*syscall.Rusage).Maxrss) // kB (getrusage(2))
	}
	var size int64
	filepath.WalkDir(out, func(_ string, d fs.DirEntry, err error) error {
		if info, infoErr := d.Info(); err == nil && infoErr == nil && info.Mode().IsRegular() {
			size += info.Size()
		}
		return nil
	})
	b.ReportMetric(cpu/float64(b.N), "cpu-sec")
	b.ReportMetric(float64(peak)/1000, "peak-MB")
	b.ReportMetric(float64(size)/1e6, "output-MB")
	if err := os.RemoveAll(out); err != nil {
		b.Fatal(err)
	}
}
