package main

import (
	"bufio"
	"context"
	"fmt"
	"iter"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"syscall"
	"testing"

	"github.com/trafficpolicy/trafficpolicy/compiler"
	"github.com/trafficpolicy/trafficpolicy/internal/synth"
	"github.com/trafficpolicy/trafficpolicy/model"
)

// BenchmarkFleetProcess measures whole processes over the largest cluster that the
// guide promises, 50,000 pods in a compact inventory, with 2,000 policies of 40,000
// rules: lint with every check, and simulate of a million flows, rule by rule and
// with tables. Besides the time it reports the CPU time of one process (cpu-sec) and
// the most memory that it held (peak-MB); of flows also how many one core judges in a
// second, reading the input left out (flows/cpu-s).
func BenchmarkFleetProcess(b *testing.B) {
	const flows = 1_000_000
	bin, dir := buildCommand(b), b.TempDir()
	writeFleet(b, dir, flows)
	input := []string{"-f", filepath.Join(dir, "policies.yaml"), "-i", filepath.Join(dir, "inventory.tpi")}
	command := func(name string, args ...string) []string { return slices.Concat([]string{name}, input, args) }
	begin, _ := fleetProcess(b, bin, command("simulate", "--flows", filepath.Join(dir, "none.csv")))
	for _, bb := range []struct {
		name  string
		args  []string
		flows int
	}{
		{"lint", command("lint"), 0},
		{"simulate/csv", command("simulate", "--flows", filepath.Join(dir, "flows.csv")), flows},
		{"simulate/csv/fast", command("simulate", "--flows", filepath.Join(dir, "flows.csv"), "--fast"), flows},
		{"simulate/json/fast", command("simulate", "--flows", filepath.Join(dir, "flows.jsonl"), "--fast"), flows},
	} {
		b.Run(bb.name, func(b *testing.B) {
			var cpu float64
			var most int64
			for b.Loop() {
				c, peak := fleetProcess(b, bin, bb.args)
				cpu, most = cpu+c, max(most, peak)
			}
			cpu /= float64(b.N)
			b.ReportMetric(cpu, "cpu-sec")
			b.ReportMetric(float64(most)/1000, "peak-MB")
			if bb.flows > 0 {
				b.ReportMetric(float64(bb.flows)/(cpu-begin), "flows/cpu-s")
			}
		})
	}
}

// fleetProcess runs a command and returns its CPU time in seconds and its peak in kB.
func fleetProcess(b *testing.B, bin string, args []string) (cpu float64, peak int64) {
	b.Helper()
	cmd := exec.Command(bin, args...)
	if err := cmd.Run(); err != nil && cmd.ProcessState.ExitCode() != exitFailed {
		b.Fatal(err)
	}
	s := cmd.ProcessState
	return (s.UserTime() + s.SystemTime()).Seconds(), s.SysUsage().(*syscall.Rusage).Maxrss // kB (getrusage(2))
}

// writeFleet writes the inputs of BenchmarkFleetProcess to dir.
func writeFleet(b *testing.B, dir string, flows int) {
	b.Helper()
	sizes := synth.DefaultSizes
	sizes.Nodes, sizes.Namespaces, sizes.Pods, sizes.Services, sizes.Policies, sizes.Rules = 5000, 500, 50_000, 5000, 2000, 40_000
	f, err := synth.NewFleet(sizes)
	if err != nil {
		b.Fatal(err)
	}
	inventory := filepath.Join(dir, "inventory.json")
	writeFile(b, inventory, func(w *bufio.Writer) error { return synth.WriteJSON(w, f.Inventory()) })
	writeFile(b, filepath.Join(dir, "policies.yaml"), func(w *bufio.Writer) error { return synth.WriteYAML(w, f.Policies()) })
	in, compact, err := compiler.Snapshot(context.Background(), compiler.LoadOptions{Inventory: []string{inventory}})
	if err != nil {
		b.Fatal(err)
	}
	os.Remove(inventory) // 300 MB
	writeFile(b, filepath.Join(dir, "inventory.tpi"), func(w *bufio.Writer) error { _, err := w.Write(compact); return err })
	writeFile(b, filepath.Join(dir, "none.csv"), func(w *bufio.Writer) error { _, err := w.WriteString("src,dst,proto,port\n"); return err })
	writeFile(b, filepath.Join(dir, "flows.csv"), func(w *bufio.Writer) error {
		fmt.Fprintln(w, "src,dst,proto,port")
		for f := range fleetFlows(in.Inventory, flows) {
			fmt.Fprintf(w, "%s,%s,tcp,%s\n", f[0], f[1], f[2])
		}
		return nil
	})
	writeFile(b, filepath.Join(dir, "flows.jsonl"), func(w *bufio.Writer) error {
		for f := range fleetFlows(in.Inventory, flows) {
			fmt.Fprintf(w, "{\"src\":%q,\"dst\":%q,\"proto\":\"tcp\",\"port\":%s}\n", f[0], f[1], f[2])
		}
		return nil
	})
}

func writeFile(b *testing.B, path string, write func(*bufio.Writer) error) {
	b.Helper()
	f, err := os.Create(path)
	if err != nil {
		b.Fatal(err)
	}
	defer f.Close()
	w := bufio.NewWriter(f)
	if err := write(w); err != nil {
		b.Fatal(err)
	}
	if err := w.Flush(); err != nil {
		b.Fatal(err)
	}
}

// fleetFlows draws flows as source, destination and port: between pods by name, by
// address or both, and from pods to the world, a quarter each.
func fleetFlows(inv *model.Inventory, n int) iter.Seq[[3]string] {
	var names, addrs []string
	for _, p := range inv.Pods {
		if len(p.IPs) > 0 && p.Subject() {
			names, addrs = append(names, p.Ref()), append(addrs, p.IPs[0].String())
		}
	}
	ports := []string{"22", "53", "80", "443", "3306", "5432", "6379", "8080", "8443", "9090"}
	return func(yield func([3]string) bool) {
		rng := rand.New(rand.NewPCG(1, 1))
		for range n {
			from, to := rng.IntN(len(names)), rng.IntN(len(names))
			src, dst := names[from], names[to]
			switch rng.IntN(4) {
			case 0:
				dst = addrs[to]
			case 1:
				src, dst = addrs[from], addrs[to]
			case 2:
				dst = fmt.Sprintf("%d.%d.%d.%d", 1+rng.IntN(220), rng.IntN(256), rng.IntN(256), rng.IntN(256))
			}
			if !yield([3]string{src, dst, ports[rng.IntN(len(ports))]}) {
				return
			}
		}
	}
}
