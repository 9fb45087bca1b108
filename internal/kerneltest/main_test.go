//go:build linux

package kerneltest

import (
	"os"
	"path/filepath"
	"regexp"
	"testing"

	"github.com/trafficpolicy/trafficpolicy/compiler"
	"github.com/trafficpolicy/trafficpolicy/internal/netlab"
)

func TestMain(m *testing.M) { os.Exit(Main(m)) }

// forBackends runs a test with each backend.
func forBackends(t *testing.T, f func(t *testing.T, b Backend)) {
	Require(t)
	for _, b := range Backends {
		t.Run(b.String(), func(t *testing.T) { f(t, b) })
	}
}

// forLoaded runs a test with each backend that tploader puts in force: one that
// needs the devices of pods, or a switch in one step.
func forLoaded(t *testing.T, f func(t *testing.T, b Backend)) {
	Require(t)
	for _, b := range Backends {
		if !b.Bare {
			t.Run(b.String(), func(t *testing.T) { f(t, b) })
		}
	}
}

// fixture is a stage with a backend at work on it.
type fixture struct {
	*testing.T
	*Stage
	*Enforcement
}

// newFixture makes a node and a backend that governs it, or the one pod.
func newFixture(t *testing.T, b Backend, spec netlab.Spec, node, pod string) *fixture {
	t.Helper()
	s, e := Govern(t, b, spec, node, pod)
	return &fixture{t, s, e}
}

// must ends the test on an error.
func (f *fixture) must(err error) {
	f.Helper()
	if err != nil {
		f.Fatal(err)
	}
}

// apply puts policies in force.
func (f *fixture) apply(p *Policies, args ...string) {
	f.Helper()
	f.must(f.Apply(p, args...))
}

// compare has kernel and simulator judge the flows.
func (f *fixture) compare(p *Policies, flows []Flow) {
	f.Helper()
	bad, err := f.Compare(p, flows)
	f.must(err)
	report(f.T, bad)
}

func report(t *testing.T, bad []Mismatch) {
	t.Helper()
	for i, m := range bad {
		if i == 10 {
			t.Errorf("and %d more", len(bad)-i)
			break
		}
		t.Error(m)
	}
}

// smallCluster is testdata/cluster/small.yaml with an IPv6 address for each
// pod that lacks one, fd00:20:N::M for 10.20.N.M.
func smallCluster(t *testing.T) string {
	t.Helper()
	text, err := os.ReadFile("../../testdata/cluster/small.yaml")
	if err != nil {
		t.Fatal(err)
	}
	one := regexp.MustCompile(`podIPs: \[\{ip: 10\.20\.([0-9]+)\.([0-9]+)\}\]`)
	text = one.ReplaceAll(text, []byte(`podIPs: [{ip: 10.20.$1.$2}, {ip: "fd00:20:$1::$2"}]`))
	node := regexp.MustCompile(`addresses: \[\{type: InternalIP, address: 192\.168\.10\.([0-9]+)\}\]`)
	text = node.ReplaceAll(text, []byte(`addresses: [{type: InternalIP, address: 192.168.10.$1}, {type: InternalIP, address: "fd00:10::$1"}]`))
	path := filepath.Join(t.TempDir(), "cluster.yaml")
	if err := os.WriteFile(path, text, 0o644); err != nil {
		t.Fatal(err)
	}
	return path
}

// load reads policies and inventory as the programs do.
func load(t *testing.T, policies, inventory string) *compiler.Input {
	t.Helper()
	in, err := compiler.Load(t.Context(), compiler.LoadOptions{Policies: []string{policies}, Inventory: []string{inventory}})
	if err != nil {
		t.Fatal(err)
	}
	return in
}
